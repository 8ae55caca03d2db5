"""Sensitivity: how the present state of a run depends on the hyperparameters used so far."""

import abc
from collections.abc import Iterable, Sequence
from typing import final

import torch
from torch import Tensor

from ..errors import DivergedError
from ..schedules import Variable
from ._adjoint import pull_back
from ._forward import Forward
from ._probes import Probes, Told
from ._readings import Readings
from ._run import Outcome, Run, Values

# What validation says, and name -> derivative, in the value's shape.
Judged = tuple[Outcome, dict[str, Tensor]]
Looked = tuple[Told, dict[str, Tensor]]  # the same, not read


class Sensitivity(abc.ABC):
    """Goes along with a run and can be asked for derivatives at any step.

    Attributes:
        loss: Training loss of the step that was taken last, shape (), where it shall be looked at.
    """

    loss: Tensor | None = None

    @abc.abstractmethod
    def advance(self, state: Tensor, values: Values, step: int) -> Tensor:
        """The next state, shape (slots, P); takes note of how it depends on `values`."""

    @abc.abstractmethod
    def look(self, probes: Probes, state: Tensor, values: Values, step: int) -> Looked:
        """What validation says at this state, and the derivatives of that; all checks are left to the
        readings of the probes."""

    def probe(self, probes: Probes, state: Tensor, values: Values, step: int) -> Judged:
        """The same, looked at."""
        told, gradients = self.look(probes, state, values, step)
        probes.readings.read()
        assert told.outcome is not None
        return told.outcome, gradients


@final
class OneStep(Sensitivity):
    r"""The last step alone: :math:`\langle \nabla L(\theta_{t+1}), \partial_h U_t \rangle`.

    One vector-Jacobian product of the update gives it for every setting of the optimizer: the raw
    gradient does not depend on those. For the task's hyperparameters, of any size, the raw gradient
    is differentiated once more (T1-T2).

    Raises:
        DivergedError: A non-finite derivative.
    """

    def __init__(self, run: Run, learn: Iterable[str]):
        self._run, self._learn = run, list(learn)

    def advance(self, state: Tensor, values: Values, step: int) -> Tensor:
        self.loss, gradient = self._run.unread_gradient(state[0], step, values)
        self._last = state, gradient, values
        return self._run.optimizer.advance(state, gradient, values)

    def look(self, probes: Probes, state: Tensor, values: Values, step: int) -> Looked:
        before, raw, used = self._last
        rule = self._run.optimizer
        told, gradient = probes.unread_gradient(rule.answer(state), step)
        adjoint = rule.answered(gradient, state)
        if is_direct(self._run, self._learn):
            *_, pulled = rule.pull_back(before, raw, used, adjoint, self._learn)
        else:
            _, pulled = pull_back(self._run, before, used, step, adjoint, self._learn)
        return told, checked(pulled, "greedy", step, self._run.steps, probes.readings)


@final
class Transported(Sensitivity):
    r"""Every step so far, discounted: :math:`Z_{t+1} = \mu A_t Z_t + B_t`, one tangent per name.

    A hyperparameter counts as the same number at every step, as in real-time recurrent learning:
    the change of today's value is thought to have been made to all former ones, too.

    Raises:
        DivergedError: A non-finite loss or tangent.
        ValueError: A variable: its entries would need a tangent each.
    """

    def __init__(self, run: Run, learn: Iterable[str], mu: float, chunk: int | None = None):
        self._run, self._learn, self._mu, self._forward = run, list(learn), mu, Forward(chunk)
        for name in self._learn:
            if isinstance(run.task.learnable.get(name), Variable):
                raise ValueError(
                    f"{name} is a variable, but a Greedy engine with mu={mu} moves one number per "
                    "hyperparameter. Use mu=0, EvoGrad, or `tune`."
                )
        count = len(self._learn)
        unit = torch.eye(count, dtype=run.dtype, device=run.task.device)
        self._seeds = dict(zip(self._learn, unit, strict=True))
        self._tangents = torch.empty(0)

    def advance(self, state: Tensor, values: Values, step: int) -> Tensor:
        if step == 0:
            self._tangents = state.new_zeros(len(self._learn), *state.shape)
        # A step is linear in its tangents: discounting them before it discounts its Jacobian.
        self._tangents.mul_(self._mu)
        return self._forward.push_step(self._run, state, values, step, self._tangents, self._seeds)

    def look(self, probes: Probes, state: Tensor, values: Values, step: int) -> Looked:
        answer = self._run.optimizer.answer
        told, gradient = probes.unread_gradient(answer(state), step)
        products = dict(zip(self._learn, answer(self._tangents) @ gradient, strict=True))
        return told, checked(products, "greedy", step, self._run.steps, probes.readings)


def is_direct(run: Run, learn: Iterable[str]) -> bool:
    """Whether all act in the optimizer's update, and none through the raw gradient."""
    return set(learn) <= set(run.optimizer.learnable)


def checked(
    gradients: dict[str, Tensor], by: str, step: int, steps: int, readings: Readings
) -> dict[str, Tensor]:
    """The hypergradients; DivergedError where one is not finite, once that is read."""

    def judge(step: int, finite: Sequence[float]) -> None:
        for name, yes in zip(gradients, finite, strict=True):
            if not yes:
                raise DivergedError(f"{by} hypergradient (of {name})", step, steps)

    readings.add(step, [value.isfinite().all() for value in gradients.values()], judge)
    return gradients
