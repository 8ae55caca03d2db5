"""``nongreedy bandit``, used as a person uses it; the measurements in miniature."""

import json

import pytest
import torch
from typer.testing import CliRunner

from benchmarks.bandits import (
    _cells,
    _crossing,
    commit,
    dimension,
    logs,
    rates,
    simulator,
    tensors,
    trap,
)
from nongreedy import bandits
from nongreedy.cli import app

from .test_cli import only_line

TINY = ["--dimension", "4", "--rounds", "3000", "--seeds", "3"]


def run(*arguments):
    return CliRunner().invoke(app, ["bandit", *(str(argument) for argument in arguments)])


def test_writes_a_page_a_picture_and_numbers(tmp_path):
    result = run(*TINY, "--policies", "power, moments,random", "--out", tmp_path)
    assert result.exit_code == 0, result.output
    assert sorted(file.name for file in tmp_path.iterdir()) == [
        "bandit.html", "bandit.json", "bandit.png",
    ]  # fmt: skip
    content = json.loads((tmp_path / "bandit.json").read_text())
    names = [course["name"] for course in content["courses"]]
    assert names == ["power", "moments", "random"] and content["settings"]["dimension"] == 4
    power, _, random = content["courses"]
    assert power["regret_mean"][-1] < random["regret_mean"][-1]
    assert random["slope"][0] == pytest.approx(1, abs=0.01) and len(power["final"]) == 3
    page = (tmp_path / "bandit.html").read_text()
    assert "κ = 1" in page and 'id="regret"' in page
    again = run(*TINY, "--policies", "power, moments,random", "--out", tmp_path / "again")
    assert again.exit_code == 0
    other = json.loads((tmp_path / "again" / "bandit.json").read_text())
    assert other["courses"] == content["courses"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--policies", "powr"], "'power'"),
        (["--eigenvalues", "1,x"], "numbers joined by commas"),
        (["--eigenvalues", "-1"], "No eigenvalue is positive"),
        (["--eigenvalues", "1,1,1,1,1"], "do not fit into --dimension 4"),
        (["--eigenvalues", "nan"], "takes finite numbers, but got 'nan'"),
        (["--noise", "-1"], "`noise`"),
        (["--out", "/proc/nongreedy"], "Cannot write"),
    ],
    ids=" ".join,
)
def test_what_cannot_be_done_is_one_line_and_exit_code_2(arguments, said, tmp_path):
    result = run(*TINY, "--out", tmp_path, *arguments)
    assert result.exit_code == 2, result.output
    assert said in only_line(result)


@pytest.mark.parametrize("eigenvalues", ["0.5,-1", "1,1", "1"])
def test_theory_is_that_of_the_problem(eigenvalues, tmp_path):
    result = run(*TINY, "--eigenvalues", eigenvalues, "--policies", "power", "--out", tmp_path)
    assert result.exit_code == 0, result.output
    page = (tmp_path / "bandit.html").read_text()
    assert ("no gap" in page) == (eigenvalues != "1")


def test_slopes_are_those_of_power_laws_and_their_intervals_widen_with_scatter():
    x = torch.logspace(0, 3, 7)
    draw = torch.Generator().manual_seed(0)
    noise = torch.randn(12, 7, generator=draw)
    narrow = bandits.slope(x, 2 * x**0.7 * (0.02 * noise).exp())
    wide = bandits.slope(x, 2 * x**0.7 * (0.4 * noise).exp())
    assert narrow.low < 0.7 < narrow.high and narrow.high - narrow.low < 0.02
    assert wide.low < 0.7 < wide.high and wide.high - wide.low > 0.05
    for places, values in ((x, noise), (x[:1], noise[:, :1].exp()), (x, noise[:1].exp())):
        with pytest.raises(ValueError):
            bandits.slope(places, values)


# ---- python -m benchmarks.bandits ----------------------------------------------------------------


