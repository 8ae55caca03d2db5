"""Packages that only some users have."""

import importlib
from typing import Any


def optional(*names: str, extra: str) -> Any:
    """The first of these modules that is installed, by the way to install it where none is.

    Typed as anything: a type checker must not need the package either.
    """
    for name in names:
        try:
            return importlib.import_module(name)
        except ModuleNotFoundError as error:
            # A module that is missing inside an installed package is another story: let it be told.
            if error.name is None or not f"{name}.".startswith(f"{error.name}."):
                raise
    raise ModuleNotFoundError(
        f"nongreedy.integrations.{extra} needs {' or '.join(names)}, which is not installed. Run: "
        f"pip install 'nongreedy[{extra}]'",
        name=names[0],
    )
