"""Solvers of (H + damping I) x = g where H is known by its products only."""

import abc
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, final

import torch
from torch import Tensor

from ..errors import SolveError, check_number, check_whole
from ..schedules import Value
from ..task._data_plan import COLUMNS, generator

Product = Callable[[Tensor], Tensor]  # v -> H v, shapes (P,)


@dataclass(frozen=True)
class LinearSolver(Value, abc.ABC):
    """Solves a linear system. Leaves are its methods, each with its own settings.

    Class attributes:
        advice: What to change where a solution is worse than none.
        damping: Added to the Hessian where none is given; one that divides by it needs a positive one.
        divides: Whether it does.
        symmetric: Whether it rests on the symmetry of the Hessian, which stop-gradients break.
    """

    advice: ClassVar[str]
    damping: ClassVar[float] = 0.0
    divides: ClassVar[bool] = False
    symmetric: ClassVar[bool] = True

    @property
    @abc.abstractmethod
    def products(self) -> int:
        """How many products it asks for, at most."""

    @abc.abstractmethod
    def solve(self, product: Product, right: Tensor, damping: float, seed: int) -> Tensor:
        """x, shape (P,); raises SolveError where the method breaks down."""


@final
@dataclass(frozen=True)
class Neumann(LinearSolver):
    r"""The truncated series :math:`x = a \sum_{i < n} (I - a A)^i g`: n steps of gradient descent.

    Converges where :math:`0 < a \lambda < 2` for every eigenvalue of A, the slower the flatter.

    Args:
        iterations: n.
        scale: a.

    Source: arXiv:1911.02590.

    .. code-block:: bibtex

        @inproceedings{lorraine2020optimizing,
          author    = {Lorraine, Jonathan and Vicol, Paul and Duvenaud, David},
          title     = {Optimizing Millions of Hyperparameters by Implicit Differentiation},
          booktitle = {Proceedings of the 23rd International Conference on Artificial Intelligence
                       and Statistics},
          year      = {2020}, eprint = {1911.02590}, archivePrefix = {arXiv}
        }
    """

    iterations: int = 100
    scale: float = 0.1

    symmetric: ClassVar[bool] = False
    advice: ClassVar[str] = (
        "Raise `iterations`; lower `scale` below two over the Hessian's largest eigenvalue; raise "
        "`damping` where the Hessian has negative eigenvalues."
    )

    def __post_init__(self) -> None:
        check_whole("iterations", self.iterations)
        check_number(
            "scale", self.scale, " It multiplies the Hessian in each term: 0.1 is a start."
        )

    @property
    def products(self) -> int:
        return self.iterations

    def solve(self, product: Product, right: Tensor, damping: float, seed: int) -> Tensor:
        # Each term is the residual that the former terms leave.
        total, term = torch.zeros_like(right), right
        for _ in range(self.iterations):
            total = total + self.scale * term
            term = term - self.scale * (product(term) + damping * term)
        return total


@final
@dataclass(frozen=True)
class ConjugateGradients(LinearSolver):
    """Conjugate gradients: exact after P iterations, for a positive definite A only.

    Args:
        iterations: At most so many.
        tolerance: Stops when the residual's norm is below this share of g's.

    Source: arXiv:1602.02355.

    .. code-block:: bibtex

        @inproceedings{pedregosa2016hyperparameter,
          author    = {Pedregosa, Fabian},
          title     = {Hyperparameter Optimization with Approximate Gradient},
          booktitle = {Proceedings of the 33rd International Conference on Machine Learning},
          year      = {2016}, eprint = {1602.02355}, archivePrefix = {arXiv}
        }
    """

    iterations: int = 100
    tolerance: float = 1e-10

    advice: ClassVar[str] = "Raise `iterations`, or `damping`, which also makes the system easier."

    def __post_init__(self) -> None:
        check_whole("iterations", self.iterations)
        check_number("tolerance", self.tolerance, " It is relative: 1e-10 is a start.", zero=True)

    @property
    def products(self) -> int:
        return self.iterations

    def solve(self, product: Product, right: Tensor, damping: float, seed: int) -> Tensor:
        x, residual, direction = torch.zeros_like(right), right, right
        square = goal = float(right @ right)
        for iteration in range(self.iterations):
            if square <= self.tolerance**2 * goal:
                break
            curved = product(direction) + damping * direction
            curvature = float(direction @ curved)
            if not curvature > 0:
                raise SolveError(
                    f"Conjugate gradients met the curvature {curvature / float(direction @ direction):.3g} "
                    f"at iteration {iteration}, with {damping=}, but need a positive definite Hessian: "
                    "the run has not ended at a minimum. Train longer, raise `damping` beyond the most "
                    'negative eigenvalue, or use solver="nystrom".'
                )
            length = square / curvature
            x, residual = x + length * direction, residual - length * curved
            new = float(residual @ residual)
            direction, square = residual + new / square * direction, new
        return x


@final
@dataclass(frozen=True)
class Nystrom(LinearSolver):
    r"""The inverse of a damped low-rank Hessian made of some of its columns.

    .. math:: H \approx C W^+ C^\top, \qquad
              x = \frac 1 d \Big( g - C \big( d W + C^\top C \big)^+ C^\top g \Big)

    with C the columns of H at `rank` random coordinates, W the rows of C there, d the damping. Exact
    where the rank is the Hessian's.

    Args:
        rank: Columns, products of H with unit vectors; at most P are used.

    Source: arXiv:2302.09726.

    .. code-block:: bibtex

        @inproceedings{hataya2023nystrom,
          author    = {Hataya, Ryuichiro and Yamada, Makoto},
          title     = {{Nystr{\"o}m} Method for Accurate and Scalable Implicit Differentiation},
          booktitle = {Proceedings of the 26th International Conference on Artificial Intelligence
                       and Statistics},
          year      = {2023}, eprint = {2302.09726}, archivePrefix = {arXiv}
        }
    """

    rank: int = 10

    damping: ClassVar[float] = 0.01
    divides: ClassVar[bool] = True
    advice: ClassVar[str] = "Raise `rank`, or `damping`: what the columns miss is divided by it."

    def __post_init__(self) -> None:
        check_whole("rank", self.rank)

    @property
    def products(self) -> int:
        return self.rank

    def solve(self, product: Product, right: Tensor, damping: float, seed: int) -> Tensor:
        order = torch.randperm(len(right), generator=generator(seed, COLUMNS))
        chosen = order[: self.rank].to(right.device)
        zeros = torch.zeros_like(right)
        columns = torch.stack([product(zeros.index_fill(0, i, 1.0)) for i in chosen], 1).double()
        # Singular wherever columns depend on each other, hence the pseudoinverse.
        core = damping * columns[chosen] + columns.T @ columns
        inverse = torch.linalg.pinv((core + core.T) / 2, hermitian=True)
        share = columns @ (inverse @ (columns.T @ right.double()))
        return ((right - share) / damping).to(right.dtype)


SOLVERS: dict[str, type[LinearSolver]] = {
    "neumann": Neumann,
    "cg": ConjugateGradients,
    "nystrom": Nystrom,
}