def test_cells_are_kept_and_not_made_again(tmp_path):
    made = []
    make = lambda: made.append(1) or [1.5]  # noqa: E731
    for _ in range(2):
        assert _cells.Cells(tmp_path / "x.json").get("a", make) == [1.5]
    assert len(made) == 1


def test_a_crossing_is_where_the_median_reaches_the_level():
    places = torch.tensor([10, 100, 1000])
    values = torch.tensor([[0.0, 0.5, 1.0], [0.0, 0.5, 1.0], [0.9, 0.9, 0.9]])
    assert _crossing.crossing(places, values, 0.75) == pytest.approx(10**2.5)
    assert _crossing.crossing(places, values, 1.1) == float("inf")
    curves = [(d**2 * places, values) for d in (2, 4, 8)]
    slope = _crossing.growth([2, 4, 8], *map(list, zip(*curves, strict=True)), 0.75)
    assert slope.value == pytest.approx(2)


def test_bd2_adaptive_plays_grow_more_slowly_with_the_dimension(capsys, monkeypatch):
    monkeypatch.setattr(dimension, "SIZES", dict.fromkeys(dimension.METHODS, (2, 5.7)))
    dimension.main(_cells.Cells(None), dimensions=(6, 12), seeds=7)
    rows = [line for line in capsys.readouterr().out.splitlines() if line.startswith("| ")][2:]
    slopes = {row.split("|")[1].strip(): float(row.split("|")[-2].split("[")[0]) for row in rows}
    assert 1.5 < slopes["power, tangent sphere, best step size"] < 2.9
    assert 2.4 < slopes["non-adaptive moments"] < 3.7


def test_the_other_measurements_run(capsys, monkeypatch):
    cells = _cells.Cells(None)
    monkeypatch.setattr(commit, "ACCURACIES", (0.4, 0.2))
    commit.main(cells, seeds=2)
    monkeypatch.setattr(trap, "CASES", ((6, 2),))
    trap.main(cells, seeds=3)
    assert "| d = 6, p = 2 | 14 | 14 | 7.9 | 1 |" in capsys.readouterr().out
    monkeypatch.setattr(rates, "DIMENSIONS", (6, 8))
    rates.main(cells, rounds=5000, seeds=2)
    monkeypatch.setattr(simulator, "DIMENSIONS", (4, 5))
    monkeypatch.setattr(simulator, "METHODS", dict(list(simulator.METHODS.items())[:2]))
    simulator.main(cells, seeds=2)
    out = capsys.readouterr().out
    tensors.main(cells, dimensions=(4, 5), rounds=2000, seeds=2)
    assert capsys.readouterr().out.count("regret of the other nine") == 2
    assert out.count("| default |") == 5 and "| low rank, 2 |" in out


def test_logs_are_read_from_the_wheels_files(tmp_path, capsys):
    draw = torch.Generator().manual_seed(0)
    for behaviour in ("random", "bts"):
        for campaign in logs.CAMPAIGNS:
            place = tmp_path / "obp/dataset/obd" / behaviour / campaign
            place.mkdir(parents=True)
            (place / "item_context.csv").write_text("item_id\n0\n1\n2\n")
            head = "item_id,position,click,propensity_score," + ",".join(
                f"user_feature_{k}" for k in range(4)
            )
            lines = [
                f"{int(i)},{int(i) % 3 + 1},{int(i == 2)},0.3333,{'ab'[int(i) % 2]},x,y,z"
                for i in torch.randint(3, (200,), generator=draw)
            ]
            (place / f"{campaign}.csv").write_text("\n".join([head, *lines]) + "\n")
    logs.main(_cells.Cells(None), tmp_path)
    out = capsys.readouterr().out
    row = next(line for line in out.splitlines() if line.startswith("| low rank 2, greedy"))
    assert float(row.split("|")[3].split("±")[0]) == pytest.approx(100, abs=25)  # finds item 2
    logs.main(_cells.Cells(None), None)
    assert "give --data" in capsys.readouterr().out
