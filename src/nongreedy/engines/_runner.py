"""A runner: how a schedule is trained once."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor

from ..schedules import Schedule, Value
from ._losses import Losses
from ._progress import OnState, OnStep, ignore, progress_of
from ._run import Outcome, Run, at
from ._trajectory import Trajectory

TRAINING = "training"  # name of the loop of a plain run, for whoever keeps its state


def autocasts() -> dict[str, torch.dtype]:
    """The caller's: kinds of devices where it is on -> what it computes in."""
    return {
        kind: torch.get_autocast_dtype(kind)
        for kind in ("cpu", "cuda")
        if torch.is_autocast_enabled(kind)
    }


@dataclass
class Rollout:
    """A finished run: what it was, what came out, and what a sweep needs.

    Attributes:
        values: What the run used at each step, name -> shape (T,): where it is differentiated. Empty
            where the run is only remembered.
        losses: Training loss of each batch before its step, length T.
        final: s_T, shape (slots, P); None where the run is only remembered.
        trajectory: The visited states, if they were kept.
        autocast: Under which it was made.
    """

    run: Run
    schedule: Schedule
    values: Mapping[str, Tensor]
    outcome: Outcome
    losses: list[float]
    final: Tensor | None = None
    trajectory: Trajectory | None = None
    autocast: dict[str, torch.dtype] = field(default_factory=autocasts)

    def taken(self) -> Trajectory | None:
        """The visited states, which are given away to a sweep.

        Raises:
            ValueError: Another autocast is on than in the run: its gradients would be another run's.
        """
        if (now := autocasts()) != self.autocast:
            raise ValueError(
                f"The run was made under autocast {self.autocast or 'off'}, and is differentiated under "
                f"{now or 'off'}: those would be gradients that it never had. Enter torch.autocast around "
                "both, or in the model's forward pass."
            )
        trajectory, self.trajectory = self.trajectory, None
        return trajectory

    @property
    def last(self) -> Tensor:
        """s_T; ValueError where the run is only remembered."""
        if self.final is None:
            raise ValueError("This rollout is remembered and has no states. Run it once more.")
        return self.final

    @property
    def answer(self) -> Tensor:
        """What was judged, and is kept: shape (P,); ValueError as of `last`."""
        return self.run.optimizer.answer(self.last)


class Runner(Value):
    """Trains once under a schedule, by the steps of the run. Leaves train in other ways.

    Knows nothing of derivatives; an :class:`Engine` is a runner that also differentiates. A runner is a
    value: two of one class and the same settings, which are its public attributes, are equal, and a
    study tells those apart whose settings differ.

    Example:
        >>> import torch, nongreedy as ng
        >>> x = torch.randn(64, 4)
        >>> task = ng.Task(lambda: torch.nn.Linear(4, 1), torch.nn.functional.mse_loss,
        ...                (x, x[:, :1]), (x, x[:, :1]), batch_size=16)
        >>> run = ng.Run(task, ng.SGD(), steps=8)
        >>> len(Runner().rollout(run, ng.Schedule.of(learning_rate=0.1, momentum=0.9,
        ...                                           weight_decay=0.0)).losses)
        8
    """

    def trajectory(self, run: Run) -> Trajectory | None:
        """An empty place for the states that a sweep will want, or None."""
        return None

    def rollout(
        self,
        run: Run,
        schedule: Schedule,
        *,
        keep: bool = False,
        on_step: OnStep = ignore,
        on_state: OnState | None = None,
    ) -> Rollout:
        """Train once.

        Args:
            keep: Whether a sweep will follow, which wants the visited states.
            on_step: Told of each step that is done.
            on_state: Shown each state before its step; what it raises ends the run.

        Raises:
            DivergedError: At the first non-finite loss.
        """
        trajectory = self.trajectory(run) if keep else None
        progress, values = progress_of(on_step), run.values(schedule)
        state, start, losses = run.initial(at(values, 0)), 0, Losses(run)
        # Where states are kept or shown, the earlier ones are needed, too: such a run begins anew.
        resumable = trajectory is None and on_state is None
        if resumable and (saved := progress.begin(TRAINING)):
            start, losses = saved["step"], Losses(run, saved["losses"])
            state = saved["state"].to(state.device)
        with run.isolated(), losses.first():
            for t in range(start, run.steps):
                if on_state is not None:
                    on_state(t, state)
                before, now = state, at(values, t)
                if trajectory is None:
                    state, loss = run.step(state, now, t)
                else:
                    state, loss = trajectory.step(run, state, now, t)
                losses.add(t, before, now, loss)
                if resumable and progress.due(TRAINING):
                    progress.keep(TRAINING, t + 1, {"state": state, "losses": losses.read()})
                progress(t)
            losses.read()
            outcome = run.ended(state)
        return Rollout(run, schedule, values, outcome, losses.numbers, state, trajectory)
