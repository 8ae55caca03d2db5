"""What can go wrong, by name. Messages quote the offending value and give the way out."""

import difflib
import math
import os
from collections.abc import Iterable
from typing import Any


class NongreedyError(Exception):
    """Base of every error that this library defines."""


class DivergedError(NongreedyError):
    """A loss, state, tangent or adjoint became non-finite.

    Attributes:
        quantity: What was non-finite, for example ``"training loss"``.
        step: The inner step (0-based) at which it was seen.
        swept: Of a sweep that it ended, which part had been computed, from 0 to 1; whoever raises it
            knows. All of it where nobody does.
        late: How many steps were taken after that step until it was found out, at most.
    """

    late: int = 0

    @property
    def share(self) -> float:
        """Which part of a run was computed before, its end being one more step."""
        return (self.step + 1 + self.late) / (self.steps + 1)

    def __init__(
        self, quantity: str, step: int, steps: int, advice: str = "", *, swept: float = 1.0
    ):
        self.quantity, self.step, self.steps, self.swept = quantity, step, steps, swept
        advice = advice or "Lower the learning rate, or its upper bound."
        super().__init__(f"The {quantity} became non-finite at step {step} of {steps}. {advice}")

    def __reduce__(self) -> tuple[Any, ...]:
        """What other processes make of it: the arguments of the class are not those of the error."""
        return _remade, (type(self), self.args, self.__dict__)


def _remade(
    kind: type[DivergedError], args: tuple[Any, ...], attributes: dict[str, Any]
) -> DivergedError:
    error = kind.__new__(kind, *args)
    error.__dict__.update(attributes)
    return error


class OutOfRangeError(DivergedError):
    """A number left the range of its fixed-point format, or is not finite."""

    def __init__(self, quantity: str, limit: float, step: int, steps: int):
        super().__init__(quantity, step, steps)
        self.args = (
            f"The {quantity} left the fixed-point range, magnitudes below {limit:g}, at step {step} "
            f"of {steps}. Lower the learning rate, or its upper bound; bound the gradient with "
            "clip_value or clip_norm; widen the range with fewer bits, as in "
            "Reversible(fraction_bits=44); or use Reverse(store='checkpoint').",
        )


class ExplodedError(DivergedError):
    """An adjoint or tangent is still finite, but has grown beyond what its precision can tell.

    Attributes:
        growth: How many times as large it is as what it is compared with.
    """

    def __init__(
        self,
        quantity: str,
        step: int,
        steps: int,
        growth: float,
        than: str,
        rounding: str,
        swept: float,
    ):
        super().__init__(quantity, step, steps, swept=swept)
        self.growth = growth
        self.args = (
            f"The {quantity} at step {step} of {steps} is {growth:.1e} times as large as {than}: "
            f"training is chaotic here, rounding {rounding} decide where it ends, and the "
            "hypergradient tells nothing. Lower the learning rate, or its upper bound; train for "
            "fewer steps; or compute in float64, which bears a growth of 5e15.",
        )


class IrreversibleError(DivergedError, ValueError):
    """A hyperparameter has a value at which steps cannot be undone.

    Also a DivergedError, so that a search which proposes such a value rejects it and goes on.
    """

    def __init__(self, message: str):
        super().__init__("step", -1, 0)  # no step was taken
        self.args = (message,)


class ReplayError(NongreedyError):
    """A step that was computed a second time differs from the first."""


class VerificationError(NongreedyError, ValueError):
    """A task does not train as in plain PyTorch, or its gradients have other derivatives than told."""


class SolveError(NongreedyError):
    """A linear system was not solved: an indefinite matrix, or a solution worse than none."""


class DataError(NongreedyError, ValueError):
    """A file or data set is unreadable, truncated, empty, mismatched or of another format."""


class ScheduleFileError(NongreedyError, ValueError):
    """A schedule file is unreadable or was written by another version."""


class StudyError(NongreedyError, ValueError):
    """A study cannot be opened, read or written, is held by another process, or is another's."""


class NoStudyError(StudyError):
    """There is no such study yet."""


class MissingExtraError(NongreedyError, ModuleNotFoundError):
    """What was asked for needs a package that is not installed; the message says how to install it."""


def nearest_name(value: str, options: Iterable[str]) -> str:
    """Return `` Did you mean 'x'?`` where one is near, and the list of valid names, to end a message with."""
    options = sorted(options)
    spelled = {option.lower(): option for option in options}
    close = difflib.get_close_matches(value.lower(), spelled, n=1)
    hint = f" Did you mean {spelled[close[0]]!r}?" if close else ""
    return f"{hint} Valid names: {', '.join(options)}."


def is_whole(value: object, least: int = 1) -> bool:
    """Whether this is a whole number of at least `least`; True and False are none."""
    return isinstance(value, int) and not isinstance(value, bool) and value >= least


def check_whole(name: str, value: object, least: int = 1, advice: str = "", also: str = "") -> None:
    """Raise ValueError unless this is a whole number of at least `least`; `also` says what else may be."""
    if not is_whole(value, least):
        raise ValueError(
            f"`{name}` must be a whole number of at least {least}{also}, but got {value!r}.{advice}"
        )


def check_number(name: str, value: Any, advice: str = "", zero: bool = False) -> None:
    """Raise ValueError unless this is a positive finite number, or zero where that is allowed."""
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    valid = number and math.isfinite(value) and (value > 0 or (zero and value == 0))
    if not valid:
        kind = "zero or a positive finite number" if zero else "a positive finite number"
        raise ValueError(f"`{name}` must be {kind}, but got {value!r}.{advice}")


def check_seed(seed: object) -> None:
    """Raise ValueError unless random streams can be drawn by this, and by no other number the same."""
    if not (isinstance(seed, int) and not isinstance(seed, bool) and -(2**63) <= seed < 2**63):
        raise ValueError(f"A seed must be a whole number of 64 bits, such as 0, but got {seed!r}.")


def check_path(name: str, value: object, also: str = "", advice: str = "") -> None:
    """Raise TypeError unless this is the path of a file or folder; `also` says what else may be."""
    if not isinstance(value, (str, os.PathLike)):
        raise TypeError(f"`{name}` must be a path{also}, but got {value!r:.80}.{advice}")


def check_name(name: str, value: object, options: Iterable[str]) -> None:
    """Raise ValueError unless this is one of the names."""
    options = list(options)
    if value not in options:
        raise ValueError(f"Unknown `{name}` {value!r}." + nearest_name(str(value), options))
