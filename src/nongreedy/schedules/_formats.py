"""What a schedule is elsewhere: a table of its values, or Python that needs another framework alone."""

import csv
import io
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy

from ..errors import nearest_name
from ._average import is_average
from ._settings import KNOWN, base
from ._tables import Scheduled, tables
from ._variable import Variable

_EXACT = 1e-12  # of a row's largest value
_LONGEST = 10**7  # steps whose values are written out

_HEAD = '''"""A schedule for {total} optimizer steps, exported by nongreedy: straight lines between knots.

{use}
"""

{imports}

# Name -> steps, from 0, and the values at them.
KNOTS = {knots}
'''

_TORCH_USE = """\
    scheduler = lambda_lr(optimizer)
    for step in range({total}):
        set_others(optimizer, step)
        ...  # forward, backward
        optimizer.step()
        scheduler.step()"""

_TORCH = '''
# Name -> keys of a parameter group, of which the first that it has is set.
PLACES = {places}


def value(name, step):
    """A hyperparameter at an optimizer step; after the last step the last value."""
    steps, values = KNOTS[name]
    place = bisect.bisect_right(steps, step)
    if place == len(steps):
        return values[-1]
    share = (step - steps[place - 1]) / (steps[place] - steps[place - 1])
    return (1 - share) * values[place - 1] + share * values[place]


def lambda_lr(optimizer):
    """The learning rate, where groups keep the ratio of theirs."""
    largest = max(group["lr"] for group in optimizer.param_groups)
    return LambdaLR(optimizer, lambda step: value("learning_rate", step) / largest)


def set_others(optimizer, step):
    """Everything else; a group without weight decay beside others with it is left without."""
    for group in optimizer.param_groups:
        group.setdefault("decays", group.get("weight_decay"))
    some = any(group["decays"] for group in optimizer.param_groups)
    for group in optimizer.param_groups:
        for name, keys in PLACES.items():
            if name == "weight_decay" and some and not group["decays"]:
                continue
            known = [key for key in keys if key[0] in group]
            if not known:
                raise KeyError(f"The optimizer has no {name}.")
            (key, *place), new = known[0], value(name, step)
            if place:
                entries = list(group[key])
                entries[place[0]] = new
                new = tuple(entries)
            group[key] = new
'''

_OPTAX_USE = """\
    optimizer = optax.sgd(SCHEDULES["learning_rate"])

or, of several: optax.inject_hyperparams(optax.adamw)(learning_rate=SCHEDULES["learning_rate"],
b1=SCHEDULES["beta1"]). Values are float32 unless JAX has 64 bits enabled."""

_OPTAX = '''

def _lines(steps, values):
    """An optax schedule: count -> value; after the last step the last value."""
    return lambda count: jnp.interp(count, jnp.asarray(steps), jnp.asarray(values))


SCHEDULES = {name: _lines(*knots) for name, knots in KNOTS.items()}
'''


def written(schedule: Scheduled, total: int, kind: str | None, path: Path) -> str:
    """A schedule of a run of `total` steps in one of the formats, by name or by the path's suffix.

    Raises:
        ValueError: No such format, or a schedule that cannot be had in it.
    """
    if kind is None:
        kind = {".csv": "csv"}.get(path.suffix.lower())
        if kind is None:
            raise ValueError(
                f"The name {path.name!r} does not say which format is meant. Pass format=: 'csv', or of "
                "Python 'torch' or 'optax'."
            )
    if kind not in FORMATS:
        raise ValueError(f"There is no format {kind!r}." + nearest_name(kind, FORMATS))
    if total > _LONGEST:
        raise ValueError(
            f"total_steps={total} are more than the {_LONGEST} that are written out. Export a shorter run, "
            "of which the schedule is the same, and stretch its steps."
        )
    return FORMATS[kind](schedule, total)


def _csv(schedule: Scheduled, total: int) -> str:
    """A row for each step, a column for each hyperparameter; every number reads back as it was."""
    values = schedule.values(total)
    table = {name: values[name].tolist() for name in _over_time(schedule)}
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["step", *table])
    writer.writerows(zip(range(total), *table.values(), strict=True))
    return text.getvalue()


def _torch(schedule: Scheduled, total: int) -> str:
    names = _of_optimizer(schedule, "attach")
    for name in names:
        if base(name)[1]:
            raise ValueError(
                f"{name!r} is a value of one parameter group, which a LambdaLR does not know. Use "
                "Schedule.attach, or format='csv'."
            )
    if "learning_rate" not in names:
        raise ValueError(
            f"The schedule has no learning_rate, only {', '.join(names)}: there is nothing for a LambdaLR. "
            "Use Schedule.attach, or format='csv'."
        )
    places = {
        name: [list(key) if isinstance(key, tuple) else [key] for key in KNOWN.get(name, (name,))]
        for name in names
        if name != "learning_rate"
    }  # fmt: skip
    imports = "import bisect\n\nfrom torch.optim.lr_scheduler import LambdaLR"
    head = _headed(schedule, names, total, _TORCH_USE.format(total=total), imports)
    return head + _TORCH.replace("{places}", _listed(places))


def _optax(schedule: Scheduled, total: int) -> str:
    names = _of_optimizer(schedule, "values")
    return _headed(schedule, names, total, _OPTAX_USE, "import jax.numpy as jnp") + _OPTAX


FORMATS: dict[str, Callable[[Scheduled, int], str]] = {
    "csv": _csv,
    "torch": _torch,
    "optax": _optax,
}


def _over_time(schedule: Scheduled) -> list[str]:
    curves = schedule.curves.items()
    names = [name for name, curve in curves if not isinstance(curve.basis, Variable)]
    if not names:
        raise ValueError(
            f"The schedule holds tensors alone ({', '.join(schedule.curves)}), which do not change over the "
            "run. Take them from schedule[name]."
        )
    return names


def _of_optimizer(schedule: Scheduled, instead: str) -> list[str]:
    """Names of what an optimizer elsewhere could be given."""
    averages = [name for name in schedule.curves if is_average(name)]
    if averages:
        raise ValueError(
            f"The schedule has {averages[0]!r}: averages of weights, which no schedule of values makes. Use "
            f"Schedule.{instead}, or format='csv'."
        )
    return [name for name in _over_time(schedule) if schedule.curves[name].owner == "optimizer"]


def _headed(schedule: Scheduled, names: list[str], total: int, use: str, imports: str) -> str:
    table = tables(schedule, names, 0, total, judged=False)
    knots = _listed({name: _knots(row) for name, row in table.items()})
    return _HEAD.format(total=total, use=use, imports=imports, knots=knots)


def _listed(rows: Mapping[str, Any]) -> str:
    """A dictionary in Python, a row for each name: JSON's texts and numbers are Python's, too."""
    lines = (f"    {json.dumps(name)}: {json.dumps(row)},\n" for name, row in rows.items())
    return f"{{\n{''.join(lines)}}}" if rows else "{}"


def _knots(row: list[float]) -> list[list[Any]]:
    """The steps between which a row is straight, and its values there; all steps where it is not."""
    values, last = numpy.array(row), len(row) - 1
    exact = _EXACT * abs(values).max()
    bent = abs(numpy.diff(values, 2)) > exact
    steps = numpy.array(sorted({0, *(numpy.flatnonzero(bent) + 1).tolist(), last}))
    every = numpy.arange(len(row))
    if not (abs(numpy.interp(every, steps, values[steps]) - values) <= 100 * exact).all():
        steps = every
    return [steps.tolist(), values[steps].tolist()]
