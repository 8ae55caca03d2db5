"""The suite of searches: tasks in two parts, pieces that survive a kill, tables that add up."""

import json
import math
from dataclasses import replace

import pytest
import torch

import nongreedy as ng
from benchmarks.search import __main__ as command
from benchmarks.search import _fresh, _pieces, _tabular
from benchmarks.search._data import PARTS, Data
from benchmarks.search._images import NOISE, redrawn
from benchmarks.search._pieces import Place, Suite, places
from benchmarks.search._scores import Score, difference, gains, grouped, ranks, standings
from benchmarks.search._table import markdown
from benchmarks.search._tasks import TASKS, seconds
from nongreedy.comparison import Piece
from nongreedy.comparison._peaks import TunedPeak

from .data_files import SHARED, shared

NEEDS = {"digits": (), "tabular": (), "text": ("tinyshakespeare.txt",)}
SMALL = replace(TASKS["digits"], steps=10)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Both parts, with a cache for this module; a network is pretrained for a few steps only."""
    cache = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("benchmarks.search._images.PRETRAINING", 3)
        yield {part: Data(part, SHARED, cache) for part in PARTS}


def have(name):
    for file in NEEDS.get(name, ("mnist", "cifar10.zip")):
        shared(file)


def rows(examples):
    """The bytes of each example's inputs, as many as there are."""
    return [row.numpy().tobytes() for row in examples.source[0]]


@pytest.mark.parametrize("name", TASKS)
def test_a_task_trains_and_its_parts_have_nothing_in_common(name, data):
    have(name)
    entry, seen = TASKS[name], []
    for part in PARTS:
        task = entry.make(data[part])
        splits = [rows(examples) for examples in (task.train, task.validation, task.test)]
        for k, split in enumerate(splits):
            # What a network trains on is not what judges it, here or in the other part.
            assert not set(split) & {row for other in splits[:k] for row in other}
        seen.append({row for split in splits for row in split})
        problem = ng.Problem.of(task, entry.optimizer, steps=6)
        assert math.isfinite(
            ng.engines.Runner().rollout(problem.run(), problem.initial).outcome.loss
        )
    assert len(seen[0]) >= 500 and not seen[0] & seen[1]


def test_pretraining_sees_nothing_of_the_other_part_nor_of_the_tasks(data):
    have("fine-tuning")
    parts = [data[part].cifar for part in PARTS]
    images = [
        {row.numpy().tobytes() for split in (p.train, p.validation, p.test) for row in split[0]}
        for p in parts
    ]
    assert not images[0] & images[1]
    TASKS["fine-tuning"].make(data[PARTS[0]])
    weights = data[PARTS[0]].kept("pretrained-development-3.pt", lambda: pytest.fail("it is kept"))
    assert weights["0.weight"].shape == (12, 3, 3, 3)


def test_noise_redraws_a_share_of_the_labels_that_train_and_no_others(data):
    have("noisy-labels")
    part = data[PARTS[0]]
    noisy, clean = TASKS["noisy-labels"].make(part), TASKS["mnist-mlp"].make(part)
    kept = (noisy.train.source[1] == clean.train.source[1]).float().mean().item()
    assert abs(kept - (1 - 0.9 * NOISE)) < 0.03
    for name in ("validation", "test"):
        assert torch.equal(getattr(noisy, name).source[1], getattr(clean, name).source[1])
    assert torch.equal(redrawn(clean.train.source[1], 0), noisy.train.source[1])


def test_the_drawn_table_has_noise_that_no_model_explains_and_more_that_one_does():
    split = _tabular.drawn(0)
    x, y = (torch.cat([part[k] for part in (split.train, split.test)]).double() for k in (0, 1))
    ones = torch.ones(len(x), 1).double()
    fitted = torch.linalg.lstsq(torch.cat([x, ones], 1), y, driver="gelsd").solution
    left = (torch.cat([x, ones], 1) @ fitted - y).var() / y.var()
    assert 0.2 < left < 0.9  # a linear model explains some, not most
    assert not torch.equal(_tabular.drawn(1).train[1], split.train[1])
    with pytest.raises(ValueError, match="'test'"):
        Data("test")


# ---- pieces --------------------------------------------------------------------------------------


