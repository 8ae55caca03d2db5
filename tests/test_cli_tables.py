"""Tables and real targets on the command line: from a file to a verdict, and every mistake in one line."""

import json
import textwrap

import numpy as np
import pytest

import nongreedy as ng

from .test_cli import REGRESSION_FILE, only_line, run

QUICK = ["--epochs", "4", "--outer-steps", "1", "--compare-seeds", "2"]
RNG = np.random.default_rng(0)
AREA, ROOMS = RNG.uniform(30, 150, 120).round(1), RNG.integers(1, 6, 120)
CITY = np.where(RNG.random(120) < 0.3, "Oslo", "Rome")
PRICE = (2.5 * AREA + 20 * ROOMS + 40 * (CITY == "Oslo") + RNG.normal(0, 9, 120)).round(2)


@pytest.fixture
def houses(tmp_path):
    file = tmp_path / "houses.csv"
    rows = enumerate(zip(AREA, ROOMS, CITY, PRICE, strict=True))
    lines = [f"h{number},{','.join(map(str, row))}\n" for number, row in rows]
    file.write_text("id,area,rooms,city,price\n" + "".join(lines))
    return file


def test_regression_reads_right_without_accuracy(houses, tmp_path):
    table = ["--data", houses, "--target", "price", "--drop", "id"]
    result = run("tune", *table, *QUICK, "--out", tmp_path / "a")
    assert result.exit_code == 0, result.output
    splits = ng.data.load(houses, target="price", drop=["id"])
    assert "acc" not in result.output
    assert f"is {splits.scale.deviation:.4g} times the root of a loss" in " ".join(
        result.output.split()
    )
    assert "city: 2 inputs, one for each of its words" in result.output
    assert "for houses, mlp: 8 steps per run" in result.output  # 82 rows in batches of 32
    assert "       RMSE of price " in result.output

    history = json.loads((tmp_path / "a" / "history.json").read_text())
    assert history["validation_accuracy"] is None
    for row in history["rows"]:
        # A mean over seeds of roots is at most the root of the mean.
        root = splits.scale.deviation * row["validation_loss"] ** 0.5
        assert 0.8 * root < row["validation_metrics"]["RMSE of price"] <= root * (1 + 1e-5)
    for entry in history["comparison"]:
        assert entry["measure"] == "test_loss"
        expected = [splits.scale.deviation * loss**0.5 for loss in entry["scores"]]
        assert entry["rmse"] == pytest.approx(expected)
    names = [entry["name"] for entry in history["comparison"]][1:]
    assert names == ["cosine, peak 0.003", "cosine, peak 0.01", "cosine, peak 0.03"]

    assert run("report", tmp_path / "a" / "study.db").exit_code == 0
    page = (tmp_path / "a" / "report.html").read_text()
    assert "<h1>houses, mlp</h1>" in page and "standardised by the mean" in page
    assert "<th>RMSE" in page or ">RMSE</th>" in page
    words = page.partition("<body")[2].partition("<script")[0]
    assert "accuracy" not in words


def test_a_table_of_classes_has_accuracy(houses, tmp_path):
    table = ["--data", houses, "--target", "city", "--drop", "id,price"]
    result = run("tune", *table, *QUICK, "--out", tmp_path / "a")
    assert result.exit_code == 0, result.output
    assert "Predicted: 'city', 2 classes: Oslo, Rome." in result.output
    assert "% test accuracy" in result.output and "RMSE" not in result.output


def test_a_search_on_a_table_goes_on(houses, tmp_path):
    table = ["--data", houses, "--target", "price", "--drop", "id"]
    run("tune", *table, *QUICK, "--no-compare", "--out", tmp_path / "a")
    result = run("resume", tmp_path / "a" / "study.db", "--outer-steps", 2)
    assert result.exit_code == 0, result.output
    assert "houses, mlp" in result.output


@pytest.mark.parametrize("command", ["plan", "trust"])
def test_what_comes_before_a_search_reads_right(command, houses):
    quick = {"plan": ["--sample", 2], "trust": ["--seeds", 2]}[command]
    table = ["--data", houses, "--target", "price", "--drop", "id"]
    result = run(command, *table, "--epochs", 3, *quick)
    assert result.exit_code == 0, result.output
    assert "accuracy" not in result.output
    assert "2 columns of numbers, standardised" in result.output and "houses, mlp" in result.output


