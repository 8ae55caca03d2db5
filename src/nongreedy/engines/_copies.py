"""Copies: perturbed networks whose training losses depend on hyperparameters, and what they say."""

import abc
import functools
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, final

import torch
from torch import Tensor

from ..errors import DivergedError, ReplayError
from ..schedules import Value
from ._linearized import derivatives, leaves_of
from ._perturbation import Perturbations
from ._probes import Probes, Told
from ._readings import Readings, in_double
from ._run import Run, Values

PullBack = Callable[[Tensor], dict[str, Tensor]]  # c -> sum of c_k dl_k/dh by name, float64


class Copies:
    r"""The training losses :math:`l_k = L_t(\theta + \epsilon_k, h)` of K copies.

    Every copy sees the same batch, augmentation and dropout: those are functions of (seed, step).
    theta is constant here, so that of the network's graph only what lies behind h is kept.

    Args:
        parameters: theta, shape (P,).
        values: Of every hyperparameter at this step.
        learn: Those among the task's that are differentiated.
        readings: What looks at the losses; None is at once.
    """

    def __init__(
        self,
        run: Run,
        parameters: Tensor,
        values: Values,
        step: int,
        learn: Collection[str],
        noise: Perturbations,
        readings: Readings | None = None,
    ):
        self.run, self.step, self.noise = run, step, noise
        self.readings = readings or Readings(at_once=True)
        self.leaves = leaves_of(values, learn)
        self.parameters, self._values = parameters, {**values, **self.leaves}

    def __len__(self) -> int:
        return self.noise.count

    def __getitem__(self, k: int) -> Tensor:
        """Parameters of copy k, shape (P,)."""
        return self.parameters + self.noise.of(k)

    def loss(self, parameters: Tensor) -> Tensor:
        """With the graph of the hyperparameters, shape ()."""
        return self.run.training_loss(parameters, self.step, self._values)

    def losses(self) -> Tensor:
        """One copy after the other, shape (K,)."""
        return torch.stack([self.loss(self[k]) for k in range(len(self))])

    def slopes(self, loss: Tensor, weight: Tensor | None = None) -> dict[str, Tensor]:
        """Derivatives of a loss by the hyperparameters."""
        slopes = derivatives(loss, self.leaves.values(), weight)
        return dict(zip(self.leaves, slopes, strict=True))

    def checked(self, losses: Tensor) -> Tensor:
        """In float64; DivergedError where one is not finite, once that is read."""

        def judge(step: int, finite: Sequence[float]) -> None:
            if not finite[0]:
                raise DivergedError("training loss of a copy", step, self.run.steps)

        losses = in_double(losses.detach())
        self.readings.add(self.step, [losses.isfinite().all()], judge)
        return losses


class Execution(Value, abc.ABC):
    """How the copies of :class:`EvoGrad` are run: settings alone.

    Class attributes:
        copy_cost: Gradients that each copy is worth.
    """

    copy_cost: ClassVar[float] = 2 / 3  # a forward pass, and a backward one

    @abc.abstractmethod
    def losses(self, copies: Copies) -> tuple[Tensor, PullBack]:
        """l, shape (K,), float64, :meth:`Copies.checked`, and how it is differentiated."""


@final
@dataclass(frozen=True)
class Streaming(Execution):
    """One copy after the other, twice: the memory of one, whatever their number.

    Raises:
        ReplayError: The second pass found another loss than the first.
    """

    copy_cost: ClassVar[float] = 1.0

    def losses(self, copies: Copies) -> tuple[Tensor, PullBack]:
        with torch.no_grad():
            first = copies.checked(copies.losses())

        def pull_back(coefficients: Tensor) -> dict[str, Tensor]:
            # The coefficients sum to zero and the slopes are nearly equal: their sum needs the digits.
            total = {n: torch.zeros_like(in_double(x)) for n, x in copies.leaves.items()}
            for k, weight in enumerate(coefficients):
                loss = copies.loss(copies[k])
                judge = functools.partial(_check_same, k, copies)
                copies.readings.add(copies.step, [first[k], loss], judge)
                for name, slope in copies.slopes(loss).items():
                    total[name].addcmul_(in_double(slope), weight)
            return total

        return first, pull_back