def small(tmp_path, data, **changed):
    return Suite(data["development"], tmp_path, {"digits": replace(SMALL, **changed)})


def test_a_piece_is_a_search_of_compare_and_is_not_repeated(tmp_path, data, monkeypatch):
    suite, place = small(tmp_path, data), Place("digits", "cosine", 4.0, 1)
    piece = suite.run(place)
    assert piece is not None and len(piece.fresh["test_accuracy"]) == _fresh.FRESH
    compared = ng.compare(
        SMALL.make(data["development"]), SMALL.optimizer, steps=SMALL.steps, budget=4.0,
        methods=["cosine"], seeds=1, seed=1, retrain_seeds=3, curve_seeds=0,
    )  # fmt: skip
    assert replace(piece, seconds=0.0) == replace(compared.pieces[0], seconds=0.0)
    assert sorted(path.name for path in tmp_path.rglob("*.json")) == ["4-1.json"]
    monkeypatch.setattr(ng, "compare", lambda *_, **__: pytest.fail("it is done"))
    assert suite.run(place) == piece and suite.pieces() == {place: piece}
    assert suite.missing([place, Place("digits", "cosine", 4.0, 2)])[0].seed == 2


def test_a_suite_that_is_killed_goes_on_and_one_that_fails_goes_on_at_once(tmp_path, data, capsys):
    suite = small(tmp_path, data)
    wanted = [*places(["digits"], ["cosine", "linear"], [4.0], 2)]
    assert [(place.method, place.seed) for place in wanted] == [
        ("cosine", 0), ("linear", 0), ("cosine", 1), ("linear", 1)
    ]  # fmt: skip

    with pytest.MonkeyPatch.context() as patch:
        begun, original = [], TunedPeak.search

        def search(self, problem, meter):
            begun.append(meter.seed)
            if len(begun) == 2:
                raise RuntimeError("out of luck")
            if len(begun) == 4:
                raise KeyboardInterrupt
            return original(self, problem, meter)

        patch.setattr(TunedPeak, "search", search)
        with pytest.raises(KeyboardInterrupt):
            _pieces.run(suite, wanted, jobs=1)
    assert [*suite.pieces()] == [wanted[0], wanted[2]]
    assert "linear, budget 4, outer seed 0: RuntimeError: out of luck" in capsys.readouterr().out
    assert not list(tmp_path.rglob("*.tmp"))
    assert _pieces.run(suite, wanted, jobs=1) == 0
    assert "2 of 4 pieces to do" in capsys.readouterr().out
    assert set(suite.pieces()) == set(wanted)


def test_a_piece_of_another_version_of_its_task_is_refused(tmp_path, data):
    place = Place("digits", "cosine", 4.0, 0)
    small(tmp_path, data).run(place)
    with pytest.raises(ValueError, match="another version of 'digits'"):
        small(tmp_path, data, steps=11).run(place)


def test_who_cannot_take_part_leaves_no_file(tmp_path, data):
    suite = small(tmp_path, data, optimizer=ng.NAdam(ng.Windows(2)))
    assert suite.run(Place("digits", "schedule-free", 4.0, 0)) is None
    assert not list(tmp_path.rglob("*.json"))


def test_the_command_runs_pieces_and_prints_tables(tmp_path, data, monkeypatch, capsys):
    monkeypatch.setitem(TASKS, "digits", SMALL)
    given = ["--tasks", "digits", "--methods", "default,cosine", "--budget", "8,9", "--seeds", "1"]
    given += ["--data", str(SHARED), "--cache", str(tmp_path / "cache"), "--out", str(tmp_path)]
    command.main(given)
    printed = capsys.readouterr().out
    assert (
        "0 failed" in printed and "## Budget 8" in printed and "`default` less the best" in printed
    )
    command.main([*given, "--table"])
    assert capsys.readouterr().out.strip() == printed[printed.index("## Budget 8") :].strip()
    monkeypatch.setitem(TASKS, "digits", replace(SMALL, steps=5))
    command.main(["--times", "--tasks", "digits"])
    assert "5 steps" in capsys.readouterr().out
    assert 0 < seconds(TASKS["digits"], data["development"]) < 5
    for wrong in (["--tasks", "digit"], ["--methods", "cosin"]):
        with pytest.raises(SystemExit, match="Did you mean"):
            command.main(wrong)


