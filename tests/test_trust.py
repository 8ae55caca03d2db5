"""The trust report against closed forms, and its verdicts on training that is calm, noisy, chaotic."""

import dataclasses
import math
import statistics

import pytest
import torch
from torch import nn

import nongreedy as ng
from benchmarks import trust as study
from benchmarks._noisy import NoisyQuadratic, Walk, exact_sharing
from nongreedy.engines import Hypergradient
from nongreedy.search import Objective
from nongreedy.statistics import Growth, Sharing, measured_error
from nongreedy.testing import tiny_task


def normal(seeds, mean, covariance, seed=0):
    """Rows of a multivariate normal distribution."""
    source = torch.Generator().manual_seed(seed)
    root = torch.linalg.cholesky(covariance + 1e-12 * torch.eye(len(mean)).double())
    return mean + torch.randn(seeds, len(mean), generator=source).double() @ root.T


def equally_correlated(steps, variance, correlation):
    return variance * ((1 - correlation) * torch.eye(steps).double() + correlation)


# ---- The theorem on sharing ----------------------------------------------------------------------


def test_estimates_agree_with_the_closed_form_of_the_noisy_quadratic():
    (mse_1, _, drift, width), found = study.estimates()
    estimated = Sharing.of(found)
    assert estimated.mse_1 == pytest.approx(mse_1, rel=0.15)
    assert estimated.drift == pytest.approx(drift, rel=0.15)
    assert estimated.width == pytest.approx(width, rel=0.15)


def test_moments_of_the_noisy_quadratic_are_those_of_its_expected_loss():
    problem, rates = NoisyQuadratic(copies=2), torch.linspace(0.3, 0.1, 6).double()
    mean, covariance = problem.moments(rates)
    for t in range(6):
        plus, minus = rates.clone(), rates.clone()
        plus[t] += 1e-5
        minus[t] -= 1e-5
        slope = (problem.expected(plus.tolist()) - problem.expected(minus.tolist())) / 2e-5
        assert mean[t].item() == pytest.approx(slope, rel=1e-6)
    assert bool((torch.linalg.eigvalsh(covariance) > -1e-12).all())


# Where the theorem is tight: constant drift, equal variances and correlations (specification, 6).
TIGHT = [(0.0625, 0.08, 0.0, 3.88), (1.25, 0.01, 0.1, 40.7), (1.25, 0.01, 0.5, 33.47)]


@pytest.mark.parametrize(("variance", "drift", "correlation", "width"), TIGHT)
def test_estimates_where_the_theorem_is_tight(variance, drift, correlation, width):
    mean = drift * torch.arange(512).double()
    covariance = equally_correlated(512, variance, correlation)
    mse_1, c, slope, best = exact_sharing(mean, covariance)
    assert (mse_1, c, slope) == pytest.approx((variance, correlation, drift), rel=1e-9)
    assert best == pytest.approx(width, abs=0.05)
    found = Sharing.of(normal(64, mean, covariance))
    assert found.width == pytest.approx(width, rel=0.15)
    assert found.mse_1 == pytest.approx(variance, rel=0.15)
    assert found.correlation == pytest.approx(correlation, abs=0.15)
    for w in (1, 10, 40):
        bound = (1 + c * (w - 1)) / w * variance + drift**2 * (w**2 - 1) / 12
        assert dataclasses.replace(found, mse_1=variance, drift=drift, correlation=c).mse(
            w
        ) == pytest.approx(bound, rel=1e-9)


@pytest.mark.parametrize("seeds", [2, 4, 16])
def test_the_noise_of_few_seeds_is_not_taken_for_drift_nor_signal(seeds):
    mean, covariance = 0.03 * torch.arange(64).double(), equally_correlated(64, 1.0, 0.2)
    found = [Sharing.of(normal(seeds, mean, covariance, draw)) for draw in range(100)]
    assert statistics.fmean(f.mse_1 for f in found) == pytest.approx(1.0, rel=0.05)
    assert statistics.median(f.drift for f in found) == pytest.approx(0.03, rel=0.2)
    exact = (6 * 0.8 / 0.03**2) ** (1 / 3)
    assert statistics.median(f.width for f in found) == pytest.approx(exact, rel=0.2)


