"""What becomes of a training that the library is asked about: exact, refused, or what must not be."""

import traceback
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch

import nongreedy as ng
from nongreedy.errors import DivergedError, NongreedyError

from . import plain_loop

GRADES = ("exact", "refused", "undecided", "ERROR", "WRONG")  # the last two are faults
_FLAT = 1e-7  # slopes below, relative to the loss, tell nothing


@dataclass(frozen=True)
class Training:
    """A task, made anew for each who trains it, and what it is trained with.

    Args:
        values: Name -> one number per window, all of them learned.
    """

    make: Callable[[], ng.Task]
    rule: type[ng.Optimizer]
    values: dict[str, list[float]] = field(hash=False)
    steps: int
    seed: int = 0

    def task(self) -> ng.Task:
        """Under one seed: some draw their weights at once."""
        torch.manual_seed(0)
        return self.make()

    def hypergradient(self, engine: ng.Engine) -> ng.Hypergradient:
        """The library's."""
        optimizer = plain_loop.optimizer(self.rule, self.values)
        settings: dict[str, Any] = {"steps": self.steps, "engine": engine, "seed": self.seed}
        return ng.hypergradient(self.task(), optimizer, dtype=torch.float64, **settings)

    def loss(self) -> float:
        """The plain loop's."""
        return plain_loop.final_loss(self.task(), self.rule, self.values, self.steps, self.seed)

    def slopes(self) -> plain_loop.Slopes:
        """Differences of it."""
        return plain_loop.slopes(self.task(), self.rule, self.values, self.steps, self.seed)


@dataclass(frozen=True)
class Verdict:
    """A grade, the relative error of the hypergradient if there is one, and what was said."""

    grade: str
    error: float | None = None
    message: str = ""

    @property
    def fault(self) -> bool:
        """Whether it is neither exact nor refused, nor beyond what the judge can tell."""
        return self.grade in ("ERROR", "WRONG")

    def __str__(self) -> str:
        error = "" if self.error is None else f", error {self.error:.1e}"
        return f"{self.grade}{error}. {self.message}"


def verdict(
    training: Training, engine: ng.Engine, slopes: Callable[[Training], Any] = Training.slopes
) -> Verdict:
    """Ask the library first, then a plain loop; `slopes` may know them from an earlier time."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # PyTorch's: layers that are old, padding that is uneven
        try:
            answer = training.hypergradient(engine)
        except DivergedError as error:
            return Verdict("undecided", None, str(error))
        except Exception as error:
            said = f"{type(error).__name__}: {error}"
            return Verdict("refused" if refused_by_us(error) else "ERROR", None, said)
        return _compared(answer, training, slopes)


def refused_by_us(error: Exception) -> bool:
    """Whether the library itself refuses, in more than a few words; not something below it."""
    if not isinstance(error, (NongreedyError, ValueError, TypeError)):
        return False
    last = traceback.extract_tb(error.__traceback__)[-1]
    return "/nongreedy/" in last.filename and len(str(error).split()) >= 8


def _compared(answer: ng.Hypergradient, training: Training, slopes: Any) -> Verdict:
    loss = training.loss()
    if abs(answer.value - loss) > 1e-9 * max(abs(loss), 1e-3):
        said = f"The loss is {answer.value!r}, a plain loop's {loss!r}"
        return Verdict("WRONG", abs(answer.value / loss - 1), said)
    expected = slopes(training)
    if max(slope.abs().max().item() for slope, _ in expected.values()) < _FLAT * abs(loss):
        return Verdict("undecided", None, "The loss depends on nothing")
    error, doubt = plain_loop.error(answer.gradients, expected)
    if error <= plain_loop.TOLERANCE:
        return Verdict("exact", error)
    if error <= 100 * doubt or doubt > 1e-2:
        return Verdict("undecided", error, f"Differences are good to {doubt:.1e} only")
    return Verdict("WRONG", error, f"Differences are good to {doubt:.1e}")
