"""What sharing a hyperparameter over neighbouring steps does to the error of its hypergradient."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

_CLEAR = 3.0  # standard errors at which a drift stands out of its noise
_PIECES = 8  # of a window, whose means show how the hypergradient drifts within it


@dataclass(frozen=True)
class Sharing:
    r"""The theorem on shared hypergradients, with its quantities estimated from a few seeds.

    Over seeds, let the per-step hypergradients be :math:`g \in R^T` with mean :math:`\mu` and
    covariance :math:`\Sigma`, drift :math:`|\mu_{t+1} - \mu_t| \le L`, largest correlation c between
    two steps and :math:`\mathrm{MSE}_1 = \frac 1 T \sum_t \Sigma_{tt}`. With the mean over a window of
    W steps in place of each :math:`g_t`,

    .. math:: \mathrm{MSE}_W \le \frac{1 + c (W - 1)}{W} \mathrm{MSE}_1 + \frac{L^2 (W^2 - 1)}{12},
              \qquad W^* = \left( \frac{6 (1 - c) \mathrm{MSE}_1}{L^2} \right)^{1/3}

    Equality holds for equal variances, equal positive correlations and constant drift, and c and L
    are estimated as those with which it does: the largest of :math:`T^2` sample correlations of a few
    seeds is always near 1, and a difference of two neighbouring steps is all noise. At windows of W
    steps, of K seeds, with :math:`V_W` the mean variance over seeds of a window's mean, and each
    window in pieces of w = W/8 steps (or single steps):

    .. math:: c = \frac{W V_W / \mathrm{MSE}_1 - 1}{W - 1}, \qquad
              \frac{L^2 (W^2 - w^2)}{12} = \overline{(\bar g_\mathrm{piece} - \bar g_\mathrm{window})^2}
              - \frac{V_w - V_W}{K}

    the last term being what noise adds to the first. W is the whole run at first and is halved as
    long as the :math:`W^*` that follows is less than it and the drift stands out of its noise there;
    :math:`W^*` is looked for between that W and the one before, or follows from what the latter showed.

    Where drift and noise are not the same throughout, as where hypergradients blow up over the last
    steps of a cooled run, the bound is far above the error and :math:`W^*` too small. So the error is
    also measured, each seed against the mean of the others, at windows of the whole run, half of it, ...:

    .. math:: \widehat{\mathrm{MSE}}_W = \overline{(\bar g_{k,\mathrm{window}} - \mu_{-k})^2}
              - \frac{\mathrm{MSE}_1}{K - 1}

    Of one seed alone, :math:`\mathrm{MSE}_1` is half the mean square difference of neighbouring steps
    and c is 0.

    Attributes:
        steps: T.
        seeds: K.
        mse_1: MSE_1, mean squared error of one per-step hypergradient of one seed, in squared units
            of the loss per unit of the value.
        drift: L, change of the mean hypergradient per step.
        correlation: c, which no window averages away: that error stays at c MSE_1.
        neighbor_correlation: Correlation over seeds of neighbouring steps; NaN of one seed.
        width: W*, steps.
        best: The width, in steps, whose measured error is least; W* of one seed.

    Source: arXiv:2007.07869, theorem 4.1.

    Cannot: hold in chaotic training, where MSE_1 grows exponentially with the length of the run.

    Example:
        >>> g = torch.linspace(0, 2, 100) + torch.randn(8, 100)
        >>> Sharing.of(g).windows < 20
        True
    """

    steps: int
    seeds: int
    mse_1: float
    drift: float
    correlation: float
    neighbor_correlation: float
    width: float
    best: float

    @classmethod
    def of(cls, per_step: Tensor) -> Sharing:
        """Estimate from per-step hypergradients of K seeds, shape (K, T).

        Raises:
            ValueError: Another shape, or values that are not finite.
        """
        if per_step.dim() != 2 or not per_step.numel() or not bool(per_step.isfinite().all()):
            raise ValueError(
                "Per-step hypergradients of K seeds are finite numbers of shape (K, T), but got shape "
                f"{tuple(per_step.shape)} with {int((~per_step.isfinite()).sum())} not finite."
            )
        g = per_step.to(torch.float64)
        mse_1, neighbor = _noise(g)
        width, correlation, drift = _settle(g, mse_1)
        best = _least(g) if len(g) > 1 else width
        return cls(g.shape[1], len(g), mse_1, drift, correlation, neighbor, width, best)

    def mse(self, width: float) -> float:
        """The bound on MSE_W, which is the estimate where the theorem is tight."""
        spread = (1 + self.correlation * (width - 1)) / width * self.mse_1
        return spread + self.drift**2 * (width**2 - 1) / 12

    @property
    def windows(self) -> int:
        """How many windows the run should have: of about the width that was measured to be best."""
        return min(max(round(self.steps / self.best), 1), self.steps)


def measured_error(g: Tensor, count: int) -> float:
    """MSE_W of `count` windows, estimated without bias from K seeds, shape (K, T): of small errors it may
    be negative."""
    seeds, steps = g.shape
    others = (g.sum(0) - g) / (seeds - 1)
    error = (_means(g, count)[:, _window_of(steps, count)] - others).square().mean()
    return float(error - g.var(0).mean() / (seeds - 1))


def _least(g: Tensor) -> float:
    """The width whose measured error is least: the widest of those that are as good."""
    steps = g.shape[1]
    counts = [2**halvings for halvings in range(steps.bit_length())]
    best = min(counts, key=lambda count: measured_error(g, count))
    return steps / best


def _noise(g: Tensor) -> tuple[float, float]:
    """MSE_1, and the correlation of neighbouring steps."""
    if len(g) == 1:
        change = g.diff(dim=1).square()
        return float(change.mean() / 2) if change.numel() else 0.0, float("nan")
    centred = (g - g.mean(0)) / (len(g) - 1) ** 0.5
    variance = centred.square().sum(0)
    neighbors = (centred[:, 1:] * centred[:, :-1]).sum(0).mean()
    mse_1 = float(variance.mean())
    return mse_1, float(neighbors) / mse_1 if mse_1 > 0 else float("nan")


def _settle(g: Tensor, mse_1: float) -> tuple[float, float, float]:
    """(W*, c, L), from the whole run down to windows that are as wide as they should be."""
    steps, count, widest = g.shape[1], 1, float(g.shape[1])
    best, correlation, drift = widest, 0.0, 0.0
    while True:
        window, (common, change, resolved) = steps / count, _at(g, mse_1, count)
        if count > 1 and not resolved:  # what windows of twice the width showed stands
            return max(best, 1.0), correlation, drift
        correlation, drift = common, change
        best = widest if drift == 0 else (6 * (1 - correlation) * mse_1 / drift**2) ** (1 / 3)
        if best >= window or 2 * count > steps // 2:
            return min(max(best, 1.0), widest), correlation, drift
        count, widest = 2 * count, window


def _at(g: Tensor, mse_1: float, count: int) -> tuple[float, float, bool]:
    """c and L as `count` windows show them, and whether L stands out of its noise."""
    seeds, steps = g.shape
    inner = min(_PIECES, steps // count)
    window, piece = steps / count, steps / (count * inner)
    pieces = _means(g, count * inner).view(seeds, count, inner)
    windows = pieces.mean(2, keepdim=True)
    if seeds > 1:
        of_piece, of_window = float(pieces.var(0).mean()), float(windows.var(0).mean())
        excess = window * of_window / mse_1 - 1 if mse_1 > 0 else 0.0
        correlation = min(max(excess / (window - 1), 0.0), 1.0) if window > 1 else 0.0
    else:
        lengths = torch.bincount(_window_of(steps, count * inner)).double()
        of_piece = mse_1 * float((1 / lengths).mean())
        of_window, correlation = of_piece / inner, 0.0
    if inner == 1:
        return correlation, 0.0, False
    noise = (of_piece - of_window) / seeds
    bias = float((pieces.mean(0) - windows.mean(0)).square().mean()) - noise
    # The scatter of the mean square of normal numbers, less what is estimated for their noise.
    freedom = count * (inner - 1) * (1 - 1 / seeds if seeds > 1 else 1)
    error = noise * (2 / freedom) ** 0.5
    drift = (12 * max(bias, 0.0) / (window**2 - piece**2)) ** 0.5
    return correlation, drift, bias > _CLEAR * error


def _means(g: Tensor, count: int) -> Tensor:
    """Means over `count` windows, shape (K, count)."""
    index = _window_of(g.shape[1], count)
    total = torch.zeros(len(g), count, dtype=g.dtype).index_add_(1, index, g)
    return total / torch.bincount(index)


def _window_of(steps: int, count: int) -> Tensor:
    """The window that each step is in, of `count` that are as equal as whole steps allow."""
    return torch.arange(steps) * count // steps
