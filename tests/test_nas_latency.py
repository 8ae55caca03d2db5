"""Tables of costs: sums, the runtime model, files, warnings, and the stopwatch (SP1, SP8)."""

import itertools
import json
import time
import warnings
from pathlib import Path

import pytest
import torch

from benchmarks._nas_pixel import PIXEL, pixel_table, totals
from nongreedy import nas
from nongreedy.nas._correction import ALL, EACH, FIXED, OWN, corrected
from nongreedy.protocols import generator

from .extras import needs

R33, R36, R53, R56 = 2.0, 3.5, 2.6, 5.0


def one_layer(skippable=True):
    space = nas.Space((nas.LayerOptions(skippable=skippable),))
    return nas.CostTable(space, ((*([0.0] if skippable else []), R33, R36, R53, R56),), fixed=1.0)


def bits(*values):
    return [torch.tensor(values, dtype=torch.float64)]


def test_the_papers_runtime_model_is_exact_but_for_three_by_three_with_little_expansion():
    table = one_layer()
    states = {(0, 0): R36 / R56 * R53, (0, 1): R36, (1, 0): R53, (1, 1): R56}
    for (ring, wide), expected in states.items():
        assert float(table.paper_runtime(bits(ring, wide, 1))) == pytest.approx(1 + expected)
        assert float(table.paper_runtime(bits(ring, wide, 0))) == 1
    # Between them, by the formula written out.
    s5, s6, s3 = 0.3, 0.6, 0.8
    inner = s3 * (R53 + s6 * (R56 - R53))
    rho = R36 / R56
    assert float(table.paper_runtime(bits(s5, s6, s3))) == pytest.approx(
        1 + rho * inner + (1 - rho) * inner * s5
    )
    with pytest.raises(ValueError, match=r"two kernels.*CostTable\.expected"):
        nas.CostTable(nas.Space((nas.LayerOptions((3,)),)), ((1, 2),)).paper_runtime(bits(1.0))


OPTIONS = nas.LayerOptions((3, 5, 7), (2, 4), (False, True), skippable=True)


def wide_table():
    draw = generator(1)
    rows = tuple(
        tuple(torch.rand(len(OPTIONS.choices()), generator=draw).tolist()) for _ in range(2)
    )
    return nas.CostTable(nas.Space((OPTIONS, OPTIONS)), rows, fixed=0.5)


def test_the_expected_cost_is_the_tables_at_every_architecture():
    table = wide_table()
    for pair in itertools.product(OPTIONS.choices(), repeat=2):
        architecture = nas.Architecture(pair)
        coded = [torch.tensor(row, dtype=torch.float64) for row in table.space.encode(architecture)]
        assert float(table.expected(coded)) == pytest.approx(table.total(architecture))


def test_the_expected_cost_has_the_derivatives_of_finite_differences():
    table = wide_table()
    halves = tuple(
        torch.rand(len(OPTIONS.gates), dtype=torch.float64).requires_grad_() for _ in "ab"
    )
    assert torch.autograd.gradcheck(lambda *rows: table.expected(rows), halves)


def test_a_table_survives_its_file(tmp_path):
    table = wide_table()
    table.save(tmp_path / "table.json")
    assert nas.CostTable.load(tmp_path / "table.json") == table
    for content, message in (("{", "Cannot read"), ('{"format": 1}', "no table of costs")):
        (tmp_path / "bad.json").write_text(content)
        with pytest.raises(ValueError, match=message):
            nas.CostTable.load(tmp_path / "bad.json")
    with pytest.raises(ValueError, match="Cannot read"):
        nas.CostTable.load(tmp_path / "none.json")
    with pytest.raises(ValueError, match="finite"):
        nas.CostTable(nas.Space((nas.LayerOptions((3,), (1,)),)), ((float("nan"),),))
    with pytest.raises(ValueError, match="needs as many costs"):
        nas.CostTable(nas.Space((nas.LayerOptions(),)), ((1.0,),))


def net(**more):
    settings = {"classes": 4, "resolution": 16, "width": 0.25, "depth": (2, 0, 0, 0, 0), "head": 16}
    return nas.search_space(**{**settings, **more})


