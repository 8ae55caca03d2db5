"""What runs on a GPU is rehearsed on the CPU: every part comes to its end, and none is done twice."""

import json
import math

import pytest

from benchmarks import gpu
from benchmarks._gpu_cases import FAILED
from benchmarks._growth_page import slope, tables
from benchmarks.growth import conduct

REHEARSAL = ["--device", "cpu", "--small", "--minutes", "60"]


def page_of(folder, *arguments):
    gpu.main([*REHEARSAL, "--out", str(folder), *arguments])
    return (folder / "gpu-cpu-small.md").read_text()


@pytest.mark.filterwarnings("ignore")
def test_every_part_comes_to_its_end(tmp_path):
    page = page_of(tmp_path)
    assert FAILED not in page and "Stopped" not in page
    assert "NO" not in page.split() and "ANOTHER SCHEDULE" not in page and "NEVER" not in page
    for part in gpu.PARTS:
        assert f"## {part.title}" in page
    rows = [line for line in page.splitlines() if line.startswith("| ")]
    assert len(rows) > 70
    assert "a rehearsal" in page and "a small trial" in page


def test_a_part_that_fails_is_told_and_done_again(tmp_path, monkeypatch, capsys):
    def broken(bench):
        yield "first", 1
        raise RuntimeError("the device | is gone")

    def whole(bench):
        calls.append(bench)
        yield "first", 1

    calls = []
    parts = [
        gpu.Part("broken", "Broken", ("a", "b"), broken),
        gpu.Part("whole", "Whole", ("a", "b"), whole),
    ]
    monkeypatch.setattr(gpu, "PARTS", parts)
    page = page_of(tmp_path)
    assert f"| {FAILED} RuntimeError: the device / is gone |  |" in page and "## Whole" in page
    kept = tmp_path / "gpu-cpu-small"
    assert json.loads((kept / "broken.json").read_text())["whole"] is False
    page_of(tmp_path)
    assert len(calls) == 1


def test_a_part_is_stopped_by_the_time(tmp_path, monkeypatch):
    def endless(bench):
        while True:
            yield ("row",)

    monkeypatch.setattr(gpu, "PARTS", [gpu.Part("endless", "Endless", ("a",), endless)])
    gpu.main([*REHEARSAL[:3], "--minutes", "0.001", "--out", str(tmp_path)])
    assert "Stopped here by the time" in (tmp_path / "gpu-cpu-small.md").read_text()


def test_slopes_are_those_of_powers():
    found, half = slope([(x, 3 * x**1.5) for x in (10, 100, 1_000)])
    assert found == pytest.approx(1.5) and half == pytest.approx(0, abs=1e-9)
    noisy, half = slope([(1, 1.0), (10, 20.0), (100, 100.0)])
    assert abs(noisy - 1) <= half
    assert math.isnan(slope([(1, 1.0), (10, 2.0)])[0])


def test_growth_goes_on_where_it_stopped(tmp_path, monkeypatch):
    from benchmarks import growth

    asked = []

    def measured(cell, seconds, gibibytes):
        asked.append(cell)
        if cell.place >= 10**6:
            return {"failed": "no memory"}
        return {"ratio": 3.0, "seconds": cell.place / 10, "peak": 1.0, "finite": True}

    monkeypatch.setattr(growth, "measured", measured)
    options = type("Options", (), {
        "minutes": 1.0, "methods": ["ours"], "axes": ["parameters"], "most": None, "seconds": 1.0,
        "gibibytes": 1.0, "out": tmp_path / "growth.json",
    })  # fmt: skip
    rows = {}
    conduct(options, rows)
    assert len(asked) == 3  # after the first that failed no larger one
    conduct(options, json.loads(options.out.read_text()))
    assert len(asked) == 3
    assert "| ng.Reverse() | 3.0 (1e+03 s) | 3.0 (1e+04 s) | no |" in "\n".join(tables(rows))
