"""Probes: when, and on which examples, a greedy method consults the validation loss."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from ..errors import DivergedError
from ..task import DataPlan
from ..task._data_plan import LOOKS, mix
from ._readings import Readings
from ._run import Outcome, Run


@dataclass
class Told:
    """What validation examples say, None until it is read."""

    outcome: Outcome | None = None


class Probes:
    """The validation gradients that one run is asked for on its way.

    Args:
        run: Whose validation loss is consulted.
        every: Steps from one probe to the next, counted back from the last step, which always is
            probed; None probes the last step only.
        batch: Validation examples per probe, drawn by (seed, step); None is all of them.

    Attributes:
        readings: What looks at what they say: at once, unless whoever follows the run has its own.

    Raises:
        DataError: A batch larger than the validation data.
    """

    def __init__(self, run: Run, every: int | None, batch: int | None):
        self._run, self._every, self._batch = run, every or run.steps, batch
        self.readings = Readings(at_once=True)
        self._plan = None if batch is None else DataPlan(run.task.validation, batch)

    def after(self, step: int) -> bool:
        """Whether the state that this step leads to is probed."""
        return (self._run.steps - 1 - step) % self._every == 0

    def gradient(self, parameters: Tensor, step: int) -> tuple[Outcome, Tensor]:
        """Validation loss of what this step led to, and its gradient, shape (P,)."""
        told, gradient = self.unread_gradient(parameters, step)
        self.readings.read()
        assert told.outcome is not None
        return told.outcome, gradient

    def unread_gradient(self, parameters: Tensor, step: int) -> tuple[Told, Tensor]:
        """The same, not looked at before the readings are."""
        total, gradient = self._run.unread_outer_gradient(parameters, self._chosen(step))
        told = Told()

        def judge(step: int, numbers: Sequence[float]) -> None:
            try:
                told.outcome = self._run.outcome(*total.told(numbers))
            except DivergedError as error:
                raise DivergedError(error.quantity, step + 1, self._run.steps) from error

        self.readings.add(step, list(total.numbers), judge)
        return told, gradient

    def _chosen(self, step: int) -> Tensor | None:
        if self._plan is None:
            return None
        # A stream of its own: validation batches must not move in step with training batches.
        indices = self._plan.indices(mix(self._run.seed, LOOKS), step)
        return indices if isinstance(indices, Tensor) else None

    @property
    def count(self) -> int:
        """How many there are."""
        return -(-self._run.steps // self._every)

    @property
    def cost(self) -> float:
        """Gradients of all probes together, in plain runs."""
        task, steps = self._run.task, self._run.steps
        return self.count * (self._batch or task.validation.count) / (steps * task.batch_size)
