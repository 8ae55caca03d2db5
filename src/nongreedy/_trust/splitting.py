"""Which windows of a schedule call for two values instead of one: a test over seeds."""

from __future__ import annotations

import itertools
import math

from torch import Tensor

from .._basis import Windows
from .._edges import first_steps
from .sharing import Sharing

LEVEL = 0.05  # chance that any window is split where the halves of all want the same
_ROUNDING = 1e-7  # of the hypergradient's own size: below, a difference is rounding


def to_split(per_step: Tensor, basis: Windows, level: float = LEVEL) -> list[int]:
    r"""Windows whose halves' hypergradients differ significantly over seeds.

    A window's hypergradient is zero at its best value, and each half's is zero only if the half wants
    the same value. Of seed k, let :math:`d_k` be the mean over the second half's steps less the mean
    over the first's. Student's t-test over K seeds,

    .. math:: t = \bar d \sqrt K / s_d \quad \text{with } K - 1 \text{ degrees of freedom},

    two-sided, at `level` over all windows that are tested (Bonferroni). A window is tested only if its
    halves are nearer to :math:`W^*` (:class:`Sharing`) than the whole is, as a ratio: finer ones would
    be noisier than they are right. Of one seed no noise is known, and none is tested.

    Args:
        per_step: Hypergradients of K seeds in the outer rule's coordinate, shape (K, T).
        basis: The windows.

    Returns:
        Their numbers, ascending.

    Source: the width, arXiv:2007.07869 (theorem 4.1); the test is this library's.

    Cannot: find what fewer than about four seeds are too noisy to show.

    Example:
        >>> rise = torch.linspace(-1, 1, 40).double() + 0.1 * torch.randn(6, 40).double()
        >>> to_split(rise, Windows(1))
        [0]
    """
    seeds, steps = per_step.shape
    if seeds < 2:
        return []
    width = Sharing.of(per_step).width
    starts = first_steps(basis.size(steps), basis.edges, steps).tolist()
    wide = {
        number: (low, high)
        for number, (low, high) in enumerate(itertools.pairwise(starts))
        if high - low >= 2 and high - low > 2**0.5 * width
    }
    found = {}
    for number, (low, high) in wide.items():
        middle = (low + high + 1) // 2
        contrast = per_step[:, middle:high].mean(1) - per_step[:, low:middle].mean(1)
        found[number] = _chance(contrast, float(per_step[:, low:high].abs().mean()))
    return [number for number, chance in found.items() if chance * len(found) < level]


def _chance(differences: Tensor, size: float) -> float:
    """Two-sided p-value of a mean of zero."""
    from scipy.stats import t as student  # here: it takes a while to import

    count, mean, spread = len(differences), float(differences.mean()), float(differences.std())
    if abs(mean) <= _ROUNDING * size:
        return 1.0
    score = abs(mean) * math.sqrt(count) / max(spread, 1e-300)
    return 2 * float(student.sf(score, count - 1))
