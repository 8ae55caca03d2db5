"""What a reverse sweep notes of each step."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from torch import Tensor

from ._adjoint import AdjointSums
from ._explosion import AdjointNorms
from ._linearized import Linearized
from ._readings import Readings
from ._runner import Rollout


class Sweep:
    """Losses that were computed again, adjoints of hyperparameters and norms of the weights' adjoints.

    Args:
        gradient: Of the outer loss, shape (P,).
        limit: Of growth, as in :class:`AdjointNorms`.

    Attributes:
        readings: What looks at its numbers, and at those of a replay.

    Raises:
        ReplayError, DivergedError, ExplodedError: By `add`, some steps late, and by `close`.
    """

    def __init__(
        self, rollout: Rollout, learn: Collection[str], gradient: Tensor, limit: float | None
    ):
        steps = rollout.run.steps
        self._run, self._losses, self._names = rollout.run, rollout.losses, list(learn)
        self.sums = AdjointSums(rollout.schedule, learn, steps)
        self._norms = AdjointNorms(gradient, steps, limit)
        self.readings = Readings(self._run.task.shards.many)
        self._coarse: float | None = (
            None  # precision of what is computed again, such as of autocast
        )

    def restore(self, saved: Mapping[str, Any]) -> None:
        """Go on from `tables`."""
        self.sums.restore(saved)
        self._norms.restore(saved["norms"])

    @property
    def norms(self) -> Tensor:
        """Of the adjoints so far, shape (T + 1,)."""
        self.readings.read()
        return self._norms.norms

    @property
    def tables(self) -> dict[str, Tensor]:
        """All that was noted so far, by name."""
        return {"norms": self.norms, **self.sums.tables}

    def add(
        self, point: Linearized, adjoint: Tensor, pulled: Mapping[str, Tensor], step: int
    ) -> None:
        """A step: its gradient, the adjoint of theta_t and those of the learned values."""
        if self._coarse is None:
            self._coarse = point.coarse
        numbers = self.sums.numbers({name: pulled[name] for name in self._names})
        self.readings.add(step, [point.loss, self._norms.of(adjoint), *numbers], self._judge)

    def _judge(self, step: int, numbers: Sequence[float]) -> None:
        loss, norm, *adjoints = numbers
        if self._losses:
            self._run.check_replay(loss, self._losses[step], step, self._coarse or 0.0)
        with self.readings.counted(self._run.steps - step, self._run.steps):
            self.sums.note(self._names, adjoints, step)
            self._norms.note(norm, step)