@pytest.mark.parametrize("lag", [0.0, 0.8])
def test_correlation_of_neighbours(lag):
    covariance = lag ** (torch.arange(50)[:, None] - torch.arange(50)).abs().double()
    found = Sharing.of(normal(200, torch.zeros(50).double(), covariance))
    assert found.neighbor_correlation == pytest.approx(lag, abs=0.05)


@pytest.mark.parametrize(
    ("per_step", "width"),
    [
        (torch.ones(3, 20), 20),  # neither noise nor drift: all may share
        (torch.arange(20).repeat(3, 1), 1),  # drift without noise: nothing may
    ],
)
def test_width_without_noise(per_step, width):
    assert Sharing.of(per_step).width == width


def test_one_seed_tells_its_noise_from_its_neighbours():
    found = Sharing.of(normal(1, 0.02 * torch.arange(400).double(), torch.eye(400).double()))
    assert found.mse_1 == pytest.approx(1.0, rel=0.15)
    assert found.drift == pytest.approx(0.02, rel=0.1)
    assert found.correlation == 0 and math.isnan(found.neighbor_correlation)


@pytest.mark.parametrize(
    "wrong", [torch.zeros(5), torch.zeros(0, 5), torch.tensor([[1.0, math.nan]])]
)
def test_per_step_hypergradients_of_another_kind_are_refused(wrong):
    with pytest.raises(ValueError, match=r"shape \(K, T\)"):
        Sharing.of(wrong)


# ---- Signal, growth, verdict ---------------------------------------------------------------------


def made(rows, norms=None):
    """Hypergradients of two windows from per-step rows, one for each seed."""
    rows = torch.as_tensor(rows, dtype=torch.float64)
    basis = ng.Windows(2)
    return [
        Hypergradient(
            1.0,
            None,
            {"learning_rate": basis.project(row, len(row))},
            {"learning_rate": row},
            adjoint_norms=None if norms is None else torch.as_tensor(norms).double(),
        )
        for row in rows
    ]


SCHEDULE = ng.Schedule.of(learning_rate=[0.1, 0.1])


def test_signal_to_noise_and_agreement():
    found = ng.Trust.of(made([[1, 1, 4, 0], [1, 1, -2, 0], [1, 3, 1, 0]]), SCHEDULE, 4)
    signal = found.signals["learning_rate"]
    assert signal.mean.tolist() == pytest.approx([8 / 3, 1.0])
    assert signal.noise.tolist() == pytest.approx([(4 / 3) ** 0.5, 3.0])
    assert signal.ratio.tolist() == pytest.approx([8 / 3 / (4 / 3) ** 0.5, 1 / 3])
    assert signal.agreement.tolist() == pytest.approx([1.0, 2 / 3])
    assert signal.clear.tolist() == [True, False]
    # The second stands out at 36 seeds, the first at one.
    assert signal.seeds_for(0.5) == pytest.approx((1 + 36) / 2)


NOISE = normal(4, torch.zeros(40).double(), torch.eye(40).double())
FLAT, STEEP = [1.0] * 41, [10.0 ** (4 - t / 10) for t in range(41)]
VERDICTS = [
    (NOISE + 3, FLAT, ng.Verdict.trustworthy),
    (NOISE, FLAT, ng.Verdict.noisy),
    (NOISE + 3, STEEP, ng.Verdict.chaotic),
    (NOISE + 3, None, ng.Verdict.trustworthy),
]


@pytest.mark.parametrize(("rows", "norms", "verdict"), VERDICTS)
def test_verdict(rows, norms, verdict):
    found = ng.Trust.of(made(rows, norms), SCHEDULE, 40)
    assert found.verdict is verdict
    assert verdict.value in str(found)
    assert bool(found.advice) or verdict is ng.Verdict.trustworthy


def test_a_failure_alone_is_chaotic_and_says_what_happened():
    found = ng.Trust.of([], SCHEDULE, 40, failures=["one", "two", "three"])
    assert found.verdict is ng.Verdict.chaotic
    assert found.advice == ["one", "two", "and so on: 3 of 3 seeds diverged."]


