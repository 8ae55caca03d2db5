"""What becomes of a case: exact, refused, or something that must not be."""

import inspect
import warnings
from dataclasses import dataclass

import torch

import nongreedy as ng
from nongreedy.errors import DivergedError, NongreedyError

from .. import plain_loop
from .case import ENGINES, Case

GRADES = ("exact", "refused", "undecided", "ERROR", "WRONG")  # the last two are faults
_FLAT = 1e-7  # slopes below, relative to the loss, tell nothing


@dataclass(frozen=True)
class Verdict:
    """A grade, the relative error of the hypergradient if there is one, and what was said."""

    case: Case
    grade: str
    error: float | None = None
    message: str = ""

    @property
    def fault(self) -> bool:
        """Whether it is neither exact nor refused, nor beyond what the judge can tell."""
        return self.grade in ("ERROR", "WRONG")

    def __str__(self) -> str:
        error = "" if self.error is None else f", error {self.error:.1e}"
        return f"{self.case}: {self.grade}{error}. {self.message}"


def refused_by_us(error: Exception) -> bool:
    """Whether the library itself refuses, in more than a few words; not something below it."""
    if not isinstance(error, (NongreedyError, ValueError, TypeError)):
        return False
    *_, last = inspect.getinnerframes(error.__traceback__)
    return "/nongreedy/" in last.filename and len(str(error).split()) >= 8


def verdict(case: Case) -> Verdict:
    """Ask the library first, then a plain loop."""
    torch.manual_seed(0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # PyTorch's: layers that are old, padding that is uneven
        try:
            answer = ng.hypergradient(
                case.task(), plain_loop.optimizer(case.rule, case.values), steps=case.steps,
                engine=ENGINES[case.engine], seed=case.seed, dtype=torch.float64,
            )  # fmt: skip
        except DivergedError as error:
            return Verdict(case, "undecided", None, str(error))
        except Exception as error:
            said = f"{type(error).__name__}: {error}"
            return Verdict(case, "refused" if refused_by_us(error) else "ERROR", None, said)
        return _compared(case, answer)


def _compared(case: Case, answer: ng.Hypergradient) -> Verdict:
    settings = case.task(), case.rule, case.values, case.steps, case.seed
    loss = plain_loop.final_loss(*settings)
    if abs(answer.value - loss) > 1e-9 * max(abs(loss), 1e-3):
        said = f"The loss is {answer.value!r}, a plain loop's {loss!r}"
        return Verdict(case, "WRONG", abs(answer.value / loss - 1), said)
    slopes = plain_loop.slopes(*settings)
    if max(slope.abs().max().item() for slope, _ in slopes.values()) < _FLAT * abs(loss):
        return Verdict(case, "undecided", None, "The loss depends on nothing")
    error, doubt = plain_loop.error(answer.gradients, slopes)
    if error <= plain_loop.TOLERANCE:
        return Verdict(case, "exact", error)
    if error <= 100 * doubt or doubt > 1e-2:
        return Verdict(case, "undecided", error, f"Differences are good to {doubt:.1e} only")
    return Verdict(case, "WRONG", error, f"Differences are good to {doubt:.1e}")
