"""A task from a ``LightningModule`` and its data, read by what they have: nothing is imported from there."""

import copy
import functools
import inspect
import types
import warnings
from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from ..errors import DataError
from ._own_loss import OwnLoss
from ._steps import Whole, only_ours, stepping, whole

# Hooks by which training is another one than that of `training_step` and an optimizer -> the way out.
_BATCH = "Do it in training_step or in the data set."
_UPDATE = "Give the optimizer of the search what it does, such as clip_norm=; or leave it out."
_REFUSED = {
    "on_before_batch_transfer": _BATCH, "transfer_batch_to_device": _BATCH,
    "on_after_batch_transfer": _BATCH,
    "backward": _UPDATE, "on_after_backward": _UPDATE, "on_before_optimizer_step": _UPDATE,
    "optimizer_step": _UPDATE, "configure_gradient_clipping": _UPDATE,
}  # fmt: skip

# Hooks that most have for what they log, and some for what they train.
_SILENT = (
    "on_fit_start", "on_train_start", "on_train_epoch_start", "on_train_batch_start",
    "on_train_batch_end", "on_train_epoch_end",
)  # fmt: skip


def from_lightning(
    module: Any,
    datamodule: Any,
    train_dataloaders: Any,
    val_dataloaders: Any,
    monitor: str | None,
    settings: Mapping[str, Any],
) -> dict[str, Any]:
    """The arguments of a task that trains by `training_step` and is judged by `validation_step`."""
    only_ours(settings, "from_lightning")
    _check(module, datamodule)
    loaders = _loaders(module, datamodule, train_dataloaders, val_dataloaders)
    train, validation = map(whole, loaders, ("train_dataloader", "val_dataloader"))
    given = dict(settings)
    if given.get("test") is not None:
        given["test"] = whole(given["test"], "test")
    size = given.get("batch_size") or train.batch_size or 1
    epoch = max(len(loaders[0].sampler) // size, 1)
    network = copy.deepcopy(module)
    if _overrides(network, "configure_model"):
        network.configure_model()
    for part in network.modules():
        if hasattr(part, "log_dict"):
            part.log, part.log_dict = (
                types.MethodType(_log, part),
                types.MethodType(_log_dict, part),
            )

    def forward(network: Any, inputs: Any, hypers: Any) -> Any:
        return network((inputs[0]._replace(step=hypers.step),))

    return {
        "model": stepping(network, functools.partial(_step, epoch, monitor)),
        "loss": OwnLoss(),
        "train": train,
        "validation": validation,
        "forward": forward,
        "evaluation_batch_size": validation.batch_size,
        **given,
    }


def _check(module: Any, datamodule: Any) -> None:
    if not isinstance(module, nn.Module) or not hasattr(module, "training_step"):
        raise TypeError(
            f"Task.from_lightning takes a LightningModule, but got {type(module).__name__}. For other "
            "models there is ng.Task(model, loss, train, validation)."
        )
    if not getattr(module, "automatic_optimization", True):
        raise ValueError(
            f"{type(module).__name__} has automatic_optimization=False: its training_step updates the "
            "weights itself, which no schedule here can follow. Set it to True and return the loss."
        )
    for whose in filter(None, (module, datamodule)):
        for name, way in _REFUSED.items():
            if _overrides(whose, name):
                raise ValueError(f"{type(whose).__name__} has a `{name}` of its own. {way}")
    if silent := [name for name in _SILENT if _overrides(module, name)]:
        warnings.warn(
            f"`{silent[0]}` of {type(module).__name__} is not called here. If it does more than to log, do "
            "that in training_step, by self.current_epoch or self.global_step.",
            stacklevel=4,
        )


def _overrides(given: Any, name: str) -> bool:
    """Whether a hook is the user's, not Lightning's."""
    hook = getattr(type(given), name, None)
    framework = ("lightning.", "pytorch_lightning.")
    return hook is not None and not (getattr(hook, "__module__", "") or "").startswith(framework)


def _loaders(module: Any, datamodule: Any, *given: Any) -> list[Any]:
    """Those that are given, or those of the data module, or of the module itself."""
    holder, names = (
        module if datamodule is None else datamodule,
        ("train_dataloader", "val_dataloader"),
    )
    missing = [name for name, loader in zip(names, given, strict=True) if loader is None]
    for name in missing:
        if not _overrides(holder, name):
            raise DataError(
                f"{type(holder).__name__} has no `{name}`. Give the loader: "
                f"Task.from_lightning(module, {name}s=loader)."
            )
    if missing:
        holder.prepare_data()
        holder.setup("fit")
    rows = zip(names, given, strict=True)
    return [getattr(holder, name)() if loader is None else loader for name, loader in rows]


def _step(epoch: int, monitor: str | None, network: Any, whole: Whole) -> dict[str, Any]:
    """The loss of `training_step`, or of `validation_step` in evaluation."""
    attached = _Attached(whole.step, epoch, network.training)
    first = next(network.parameters())
    for part in network.modules():
        if hasattr(part, "_trainer"):
            part._trainer = attached
            part._device, part._dtype = first.device, first.dtype
    try:
        if network.training or not _overrides(network, "validation_step"):
            return {"loss": _training_loss(_called(network, "training_step", whole, epoch))}
        return {
            "loss": _judged(_called(network, "validation_step", whole, epoch), attached, monitor)
        }
    finally:
        for part in network.modules():
            if hasattr(part, "_trainer"):
                part._trainer = None


def _called(network: Any, name: str, whole: Whole, epoch: int) -> Any:
    """A step, which may take less than all that Lightning has for it, by position."""
    step = getattr(network, name)
    rows = inspect.signature(step).parameters.values()
    if any(row.name == "dataloader_iter" for row in rows):
        raise ValueError(f"`{name}` takes `dataloader_iter`. Let it take (batch, batch_idx).")
    count = sum(row.kind in (row.POSITIONAL_ONLY, row.POSITIONAL_OR_KEYWORD) for row in rows)
    return step(*(whole.batch, (whole.step or 0) % epoch, 0)[: max(count, 1)])


def _training_loss(returned: Any) -> Tensor:
    loss = returned.get("loss") if isinstance(returned, Mapping) else returned
    if not isinstance(loss, Tensor):
        raise ValueError(
            f'`training_step` returned {_said(returned)}. Return the loss, or a dictionary with "loss"; in '
            "place of skipping a batch, multiply its loss by 0."
        )
    return loss


def _judged(returned: Any, attached: "_Attached", monitor: str | None) -> Tensor:
    """What `validation_step` returned as the loss, or else logged as one."""
    logged = attached.logged
    if monitor is not None:
        found = [logged.get(monitor)]
    elif returned is not None:
        found = [returned.get("loss") if isinstance(returned, Mapping) else returned]
    else:
        found = [value for name, value in logged.items() if "loss" in name.lower()]
    if len(found) != 1 or not isinstance(found[0], Tensor):
        raise ValueError(
            f"`validation_step` returned {_said(returned)} and logged {_said(logged)}, of which no one "
            f"tensor is the loss to judge by ({monitor=}). Return the loss, or say which logged one it is: "
            'monitor="val_loss".'
        )
    return found[0]


def _said(value: Any) -> str:
    if isinstance(value, Mapping):
        rows = (f"{name!r}: {type(part).__name__}" for name, part in value.items())
        return f"{{{', '.join(rows)}}}" if value else "nothing"
    return "nothing" if value is None else type(value).__name__


def _log(self: Any, name: str, value: Any, *_: Any, **__: Any) -> None:
    self._trainer.logged[name] = value


def _log_dict(self: Any, dictionary: Mapping[str, Any], *_: Any, **__: Any) -> None:
    self._trainer.logged.update(dictionary)


class _Absorbing:
    """A logger for the time of a step: whatever is called on it does nothing."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return self

    def __call__(self, *_: Any, **__: Any) -> Any:
        return self


class _Attached:
    """What a module finds as ``self.trainer`` during a step: the truth, or an error."""

    global_rank, local_rank, world_size, is_global_zero = 0, 0, 1, True
    testing = predicting = sanity_checking = False
    progress_bar_callback = None

    def __init__(self, step: int | None, epoch: int, training: bool):
        self.logged = dict[str, Any]()
        self.logger, self.num_training_batches = _Absorbing(), epoch
        self.loggers = [self.logger]
        self.training, self.validating, self.evaluating = training, not training, not training
        if step is not None:
            self.global_step, self.current_epoch = step, step // epoch

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        when = "training_step" if self.training else "validation_step"
        raise ValueError(
            f"`{when}` asks the trainer for {name!r}, which a search does not know: runs have any length, "
            "and are judged at their end. Keep what it needs on the module, or leave it out."
        )
