"""Probes: when, and on which examples, a greedy method consults the validation loss."""

from torch import Tensor

from ..errors import DivergedError
from ..task import DataPlan
from ..task._data_plan import LOOKS, mix
from ._run import Outcome, Run


class Probes:
    """The validation gradients that one run is asked for on its way.

    Args:
        run: Whose validation loss is consulted.
        every: Steps from one probe to the next, counted back from the last step, which always is
            probed; None probes the last step only.
        batch: Validation examples per probe, drawn by (seed, step); None is all of them.

    Raises:
        DataError: A batch larger than the validation data.
    """

    def __init__(self, run: Run, every: int | None, batch: int | None):
        self._run, self._every, self._batch = run, every or run.steps, batch
        self._plan = None if batch is None else DataPlan(run.task.validation, batch)

    def after(self, step: int) -> bool:
        """Whether the state that this step leads to is probed."""
        return (self._run.steps - 1 - step) % self._every == 0

    def gradient(self, parameters: Tensor, step: int) -> tuple[Outcome, Tensor]:
        """Validation loss of what this step led to, and its gradient, shape (P,)."""
        chosen = None
        if self._plan is not None:
            # A stream of its own: validation batches must not move in step with training batches.
            indices = self._plan.indices(mix(self._run.seed, LOOKS), step)
            chosen = indices if isinstance(indices, Tensor) else None
        try:
            return self._run.outer_gradient(parameters, chosen)
        except DivergedError as error:
            raise DivergedError(error.quantity, step + 1, self._run.steps) from error

    @property
    def count(self) -> int:
        """How many there are."""
        return -(-self._run.steps // self._every)

    @property
    def cost(self) -> float:
        """Gradients of all probes together, in plain runs."""
        task, steps = self._run.task, self._run.steps
        return self.count * (self._batch or task.validation.count) / (steps * task.batch_size)
