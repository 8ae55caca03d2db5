"""How each method computes a hypergradient: ours, its peers, and the recipes without a library.

All of them get the same `ng.Run`: its network and first weights, its batches (``task.plan``), its dtype.
Peers are used as their own documentation says, with nothing in the graph that is not asked for.
"""

from __future__ import annotations

import abc
import copy
import importlib
import importlib.util
import warnings
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

import nongreedy as ng

from .paper_algorithm import paper_hypergradient

# Name -> one value for each step: a tensor where it is differentiated, a number where it is not.
Values = Mapping[str, Sequence[Tensor | float]]

# Name -> gradient of the coefficients; None where the method returns none.
Gradients = Mapping[str, Tensor | None]


class CannotError(Exception):
    """A method has no way to compute what it is asked for; the message says why."""


class Method(abc.ABC):
    """A way to the hypergradient of the final validation loss."""

    # Name of the module that it needs, if it needs one that may be missing.
    module: ClassVar[str | None] = None

    def missing(self) -> str | None:
        """How to install it, where it is not installed."""
        if self.module is None or importlib.util.find_spec(self.module):
            return None
        return f"{self.module} is not installed: pip install 'nongreedy[peers]'"

    def load(self) -> None:
        """Import what it needs, so that the import is neither timed nor weighed."""
        if self.module is not None:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                importlib.import_module(self.module)

    def constant(self, name: str) -> bool:
        """Whether it takes one value of this hyperparameter for the whole run only."""
        del name
        return False

    def cannot(self, optimizer: ng.Optimizer, name: str) -> str | None:
        """Why it does not differentiate this hyperparameter, or not rightly; None if nothing is known."""
        del optimizer, name
        return None

    def differs(self, optimizer: ng.Optimizer) -> str | None:
        """How its optimizer is another one than torch's; None if nothing is known."""
        del optimizer
        return None

    @abc.abstractmethod
    def loss(self, run: ng.Run, schedule: ng.Schedule, moved: Collection[str] = ()) -> float:
        """The final validation loss of its own training, for finite differences.

        Args:
            moved: What comes as tensors, as it does to be differentiated; the rest as numbers, which
                a library may round otherwise.
        """

    @abc.abstractmethod
    def hypergradient(
        self, run: ng.Run, schedule: ng.Schedule, learn: Collection[str]
    ) -> Gradients:
        """Train, and differentiate by the coefficients of the hyperparameters in `learn`."""


# ---- Ours, and the paper's ------------------------------------------------------------------------------


@dataclass(frozen=True)
class Ours(Method):
    """An engine of this library."""

    engine: ng.Engine

    def loss(self, run: ng.Run, schedule: ng.Schedule, moved: Collection[str] = ()) -> float:
        """Of the run that the engine differentiates, in floating point.

        Not of the integers of `Reversible`, which rounds momentum to fractions: differences of that
        would be those of stairs. Its derivative is that of the run at the fraction.
        """
        del moved
        reason = self.engine.inexact_because(run, schedule, list(schedule.curves))
        if reason:
            raise CannotError(reason)
        return ng.FiniteDifference().rollout(run, schedule).outcome.loss

    def hypergradient(
        self, run: ng.Run, schedule: ng.Schedule, learn: Collection[str]
    ) -> Gradients:
        """What the engine refuses, it refuses by name."""
        try:
            return self.engine.hypergradient(run, schedule, list(learn)).gradients
        except ValueError as refusal:
            raise CannotError(str(refusal)) from refusal


class Paper(Method):
    """The recursion of arXiv:2007.07869."""

    def cannot(self, optimizer: ng.Optimizer, name: str) -> str | None:
        """It is written for SGD."""
        if isinstance(optimizer, ng.SGD):
            return None
        return "the paper's recursion is that of SGD with momentum"

    def loss(self, run: ng.Run, schedule: ng.Schedule, moved: Collection[str] = ()) -> float:
        """It differentiates the same run as ours."""
        del moved
        self._check(run)
        return ng.FiniteDifference().rollout(run, schedule).outcome.loss

    def hypergradient(
        self, run: ng.Run, schedule: ng.Schedule, learn: Collection[str]
    ) -> Gradients:
        """Of what is in `learn`; the rest has no tangents."""
        self._check(run)
        return paper_hypergradient(run, schedule, learn)

    def _check(self, run: ng.Run) -> None:
        reason = self.cannot(run.optimizer, "")
        if reason:
            raise CannotError(reason)


# ---- Unrolling: the graph of the whole run, and one backward pass ----------------------------------------


class Unrolling(Method):
    """Keeps the graph of every step, and pulls the final loss back through all of it."""

    @abc.abstractmethod
    def final_loss(self, run: ng.Run, values: Values) -> Tensor:
        """Train; the validation loss with its graph, shape ()."""

    def loss(self, run: ng.Run, schedule: ng.Schedule, moved: Collection[str] = ()) -> float:
        """Of its own training."""
        return self._final(run, schedule, {name: schedule[name] for name in moved}).item()

    def hypergradient(
        self, run: ng.Run, schedule: ng.Schedule, learn: Collection[str]
    ) -> Gradients:
        """Everything by one call of ``torch.autograd.grad``."""
        leaves = {name: schedule[name].clone().requires_grad_() for name in learn}
        loss = self._final(run, schedule, leaves)
        found = torch.autograd.grad(loss, list(leaves.values()), allow_unused=True)
        return dict(zip(leaves, found, strict=True))

    def _final(self, run: ng.Run, schedule: ng.Schedule, leaves: Mapping[str, Tensor]) -> Tensor:
        with warnings.catch_warnings():
            # What libraries warn of is what the table of agreement is about.
            warnings.simplefilter("ignore")
            return self.final_loss(run, per_step(run, schedule, leaves))


def per_step(run: ng.Run, schedule: ng.Schedule, leaves: Mapping[str, Tensor]) -> Values:
    """Values of every hyperparameter at every step, those in `leaves` with their graph."""
    values: dict[str, Sequence[Tensor | float]] = {}
    for name, curve in schedule.curves.items():
        if name in leaves:
            # One node for all steps: indexing would fill a vector of their number at each of them.
            moved = curve.basis.expand(leaves[name], run.steps).to(run.dtype)
            values[name] = moved.unbind(0)
        else:
            values[name] = curve.values(run.steps).to(run.dtype).tolist()
    return values


def network(run: ng.Run) -> nn.Module:
    """A network of its own with the run's first weights.

    Copied, as ours is made before the clock starts.
    """
    module = copy.deepcopy(run.module.module).train()
    module.load_state_dict(run.module.unflatten(run.module.start()), strict=False)
    return module


def batches(run: ng.Run) -> Iterator[tuple[Tensor, Tensor]]:
    """Those that the run sees, in its order."""
    for step in range(run.steps):
        yield run.task.plan.batch(run.seed, step, run.task.device, run.dtype)


def held_out(run: ng.Run) -> tuple[Tensor, Tensor]:
    """All validation examples at once."""
    inputs, targets = run.task.validation.fetch(slice(None))
    return inputs.to(run.task.device, run.dtype), targets.to(run.task.device)
