"""Where an adjoint or a tangent has grown so far that rounding errors drown what it says.

Of the weights, a floating-point number keeps a relative error of the machine epsilon at every step. An
adjoint of the weights that is :math:`\\rho` times as large as at the end says that a change there comes
out :math:`\\rho` times as large, so that with :math:`\\rho > 1 / \\epsilon` the rounding of the weights
alone comes out as large as the weights: another number of threads gives another network, and the
hypergradient of this one is no guide to any. That is 8e6 in float32 and 5e15 in float64; healthy runs
contract, or grow by a few powers of ten where training starts in a saddle.
"""

import math
from collections.abc import Sequence
from dataclasses import fields
from typing import Any

import torch
from torch import Tensor

from ..errors import DivergedError, ExplodedError


def growth_limit(dtype: torch.dtype) -> float:
    """The growth beyond which nothing is left to be known in this precision."""
    return 1.0 / torch.finfo(dtype).eps


def check_limit(limit: float | None) -> None:
    """Raise ValueError unless this can be a limit of growth, or None, which is that of the precision."""
    if limit is not None and not limit > 1:
        raise ValueError(
            f"`growth_limit` must be more than 1, or None for what the precision bears, but got "
            f"{limit!r}. Use math.inf to sweep on in chaotic runs."
        )


def shown(engine: Any) -> str:
    """An engine as text: the limit only where it was given."""
    settings = {row.name: getattr(engine, row.name) for row in fields(engine)}
    if settings["growth_limit"] is None:
        del settings["growth_limit"]
    return f"{type(engine).__name__}({', '.join(f'{n}={v!r}' for n, v in settings.items())})"


def size(vector: Tensor) -> float:
    """Euclidean norm. A dot product, which costs next to nothing, where no square leaves float32."""
    square = float(torch.dot(vector, vector))
    if 1e-30 < square < 1e30:
        return math.sqrt(square)
    return float(torch.linalg.vector_norm(vector.to("cpu", torch.float64)))


def swept_backwards(step: int, steps: int) -> float:
    """Which part of a sweep was computed when it ended at this step, going backwards."""
    return (steps - step) / (steps + 1)


def swept_forwards(step: int, steps: int) -> float:
    """Likewise, going forward."""
    return (step + 1) / (steps + 1)


class AdjointNorms:
    """Norms of the adjoints of the weights, one for each state, filled from the last to the first.

    Args:
        last: The gradient of the outer loss, shape (P,).
        steps: T.
        limit: Largest growth; None is that of the precision.

    Raises:
        DivergedError: One is not finite.
        ExplodedError: One has grown beyond the limit.
    """

    def __init__(self, last: Tensor, steps: int, limit: float | None = None):
        self._steps, self._last = steps, size(last)
        self._most = (growth_limit(last.dtype) if limit is None else limit) * self._last
        self._norms = [0.0] * steps + [self._last]
        # A dot product costs next to nothing; its squares stay within float32 as long as norms do within
        # the limit. Else they are summed in float64.
        self._dot = last.dtype == torch.float64 or (limit is None and 1e-8 < self._last < 1e7)

    @property
    def norms(self) -> Tensor:
        """Shape (T + 1,), float64."""
        return torch.tensor(self._norms, dtype=torch.float64)

    def restore(self, norms: Tensor) -> None:
        """Go on from those that were noted before."""
        self._norms = norms.tolist()

    def of(self, adjoint: Tensor) -> Tensor:
        """The norm of an adjoint of theta_t, shape (P,), where it is: nothing is read."""
        if self._dot:
            return torch.dot(adjoint, adjoint).sqrt()
        if adjoint.device.type == "mps":  # which has no float64
            return torch.linalg.vector_norm(adjoint.cpu(), dtype=torch.float64).float()
        return torch.linalg.vector_norm(adjoint, dtype=torch.float64)

    def note(self, now: float, step: int) -> None:
        """The norm of the adjoint of theta_t."""
        self._norms[step] = now
        swept = swept_backwards(step, self._steps)
        if not now < math.inf:
            raise DivergedError("adjoint", step, self._steps, swept=swept)
        if now > self._most:  # never where that is infinity times zero
            growth = now / self._last if self._last else math.inf
            raise ExplodedError(
                "adjoint", step, self._steps, growth,
                "the gradient of the validation loss", "errors of the weights", swept,
            )  # fmt: skip


class TangentSizes:
    r"""The same going forward: a coefficient's own rounding must not move the weights by their size.

    .. math:: \epsilon\, |c_k|\, \|Z_k\| \le \|\theta\|

    Args:
        scales: |c|, the size of what each tangent is the derivative by, shape (K,).
        steps, dtype, device: Of the run.

    Raises:
        DivergedError: A tangent is not finite.
        ExplodedError: One has grown beyond the limit.
    """

    def __init__(self, scales: Tensor, steps: int, dtype: torch.dtype, device: torch.device):
        self._scales, self._steps, self._limit = (
            scales.to(device, dtype),
            steps,
            growth_limit(dtype),
        )

    def of(self, tangents: Tensor, theta: Tensor) -> list[Tensor]:
        """Numbers of a step, where they are: nothing is read.

        Args:
            tangents: Z of the weights, shape (K, P), of the first coefficients.
            theta: The weights, shape (P,).
        """
        norms = torch.linalg.vector_norm(tangents, dim=1)
        moved = (self._scales[: len(norms)] * norms).amax() if len(norms) else theta.new_zeros(())
        return [tangents.sum(), moved, torch.linalg.vector_norm(theta)]

    def judge(self, step: int, numbers: Sequence[float]) -> None:
        """The numbers of a step, read."""
        total, moved, reach = numbers
        swept = swept_forwards(step, self._steps)
        if not math.isfinite(total):
            raise DivergedError("tangent", step, self._steps, swept=swept)
        if moved > self._limit * reach > 0:
            raise ExplodedError(
                "tangent", step, self._steps, moved / reach,
                "the weights (per relative change of a coefficient)", "errors of a coefficient", swept,
            )  # fmt: skip
