"""Copies: perturbed networks whose training losses depend on hyperparameters, and how they are run."""

from __future__ import annotations

import abc
from collections.abc import Collection
from typing import final

import torch
from torch import Tensor

from ..errors import DivergedError, ReplayError
from ._perturbation import Perturbations
from ._run import Run, Values


class Copies(abc.ABC):
    r"""The training losses :math:`l_k = L_t(\theta + \epsilon_k, h)` of K copies.

    Every copy sees the same batch, augmentation and dropout: those are functions of (seed, step).
    theta is constant here, so that of the network's graph only what lies behind h is kept.

    Args:
        parameters: theta, shape (P,).
        values: Of every hyperparameter at this step.
        learn: Those among the task's that are differentiated.
    """

    def __init__(
        self,
        run: Run,
        parameters: Tensor,
        values: Values,
        step: int,
        learn: Collection[str],
        noise: Perturbations,
    ):
        self._run, self._parameters, self._step, self.noise = run, parameters, step, noise
        self._leaves = {n: values[n].detach().clone().requires_grad_() for n in learn}
        self._values = {**values, **self._leaves}

    def _loss(self, parameters: Tensor) -> Tensor:
        return self._run.training_loss(parameters, self._step, self._values)

    def _copy(self, k: int) -> Tensor:
        return self._parameters + self.noise(k)

    @abc.abstractmethod
    def losses(self) -> Tensor:
        """l, shape (K,), float64; raises DivergedError."""

    @abc.abstractmethod
    def pull_back(self, coefficients: Tensor) -> dict[str, Tensor]:
        r""":math:`\sum_k c_k\, dl_k/dh` by name, float64, after `losses`."""

    def _slopes(self, loss: Tensor, weight: Tensor | None = None) -> dict[str, Tensor]:
        leaves = list(self._leaves.values())
        if not loss.requires_grad:  # no hyperparameter takes part at this step
            return {name: torch.zeros_like(leaf) for name, leaf in self._leaves.items()}
        found = torch.autograd.grad(loss, leaves, weight, allow_unused=True, materialize_grads=True)
        return dict(zip(self._leaves, found, strict=True))

    def _checked(self, losses: Tensor) -> Tensor:
        found = losses.detach().to("cpu", torch.float64)
        if not bool(found.isfinite().all()):
            raise DivergedError("training loss of a copy", self._step, self._run.steps)
        return found


@final
class Streamed(Copies):
    """One copy after the other, twice: the memory of one, whatever their number.

    Raises:
        ReplayError: The second pass found another loss than the first.
    """

    def losses(self) -> Tensor:
        with torch.no_grad():
            found = torch.stack([self._loss(self._copy(k)) for k in range(self.noise.count)])
        self._seen = self._checked(found)
        return self._seen

    def pull_back(self, coefficients: Tensor) -> dict[str, Tensor]:
        # The coefficients sum to zero and the slopes are nearly equal: their sum needs the digits.
        total = {n: torch.zeros_like(x, dtype=torch.float64) for n, x in self._leaves.items()}
        for k, weight in enumerate(coefficients.tolist()):
            loss = self._loss(self._copy(k))
            self._check_same(loss.item(), k)
            for name, slope in self._slopes(loss).items():
                total[name].add_(slope, alpha=weight)
        return total

    def _check_same(self, again: float, k: int) -> None:
        first = self._seen[k].item()
        # Kernels may differ in the last bits with and without a graph, but not by more.
        tolerance = 1e3 * torch.finfo(self._run.dtype).eps * max(1.0, abs(first))
        if not abs(again - first) <= tolerance:
            raise ReplayError(
                f"At step {self._step} the loss of copy {k} was {first!r} in the first pass and "
                f"{again!r} in the second. The loss, `prepare` or the model draws random numbers "
                "that PyTorch's default generator does not give; draw them from there, or use "
                'execution="together".'
            )


class Kept(Copies):
    """All graphs kept: one pass, K times the graph behind the hyperparameters in memory."""

    _losses: Tensor

    def pull_back(self, coefficients: Tensor) -> dict[str, Tensor]:
        found = self._slopes(self._losses, coefficients.to(self._losses))
        return {name: slope.double() for name, slope in found.items()}


@final
class Together(Kept):
    """One copy after the other, once."""

    def losses(self) -> Tensor:
        self._losses = torch.stack([self._loss(self._copy(k)) for k in range(self.noise.count)])
        return self._checked(self._losses)


@final
class Vectorized(Kept):
    """All copies in one call of `torch.func.vmap`: fast where the network is small for its device.

    Cannot: run a model or a loss that `vmap` refuses, such as one that branches on values.
    """

    def losses(self) -> Tensor:
        stacked = torch.stack([self._copy(k) for k in range(self.noise.count)])
        self._losses = torch.func.vmap(self._loss, randomness="same")(stacked)
        return self._checked(self._losses)


EXECUTIONS: dict[str, type[Copies]] = {
    "streaming": Streamed,
    "together": Together,
    "vectorized": Vectorized,
}