def test_a_comparison_reads_right(houses, tmp_path):
    table = ["--data", houses, "--target", "price", "--drop", "id"]
    few = ["--methods", "cosine,default", "--seeds", 1, "--retrain-seeds", 2, "--curve-seeds", 1]
    result = run("compare", *table, "--epochs", 3, "--budget", 8, *few, "--out", tmp_path / "c")
    assert result.exit_code == 0, result.output
    assert "accuracy" not in result.output and "test loss" in result.output
    page = (tmp_path / "c" / "compare.html").read_text()
    assert "accuracy" not in page.partition("<body")[2].partition("<script")[0]


@pytest.mark.parametrize("shape", [(60, 6), (60, 1, 8, 8)], ids=["rows", "images"])
def test_an_archive_with_real_targets_is_regression(shape, tmp_path):
    inputs = RNG.normal(size=shape)
    targets = inputs.reshape(60, -1).sum(1)
    np.savez(tmp_path / "a.npz", x=inputs, y=targets)
    small = ["--batch-size", 10, "--out", tmp_path / "a"]
    result = run("tune", "--data", tmp_path / "a.npz", *QUICK, *small)
    assert result.exit_code == 0, result.output
    assert f"for a, {'mlp' if len(shape) == 2 else 'convnet'}" in result.output
    assert "test loss, RMSE" in result.output and "acc" not in result.output


@pytest.mark.parametrize(
    ("text", "options", "said"),
    [
        (None, [], "which column is to be predicted, by target='NAME' or --target NAME. It has id, area"),
        (None, ["--target", "prise"], "Did you mean 'price'?"),
        (None, ["--target", "price"], "column 'id' has 120 different words"),
        (None, ["--target", "price", "--drop", "idd"], "no column 'idd', which `drop` names"),
        (None, ["--target", "price", "--model", "convnet"], "its model is mlp"),
        (None, ["--target", "price", "--model", "mpl"], "'mlp'"),
        (None, ["--target", "price", "--drop", "id", "--train-examples", "999"], "999 exceeds the 82"),
        ("", ["--target", "y"], "is empty"),
        ("x,y\n", ["--target", "y"], "no rows"),
        ("x,y\n1,2\n", ["--target", "y"], "test=0.2 takes 1 of 1"),
        ("x,x,y\n1,2,3\n", ["--target", "y"], "several columns 'x'"),
        ("x,y\n" + "1,2\n2,2\n3,2\n" * 9, ["--target", "y"], "one class alone, '2'"),
        ("x,y\n" + "1,2.5\n2,2.5\n3,2.5\n" * 9, ["--target", "y"], "the same value, 2.5"),
        ("x,y\n" + "1,2.5\n2,\n3,2.5\n" * 9, ["--target", "y"], "no value in 9 of 27 rows"),
    ],
)  # fmt: skip
def test_mistakes_are_one_line_and_leave_no_study(text, options, said, houses, tmp_path):
    if text is not None:
        houses.write_text(text)
    result = run("tune", "--data", houses, *options, "--out", tmp_path / "out")
    assert result.exit_code == 2, result.output
    assert said in only_line(result)
    assert not list((tmp_path / "out").iterdir())


def test_options_of_tables_do_not_apply_elsewhere(houses, tmp_path):
    result = run("tune", "--target", "price", "--out", tmp_path / "out")
    assert "`target` names columns of a table" in only_line(result)
    result = run("tune", "--data", tmp_path, "--target", "price", "--out", tmp_path / "out")
    assert "a folder of tables: give one of them, such as" in only_line(result)


def test_own_tasks_know_their_target(tmp_path):
    (tmp_path / "task.py").write_text(textwrap.dedent(REGRESSION_FILE))
    result = run("tune", tmp_path / "task.py", "--target", "y", "--out", tmp_path / "out")
    assert "--target does not apply" in only_line(result)
