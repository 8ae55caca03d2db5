"""Problems whose hypergradients, optima and errors are known on paper.

The noisy quadratic, exactly and not on average over seeds: M copies of the weight are trained at
once, copy m seeing the noise sigma * H[m, t + 1] at step t, with H a Hadamard matrix of signs. Its
columns are orthogonal, to each other and to the common start (column 0), so the mean over copies of
theta_T^2 equals E theta_T^2 under independent noise of variance sigma^2, to rounding and in whatever
order the data plan deals the columns, as long as each is dealt once: T steps are one epoch.
"""

import itertools
import math

import pytest
import torch
from torch import nn

import nongreedy as ng
from nongreedy.schedules import Curve

from .helpers import assert_same, hadamard


class Offset(nn.Module):
    def __init__(self, *shape, start):
        super().__init__()
        self.weight = nn.Parameter(torch.full(shape, start, dtype=torch.float64))

    def forward(self, inputs):
        return self.weight - inputs


def weighted_squares(output, weights):
    return (weights * output.square()).sum()


def noisy_quadratic(curvatures, steps, variance, start):
    """Outer loss sum_i h_i A_i / 2, with A_i = E theta_i^2 at the end of `steps` steps."""
    h = torch.tensor(curvatures, dtype=torch.float64)
    copies = 2 ** math.ceil(math.log2(steps + 1))
    noise = math.sqrt(variance) * hadamard(copies)[:, 1 : steps + 1].T[:, :, None]
    train = noise, (h / 2).expand(steps, 1, len(h))
    validation = torch.zeros(1, copies, 1).double(), (h / 2 / copies).expand(1, 1, len(h))
    model = Offset(copies, len(h), start=math.sqrt(start))
    return ng.Task(model, weighted_squares, train, validation, batch_size=1)


def moments(rates, curvatures, variance, start):
    """The same outer loss on paper: A <- (1 - alpha h)^2 A + alpha^2 h^2 sigma^2."""
    h = torch.tensor(curvatures, dtype=torch.float64)
    a = torch.full_like(h, start)
    for alpha in rates:
        a = (1 - alpha * h) ** 2 * a + (alpha * h) ** 2 * variance
    return (h * a).sum() / 2


def at_rates(task, rates, basis=None, **settings):
    """Hypergradient at per-step (or other) learning rates, plain gradient descent."""
    schedule = ng.Schedule({"learning_rate": Curve(basis or ng.PerStep(), rates), **PLAIN.curves})
    optimizer = ng.SGD(learning_rate=basis or ng.PerStep())
    settings = {"steps": len(rates), "dtype": torch.float64, **settings}
    return ng.hypergradient(task, optimizer, schedule=schedule, **settings)


PLAIN = ng.Schedule.of(momentum=0.0, weight_decay=0.0)
A0, VARIANCE, H, T = 4.0, 0.5, 2.0, 20


def optimal_rates():
    t = torch.arange(T, dtype=torch.float64)
    return A0 / (H * (A0 * (t + 1) + VARIANCE))


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("curvatures", [(H,), (1.0, 0.1, 3.0)])
def test_noisy_quadratic_equals_its_moment_recursion(curvatures, seed):
    task = noisy_quadratic(curvatures, T, VARIANCE, A0)
    rates = torch.linspace(0.4, 0.1, T, dtype=torch.float64).requires_grad_()
    expected = moments(rates, curvatures, VARIANCE, A0)
    (gradient,) = torch.autograd.grad(expected, rates)
    found = at_rates(task, rates.detach(), seed=seed)
    assert found.value == pytest.approx(expected.item(), rel=1e-12)
    assert_same(found.gradients, {"learning_rate": gradient}, 1e-10)


def test_every_hypergradient_vanishes_at_the_closed_form_optimum():
    found = at_rates(noisy_quadratic((H,), T, VARIANCE, A0), optimal_rates())
    assert found.value == pytest.approx(H / 2 * A0 * VARIANCE / (VARIANCE + T * A0), rel=1e-12)
    assert found.per_step["learning_rate"].abs().max() < 1e-10


def descend(task, rates, basis, steps, rounds, search, **settings):
    """Full-horizon optimization in log rates on exact hypergradients. Best loss and its rates."""
    logs, seen = rates.log().requires_grad_(), []

    def closure():
        now = logs.detach().exp()
        found = at_rates(task, now, basis, steps=steps)
        logs.grad = found.gradients["learning_rate"] * now
        seen.append((found.value, now))
        return torch.tensor(found.value)

    optimizer = search([logs], **settings)
    for _ in range(rounds):
        optimizer.step(closure)
    return min(seen, key=lambda entry: entry[0])


def test_full_horizon_optimization_finds_the_optimum():
    task = noisy_quadratic((H,), T, VARIANCE, A0)
    start, settings = (
        torch.full((T,), 0.1).double(),
        {"line_search_fn": "strong_wolfe", "max_iter": 25},
    )
    loss, rates = descend(task, start, ng.PerStep(), T, 1, torch.optim.LBFGS, **settings)
    assert loss == pytest.approx(H / 2 * A0 * VARIANCE / (VARIANCE + T * A0), rel=1e-6)
    torch.testing.assert_close(rates, optimal_rates(), rtol=1e-2, atol=0)