def test_a_table_of_another_network_or_machine_is_named():
    mine, table = net(), nas.parameters(net())
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        table.check(mine)
    with pytest.warns(UserWarning, match=f"made for another network \\({table.fingerprint}"):
        table.check(net(width=0.5))
    with pytest.raises(ValueError, match="other options"):
        table.check(net(kernels=(3, 5, 7)))
    content = {**table.to_json(), "unit": "ms", "made_with": {"machine": "a toaster"}}
    with pytest.warns(UserWarning, match="another machine: 'a toaster'"):
        nas.CostTable.from_json(content).check(mine)


def test_counts_add_up_to_those_of_whole_networks():
    space = net(depth=(2, 2, 0, 0, 0), squeezes=(False, True))
    tables = [nas.parameters(space), nas.flops(space), nas.memory(space)]
    for k in range(4):
        chosen = space.space.random(generator(k))
        plain = space.plain(chosen)
        assert tables[0].total(chosen) == sum(p.numel() for p in plain.parameters())
        counted = torch.utils.flop_counter.FlopCounterMode(display=False)
        with counted, torch.no_grad():
            plain.eval()(torch.zeros(1, 3, 16, 16))
        assert tables[1].total(chosen) == counted.get_total_flops()
    sizes = [table.total(space.space.smallest()) for table in tables]
    assert sizes < [table.total(space.space.largest()) for table in tables]


def test_calibration_finds_an_affine_error():
    table = wide_table()
    measured = [
        (each, 3 * (table.total(each) - table.fixed) + 2)
        for each in (table.space.random(generator(k)) for k in range(6))
    ]
    fitted = table.calibrated(measured)
    assert nas.prediction_error(fitted, *zip(*measured, strict=True)) < 1e-9
    one = table.calibrated(measured[:1])
    assert one.costs == table.costs and one.total(measured[0][0]) == pytest.approx(measured[0][1])
    # Times in the wrong order are noise: costs keep their sign.
    low, high = table.extremes()
    assert table.calibrated([(low, 2.0), (high, 1.0)]).costs == table.costs


def test_measured_networks_correct_what_they_show():
    """Against the formula: the mean of a normal distribution given linear observations."""
    table = wide_table()
    known = [(table.space.random(generator(k)), 2.0 + k) for k in range(3)]
    found = corrected(table, known)
    costs = torch.tensor([c for row in table.costs for c in row] + [0.0]).double()
    has = torch.zeros(3, len(costs)).double()
    for row, (architecture, _) in zip(has, known, strict=True):
        row[-1] = 1
        for layer, choice in enumerate(architecture.choices):
            row[layer * len(OPTIONS.choices()) + OPTIONS.choices().index(choice)] = 1
    spread = ALL**2 * costs[:, None] * costs + (EACH * costs).square().diag()
    spread[-1, -1] = (FIXED * 3.0) ** 2  # the mean of what was measured
    before = costs + torch.tensor([0.0] * (len(costs) - 1) + [table.fixed])
    said = torch.tensor([2.0, 3.0, 4.0]).double()
    precision = spread.inverse() + has.T @ (OWN * said).square().reciprocal().diag() @ has
    after = before + torch.linalg.solve(
        precision, has.T @ ((said - has @ before) / (OWN * said).square())
    )
    assert [c for row in found.costs for c in row] == pytest.approx(after[:-1].tolist(), rel=1e-6)
    assert found.fixed == pytest.approx(float(after[-1]), rel=1e-6)
    assert nas.prediction_error(found, *zip(*known, strict=True)) < 0.06


def test_a_table_that_is_right_is_left_as_it_is():
    table = wide_table()
    known = [
        (each, table.total(each)) for each in (table.space.random(generator(k)) for k in (1, 2))
    ]
    found = corrected(table, known)
    torch.testing.assert_close(torch.tensor(found.costs), torch.tensor(table.costs))
    assert found.fixed == pytest.approx(table.fixed)


