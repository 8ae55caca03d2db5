"""Gates and superkernels: SP1 and SP5 of the specification, and banks of gates with a known optimum."""

import itertools

import pytest
import torch
from torch import nn

from benchmarks import _nas_bank as bank
from nongreedy import nas
from nongreedy.nas._superkernel import channel_mask, nested_kernel, ring_masks

# (s_layer, s5, s6) of the five states, and of those in which nothing is left to decide.
STATES = list(itertools.product((0.0, 1.0), repeat=3))


def kernel_by_hand(weight, half, layer, ring, wide):
    """With loops over channels and taps."""
    out = torch.zeros_like(weight)
    for channel in range(len(weight)):
        if layer and (channel < half or wide):
            for row, column in itertools.product(range(5), repeat=2):
                inside = 1 <= row <= 3 and 1 <= column <= 3
                if inside or ring:
                    out[channel, 0, row, column] = weight[channel, 0, row, column]
    return out


@pytest.mark.parametrize(("layer", "ring", "wide"), STATES)
def test_the_superkernel_is_the_kernel_built_by_hand(layer, ring, wide):
    weight = torch.randn(12, 1, 5, 5, dtype=torch.float64)
    bits = [torch.tensor(bit, dtype=torch.float64) for bit in (ring, wide, layer)]
    found = nas.effective_kernel(weight, (3, 5), (6, 12), [bits[0]], [bits[1]], bits[2])
    assert torch.equal(found, kernel_by_hand(weight, 6, layer, ring, wide))


def test_larger_kernels_and_more_widths_are_nested_alike():
    weight, one, zero = torch.randn(9, 1, 7, 7), torch.ones(()), torch.zeros(())
    masks = ring_masks((1, 3, 5, 7))
    assert torch.equal(masks.sum(0), torch.ones(7, 7))
    for open_rings in range(4):
        bits = [one] * open_rings + [zero] * (3 - open_rings)
        kernel, edge = nested_kernel(weight, masks, bits), 3 - open_rings
        inside = slice(edge, 7 - edge)
        assert torch.equal(kernel[..., inside, inside], weight[..., inside, inside])
        assert kernel.count_nonzero() == 9 * (2 * open_rings + 1) ** 2
    # A bit counts only where those before it do.
    assert torch.equal(nested_kernel(weight, masks, [zero, one, one]), weight * masks[0])
    mask = channel_mask([zero, one], (3, 6, 9), weight)
    assert mask.tolist() == [1.0] * 3 + [0.0] * 6


@pytest.mark.parametrize("threshold", [-3.0, 1.0, 2.5])
def test_the_papers_gate_has_the_published_derivatives(threshold):
    weights = torch.randn(16, dtype=torch.float64, requires_grad=True)
    t = torch.tensor(threshold, dtype=torch.float64, requires_grad=True)
    bit = nas.straight_through(nas.PaperGate().distance(weights, weights, t, 0.0))
    by_weights, by_threshold = torch.autograd.grad(bit, [weights, t])
    with torch.no_grad():
        norm = weights.norm()
        assert bit == float(norm >= t)
        slope = torch.sigmoid(norm - t) * (1 - torch.sigmoid(norm - t))
        torch.testing.assert_close(by_threshold, -slope, rtol=1e-6, atol=0)
        torch.testing.assert_close(by_weights, slope * weights / norm, rtol=1e-6, atol=0)


@pytest.mark.parametrize("gate", [nas.PaperGate(), nas.ScaleFreeGate()], ids=repr)
def test_distances_have_the_derivatives_of_finite_differences(gate):
    weights = torch.randn(3, 4, dtype=torch.float64, requires_grad=True)
    reference, t = torch.randn(5, dtype=torch.float64), torch.tensor(0.3, dtype=torch.float64)
    t.requires_grad_()
    for progress in (0.0, 0.7):
        distance = lambda w, t, p=progress: gate.distance(w, reference, t, p)  # noqa: E731
        assert torch.autograd.gradcheck(distance, (weights, t))


def test_gates_of_zeros_have_finite_gradients():
    weights = torch.zeros(4, requires_grad=True)
    for gate in (nas.PaperGate(), nas.ScaleFreeGate()):
        distance = gate.distance(weights, torch.zeros(4), torch.tensor(0.5), 0.5)
        (pull,) = torch.autograd.grad(distance, weights)
        assert distance.isfinite() and pull.isfinite().all()