# Section 12.7 of the specification (arXiv:1803.02021): what a short horizon costs.
PAIR, LONG, NOISE, FAR = (1.0, 0.01), 100, 1.0, 100.0


def greedy_rates():
    """Each step's own optimum: sum h^2 A / sum h^3 (A + sigma^2)."""
    h, a, rates = torch.tensor(PAIR).double(), torch.full((2,), FAR).double(), []
    for _ in range(LONG):
        rates.append((h**2 * a).sum() / (h**3 * (a + NOISE)).sum())
        a = (1 - rates[-1] * h) ** 2 * a + (rates[-1] * h) ** 2 * NOISE
    return torch.stack(rates)


def test_short_horizon_bias():
    task = noisy_quadratic(PAIR, LONG, NOISE, FAR)
    greedy = at_rates(task, greedy_rates())
    assert greedy.value == pytest.approx(0.448, abs=5e-4)
    # Where greed ends, every early hypergradient asks for more.
    assert bool((greedy.per_step["learning_rate"][1:50] < 0).all())

    constant = torch.linspace(0.3, 0.6, 301).double()
    losses = torch.stack([moments([c] * LONG, PAIR, NOISE, FAR) for c in constant])
    best = constant[losses.argmin()]
    found = at_rates(task, best[None], ng.Constant(), steps=LONG)
    assert found.value == pytest.approx(0.348, abs=5e-4)

    loss, _ = descend(task, best.repeat(9), ng.Linear(9), LONG, 22, torch.optim.Adam, lr=0.1)
    assert loss < 0.08


def noiseless(curvatures, steps):
    """Outer loss sum_i h_i theta_i^2 / 2 after full-batch descent from ones."""
    h = torch.tensor(curvatures, dtype=torch.float64)
    data = torch.zeros(1, len(h)).double(), (h / 2)[None]
    return ng.Task(Offset(len(h), start=1.0), weighted_squares, data, data, batch_size=1)


@pytest.mark.parametrize("alpha", [0.01, 0.3, 0.9])
@pytest.mark.parametrize("h", [0.5, 2.0])
def test_noiseless_quadratic_with_a_constant_rate(h, alpha):
    steps, rate = 12, torch.tensor([alpha], dtype=torch.float64)
    found = at_rates(noiseless([h], steps), rate, ng.Constant(), steps=steps)
    expected = -steps * h**2 * (1 - alpha * h) ** (2 * steps - 1)
    assert found.gradients["learning_rate"].item() == pytest.approx(expected, rel=1e-10)


@pytest.mark.parametrize("order", list(itertools.permutations((0.5, 1.0, 4.0))))
def test_inverse_curvatures_in_any_order_solve_the_quadratic(order):
    task = noiseless([4.0, 0.5, 1.0], 3)
    found = at_rates(task, 1 / torch.tensor(order, dtype=torch.float64))
    assert found.value < 1e-25
    assert found.per_step["learning_rate"].abs().max() < 1e-10
    # Not a trivial zero: one rate slightly off is felt.
    assert at_rates(task, 1.01 / torch.tensor(order, dtype=torch.float64)).value > 1e-6


# ---- Section 6: what sharing does to the error of noisy per-step hypergradients -----------------


def sharing_error(count, steps, mean, covariance):
    """Mean square error of window means, exactly: trace and bias of the projection P."""
    basis = ng.Windows(count)
    length = steps / count
    share = [
        basis.expand(basis.project(e, steps) / length, steps) for e in torch.eye(steps).double()
    ]
    p = torch.stack(share, 1)
    return ((p @ covariance @ p.T).trace() + (p @ mean - mean).square().sum()).item() / steps


@pytest.mark.parametrize(
    ("window", "variance", "drift", "correlation", "expected"),
    [
        (4, 0.0625, 0.08, 0.0, 0.023625),
        (40, 0.0625, 0.08, 0.0, 0.85436),
        (10, 0.0625, 0.0, 0.0, 0.00625),
        (40, 1.25, 0.01, 0.1, 0.16645),
    ],
)
def test_theorem_on_sharing_is_tight(window, variance, drift, correlation, expected):
    steps = 400
    mean = drift * torch.arange(steps, dtype=torch.float64)
    covariance = variance * (correlation + (1 - correlation) * torch.eye(steps).double())
    bound = (1 + correlation * (window - 1)) / window * variance + drift**2 * (window**2 - 1) / 12
    found = sharing_error(steps // window, steps, mean, covariance)
    assert found == pytest.approx(bound, rel=1e-9)
    assert found == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize(
    ("variance", "drift", "correlation", "best"),
    [(0.0625, 0.08, 0.0, 3.88), (1.25, 0.01, 0.1, 40.7)],
)
def test_best_window_of_the_theorem(variance, drift, correlation, best):
    assert (6 * (1 - correlation) * variance / drift**2) ** (1 / 3) == pytest.approx(best, abs=0.02)
    steps = 400
    mean = drift * torch.arange(steps, dtype=torch.float64)
    covariance = variance * (correlation + (1 - correlation) * torch.eye(steps).double())
    windows = [w for w in range(1, 101) if steps % w == 0]
    errors = [sharing_error(steps // w, steps, mean, covariance) for w in windows]
    found = windows[errors.index(min(errors))]
    assert found == min(windows, key=lambda w: abs(math.log(w / best)))
