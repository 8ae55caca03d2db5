"""Which windows of a schedule call for two values instead of one: a test over seeds."""

import itertools
import math

from torch import Tensor

from ..schedules import Windows
from ..schedules._windows import first_steps
from ._sharing import Sharing

LEVEL = 0.05  # chance that any window is split where the halves of all want the same
_ROUNDING = 1e-7  # of the hypergradient's own size: below, a difference is rounding


def cuts(per_step: Tensor, basis: Windows, level: float = LEVEL) -> list[float]:
    r"""Where windows should be cut in halves, and these again, because seeds call for it.

    A window's hypergradient is zero at its best value, and each half's is zero only if the half wants
    the same value. Of seed k, let :math:`d_k` be the mean over the second half's steps less the mean
    over the first's. Student's t-test over K seeds,

    .. math:: t = \bar d \sqrt K / s_d \quad \text{with } K - 1 \text{ degrees of freedom},

    is two-sided, at a level of `level` times the window's share of the run: halves are tested only
    where the whole was cut, and so the chance that anything is cut which should not be is at most
    `level` (hierarchical testing). A window is tested only if its halves are nearer to :math:`W^*`
    (:class:`Sharing`) than the whole is, as a ratio: finer ones would be noisier than they are right.
    Of one seed no noise is known, and nothing is tested.

    Args:
        per_step: Hypergradients of K seeds in the outer rule's coordinate, shape (K, T).
        basis: The windows.

    Returns:
        Positions relative to the run, ascending.

    Source: the width, arXiv:2007.07869 (theorem 4.1); the levels, Meinshausen, "Hierarchical testing
    of variable importance", Biometrika 95 (2008); their use here is this library's.

    Cannot: find what fewer than about four seeds are too noisy to show.

    Example:
        >>> import torch, nongreedy as ng
        >>> rise = torch.linspace(-1, 1, 40).double() + 0.1 * torch.randn(6, 40).double()
        >>> 0.5 in cuts(rise, ng.Windows(1))
        True
    """
    seeds, steps = per_step.shape
    if seeds < 2:
        return []
    width, positions = Sharing.of(per_step).width, list[float]()
    waiting = list(itertools.pairwise(basis.borders()))
    while waiting:
        begin, end = waiting.pop()
        middle = (begin + end) / 2
        low, half, high = first_steps(3, (begin, middle, end), steps)[1:4].tolist()
        if not low < half < high or high - low <= 2**0.5 * width:
            continue
        contrast = per_step[:, half:high].mean(1) - per_step[:, low:half].mean(1)
        chance = _chance(contrast, float(per_step[:, low:high].abs().mean()))
        if chance < level * (high - low) / steps:
            positions.append(middle)
            waiting += [(begin, middle), (middle, end)]
    return sorted(positions)


def _chance(differences: Tensor, size: float) -> float:
    """Two-sided p-value of a mean of zero."""
    count, mean, spread = len(differences), float(differences.mean()), float(differences.std())
    if abs(mean) <= _ROUNDING * size:
        return 1.0
    score = abs(mean) * math.sqrt(count) / max(spread, 1e-300)
    return _student(score, count - 1)


def _student(score: float, freedom: int) -> float:
    r"""Two-sided p-value of Student's t by its finite sum, to within 1e-14.

    .. math:: \theta = \arctan(t / \sqrt n), \qquad p = 1 - \sin\theta \Big(1 + \tfrac12 \cos^2\theta
        + \tfrac{1 \cdot 3}{2 \cdot 4} \cos^4\theta + \dots\Big) \quad \text{for even } n

    Source: Abramowitz and Stegun, 26.7.3 and 26.7.4.
    """
    angle, odd = math.atan2(score, math.sqrt(freedom)), freedom % 2
    square, term, total = math.cos(angle) ** 2, math.cos(angle) if odd else 1.0, 0.0
    for k in range(1 + odd, freedom, 2):
        total += term
        term *= square * k / (k + 1)
    inside = math.sin(angle) * total
    return 1 - (2 / math.pi * (angle + inside) if odd else inside)
