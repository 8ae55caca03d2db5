"""Ways to a task from where people already are."""

from collections.abc import Callable
from typing import Any, Self

from torch import Tensor, nn
from torch.utils.data import DataLoader

from ._from_lightning import from_lightning
from ._from_trainer import from_trainer
from ._loader import from_loaders


class Roads:
    """Makers of a :class:`Task`, each of which says its arguments by what it is given."""

    @classmethod
    def from_loader(
        cls,
        model: nn.Module | Callable[[], nn.Module],
        loss: Callable[..., Tensor] | None,
        train_loader: DataLoader[Any],
        validation_loader: DataLoader[Any],
        test_loader: DataLoader[Any] | None = None,
        **settings: Any,
    ) -> Self:
        """A task from the loaders of a training loop.

        They are taken apart: data set, batch size, ``collate_fn``, sampler and workers are theirs, and the
        order of examples is drawn from (seed, step). A smaller last batch is dropped.

        Args:
            settings: Of :class:`Task`. Examples are judged by so many as a batch of `validation_loader`
                has, unless ``evaluation_batch_size`` says otherwise.

        Raises:
            DataError: A loader whose batches could not be drawn again (a stream, a sampler or
                ``batch_sampler`` of one's own), or something else than a loader.

        Example:
            >>> import torch
            >>> data = torch.utils.data.TensorDataset(torch.randn(32, 4), torch.randint(2, (32,)))
            >>> loader = torch.utils.data.DataLoader(data, batch_size=8, shuffle=True)
            >>> task = ng.Task.from_loader(lambda: nn.Linear(4, 2), nn.functional.cross_entropy, loader,
            ...                            torch.utils.data.DataLoader(data, batch_size=16))
            >>> task.batch_size, task.evaluation_batch_size
            (8, 16)
        """
        loaders = {"train": train_loader, "validation": validation_loader, "test": test_loader}
        made: Any = cls
        return made(model, loss, **{**from_loaders(loaders), **settings})

    @classmethod
    def from_lightning(
        cls,
        module: Any,
        datamodule: Any = None,
        *,
        train_dataloaders: Any = None,
        val_dataloaders: Any = None,
        monitor: str | None = None,
        **settings: Any,
    ) -> Self:
        """A task from a ``LightningModule`` and its data, given as to Lightning's ``Trainer.fit``.

        Every run begins with the module's present weights. A step's loss is what ``training_step`` says.
        Runs are judged by what ``validation_step`` returns, or logs with "loss" in its name; by
        ``training_step``, in evaluation mode, where there is none. ``self.log`` does nothing else, and
        ``self.trainer`` knows step and epoch. What ``configure_optimizers`` makes is not used.

        Args:
            monitor: The logged loss to judge by, where there are several.
            settings: Of :class:`Task`: ``batch_size``, ``device``, ``test`` (a loader) and the like.

        Warns:
            UserWarning: Hooks of the module that are not called, such as ``on_train_epoch_start``.

        Raises:
            ValueError: Manual optimization, hooks that change a batch or an update, or a step that
                returns no loss.
            DataError: Loaders that are missing, or several, or cannot be replayed.

        Cannot: follow callbacks, accumulation, clipping or precision of Lightning's ``Trainer``, which it
            does not see: give ``batch_size``, ``accumulate`` and the optimizer's ``clip_norm``.

        Example:
            >>> task = ng.Task.from_lightning(module, datamodule)  # doctest: +SKIP
        """
        parts = module, datamodule, train_dataloaders, val_dataloaders, monitor
        made: Any = cls
        return made(**from_lightning(*parts, settings))

    @classmethod
    def from_trainer(cls, trainer: Any, **settings: Any) -> Self:
        """A task from a Hugging Face ``transformers.Trainer``.

        Every run begins with the model's present weights, or with ``model_init`` under the run's seed. The
        loss is what the trainer's ``compute_loss`` says, with its label smoothing, ``compute_loss_func``
        and ``num_items_in_batch``; of a step that accumulates, as the trainer adds it up, one micro-batch at
        a time unless there is BatchNorm. Runs are judged by that of the whole ``eval_dataset``, and the
        accuracy is of the targets that count.

        Args:
            settings: Of :class:`Task`: ``batch_size``, ``device``, ``test`` (a data set) and the like;
                ``accumulate=1`` holds all micro-batches of a step at once, which is faster where they fit.

        Raises:
            ValueError: Half precision, several devices, or what else a run cannot follow.
            DataError: No ``eval_dataset`` or several, or an order of its own, such as by length.

        Cannot: take over the trainer's optimizer, which is ``ng.optimizer_of(trainer.create_optimizer(),
            trainer.model, clip_norm=trainer.args.max_grad_norm)``: Trainer clips, at 1 by default.
            Its callbacks are not called.

        Example:
            >>> task = ng.Task.from_trainer(trainer)  # doctest: +SKIP
        """
        made: Any = cls
        return made(**from_trainer(trainer, settings))
