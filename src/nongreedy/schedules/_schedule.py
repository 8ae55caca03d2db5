"""A schedule: what the user keeps. Bases times coefficients, by name; a JSON file; a scheduler."""

from __future__ import annotations

import html
import json
import os
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from ..errors import ScheduleFileError, check_path
from ._curve import Curve, read_curve
from ._files import read_json, replace_file
from ._formats import written
from ._free import fall_unlike
from ._hyperparameter import Hyperparameter
from ._origin import check_kind, far_from
from ._ranges import out_of_range, whole
from ._scheduler import SCALE, ScheduleLR
from ._settings import Setting
from ._value import Value, identity
from ._windows import Windows

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from numpy.typing import NDArray

_NAMED = 6  # hyperparameters, at most, in a line
FORMAT = "nongreedy.schedule"
VERSION = 1


@dataclass(frozen=True)
class Schedule(Value):
    """Values of every hyperparameter over a training run of any length.

    .. math:: h_t = \\sum_j B_{tj} c_j, \\qquad t = 0 .. T - 1

    Args:
        curves: Name -> :class:`Curve`.
        settings: What produced it; kept in the file, never interpreted.

    Cannot: know whether it suits another model or data set than the one it was learned on.

    Example:
        >>> schedule = Schedule.of(learning_rate=[0.1, 0.01], momentum=0.9)
        >>> schedule.values(4)["learning_rate"].tolist()
        [0.1, 0.1, 0.01, 0.01]
    """

    curves: Mapping[str, Curve]
    settings: Mapping[str, Any] = field(default_factory=dict, compare=False)

    @classmethod
    def of(cls, **values: float | list[float]) -> Schedule:
        """Windows from plain numbers or lists of numbers.

        Raises:
            ValueError: A learning rate, decay or the like that is negative, a momentum outside
                [0, 1), or anything that is not a finite number; no values at all.
        """
        curves = {}
        for name, value in values.items():
            row = _row(name, value)
            if words := out_of_range(name, row, "window"):
                raise ValueError(words)
            curves[name] = Curve(Windows(len(row)), row)
        if not curves:
            raise ValueError("A schedule needs values: Schedule.of(learning_rate=[0.1, 0.01]).")
        return cls(curves)

    @classmethod
    def initial(cls, hyperparameters: Mapping[str, Hyperparameter]) -> Schedule:
        """Where the search begins."""
        rows = hyperparameters.items()
        return cls({name: Curve(h.basis, h.initial.clone(), h.owner) for name, h in rows})

    def __getitem__(self, name: str) -> Tensor:
        """Coefficients of one hyperparameter."""
        return self.curves[name].coefficients

    @property
    def identity(self) -> tuple[tuple[object, ...], ...]:
        """Bases and every bit of the coefficients: equal for schedules that give equal runs, and of
        the same `repr` in every process."""
        rows = []
        for name, curve in sorted(self.curves.items()):
            settings = json.dumps(identity(curve.basis.shape_settings()))
            rows.append((name, curve.basis.kind, settings, curve.coefficients.numpy().tobytes()))
        return tuple(rows)

    def with_coefficients(self, changed: Mapping[str, Tensor]) -> Schedule:
        """The same bases with other coefficients for some names."""
        curves = {
            name: replace(curve, coefficients=changed.get(name, curve.coefficients))
            for name, curve in self.curves.items()
        }
        return Schedule(curves, self.settings)

    def with_settings(self, settings: Mapping[str, Any]) -> Schedule:
        """The same curves with a record of what produced them."""
        return Schedule(self.curves, settings)

    def values(self, total_steps: int) -> dict[str, Tensor]:
        """Every value at every step: name -> shape (total_steps, ...), float64."""
        total_steps = whole("total_steps", total_steps)
        return {name: curve.values(total_steps) for name, curve in self.curves.items()}

    def tensors(
        self, total_steps: int, device: torch.device, dtype: torch.dtype
    ) -> dict[str, Tensor]:
        """The same on a device; a variable, equal at every step, is not copied for each."""
        return {
            name: (value[:1] if value.dim() > 1 else value).to(device, dtype).expand(value.shape)
            for name, value in self.values(total_steps).items()
        }

    def describe(self) -> str:
        """One line per hyperparameter, for people."""
        curves = self.curves.items()
        return "\n".join(f"{n:<14} {c.basis.kind:<9} {c.describe()}" for n, c in curves)

    def __repr__(self) -> str:
        told = [f"{name}={curve.summary}" for name, curve in self.curves.items()]
        more = [f"and {len(told) - _NAMED} more"] if len(told) > _NAMED else []
        return f"Schedule({', '.join([*told[:_NAMED], *more])})"

    def _repr_html_(self) -> str:
        """A picture in notebooks; lines of text where nothing changes over a run."""
        from ._drawing._schedules import drawn
        from ._drawing._sketch import sketches

        charts = drawn(self.curves, None)
        return sketches(charts) if charts else f"<pre>{html.escape(self.describe())}</pre>"

    def plot(
        self, total_steps: int | None = None, ax: Axes | Sequence[Axes] | None = None
    ) -> NDArray[Any]:
        """Draw every value over a run, one panel for each hyperparameter.

        Args:
            total_steps: Length of the run in steps; without it the horizontal axis is in percent of
                the run.
            ax: Matplotlib axes to draw in, as many as there are panels; by default those of a new
                pyplot figure.

        Returns:
            The axes, an array of shape (panels,).

        Raises:
            ValueError: A length that is no whole number, another number of axes, or a schedule of
                which nothing changes over a run.

        Cannot: draw hyperparameters that hold throughout a run, such as a :class:`Variable`.

        Example:
            >>> panels = Schedule.of(learning_rate=[0.1, 0.01], momentum=0.9).plot(total_steps=100)
            >>> [panel.get_title("left") for panel in panels]
            ['learning rate', 'momentum']
        """
        from ._drawing._schedules import drawn

        if total_steps is not None:
            total_steps = whole("total_steps", total_steps)
        charts = drawn(self.curves, total_steps)
        if not charts:
            raise ValueError(
                f"Nothing of the schedule changes over a run ({', '.join(self.curves)}). "
                "Read its values: schedule[name]."
            )
        from ._drawing._plot import plotted

        return plotted(charts, ax)

    def attach(
        self,
        optimizer: torch.optim.Optimizer,
        total_steps: int,
        settings: Mapping[str, Setting] | None = None,
        *,
        groups: str = SCALE,
        from_step: int = 0,
        remaining: int | None = None,
        strict: bool = True,
    ) -> ScheduleLR:
        """A ``torch.optim.lr_scheduler.LRScheduler`` that sets this schedule's values each step.

        Sets whatever the schedule holds in every parameter group that has it, now and at each
        ``scheduler.step()``, for a run of `total_steps` steps; afterwards the last values stay.
        Learning rates that are tensors are filled in place. States may be loaded in any order.

        **Groups** with learning rates of their own keep their ratio: that with the largest one has
        the schedule's, and the others the same part of it as of the largest one (``initial_lr``, as
        of torch's schedulers), so that no group has more than was learned. A group that is added
        later joins at the next ``scheduler.step()``. It keeps the ratio that its rate then has to
        the schedule's; with the optimizer's default rate it is as if it had been there at first.
        A group whose weight decay is 0 while that of others is not, as is usual for biases and
        norms, keeps its 0. A group for which the schedule has an entry of its own has that.

        **Averages** (``average_share``, ``average_decay``) of the parameters are kept by the scheduler, and
        are in them after the last step; on the way ``with scheduler.averaged()`` puts them there. A
        schedule-free optimizer is in evaluation after the last step.

        Hyperparameters of the task (of its loss, data or initialization) are not the optimizer's:
        take them from :meth:`values`.

        Args:
            optimizer: Any ``torch.optim`` optimizer.
            total_steps: Length of the run in steps of it.
            settings: Name in the schedule -> what it sets: a key of the groups (``"lr"``), a key and
                a place in its tuple (``("betas", 0)``), or a function of the group and the value.
                What is not given is known of torch's own optimizers (learning rate, momentum, betas,
                epsilon, smoothing), and else has the same name in the groups.
            groups: ``"scale"``, as above; ``"same"`` gives one learning rate to all groups.
            from_step: Begin at this step of the run instead of 0; from `total_steps` on the last
                values hold.
            remaining: What is left of the schedule from `from_step` on, all of it by default, is
                stretched over this number of steps: its end is that of a longer or shorter run.
            strict: Whether to refuse another kind of optimizer than the one that the schedule was made
                for, or another update of that kind (``nesterov``, ``amsgrad``), and to warn of a run
                that is three times as long or as short, as its settings tell.

        Raises:
            ValueError: Averages of two kinds, or what a schedule-free optimizer cannot follow; steps that
                are no whole numbers, nothing left to be stretched, values that
                cannot be (a negative learning rate), an optimizer that lacks a hyperparameter or is of
                another kind.
            TypeError: No optimizer.

        Warns:
            UserWarning: Once, if anything else sets the learning rate between two steps; a run of another
                length than those that the schedule was learned in.

        Example:
            >>> import torch
            >>> layer = torch.nn.Linear(2, 1)
            >>> sgd = torch.optim.SGD(layer.parameters(), lr=0.0)
            >>> scheduler = Schedule.of(learning_rate=[0.1, 0.01]).attach(sgd, total_steps=2)
            >>> sgd.step(); scheduler.step(); sgd.param_groups[0]["lr"]
            0.01
        """
        check_kind(self.settings, optimizer, strict)
        total_steps = whole("total_steps", total_steps)
        far = far_from(self.settings, total_steps) if strict and remaining is None else None
        for words in filter(None, (fall_unlike(self.curves, optimizer), far)):
            warnings.warn(words, stacklevel=2)
        before = whole("from_step", from_step, least=0) - 1
        return ScheduleLR(optimizer, self, total_steps, before, settings, groups, remaining)

    def to_json(self) -> dict[str, Any]:
        """A plain dictionary: format, version, curves, settings."""
        curves = {name: curve.to_json() for name, curve in self.curves.items()}
        content = {"hyperparameters": curves, "settings": dict(self.settings)}
        return {"format": FORMAT, "version": VERSION, **content}

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write the schedule as JSON, all or nothing: a reader never sees half a file."""
        return _write(Path(path), json.dumps(self.to_json(), indent=2, allow_nan=False) + "\n")

    def export(
        self, path: str | os.PathLike[str], total_steps: int, format: str | None = None
    ) -> Path:
        """Write the values of a run of `total_steps` steps for people and frameworks without this library.

        - ``"csv"``: a row for each step, from 0, and a column for each hyperparameter (of groups too, such
          as ``weight_decay[*bias]``); ``pandas.read_csv`` gives back every bit.
        - ``"torch"``: Python with a ``LambdaLR`` of the learning rate and a function that sets the rest.
        - ``"optax"``: Python with an optax schedule, a function of the count, for each hyperparameter.

        Tensors that hold throughout a run (:class:`Variable`) are not written: take them from ``self[name]``.

        Args:
            total_steps: Length of the run in optimizer steps.
            format: As above; None is by the suffix, which only ``.csv`` tells.

        Raises:
            ValueError: A format that is none, steps that are no whole number, values that an optimizer
                cannot have; averages of weights, and as ``"torch"`` values of single groups.
            OSError: The file cannot be written.

        Example:
            >>> import tempfile, os
            >>> path = os.path.join(tempfile.mkdtemp(), "lr.csv")
            >>> written = Schedule.of(learning_rate=[0.1, 0.01]).export(path, total_steps=2)
            >>> written.read_text()
            'step,learning_rate\\n0,0.1\\n1,0.01\\n'
        """
        path = Path(path)
        return _write(path, written(self, whole("total_steps", total_steps), format, path))

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Schedule:
        """Read a schedule that :meth:`save` wrote.

        Raises:
            FileNotFoundError: No such file.
            ScheduleFileError: A directory, not JSON, not a schedule, another version, or values that are not
                finite numbers or that an optimizer's setting cannot have, as in :meth:`of`.
        """
        check_path("path", path)
        path = Path(path)
        if path.is_dir():
            raise ScheduleFileError(
                f"{str(path)!r} is a directory. Give the file in it that Schedule.save wrote, such as "
                f"{str(path / 'schedule.json')!r}."
            )
        try:
            content = read_json(path)
        except ValueError as error:
            raise ScheduleFileError(
                f"{str(path)!r} is not JSON ({error}). Give a file that Schedule.save wrote."
            ) from error
        return cls.from_json(content, source=str(path))

    @classmethod
    def from_json(cls, content: Any, source: str = "the content") -> Schedule:
        """The inverse of :meth:`to_json`, every field checked."""
        if not isinstance(content, dict) or content.get("format") != FORMAT:
            named = content.get("format") if isinstance(content, dict) else type(content).__name__
            raise ScheduleFileError(
                f"{source!r} is not a schedule: its format is {named!r}, expected {FORMAT!r}."
            )
        if content.get("version") != VERSION:
            raise ScheduleFileError(
                f"{source!r} has schedule version {content.get('version')!r}; this release reads "
                f"version {VERSION}. Install the release that wrote it, or tune again."
            )
        table = content.get("hyperparameters")
        if not isinstance(table, dict) or not table:
            raise ScheduleFileError(f"{source!r} holds no hyperparameters.")
        curves = {str(name): read_curve(str(name), row, source) for name, row in table.items()}
        settings = content.get("settings", {})
        return cls(curves, settings if isinstance(settings, dict) else {})


def _write(path: Path, text: str) -> Path:
    try:
        replace_file(path, text)
    except OSError as error:
        raise OSError(
            f"Cannot write the schedule to {str(path)!r}: {error.strerror or error}. "
            "Choose a path in an existing directory that you may write to."
        ) from error
    return path


def _row(name: str, value: Any) -> Tensor:
    """Numbers as a row of float64."""
    try:
        row = torch.as_tensor(value, dtype=torch.float64)
    except (TypeError, ValueError, RuntimeError):
        row = torch.empty(0)
    if row.dim() > 1 or not row.numel() or isinstance(value, bool):
        raise ValueError(f"{name} must be a number or a list of numbers, but got {value!r:.80}.")
    return row.reshape(-1)


def moved(
    schedule: Schedule,
    hyperparameters: Mapping[str, Hyperparameter],
    direction: Mapping[str, Tensor],
    length: float,
) -> Schedule:
    """The schedule `length` outer steps along a direction, within the bounds."""
    changed = {}
    for name, step in direction.items():
        hyper, value = hyperparameters[name], schedule[name]
        target = hyper.to_coordinate(value) + length * hyper.outer_step * step
        changed[name] = torch.where(step == 0, value, hyper.to_value(target))
    return schedule.with_coefficients(changed)
