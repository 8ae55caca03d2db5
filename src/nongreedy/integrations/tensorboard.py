"""A search in TensorBoard."""

import os
from typing import Any

from .._extras import optional
from ..engines import Engine
from ..search import Callback, OuterStep
from ._row import numbers, texts

optional(__name__, "tensorboard")
_writers = optional(__name__, "torch.utils.tensorboard")


class TensorBoardCallback(Callback):
    """Writes every outer step of a search to an event file.

    Scalars, at the index of the outer step: ``validation_loss``, ``validation_accuracy`` (from 0 to 1),
    the task's own metrics (``metrics/NAME``), every learned value in its own units
    (``learning_rate/0``, ...; above 50 values of one hyperparameter their minimum, mean and maximum),
    ``cost`` in plain training runs and ``seconds``. Texts: ``engine``, ``note`` and ``signs`` of the
    hypergradients. One search, one event file, which is closed when the search ends, however it ends.

    Args:
        log_dir: Directory of the event file; None is TensorBoard's own choice, under ``runs``.

    Raises:
        ModuleNotFoundError: On import, without TensorBoard; the message says what to install.

    Cannot: show the inner steps, of which there are thousands.

    Example:
        >>> import tempfile, torch, nongreedy as ng
        >>> x = torch.randn(64, 4); y = (x[:, 0] > 0).long()
        >>> task = ng.Task(lambda: torch.nn.Linear(4, 2), torch.nn.functional.cross_entropy,
        ...                (x, y), (x, y), batch_size=16)
        >>> watch = TensorBoardCallback(tempfile.mkdtemp())
        >>> result = ng.tune(task, ng.SGD(), steps=8, outer_steps=2, callbacks=[watch])
    """

    def __init__(self, log_dir: str | os.PathLike[str] | None = None):
        self.log_dir = log_dir
        self._open: Any = None

    def on_engine(self, engine: Engine, reason: str) -> None:
        self._writer().add_text("engine", f"{engine} ({reason})" if reason else str(engine))

    def on_outer_step(self, row: OuterStep) -> None:
        writer = self._writer()
        for name, value in numbers(row).items():
            writer.add_scalar(name, value, row.index)
        for name, text in texts(row).items():
            writer.add_text(name, text, row.index)
        writer.flush()

    def on_end(self) -> None:
        if self._open is not None:
            self._open.close()
        self._open = None

    def _writer(self) -> Any:
        """Made when there is something to say, so that no empty file is left by a refused search."""
        if self._open is None:
            log_dir = None if self.log_dir is None else os.fspath(self.log_dir)
            self._open = _writers.SummaryWriter(log_dir)
        return self._open