def test_windows_that_are_too_narrow_are_advised_against():
    basis = ng.Windows(20)
    found = [
        dataclasses.replace(h, gradients={"learning_rate": basis.project(row, 40)})
        for h, row in zip(made(NOISE + 30), NOISE + 30, strict=True)
    ]
    schedule = ng.Schedule.of(learning_rate=[0.1] * 20)
    report = ng.Trust.of(found, schedule, 40)
    assert report.sharing["learning_rate"].windows < 20
    assert any("windows are narrower than 40 steps" in line for line in report.advice)


@pytest.mark.parametrize("width", [1, 4, 40])
def test_measured_error_is_that_of_the_theorem_where_it_is_tight(width):
    noise, drift = 0.25, 0.08  # the specification's numbers: 0.023625 at W = 4, 0.85436 at W = 40
    generator = torch.Generator().manual_seed(0)
    g = noise * torch.randn(400, 400, generator=generator).double() + drift * torch.arange(400)
    expected = noise**2 / width + drift**2 * (width**2 - 1) / 12
    assert measured_error(g, 400 // width) == pytest.approx(expected, rel=0.03)


def test_where_hypergradients_blow_up_at_the_end_the_measured_width_is_advised():
    steps, late = 256, 16
    mean = -0.1 - 0.2 * torch.arange(steps).double() / steps
    scale = torch.full((steps,), 0.1).double()
    mean[-late:], scale[-late:] = -1.5, 2.0
    covariance = scale[:, None] * scale * (0.5 + 0.5 * torch.eye(steps).double())
    g = normal(400, mean, covariance)
    exact = {count: _error_of(mean, covariance, count) for count in (1, 2, 4, 8, 16, 32, 64, 256)}
    for count, error in exact.items():
        assert measured_error(g, count) == pytest.approx(error, abs=0.15 * exact[256])
    found, least = Sharing.of(g), steps / min(exact, key=exact.__getitem__)
    assert least / 2 <= found.best <= 2 * least and found.windows <= 4
    assert found.width < found.best / 4  # what the theorem makes of it


def _error_of(mean, covariance, count):
    """MSE of `count` windows of equal width."""
    width = len(mean) // count
    blocks = covariance.view(count, width, count, width).mean((1, 3)).diagonal()
    means = mean.view(count, width)
    bias = (means - means.mean(1, keepdim=True)).square().mean()
    return float(bias + blocks.mean())


def test_where_the_theorem_is_tight_the_measured_width_is_its_width():
    drift = 0.08 * torch.arange(400).double()
    g = normal(64, drift, 0.0625 * torch.eye(400).double())
    found = Sharing.of(g)
    assert found.width == pytest.approx(3.88, rel=0.1) and found.best == 400 / 128


def test_growth_over_windows_and_overall():
    norms = torch.tensor([8.0, 4.0, 2.0, 1.0, 1.0]).double()
    found = Growth.of([norms, norms])
    assert found.overall == pytest.approx(8.0) and found.worst == 8.0
    assert found.over(ng.Windows(2)).tolist() == pytest.approx([4.0, 2.0])
    assert found.over(ng.PerStep()).tolist() == pytest.approx([2.0, 2.0, 2.0, 1.0])
    assert found.over(ng.Linear(2)).tolist() == pytest.approx([8.0, 4.0])  # the last acts from 1 on
    assert found.over(ng.Variable(initial=torch.zeros(3))) is None
    assert found.rate == pytest.approx(math.log(8) / 4)
    steps, sizes = zip(*found.points(3), strict=True)
    assert steps == (0, 2, 4) and sizes == pytest.approx((8.0, 2.0, 1.0))
    assert Growth.of([torch.zeros(3)]).overall == 1.0


@pytest.mark.parametrize(("rate", "verdict"), [(0.03, "trustworthy"), (1.0, "chaotic")])
def test_a_network_past_stability_is_chaotic_and_a_healthy_one_is_not(rate, verdict):
    found = study.at_rate(rate, steps=40, seeds=2)
    assert found.verdict.name == verdict
    assert found.growth is not None and found.smoothness is not None
    chaotic = verdict == "chaotic"
    assert (found.growth.overall > 100) is chaotic
    assert (found.smoothness.metasmoothness < 0.5) is chaotic
    assert found.cost == 2 * (1 + 2 + 2)  # runs, sweeps from graphs, two runs more for the step


def test_smoothness_is_what_plain_runs_say():
    task, rate = Walk().task(), 0.01
    optimizer = ng.SGD(ng.Windows(1, initial=rate), momentum=0.0)
    found = ng.trust(task, optimizer, steps=20, seeds=2, dtype=torch.float64)
    assert found.smoothness.metasmoothness == pytest.approx(
        1.0
    )  # each weight is linear in the rate
    h = [
        ng.hypergradient(
            task,
            optimizer,
            steps=20,
            schedule=ng.Schedule.of(learning_rate=r),
            seed=seed,
            dtype=torch.float64,
        )
        for seed in _seeds(task, optimizer)
        for r in (rate, rate * 10**0.1)
    ]
    changes = [b.value - a.value for a, b in zip(h[::2], h[1::2], strict=True)]
    slopes = [0.1 * a.gradients["learning_rate"].item() * rate * math.log(10) for a in h[::2]]
    assert found.smoothness.linearity == pytest.approx(sum(changes) / sum(slopes))


def _seeds(task, optimizer):
    return Objective(ng.Problem(task, optimizer, 20), ng.Reverse()).seeds(0, 2)


@pytest.mark.parametrize("engine", [ng.Reverse("checkpoint"), ng.Forward(), ng.RandomDirections(4)])
def test_any_engine_can_be_asked(engine):
    optimizer = ng.SGD(ng.Windows(2, initial=0.05), momentum=ng.Linear(2, initial=0.5))
    found = ng.trust(tiny_task(), optimizer, steps=5, seeds=3, engine=engine, dtype=torch.float64)
    adjoint = isinstance(engine, ng.Reverse)
    assert (found.growth is not None) is adjoint and bool(found.sharing) is adjoint
    assert set(found.signals) == {"learning_rate", "momentum"} and "momentum 2/2" in str(found)


def test_hyperparameters_of_the_task_are_judged_too():
    task = tiny_task("mlp", ["example_weights", "label_smoothing"])
    found = ng.trust(task, ng.SGD(0.1), steps=5, seeds=3, dtype=torch.float64)
    assert len(found.signals["example_weights"].mean) == 14
    assert set(found.sharing) == {"label_smoothing"}  # a variable has no steps
    assert "2 more" in str(found)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"seeds": 0}, "`seeds`"),
        ({"seeds": 1}, "at least 2, but got 1. Of one seed alone the noise"),
        ({"seeds": True}, "`seeds`"),
        ({"smoothness": -1.0}, "`smoothness`"),
        ({"steps": None}, "epochs"),
        ({"schedule": ng.Schedule.of(momentun=0.5)}, "momentum"),
    ],
)
def test_bad_settings_of_trust(given, message):
    with pytest.raises(ValueError, match=message):
        ng.trust(tiny_task(), ng.SGD(), **{"steps": 5, **given})


