"""A search in Weights & Biases."""

from typing import Any

from .._extras import optional
from ..engines import Engine
from ..search import Callback, OuterStep, Outlook
from ._row import numbers, texts

_wandb = optional(__name__, "wandb")


class WandbCallback(Callback):
    """Logs every outer step of a search to a run of Weights & Biases.

    Per outer step: ``outer_step``, ``validation_loss``, ``validation_accuracy`` (from 0 to 1), the
    task's own metrics (``metrics/NAME``), every learned value in its own units (``learning_rate/0``,
    ...; above 50 values of one hyperparameter their minimum, mean and maximum), ``cost`` in plain
    training runs, ``seconds``, and as texts ``note`` and ``signs`` of the hypergradients; the engine is
    in the run's config.

    The run begins with the search and is finished when the search ends, however it ends. Where a run
    is already active (``wandb.init`` was called before), the search is logged to that one, which is
    left open.

    Args:
        init_kwargs: Passed to ``wandb.init``: ``project``, ``name``, ``mode="offline"``, ...

    Raises:
        ModuleNotFoundError: On import, without wandb; the message says what to install.

    Cannot: show the inner steps, of which there are thousands.

    Example:
        >>> watch = WandbCallback(project="schedules", mode="offline")
        >>> result = ng.tune(task, ng.SGD(), epochs=10, callbacks=[watch])  # doctest: +SKIP
    """

    def __init__(self, **init_kwargs: Any):
        self.init_kwargs = init_kwargs
        self.run: Any = None
        self._ours = True

    def on_begin(self, outlook: Outlook) -> None:
        self._active()  # Without a key, wandb says so before anything is computed.

    def on_engine(self, engine: Engine, reason: str) -> None:
        engine_text = f"{engine} ({reason})" if reason else str(engine)
        self._active().config.update({"engine": engine_text}, allow_val_change=True)

    def on_outer_step(self, row: OuterStep) -> None:
        # No `step=`: another user of an active run may be ahead of the index, which W&B would drop.
        self._active().log({"outer_step": row.index, **numbers(row), **texts(row)})

    def on_end(self) -> None:
        if self.run is not None and self._ours:
            self.run.finish()
        self.run = None

    def _active(self) -> Any:
        if self.run is None:
            self._ours = _wandb.run is None
            self.run = _wandb.init(**self.init_kwargs) if self._ours else _wandb.run
            if self._ours:
                self.run.define_metric("*", step_metric="outer_step")
        return self.run