def test_a_stopwatch_takes_the_median_of_what_is_counted():
    now = iter(range(10**6))
    ticks = []

    def clock():
        ticks.append(next(now))
        return ticks[-1]

    watch = nas.Stopwatch(repeats=3, warm_up=2, clock=clock)
    calls = []
    times = watch.milliseconds({"a": lambda: calls.append("a"), "b": lambda: calls.append("b")})
    assert calls == ["a", "b"] * 5 and times == {"a": 1e3, "b": 1e3}
    with pytest.raises(ValueError, match="repeats"):
        nas.Stopwatch(repeats=0)
    still = nas.Stopwatch(3, 0, clock=lambda: 0.0)
    with pytest.raises(ValueError, match=r"says that a network takes 0 ms.*perf_counter"):
        nas.measure([torch.nn.Flatten()], (1, 2, 2), stopwatch=still)


class Planned:
    """A clock by which every call takes what its turn says, so that a profile can be checked."""

    def __init__(self):
        self.time, self.begun = 0.0, False

    def __call__(self):
        self.time += 1e-3 if self.begun else 0.0
        self.begun = not self.begun
        return self.time


def test_a_profile_fills_the_table_and_measures_what_is_alike_once():
    space = net(depth=(3, 0, 0, 0, 0))
    calls = []

    class Counting(nas.Backend):
        def prepared(self, network, x):
            calls.append(x.shape)
            return lambda: None

        def versions(self):
            return {"counting": "1"}

    table = nas.profile(
        space, Counting(), stopwatch=nas.Stopwatch(2, 0, Planned()), calibrate=2, batch=2
    )
    # The first layer has its own shape; the second and third are alike. Two whole networks.
    assert len(calls) == 4 + 4 + 2 and {len(shape) for shape in calls} == {4}
    assert table.costs[1] == table.costs[2] == pytest.approx((0.0, 1.0, 1.0, 1.0, 1.0))
    assert table.made_with["versions"]["counting"] == "1"
    assert table.made_with["batch"] == 2 and table.fingerprint == space.fingerprint()
    assert json.dumps(table.to_json())


@pytest.mark.parametrize("backend", [nas.Eager(), "onnx"], ids=str)
def test_both_backends_fill_a_table_and_measure_networks(backend):
    """How near the two are is for a quiet machine: python -m benchmarks.nas table."""
    if backend == "onnx":
        needs("onnx", "onnxruntime")
        backend = nas.OnnxRuntime()
    space = nas.search_space(classes=10, resolution=16, width=0.25, depth=(1, 0, 1, 0, 0))
    watch = nas.Stopwatch(3, 1)
    table = nas.profile(space, backend, stopwatch=watch, calibrate=3)
    assert table.made_with["backend"]["class"] == type(backend).__name__
    assert all(cost > 0 for row in table.costs for cost in row)
    chosen = [space.space.smallest(), space.space.largest()]
    times = nas.measure(
        [space.plain(c) for c in chosen], space.input_shape, backend, stopwatch=watch
    )
    assert min(times) > 0 and nas.prediction_error(table, chosen, times) >= 0


def test_a_backend_that_is_missing_says_how_to_install_it(monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(ModuleNotFoundError, match=r"pip install 'nongreedy\[onnx\]'"):
        nas.OnnxRuntime().versions()
    with pytest.raises(ValueError, match="threads"):
        nas.Eager(threads=0)


def test_eager_leaves_the_number_of_threads_as_it_was():
    before = torch.get_num_threads()
    with nas.Eager(threads=2).running():
        assert torch.get_num_threads() == 2
    assert torch.get_num_threads() == before


@pytest.mark.skipif(not PIXEL.is_file(), reason=f"needs the published table at {PIXEL}")
def test_the_published_table_gives_the_published_totals():
    rows = totals(pixel_table(Path(PIXEL)))
    # Uniform networks as the table's own entries add up; the published one was measured at 79 ms.
    expected = {"k3 e3": 65.69, "k3 e6": 110.65, "k5 e3": 76.36, "k5 e6": 131.46}
    assert {name: round(rows[name], 2) for name in expected} == expected
    assert rows["published"] == pytest.approx(79, rel=0.02)


def test_times_of_the_process_leave_out_waiting():
    watch = nas.Stopwatch(repeats=3, warm_up=0, clock=time.process_time)
    assert watch.milliseconds({"sleep": lambda: time.sleep(0.02)})["sleep"] < 10