def test_what_does_not_fit_the_schedule_is_refused():
    found = made(NOISE)
    with pytest.raises(ValueError, match="3 coefficients"):
        ng.Trust.of(found, ng.Schedule.of(learning_rate=[1.0, 1.0, 1.0]), 40)
    with pytest.raises(ValueError, match="does not have"):
        ng.Trust.of(found, ng.Schedule.of(momentum=0.5), 40)
    with pytest.raises(ValueError, match="empty"):
        ng.Trust.of([], SCHEDULE, 40)


def test_nothing_to_learn_is_refused():
    with pytest.raises(ValueError, match="Nothing to learn"):
        ng.trust(tiny_task(), ng.SGD(0.1), steps=5)


def test_runs_that_diverge_are_reported():
    x = torch.ones(8, 1).double()
    task = ng.Task(lambda: nn.Linear(1, 1), nn.functional.mse_loss, (x, x), (x, x), batch_size=8)
    optimizer = ng.SGD(ng.Windows(1, initial=1e3, bounds=(1e-3, 1e4)), momentum=0.0)
    found = ng.trust(task, optimizer, steps=300, seeds=2, dtype=torch.float64)
    assert found.verdict is ng.Verdict.chaotic and found.seeds == 0 and len(found.failures) == 2
    assert "non-finite" in str(found)
