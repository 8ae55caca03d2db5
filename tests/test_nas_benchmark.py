"""The rows of benchmarks/nas.py in miniature: they run, and go on from what is finished."""

import json

import pytest

from benchmarks import _nas_stopwatch as stopwatch
from benchmarks import _nas_tuned as tuned
from benchmarks import nas as rows


def test_a_row_goes_on_with_what_is_missing(tmp_path, monkeypatch):
    made = []
    pieces = {f"piece-{k}": lambda k=k: made.append(k) or {"off": k} for k in range(3)}
    monkeypatch.setitem(rows.ROWS, "made", lambda small: pieces)
    (tmp_path / "made-piece-1-small.json").write_text(json.dumps({"result": {"off": 7}}))
    found = rows.run("made", tmp_path, small=True)
    assert made == [0, 2] and found["piece-1"] == {"off": 7}
    assert rows.run("made", tmp_path, small=True) == found and made == [0, 2]


def test_decoded_networks_equal_masked_ones(tmp_path):
    for name, piece in rows.run("decoded", tmp_path, small=True).items():
        assert piece["largest_difference"] <= 1e-6, name
        assert piece["largest_output"] > 0.01


def test_summaries_say_how_many(tmp_path):
    row = {"right": True, "right_by_gates": False}
    pieces = {"kernel-paper-0": row, "kernel-paper-1": {**row, "right": False}}
    assert rows.summary("planted", pieces) == "kernel-paper: found 1/2, by the gates alone 0/2"
    off = {"a": {"off": 0.2, "off_at_its_pace": 0.01}, "b": {"off": 0.04, "off_at_its_pace": -0.06}}
    assert "off: 1 of 2 within 5 %, 0.200" in rows.summary("targets", off)


@pytest.mark.parametrize("row", ["planted", "targets", "table"])
def test_every_row_has_its_pieces(row):
    count = {"planted": 60, "targets": 18, "table": 6}[row]
    assert len(rows.ROWS[row](False)) == count
    assert 0 < len(rows.ROWS[row](True)) < count


def test_rows_that_need_data_say_where_to_name_them(monkeypatch):
    monkeypatch.delenv("NONGREEDY_CIFAR10", raising=False)
    with pytest.raises(SystemExit, match="NONGREEDY_CIFAR10"):
        rows.ROWS["cifar"](True)


def test_the_best_by_validation_is_compared_by_its_test_accuracy():
    def run(validation, test):
        return {"validation": validation, "test": test}

    pieces = {
        "found-0": {**run(0.5, 0.52), "trainings": {"search": 1.9, "final": 1.0}},
        "random-0-0": run(0.4, 0.9), "random-0-1": run(0.6, 0.50), "uniform-0-0": run(0.1, 0.1),
    }  # fmt: skip
    said = rows.summary("cifar", pieces)
    assert "random: 50.00" in said and "found - random: 2.00" in said
    assert "trainings that the search cost: 2.90 at most" in said


def test_tuned_settings_are_judged_on_tasks_that_tuning_has_not_seen():
    pieces = rows.ROWS["tuned"](False)
    assert len(pieces) == 3 + 3 * 2 * 10
    assert tuned.OWN not in {int(name.rpartition("-")[2]) for name in list(pieces)[3:]}


def test_pairs_of_measurements_that_are_apart():
    found = stopwatch._apart([1.0, 1.04, 2.0])
    assert found["within"] == pytest.approx(1 / 3) and found["largest"] == pytest.approx(1.0)


def test_a_samplers_settings_are_those_of_a_search(tmp_path):
    pytest.importorskip("optuna")
    pieces = rows.run("sampler", tmp_path, small=True)
    best = pieces["optuna"]
    assert best["validation_loss"] == min(best["losses"]) and len(best["losses"]) == 2
    assert pieces["default-0"] != pieces["default-1"]
    assert pieces["longer"]["gradients"] > pieces["default-0"]["gradients"]
