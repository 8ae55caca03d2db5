"""Metrics of the user's own: numbers that are told beside the loss and never tuned for."""

import functools
from collections.abc import Callable, Mapping
from typing import Any

Metric = Callable[[Any, Any], Any]


def named_metrics(metric: Metric | Mapping[str, Metric] | None) -> dict[str, Metric]:
    """Name -> function; one function has its own name."""
    if metric is None:
        return {}
    named = dict(metric) if isinstance(metric, Mapping) else {_name(metric): metric}
    for name, function in named.items():
        if not isinstance(name, str) or not callable(function):
            raise TypeError(
                "`metric` must be a function (output, target) -> number, or a mapping from names to "
                f"such functions, but got {name!r}: {function!r}."
            )
    return named


def _name(metric: Metric) -> str:
    while isinstance(metric, functools.partial):
        metric = metric.func
    name = getattr(metric, "__name__", type(metric).__name__)
    return "metric" if name == "<lambda>" else name


def measured(metrics: Mapping[str, Metric], output: Any, targets: Any) -> dict[str, float]:
    """Every metric of the whole set; one that returns several by name gives ``name/part``."""
    found = dict[str, float]()
    for name, metric in metrics.items():
        value = metric(output, targets)
        if callable(reset := getattr(metric, "reset", None)):
            reset()  # TorchMetrics' objects would keep every set that they have seen
        parts = value.items() if isinstance(value, Mapping) else [("", value)]
        for part, number in parts:
            found[f"{name}/{part}" if part else name] = _number(name, number)
    return found


def _number(name: str, value: Any) -> float:
    try:
        return float(value)
    except (TypeError, ValueError, RuntimeError) as error:
        raise TypeError(
            f"The metric {name!r} must return a number, but returned {value!r:.80}. Reduce it, for "
            "example by its mean."
        ) from error
