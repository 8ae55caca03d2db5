"""The experiments' own arithmetic, and that their work goes on where it stopped."""

import sys

import pytest
import torch

import nongreedy as ng
from experiments import figure1, figure2, figure3
from experiments._work import Scale, Stopped, begun, mine
from nongreedy.statistics import measured_error

TINY = {"cpu": Scale("mlp", 64, 32, 16, steps=12, seeds=1)}


def work(folder, monkeypatch, *arguments):
    monkeypatch.setattr(
        sys, "argv", ["figure", "--data", "digits", "--out", str(folder), *arguments]
    )
    return begun("an experiment", "figure", TINY, data="digits")


def test_a_stopped_experiment_goes_on_to_the_same_result(tmp_path, monkeypatch):
    def stop_within(step, steps):
        calls.append(step)
        if len(calls) == 30:
            monkeypatch.setattr(stopped.clock, "end", 0.0)
        return type(stopped.clock).on_inner_step(stopped.clock, step, steps)

    calls, optimizer = [], ng.SGD(ng.Windows(2), 0.9, 0.0)
    settings = {"steps": 12, "outer": "paper", "outer_steps": 3}
    stopped, options = work(tmp_path / "stopped", monkeypatch)
    task = stopped.task()
    monkeypatch.setattr(stopped.clock, "on_inner_step", stop_within, raising=False)
    stopped.do(
        mine(["a|0"], options), lambda key: searched(stopped, key, task, optimizer, settings)
    )
    assert stopped.study.notes() == {} and len(calls) >= 30

    resumed, _ = work(tmp_path / "stopped", monkeypatch)
    whole, _ = work(tmp_path / "whole", monkeypatch)
    for each in (resumed, whole):
        each.do(["a|0"], lambda key, each=each: searched(each, key, task, optimizer, settings))
    found, expected = (each.study.notes()["a|0"]["schedule"] for each in (resumed, whole))
    assert found == expected
    resumed.do(["a|0"], lambda key: pytest.fail("done twice"))


def searched(work, key, task, optimizer, settings):
    result = work.search(key, task, optimizer, **settings)
    return {"schedule": result.schedule.to_json()["hyperparameters"]}


def test_over_before_any_run_is_a_stop_not_an_error(tmp_path, monkeypatch):
    late, _ = work(tmp_path, monkeypatch, "--minutes", "0")
    with pytest.raises(Stopped):
        late.search("a|0", late.task(), ng.SGD(), steps=12, outer_steps=1)


def test_an_experiment_writes_its_table_and_figure(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(figure3, "SCALES", TINY)
    monkeypatch.setattr(figure3, "OUTER_STEPS", 1)
    arguments = ["figure3", "--data", "digits", "--out", str(tmp_path)]
    monkeypatch.setattr(sys, "argv", arguments)
    monkeypatch.setattr(
        ng.Greedy, "__post_init__", lambda self: object.__setattr__(self, "batch", 16)
    )
    figure3.main()
    said = capsys.readouterr().out
    assert all(f"| {kind} |" in said for kind in ("FDS", "unshared", "greedy", "default"))
    assert (tmp_path / "figure.png").read_bytes().startswith(b"\x89PNG")


def test_figure_2_tells_the_measured_errors_and_what_is_advised(tmp_path, monkeypatch, capsys):
    shown, _ = work(tmp_path, monkeypatch)
    noise = torch.randn(8, 16, generator=torch.Generator().manual_seed(0)).double()
    for kind, rows in (("whole", noise - 3.0), ("greedy", torch.ones(2, 16))):
        for seed, row in enumerate(rows):
            shown.study.note(f"{kind}|{seed}", {"per_step": row.tolist()})
    figure2.show(shown, tmp_path / "figure.png")
    said = capsys.readouterr().out
    assert (
        f"least MSE {measured_error(noise, 1):.4g} at W = 16" in said
    )  # a flat mean: share over all
    assert "Of 8 seeds: advised width 16" in said
    bias = (4.0 - noise.mean(0)).square().mean().item()
    assert f"of which bias {bias:.4g}; the sign of its mean is the true one at 0%" in said
    assert (tmp_path / "figure.png").read_bytes().startswith(b"\x89PNG")


def test_figure_1_goes_on_within_a_search(tmp_path, monkeypatch, capsys):
    def run(*more, steps=10**9):
        """Until so many inner steps were taken."""
        clock, left = type(work(tmp_path, monkeypatch)[0].clock), iter(range(steps))
        monkeypatch.setattr(clock, "over", property(lambda _: next(left, None) is None))
        arguments = ["--data", "digits", "--out", str(tmp_path), "--methods", "random", *more]
        monkeypatch.setattr(sys, "argv", ["figure1", *arguments])
        figure1.main()
        return capsys.readouterr().out

    monkeypatch.setattr(figure1, "SCALES", TINY)
    said = run("--budget", "8", steps=40)
    assert "goes on from here" in said and "Nothing is finished yet" in said
    assert not ng.Comparison.load(tmp_path / "compare-8-0.db").pieces
    said = run("--budget", "8")
    assert "| random |" in said and "0.5 points" in said
    run("--budget", "4")
    assert {path.name for path in tmp_path.glob("*.db")} == {f"compare-{n}-0.db" for n in "48"}
    (piece,) = figure1.whole(work(tmp_path, monkeypatch)[0]).pieces
    assert piece.settings["budget"] == 8.0  # the larger of the two
