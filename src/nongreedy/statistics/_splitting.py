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
    from scipy.stats import t as student  # here: it takes a while to import

    count, mean, spread = len(differences), float(differences.mean()), float(differences.std())
    if abs(mean) <= _ROUNDING * size:
        return 1.0
    score = abs(mean) * math.sqrt(count) / max(spread, 1e-300)
    return 2 * float(student.sf(score, count - 1))
