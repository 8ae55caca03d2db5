"""Two noisy tasks whose losses and hypergradients are known on paper, seed by seed.

Independent copies of one weight are trained together, each on its own normal noise, and judged by
their mean. A seed decides which rows of noise come at which step, so that seeds are independent as
long as a run needs few of the rows.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

import nongreedy as ng

ROWS = 4096


class Copies(nn.Module):
    """The copies' weights, all with the same start; `scaled` by the inputs, or less them."""

    def __init__(self, copies: int, start: float, scaled: bool):
        super().__init__()
        self.weight = nn.Parameter(torch.full((copies, 1), start, dtype=torch.float64))
        self.scaled = scaled

    def forward(self, inputs: Tensor) -> Tensor:
        return self.weight * inputs if self.scaled else self.weight - inputs


def draw(copies: int) -> Tensor:
    """Rows of standard normal numbers, shape (ROWS, copies, 1)."""
    source = torch.Generator().manual_seed(0)
    return torch.randn(ROWS, copies, 1, generator=source, dtype=torch.float64)


@dataclass(frozen=True)
class NoisyQuadratic:
    r"""The loss :math:`h (\theta - c)^2 / 2` with c ~ N(0, variance), judged at c = 0: needs decay.

    .. math:: \theta_{t+1} = (1 - \alpha_t h) \theta_t + \alpha_t h c_t, \qquad
              J = \tfrac h 2 \overline{\theta_T^2}

    over the copies, from theta_0, the square root of `start`. Best is
    :math:`\alpha_t = A_0 / (h (A_0 (t + 1) + \sigma^2))`.
    """

    curvature: float = 1.0
    variance: float = 1.0
    start: float = 10.0
    copies: int = 32

    def task(self) -> ng.Task:
        noise = math.sqrt(self.variance) * draw(self.copies)
        train = noise, torch.full((ROWS, 1, 1), self.curvature / 2).double()
        judged = torch.full((1, 1, 1), self.curvature / 2 / self.copies).double()
        validation = torch.zeros(1, self.copies, 1).double(), judged
        return ng.Task(
            Copies(self.copies, math.sqrt(self.start), scaled=False),
            lambda output, weights: (weights * output.square()).sum(),
            train,
            validation,
            batch_size=1,
        )

    def expected(self, rates: Sequence[float]) -> float:
        """The mean of J over all noise."""
        h, a = self.curvature, self.start
        for rate in rates:
            a = (1 - rate * h) ** 2 * a + (rate * h) ** 2 * self.variance
        return h * a / 2

    def best(self, steps: int) -> list[float]:
        h, a = self.curvature, self.start
        return [a / (h * (a * (t + 1) + self.variance)) for t in range(steps)]

    def moments(self, rates: Tensor) -> tuple[Tensor, Tensor]:
        r"""Mean and covariance over seeds of the per-step hypergradients, shapes (T,) and (T, T).

        :math:`g_t = h \theta_T D_t` with :math:`D_t = \partial \theta_T / \partial \alpha_t =
        -h (\theta_t - c_t) \prod_{s > t} (1 - \alpha_s h)`, and theta_T and all D_t are jointly
        normal; products of those have the moments that Isserlis' theorem gives.
        """
        h, steps = self.curvature, len(rates)
        center, weights = math.sqrt(self.start), torch.zeros(steps).double()
        centers, rows = [], []  # of theta_t - c_t: its mean, and its weights on c_0 .. c_{T-1}
        for t, rate in enumerate(rates.tolist()):
            own = torch.zeros(steps).double()
            own[t] = 1.0
            centers.append(center)
            rows.append(weights - own)
            center, weights = (1 - rate * h) * center, (1 - rate * h) * weights + rate * h * own
        keep = torch.cat([(1 - rates * h)[1:], torch.ones(1).double()])
        after = keep.flip(0).cumprod(0).flip(0)
        d, rows = (
            -h * after * torch.tensor(centers).double(),
            -h * after[:, None] * torch.stack(rows),
        )
        c_dd = self.variance * rows @ rows.T
        c_xd, c_xx = self.variance * rows @ weights, float(self.variance * weights @ weights)
        mean = h * (center * d + c_xd)
        mixed = center * d[:, None] * c_xd[None] + d[None] * center * c_xd[:, None]
        linear = center**2 * c_dd + mixed + d[:, None] * d[None] * c_xx
        square = c_xx * c_dd + c_xd[:, None] * c_xd[None]
        return mean, h**2 * (linear + square) / self.copies


@dataclass(frozen=True)
class Walk:
    r"""The training loss :math:`-x \theta` with x ~ N(slope, variance): best is a flat schedule.

    .. math:: \theta_T = \sum_t \alpha_t x_t, \qquad J = \tfrac 1 2 \overline{(\theta_T - 1)^2}, \qquad
              E J = \tfrac 1 2 \Bigl(g \sum_t \alpha_t - 1\Bigr)^2
                    + \tfrac{\sigma^2}{2} \sum_t \alpha_t^2

    convex and symmetric in the steps: the best of all schedules is
    :math:`\alpha_t = g / (T g^2 + \sigma^2)` throughout.
    """

    slope: float = 1.0
    variance: float = 9.0
    copies: int = 32

    def task(self) -> ng.Task:
        train = self.slope + math.sqrt(self.variance) * draw(self.copies), torch.zeros(ROWS, 1)
        validation = torch.ones(1, self.copies, 1).double(), torch.zeros(1, 1)
        return ng.Task(
            Copies(self.copies, 0.0, scaled=True),
            lambda output, _: -output.sum(),
            train,
            validation,
            batch_size=1,
            validation_loss=lambda output, _: (output - 1).square().mean() / 2,
        )

    def expected(self, rates: Sequence[float]) -> float:
        """The mean of J over all noise."""
        total, squares = sum(rates), sum(rate**2 for rate in rates)
        return (self.slope * total - 1) ** 2 / 2 + self.variance * squares / 2

    def best(self, steps: int) -> list[float]:
        return [self.slope / (steps * self.slope**2 + self.variance)] * steps


def exact_sharing(mean: Tensor, covariance: Tensor) -> tuple[float, float, float, float]:
    """(MSE_1, c, L, W*) of a known distribution, by matrices: what `Sharing` estimates."""
    steps, count, widest = len(mean), 1, float(len(mean))
    mse_1 = float(covariance.diagonal().mean())
    while True:
        window, inner = steps / count, min(8, steps // count)
        piece = window / inner
        averages = torch.stack(
            [_window_means(row, count * inner) for row in torch.eye(steps).double()], 1
        )
        to_windows = torch.kron(torch.eye(count), torch.full((1, inner), 1 / inner)).double()
        of_pieces = averages @ covariance @ averages.T
        spread = float((to_windows @ of_pieces @ to_windows.T).diagonal().mean())
        c = min(max((window * spread / mse_1 - 1) / (window - 1), 0.0), 1.0)
        pieces = averages @ mean
        bias = (pieces.view(count, inner) - (to_windows @ pieces)[:, None]).square().mean()
        drift = math.sqrt(12 * float(bias) / (window**2 - piece**2)) if inner > 1 else 0.0
        width = (6 * (1 - c) * mse_1 / drift**2) ** (1 / 3) if drift else widest
        if width >= window or 2 * count > steps // 2:
            return mse_1, c, drift, min(max(width, 1.0), widest)
        count, widest = 2 * count, window


def _window_means(per_step: Tensor, count: int) -> Tensor:
    basis, steps = ng.Windows(count), len(per_step)
    return basis.project(per_step, steps) / basis.project(torch.ones(steps).double(), steps)