def test_two_processes_share_the_pieces(tmp_path):
    # The whole task: what a process of its own knows of it is what the table of tasks says.
    given = ["--tasks", "digits", "--methods", "cosine,linear", "--budget", "4", "--seeds", "1"]
    command.main([*given, "--jobs", "2", "--data", str(SHARED), "--out", str(tmp_path)])
    files = list(tmp_path.rglob("*.json"))
    assert len(files) == 2
    assert {json.loads(file.read_text())["piece"]["method"] for file in files} == {
        "cosine",
        "linear",
    }


# ---- tables --------------------------------------------------------------------------------------


def score(*values):
    return Score(dict(enumerate(values)))


ROWS = {
    "easy": {"default": score(90, 92), "cosine": score(91, 91), "linear": score(80, 80)},
    "hard": {"default": score(50, 53), "cosine": score(45, 44), "linear": score(48, 50)},
}


def test_ranks_share_places():
    assert ranks(ROWS["easy"]) == {"default": 1.5, "cosine": 1.5, "linear": 3.0}
    assert ranks({"a": score(1), "b": score(-math.inf)}) == {"a": 1.0, "b": 2.0}


def test_differences_are_paired_by_outer_seed():
    assert difference(score(50, 53), score(48, 50)) == (2.5, 0.5)
    # Of other seeds each has a scatter of its own: 1.5 and 1.
    gap, error = difference(score(50, 53), Score({0: 48, 7: 50}))
    assert gap == 2.5 and error == pytest.approx(math.hypot(1.5, 1.0))
    assert math.isnan(difference(score(1), score(0))[1])


def test_gains_are_over_the_best_of_the_four():
    found = gains(ROWS, "default")
    assert (found["easy"].rival, found["easy"].gain, found["easy"].error) == ("cosine", 0.0, 1.0)
    assert (found["hard"].rival, found["hard"].gain, found["hard"].error) == ("linear", 2.5, 0.5)
    assert gains({"t": {"default": score(1), "tpe": score(2)}}, "default") == {}


def test_standings_are_means_over_tasks():
    found = standings(ROWS)
    assert [*found] == ["default", "cosine", "linear"]
    assert (found["default"].rank, found["default"].regret, found["default"].wins) == (1.25, 0.0, 2)
    assert (found["cosine"].rank, found["cosine"].wins, found["cosine"].near) == (2.25, 0, 1)
    assert found["cosine"].regret == pytest.approx((51.5 - 44.5) / 2)
    assert found["linear"].tasks == 2 and found["linear"].near == 0


def piece(method, seed, **fresh):
    found = {name: [value, value] for name, value in fresh.items()}
    return Piece(method, seed, 40.0, 0.5, found, None, [(1.0, 0.5)], [], 1, 0, 0.0)


def test_the_table_says_accuracies_in_percent_and_losses_the_right_way_round():
    pieces = {}
    for seed, (ours, theirs) in enumerate([(0.92, 0.90), (0.94, 0.90)]):
        for method, value in (("default", ours), ("cosine", theirs)):
            pieces[Place("digits", method, 40.0, seed)] = piece(method, seed, test_accuracy=value)
            lost = piece(method, seed, test_accuracy=0.5, test_loss=3 - value)
            pieces[Place("text", method, 40.0, seed)] = lost
    pieces[Place("text", "paper", 40.0, 0)] = piece("paper", 0)  # found nothing
    said = markdown(pieces, TASKS)
    assert "| default | **93.00 ± 1.00** | **207.00 ± 1.00** |" in said
    assert "| cosine | 90.00 ± 0.00 | 210.00 ± 0.00 |" in said
    assert "| paper |  | nothing found (1) |" in said
    assert "| digits | cosine | +3.00 ± 1.00 | above |" in said
    assert "| text | cosine | +3.00 ± 1.00 | above |" in said
    assert "| median |  | +3.00 |  |" in said
    assert markdown({}, TASKS) == "Nothing is done yet."


def test_a_search_that_found_nothing_is_worse_than_any():
    found = grouped({("t", "a", 0): math.nan, ("t", "b", 0): -5.0}, lambda _, value: value)
    assert found["t"]["a"].mean == -math.inf and ranks(found["t"]) == {"a": 2.0, "b": 1.0}
