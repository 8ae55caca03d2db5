"""Packages that only some users have, and the command that installs them."""

import importlib
import importlib.util
from collections.abc import Sequence
from typing import Any

from .errors import MissingExtraError

# Extra -> the modules that it brings, as the list in pyproject.toml has them.
EXTRAS = {
    "cli": ("typer", "rich"),
    "study": ("optuna", "filelock"),
    "report": ("matplotlib",),
    "data": ("sklearn", "PIL"),
    "wings": ("scipy",),
    "pandas": ("pandas",),
    "parquet": ("pyarrow",),
    "compare": ("schedulefree", "prodigyopt"),
    "dashboard": ("optuna_dashboard",),
    "faiss": ("faiss",),
    "rivals": ("nevergrad", "botorch"),
    "lightning": ("lightning.pytorch", "pytorch_lightning"),
    "transformers": ("transformers",),
    "tensorboard": ("tensorboard", "torch.utils.tensorboard"),
    "wandb": ("wandb",),
    "onnx": ("onnx", "onnxruntime"),
}
_SOLD_AS = {
    "sklearn": "scikit-learn",
    "PIL": "pillow",
    "optuna_dashboard": "optuna-dashboard",
    "faiss": "faiss-cpu",
}


def package(module: str) -> str:
    """What a module comes in, as `pip` knows it."""
    return _SOLD_AS.get(module, module)


def missing(*modules: str) -> str:
    """``optuna and filelock, which are not installed. Run: pip install ...``; nothing where all are."""
    absent = [module for module in modules if importlib.util.find_spec(module) is None]
    return _told(absent, "and") if absent else ""


def needed(what: str, *modules: str) -> None:
    """Refuse, before anything is spent, what cannot be done without all of these modules.

    Args:
        what: What needs them, as the user calls it: it begins the message.

    Raises:
        MissingExtraError: Some are not installed.
    """
    if told := missing(*modules):
        raise MissingExtraError(f"{what} needs {told}")


def optional(what: str, *modules: str) -> Any:
    """The first of these modules that is installed.

    Typed as anything: a type checker must not need the package either.

    Raises:
        MissingExtraError: None is.
    """
    for module in modules:
        try:
            return importlib.import_module(module)
        except ModuleNotFoundError as error:
            # A module that is missing inside an installed package is another story: let it be told.
            if error.name is None or not f"{module}.".startswith(f"{error.name}."):
                raise
    raise MissingExtraError(f"{what} needs {_told(modules, 'or')}", name=modules[0])


def _told(modules: Sequence[str], between: str) -> str:
    *first, last = map(package, modules)
    names = f"{', '.join(first)} {between} {last}" if first else last
    verb = "are" if first and between == "and" else "is"
    extras = sorted(extra for extra, brings in EXTRAS.items() if set(modules) & set(brings))
    return f"{names}, which {verb} not installed. Run: pip install 'nongreedy[{','.join(extras)}]'"
