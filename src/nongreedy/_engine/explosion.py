"""Where an adjoint or a tangent has grown so far that rounding errors drown what it says.

Of the weights, a floating-point number keeps a relative error of the machine epsilon at every step. An
adjoint of the weights that is :math:`\\rho` times as large as at the end says that a change there comes
out :math:`\\rho` times as large, so that with :math:`\\rho > 1 / \\epsilon` the rounding of the weights
alone comes out as large as the weights: another number of threads gives another network, and the
hypergradient of this one is no guide to any. That is 8e6 in float32 and 5e15 in float64; healthy runs
contract, or grow by a few powers of ten where training starts in a saddle.
"""

from __future__ import annotations

import torch
from torch import Tensor

from .._errors import DivergedError, ExplodedError


def growth_limit(dtype: torch.dtype) -> float:
    """The growth beyond which nothing is left to be known in this precision."""
    return 1.0 / torch.finfo(dtype).eps


def size(tensor: Tensor, dim: int | None = None) -> Tensor:
    """Euclidean norm, float64 on the CPU, in which squares neither overflow nor vanish."""
    wide = None if tensor.device.type == "mps" else torch.float64  # which it does not have
    return torch.linalg.vector_norm(tensor, dim=dim, dtype=wide).to("cpu", torch.float64)


class AdjointNorms:
    """Norms of the adjoints of the weights, one for each state, filled from the last to the first.

    Raises:
        DivergedError: One is not finite.
        ExplodedError: One has grown beyond the limit.
    """

    def __init__(self, last: Tensor, steps: int):
        """Args: last: the gradient of the outer loss, shape (P,)."""
        self.steps, self._limit = steps, growth_limit(last.dtype)
        self.norms = torch.zeros(steps + 1, dtype=torch.float64)
        self.norms[steps] = size(last)

    def add(self, adjoint: Tensor, step: int) -> None:
        """Note the adjoint of theta_t, shape (P,)."""
        self.norms[step] = size(adjoint)
        now, last = float(self.norms[step]), float(self.norms[self.steps])
        if not now < float("inf"):
            raise DivergedError("adjoint", step, self.steps)
        if now > self._limit * last:
            raise ExplodedError(
                "adjoint", step, self.steps, now / last if last else float("inf"),
                "the gradient of the validation loss", "errors of the weights",
            )  # fmt: skip


def check_tangents(tangents: Tensor, scales: Tensor, theta: Tensor, step: int, steps: int) -> None:
    r"""The same going forward: a coefficient's own rounding must not move the weights by their size.

    .. math:: \epsilon\, |c_k|\, \|Z_k\| \le \|\theta\|

    Args:
        tangents: Z of the weights, shape (K, P).
        scales: |c|, the size of what each tangent is the derivative by, shape (K,), on the CPU.
        theta: The weights, shape (P,).

    Raises:
        ExplodedError: A tangent beyond the limit.
    """
    moved, reach = scales * size(tangents, dim=1), size(theta)
    if bool((moved > growth_limit(theta.dtype) * reach).any()) and reach > 0:
        raise ExplodedError(
            "tangent", step, steps, float(moved.max() / reach),
            "the weights (per relative change of a coefficient)", "errors of a coefficient",
        )  # fmt: skip