def rungs(gate, width=16, factor=1.0, seed=0):
    """What the gates of a freshly drawn network say, its kernels before BatchNorm times a factor."""
    torch.manual_seed(seed)
    layers = [nas.MBConv(width, width, skippable=True) for _ in range(6)]
    net = nas.SuperNet(nn.Sequential(*layers), (width, 8, 8), gate)
    draw = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for block in net.blocks:
            for each in (block.depthwise, block.expand):
                each.weight *= factor
            block.thresholds.copy_(torch.rand(len(block.thresholds), generator=draw) * 2)
    return net.architecture()


def test_decisions_of_the_scale_free_gate_do_not_depend_on_the_scale_of_weights():
    free, paper = nas.ScaleFreeGate(), nas.PaperGate()
    assert rungs(free) == rungs(free, factor=10.0) == rungs(free, factor=0.1)
    assert len({*rungs(free).choices}) > 1
    assert rungs(paper) != rungs(paper, factor=0.1)


def test_decisions_of_the_scale_free_gate_do_not_depend_on_the_width():
    # Four times as wide draws other weights: only thresholds far from the ratios, near 1, are kept.
    free = nas.ScaleFreeGate()
    assert rungs(free, 16) == rungs(free, 64)
    norms = {
        w: nas.PaperGate().distance(torch.randn(16 * w), torch.ones(1), torch.tensor(0.0), 0)
        for w in (16, 64)
    }
    assert norms[64] / norms[16] > 1.8


def test_of_planted_banks_the_averages_find_the_optimum():
    rows = bank.planted()
    assert rows["average"]["optimal"] >= 0.95
    assert rows["average"]["gap"] <= 0.01
    assert rows["last"]["optimal"] < rows["average"]["optimal"]  # one bit at one step is noise


def test_a_dual_price_and_the_knapsack_meet_the_target():
    row = bank.controlled(steps=4000)
    assert row["miss"][0] >= -0.05 and row["miss"][1] <= 1e-9
    assert row["benefit"] >= 0.9


def test_dearer_latency_makes_no_bank_slower():
    courses = [bank.monotone(seed, steps=2500) for seed in (2, 3)]
    assert all(bank.inversions(course) <= 1 for course in courses)
    assert all(course[-1] < course[0] for course in courses)


def knapsack_by_hand(values, costs, most, least):
    rows = itertools.product(*(range(len(row)) for row in values))
    total = lambda table, row: sum(table[k][c] for k, c in enumerate(row))  # noqa: E731
    fits = [row for row in rows if least <= total(costs, row) <= most]
    return max((total(values, row) for row in fits), default=None)


@pytest.mark.parametrize("seed", range(8))
def test_the_knapsack_is_exact(seed):
    draw = torch.Generator().manual_seed(seed)
    lengths = torch.randint(1, 5, (5,), generator=draw).tolist()
    values, costs = (
        [torch.randn(n, generator=draw).double().tolist() for n in lengths] for _ in range(2)
    )
    for most, least in ((0.5, -9.0), (0.5, 0.0), (-20.0, -30.0)):
        found = nas.knapsack(values, costs, most, least)
        best = knapsack_by_hand(values, costs, most, least)
        assert (found is None) == (best is None)
        if found is not None:
            assert sum(v[k] for v, k in zip(values, found, strict=True)) == pytest.approx(best)


def test_the_knapsack_may_stay_near():
    values, costs = [[0.0, 5.0], [0.0, 4.0], [0.0, 3.0]], [[0.0, 1.0]] * 3
    assert nas.knapsack(values, costs, 3) == [1, 1, 1]
    assert nas.knapsack(values, costs, 3, near=[0, 0, 0], moves=1) == [1, 0, 0]
    with pytest.raises(ValueError, match="finite"):
        nas.knapsack([[float("nan")]], [[1.0]], 1)


def test_averages_are_corrected_for_their_beginning():
    averages = nas.Averages(0.9)
    for _ in range(3):
        averages.update([torch.ones(2)])
    assert averages.values[0].tolist() == pytest.approx([1.0, 1.0])
    with pytest.raises(ValueError, match="decay"):
        nas.Averages(1.0)
