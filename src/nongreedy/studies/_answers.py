"""Answers as JSON and back, bit for bit. What is read is data: numbers and text, checked, never code."""

import base64
import binascii
import math
from collections.abc import Mapping
from dataclasses import asdict, fields
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..engines import Hypergradient, Outcome
from ..errors import DivergedError
from ..schedules._files import plain
from ..search import Answer, Ran

_POINTS = 200  # of a training curve are kept
# dJ / d theta_0 is as large as the network, and no outer rule asks for it.
_LEFT_OUT = "initial"


def encoded(answer: Answer) -> dict[str, Any]:
    """JSON that `decoded` turns back into an equal answer (of training losses only every k-th)."""
    if isinstance(answer, DivergedError):
        names = "quantity", "step", "steps", "swept", "late"
        parts = {name: getattr(answer, name) for name in names}
        return {"kind": "diverged", **parts, "message": str(answer)}
    if isinstance(answer, Ran):
        losses = list(thinned(answer.losses).values())
        outcome = asdict(answer.outcome)
        outcome["metrics"] = plain(outcome["metrics"])  # NaN, which JSON has not, is a word
        return {"kind": "run", **outcome, "losses": losses}
    parts = {f.name: _packed(getattr(answer, f.name)) for f in fields(answer)}
    return {"kind": "sweep", **{k: v for k, v in parts.items() if k != _LEFT_OUT}}


def decoded(content: Any) -> Answer:
    """The answer in such JSON; ValueError where it is anything else."""
    try:
        return _READERS[content["kind"]](content)
    except (KeyError, TypeError, binascii.Error, UnicodeEncodeError) as error:
        raise ValueError(f"not an answer: {type(error).__name__} {error}") from error


def thinned(losses: tuple[float, ...]) -> dict[int, float]:
    """Step -> training loss, at most `_POINTS` of them, evenly spaced."""
    stride = max(1, math.ceil(len(losses) / _POINTS))
    return {step: losses[step] for step in range(0, len(losses), stride)}


def _run(content: Mapping[str, Any]) -> Ran:
    accuracy, losses = content["accuracy"], content["losses"]
    accuracy = None if accuracy is None else _number(accuracy)
    # Studies of earlier releases have no metrics.
    metrics = {str(name): float(value) for name, value in content.get("metrics", {}).items()}
    outcome = Outcome(_number(content["loss"]), accuracy, metrics)
    return Ran(outcome, tuple(_number(v) for v in losses))


def _diverged(content: Mapping[str, Any]) -> DivergedError:
    step, steps = int(content["step"]), int(content["steps"])
    swept = _number(content["swept"])
    error = DivergedError(str(content["quantity"]), step, steps, swept=swept)
    error.late = int(content.get("late", 0))  # studies of earlier releases have none
    error.args = (str(content["message"]),)
    return error


def _sweep(content: Mapping[str, Any]) -> Hypergradient:
    known = {f.name for f in fields(Hypergradient)} - {_LEFT_OUT}
    return Hypergradient(**{k: _unpacked(v) for k, v in content.items() if k in known})


_READERS = {"run": _run, "diverged": _diverged, "sweep": _sweep}


def _packed(value: Any) -> Any:
    if isinstance(value, Tensor):
        numbers = value.detach().to("cpu", torch.float64).reshape(-1).numpy()
        return {"float64": base64.b64encode(numbers.astype("<f8").tobytes()).decode()}
    if isinstance(value, Mapping):
        return {"by name": {name: _packed(part) for name, part in value.items()}}
    return value


def _unpacked(value: Any) -> Any:
    if isinstance(value, Mapping):
        if "by name" in value:
            return {str(name): _unpacked(part) for name, part in value["by name"].items()}
        raw = base64.b64decode(value["float64"], validate=True)
        return torch.from_numpy(np.frombuffer(raw, "<f8").astype(np.float64))
    return None if value is None else _number(value)


def _number(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise TypeError(f"{value!r} is no number")
    return float(value)
