"""An outer step as the numbers and texts that a dashboard shows."""

from ..search import OuterStep

_LISTED = 50  # values of one hyperparameter that a dashboard has room for


def numbers(row: OuterStep) -> dict[str, float]:
    """Name -> number; value i of a hyperparameter is ``learning_rate/0``, ``learning_rate/1``, ...

    The task's own metrics are ``metrics/NAME``. More than 50 values of one hyperparameter are told by
    ``/min``, ``/mean`` and ``/max``. What has no meaning, such as the accuracy of a regression, is left
    out.
    """
    scalars = {"validation_loss": row.validation_loss, "cost": row.cost, "seconds": row.seconds}
    if row.validation_accuracy is not None:
        scalars["validation_accuracy"] = row.validation_accuracy
    scalars |= {f"metrics/{name}": value for name, value in row.validation_metrics.items()}
    for name, values in row.values.items():
        if len(values) <= _LISTED:
            scalars.update((f"{name}/{i}", value) for i, value in enumerate(values))
        else:
            low, mean, high = min(values), sum(values) / len(values), max(values)
            scalars |= {f"{name}/min": low, f"{name}/mean": mean, f"{name}/max": high}
    return scalars


def texts(row: OuterStep) -> dict[str, str]:
    """What happened, in words, and the signs of the hypergradients."""
    signs = ", ".join(f"{name}: {text}" for name, text in row.signs.items() if len(text) <= _LISTED)
    note = row.note or ("" if row.accepted else "no improvement")
    return {"note": note, "signs": signs}
