"""Verification: whether a task trains as in plain PyTorch, and its gradients have the derivatives that
they are said to have. Done on the user's own model and data, before anything is spent."""

import itertools
from dataclasses import dataclass

import torch

from ..errors import DivergedError, NongreedyError, VerificationError
from ._causes import explained, likely
from ._differences import Derivatives
from ._examination import Check, Examination, Examinee
from ._linearized import Linearized

_ANYWAY = "Task(..., verify=False) goes on without this check, and every result says so."


@dataclass(frozen=True)
class Verification:
    """What was found of a task by an optimizer.

    Attributes:
        checks: What was compared, each within its limit.
        note: Why less was checked than could be; empty where everything was.

    Example:
        >>> import torch, nongreedy as ng
        >>> x = torch.randn(64, 4)
        >>> task = ng.Task(lambda: torch.nn.Linear(4, 1), torch.nn.functional.mse_loss,
        ...                (x, x[:, :1]), 0.25, batch_size=16)
        >>> verification = ng.Problem.of(task, ng.SGD(), steps=8).verification
        >>> len(verification.checks) > 5
        True
    """

    checks: tuple[Check, ...] = ()
    note: str = ""

    @property
    def summary(self) -> str:
        """In one line."""
        if not self.checks:
            return f"not verified: {self.note}"
        more = f"; {self.note}" if self.note else ""
        return f"verified: {', '.join(check.short for check in self.checks)}{more}"

    def __str__(self) -> str:
        lines = [f"  {check}" for check in self.checks]
        if self.note:
            lines.append(f"  {self.note}")
        return "\n".join(["verified" if self.checks else "not verified", *lines])


def verify(examinee: Examinee, dtype: torch.dtype, derivatives: bool) -> Verification:
    """Look into the first steps of a problem, at the price of about a hundred of them.

    Args:
        dtype: Of its runs, where the model does not bear float64.
        derivatives: Also those of the training gradient and of the validation loss.

    Raises:
        VerificationError: What differs, by how much, the likely cause, and the way out.
    """
    if not examinee.task.verify:
        return Verification(note="verify=False")
    examination, note = _examined(examinee, dtype)
    checks = list[Check]()
    try:
        with examination.precise(), examination.run.isolated():
            for check in itertools.chain(examination.training(), examination.replay()):
                checks.append(_passed(check, examination, None))
            asked = Derivatives(examination)
            for check in asked.all() if derivatives else asked.judging():
                checks.append(_passed(check, examination, asked.point))
    except DivergedError:
        return Verification((), "the first steps diverge, or the first losses are not finite")
    except (NongreedyError, ValueError):
        raise
    except (RuntimeError, NotImplementedError) as error:
        raise VerificationError(f"{explained(error)} {_ANYWAY}") from error
    return Verification(tuple(checks), "; ".join(filter(None, (note, *asked.undecided))))


def _passed(check: Check, examination: Examination, point: Linearized | None) -> Check:
    if check.passed:
        return check
    module, loss = examination.run.module.module, point.loss if point is not None else None
    causes = likely(module, loss, examination.task, check.about)
    raise VerificationError(" ".join(filter(None, (check.failure, causes, _ANYWAY))))


def _examined(examinee: Examinee, dtype: torch.dtype) -> tuple[Examination, str]:
    """In float64 where the model bears it: float32 tells coarse faults only."""
    if examinee.task.device.type == "mps":
        return Examination(examinee, dtype), f"in {dtype}, to 2 digits: MPS has no float64"
    try:
        return Examination(examinee, torch.float64), ""
    except DivergedError:
        raise
    except Exception as error:
        if dtype == torch.float64:
            raise
        try:
            examination = Examination(examinee, dtype)
        except Exception:
            raise error from None  # the user's own
        return examination, f"in {dtype}, to 2 digits: in float64 the model fails ({error})"
