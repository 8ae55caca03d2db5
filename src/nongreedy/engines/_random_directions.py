"""Forward gradients: the hypergradient's projections on a few random directions.

Aliases: forward gradient, directional unrolling, (FG)^2U (arXiv:2406.14095).
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar, final

import torch

from ..errors import check_number, check_whole
from ..schedules import Schedule
from ..task._data_plan import DIRECTIONS, generator
from ._engine import Hypergradient
from ._forward import Forward, TangentEngine
from ._progress import OnStep, ignore
from ._run import Run


@final
@dataclass(frozen=True)
class RandomDirections(TangentEngine):
    r"""An unbiased estimate of the hypergradient from `n` tangents, whatever the coefficients' number.

    .. math:: \hat G_j = \frac 1 n \sum_{k=1}^n
              \frac{\epsilon_{kj}}{s_j} \langle G, s \odot \epsilon_k \rangle, \qquad
              \epsilon_{kj} = \pm 1, \qquad s_j = \max(|c_j|, \mathrm{floor})

    Each term costs one tangent and is unbiased, because :math:`E[\epsilon_i \epsilon_j]` is one for
    equal indices and zero otherwise. Its variance in entry j is
    :math:`\sum_{i \ne j} (s_i G_i / s_j)^2`: the other coefficients' share, which `n` divides.

    Args:
        n: Directions, at least 2: their scatter gives the standard error.
        floor: Smallest scale of a coefficient.
        chunk: As in :class:`Forward`.
        draw: Another number draws other directions; the run's seed does so, too.

    Raises:
        ValueError: `n` below 2, or a floor that is not positive.
        DivergedError: A non-finite loss or tangent.

    Source: arXiv:2406.14095 (unrolling), arXiv:2202.08587 (forward gradients).

    .. code-block:: bibtex

        @inproceedings{shen2024memory,
          author    = {Shen, Qianli and Wang, Yezhen and Yang, Zhouhao and Li, Xiang and Wang, Haonan
                       and Zhang, Yang and Scarlett, Jonathan and Zhu, Zhanxing and Kawaguchi, Kenji},
          title     = {Memory-Efficient Gradient Unrolling for Large-Scale Bi-level Optimization},
          booktitle = {Advances in Neural Information Processing Systems},
          volume    = {37}, year = {2024}, eprint = {2406.14095}, archivePrefix = {arXiv}
        }

    .. code-block:: bibtex

        @misc{baydin2022gradients,
          author    = {Baydin, At{\i}l{\i}m G{\"u}ne{\c{s}} and Pearlmutter, Barak A. and Syme, Don
                       and Wood, Frank and Torr, Philip},
          title     = {Gradients without Backpropagation},
          year      = {2022}, eprint = {2202.08587}, archivePrefix = {arXiv}
        }

    Cannot: be accurate for many coefficients: the relative error is about the square root of their
    number over `n`. Signs of single coefficients then mean little; `Reverse` is exact at the cost of
    one or two directions.

    Example:
        >>> RandomDirections(n=16).n
        16
    """

    n: int = 8
    floor: float = 1e-2
    chunk: int | None = None
    draw: int = 0

    estimates: ClassVar[bool] = True

    def __post_init__(self) -> None:
        check_whole("n", self.n, 2, " An error is estimated from two or more.")
        check_number("floor", self.floor)
        Forward(self.chunk)  # checks it

    def inexact_because(self, run: Run, schedule: Schedule, learn: Iterable[str]) -> str:
        """It estimates, whatever the run."""
        return f"an unbiased estimate from {self.n} random directions, with its standard error"

    def sweep_cost(self, run: Run, schedule: Schedule, learn: Iterable[str]) -> float:
        """One run for the graph and two for each direction."""
        return 1.0 + 2.0 * self.n

    def hypergradient(
        self, run: Run, schedule: Schedule, learn: Iterable[str], on_step: OnStep = ignore
    ) -> Hypergradient:
        """Train once with tangents."""
        source = generator(run.seed, DIRECTIONS, self.draw)
        signs, scales = {}, {}
        for name in learn:
            shape = self.n, schedule.curves[name].basis.size(run.steps)
            signs[name] = 2.0 * torch.randint(2, shape, generator=source).double() - 1.0
            scales[name] = schedule[name].abs().clamp(min=self.floor)
        directions = {name: sign * scales[name] for name, sign in signs.items()}
        forward, starts = Forward(self.chunk), [0] * self.n
        outcome, products = forward.push(run, schedule, directions, starts, on_step)
        terms = {name: products[:, None] * sign / scales[name] for name, sign in signs.items()}
        return Hypergradient(
            outcome.loss,
            outcome.accuracy,
            {name: term.mean(0) for name, term in terms.items()},
            standard_error={n: term.std(0) / self.n**0.5 for n, term in terms.items()},
        )
