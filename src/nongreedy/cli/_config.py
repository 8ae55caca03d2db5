"""``--config``: options from a TOML file, which the command line overrides; and the file of a run."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from nongreedy.errors import nearest_name

from ._exit import USAGE, Mistake, leave
from ._names import flag

FILE = "config.toml"
# Of no run to come: the task is an argument, and of where a run is kept only the user decides; the
# address of a database may hold a password.
_NOT_KEPT = ("target", "out", "study", "shared", "config")


def _read(context: typer.Context, path: Path | None) -> Path | None:
    """Make what the file says the default of the other options, as Click has it for this."""
    if path is not None and not context.resilient_parsing:
        try:
            context.default_map = _defaults(context, path)
        except Mistake as error:
            leave(f"error: {error}", USAGE)
    return path


# Eager: it is read before the other options are.
Option = Annotated[
    Path | None,
    typer.Option(
        callback=_read,
        is_eager=True,
        help="TOML file of options by their long names, such as epochs = 20; those given here win.",
    ),
]


def _defaults(context: typer.Context, path: Path) -> dict[str, Any]:
    """Name of each parameter -> what the file says, as text that is checked like an option's."""
    known, elsewhere = _options(context.command), set[str]()
    group = context.parent.command if context.parent else None
    for other in getattr(group, "commands", {}).values():
        elsewhere |= _options(other).keys() if "config" in _options(other) else set()
    found, left = dict[str, Any](), list[str]()
    for key, value in _parsed(path).items():
        if isinstance(value, dict):
            raise Mistake(
                f"{path}: {key} is a table. Write options by themselves, such as epochs = 20."
            )
        name = key.replace("_", "-")
        if name in ("help", "config") or name not in known | dict.fromkeys(elsewhere):
            names = known.keys() - {"help", "config"}
            raise Mistake(f"{path}: there is no option {key!r}.{nearest_name(name, names)}")
        if name in known:
            found[known[name].name] = _checked(context, known[name], path, key, value)
        else:
            left.append(key)
    if left:
        message = f"{path}: {', '.join(left)} left out, which `nongreedy {context.info_name}` does not have."
        typer.echo(message, err=True)
    return found


def _options(command: Any) -> dict[str, Any]:
    """Long name -> option."""
    options = [param for param in command.params if param.param_type_name == "option"]
    return {max(option.opts, key=len).removeprefix("--"): option for option in options}


def _parsed(path: Path) -> dict[str, Any]:
    try:
        with path.open("rb") as file:
            return tomllib.load(file)
    except FileNotFoundError:
        raise Mistake(f"There is no {str(path)!r}: name a TOML file that exists.") from None
    except (OSError, ValueError) as error:  # TOML's and Unicode's own are of the latter
        raise Mistake(
            f"Cannot read {path}: {error}. A line of it is such as epochs = 20."
        ) from None


def _checked(context: typer.Context, option: Any, path: Path, key: str, value: Any) -> Any:
    """As the command line would have it."""
    if isinstance(value, list):
        value = ",".join(map(str, value))
    switch = isinstance(option.default, bool)
    if switch != isinstance(value, bool):
        kind = "true or false" if switch else "a number or a text"
        raise Mistake(f"{path}: {key} takes {kind}, but got {json.dumps(value, default=str)}.")
    given = value if switch else str(value)  # "2.5" is no whole number, as int(2.5) would be
    try:
        option.process_value(context, given)
    except typer.BadParameter as error:
        raise Mistake(f"{path}: {key} = {given!r}: {error.message}") from None
    return given


def content(command: str, settings: Mapping[str, Any]) -> str:
    """What was used, as a file that ``--config`` takes."""
    task = f"{settings['target']} " if settings["target"] else ""
    lines = [f"# Again: nongreedy {command} {task}--config {FILE}".replace("\n", " ")]
    for name, value in settings.items():
        if value is not None and name not in _NOT_KEPT:
            lines.append(f"{flag(name)} = {_toml(value)}")
    return "\n".join(lines) + "\n"


def _toml(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, (int, float)):
        return repr(value)
    text = str(value).encode("utf-8", "replace").decode()  # names of files may be no text
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