def _check_same(k: int, copies: Copies, step: int, numbers: Sequence[float]) -> None:
    first, again = numbers
    # Kernels may differ in the last bits with and without a graph, but not by more.
    tolerance = 1e3 * torch.finfo(copies.run.dtype).eps * max(1.0, abs(first))
    if not abs(again - first) <= tolerance:
        raise ReplayError(
            f"At step {step} the loss of copy {k} was {first!r} in the first pass and "
            f"{again!r} in the second. The loss, `prepare` or the model draws random numbers "
            "that PyTorch's default generator does not give; draw them from there, or use "
            'execution="together".'
        )


def _kept(copies: Copies, losses: Tensor) -> tuple[Tensor, PullBack]:
    """All graphs kept: one pass, K times the graph behind the hyperparameters in memory."""

    def pull_back(coefficients: Tensor) -> dict[str, Tensor]:
        slopes = copies.slopes(losses, coefficients.to(losses))
        return {name: in_double(slope) for name, slope in slopes.items()}

    return copies.checked(losses), pull_back


@final
@dataclass(frozen=True)
class Together(Execution):
    """One copy after the other, once; the graphs behind the hyperparameters are kept."""

    def losses(self, copies: Copies) -> tuple[Tensor, PullBack]:
        return _kept(copies, copies.losses())


@final
@dataclass(frozen=True)
class Vectorized(Execution):
    """All copies in one call of `torch.func.vmap`: fast where the network is small for its device.

    Cannot: run a model or a loss that `vmap` refuses, such as one that branches on values.
    """

    def losses(self, copies: Copies) -> tuple[Tensor, PullBack]:
        stacked = torch.stack([copies[k] for k in range(len(copies))])
        return _kept(copies, torch.func.vmap(copies.loss, randomness="same")(stacked))


EXECUTIONS: dict[str, type[Execution]] = {
    "streaming": Streaming,
    "together": Together,
    "vectorized": Vectorized,
}


@dataclass(frozen=True)
class Evolution:
    """What one evolutionary step says."""

    told: Told  # at theta*
    coefficients: Tensor  # c, shape (K,), float64
    temperature: float | Tensor  # tau
    gradients: Mapping[str, Tensor]  # name -> h, in the value's shape, float64


def evolve(
    copies: Copies, execution: Execution, probes: Probes, temperature: float, relative: bool
) -> Evolution:
    r"""Weigh the copies by their losses and differentiate the validation loss of their mean.

    The formulas are those of :class:`EvoGrad`. First-order derivatives only: the chain through the
    softmax is in the K numbers c, which sum to zero.

    Args:
        temperature: tau, or with `relative` its ratio to the losses' standard deviation.
    """
    (losses, pull_back), noise, step = execution.losses(copies), copies.noise, copies.step
    tau = temperature * (_scatter(losses, copies) if relative else 1.0)
    weights = torch.softmax(-losses / tau, 0)
    told, gradient = probes.unread_gradient(copies.parameters + noise.mean(weights), step)
    products = in_double(torch.stack([gradient @ noise.of(k) for k in range(noise.count)]))
    coefficients = -weights / tau * (products - weights @ products)
    return Evolution(told, coefficients, tau, pull_back(coefficients))


def _scatter(losses: Tensor, copies: Copies) -> Tensor:
    """Shape (); one where the validation loss is level. ValueError where it is zero, once that is read."""

    def judge(step: int, numbers: Sequence[float]) -> None:
        scatter, loss = numbers
        if not scatter > 0:
            raise ValueError(
                f"At step {step} all copies have the loss {loss!r}, so that no temperature "
                "is relative to their scatter. Raise `sigma`, or use relative=False."
            )

    scatter, level = losses.std(), copies.noise.level
    scatter = scatter if level is None else torch.where(level, 1.0, scatter)
    copies.readings.add(copies.step, [scatter, losses[0]], judge)
    return scatter
