"""The benchmark of recipes: every method takes part, and what is done is not repeated."""

import json

import pytest
import torch
from torch import nn

import nongreedy as ng
from benchmarks.search import recipe

from .helpers import classes


def tiny(data):
    del data
    train, test = classes(24, (1, 6, 6), 0), classes(12, (1, 6, 6), 1)
    return ng.Task(
        lambda: nn.Sequential(nn.Flatten(), nn.Linear(36, 3)), nn.functional.cross_entropy, train,
        test, test, batch_size=12,
    )  # fmt: skip


@pytest.fixture
def tasks(monkeypatch):
    given = {
        "few": recipe.RecipeTask(tiny, 8, ("recipe", "class_weights"), recipe.LONG),
        "many": recipe.RecipeTask(tiny, 8, ("example_weights", "noise", "momentum")),
    }
    monkeypatch.setattr(recipe, "TASKS", given)


def test_every_method_takes_part_once(tasks, monkeypatch, tmp_path, capsys):
    out, rows = tmp_path / "rows.jsonl", []
    asked = ["recipe", "--part", "judged", "--seeds", "1", "--budget", "12", "--out", str(out)]
    monkeypatch.setattr("sys.argv", asked)
    for _ in range(2):
        recipe.main()
        rows.append([json.loads(line) for line in out.read_text("utf-8").splitlines()])
    assert rows[0] == rows[1] and len(rows[0]) == 10
    ours = {row["task"]: row for row in rows[0] if row["method"] == "recipe"}
    assert ours["few"]["hyperparameters"] > 30 and ours["many"]["hyperparameters"] >= 24 + 1 + 7
    assert all(0 < row["cost"] <= 12 and len(row["accuracy"]) == 3 for row in rows[0])
    assert capsys.readouterr().out.rstrip().splitlines()[-1].startswith("| many | ")


def test_the_gain_is_over_the_best_of_the_others():
    rows = [
        {"task": "few", "method": method, "seed": seed, "accuracy": [share, share + 0.02]}
        for method, shares in (("recipe", (0.5, 0.6)), ("cosine", (0.4, 0.4)), ("tpe", (0.3, 0.58)))
        for seed, share in enumerate(shares)
    ]
    last = recipe.markdown(rows).splitlines()[-1]
    assert last == "| few | 56.00 ± 5.00 | 41.00 ± 0.00 | 45.00 ± 14.00 | +11.00 ± 9.00 |"


def test_the_small_task_has_its_hyperparameters():
    where = recipe.TASKS["few-images"]
    x = torch.randn(64, 3, 16, 16)
    task = ng.Task(
        recipe.plain, nn.functional.cross_entropy, (x, torch.arange(64) % 10), 0.25, batch_size=32
    )
    extended = ng.recipe.extend(task, where.optimizer, where.learn, steps=20)
    problem = ng.Problem(extended.task, extended.optimizer, 20)
    assert sum(len(hyper.initial) for hyper in problem.learned.values()) >= 60
