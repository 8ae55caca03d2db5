"""A task from a Hugging Face ``Trainer``, read by what it has: nothing is imported from there."""

import copy
import functools
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.data import RandomSampler

from ..errors import DataError
from ._loader import Loading
from ._micro_batches import Collated
from ._own_loss import OwnLoss, part_of
from ._steps import Whole, only_ours, stepping, whole

_PRECISION = "Set it to False: runs are in float32, and exact second derivatives need that."
_ALONE = "Search on one device, as by CUDA_VISIBLE_DEVICES=0; schedules hold for the same batch on several."

# What it is asked for, by name in its arguments, that a run cannot follow -> the way out.
_REFUSED = {
    "fp16": _PRECISION, "bf16": _PRECISION, "fp16_full_eval": _PRECISION, "bf16_full_eval": _PRECISION,
    "deepspeed": _ALONE, "fsdp": _ALONE,
    "neftune_noise_alpha": "Leave it out: its hooks are there only while Trainer trains.",
    "use_liger_kernel": "Leave it out: its kernels have no second derivative.",
}  # fmt: skip


def from_trainer(trainer: Any, settings: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments of a task that trains and judges as the trainer does."""
    only_ours(settings, "from_trainer")
    _check(trainer)
    arguments, accumulated = trainer.args, trainer.args.gradient_accumulation_steps
    size = arguments.train_batch_size

    def several(collate: Callable[..., Any]) -> Callable[..., Any]:
        def collated(items: list[Any]) -> Collated:
            cuts = range(0, len(items), size)
            return Collated(tuple(collate(items[low : low + size]) for low in cuts), 0, len(cuts))

        return collated

    train = _loading(trainer.get_train_dataloader(), "train_dataset", several)
    given = dict(settings)
    if given.get("test") is not None:
        given["test"] = _loading(trainer.get_test_dataloader(given["test"]), "test")
    total = given.get("batch_size") or size * accumulated
    return {
        "model": _model(trainer),
        "loss": OwnLoss(),
        "train": replace(train, batch_size=size * accumulated),
        "accumulate": _parts(trainer.model, total, size),
        "validation": _loading(trainer.get_eval_dataloader(), "eval_dataset"),
        "evaluation_batch_size": arguments.eval_batch_size,
        "device": arguments.device,
        **given,
    }


def _check(trainer: Any) -> None:
    for name in ("model", "args", "compute_loss", "get_train_dataloader", "get_batch_samples"):
        if not hasattr(trainer, name):
            raise TypeError(
                f"Task.from_trainer takes a transformers.Trainer, but got "
                f"{type(trainer).__name__}, which has no `{name}`. For other data and models there is "
                "ng.Task(model, loss, train, validation)."
            )
    for name, way in _REFUSED.items():
        if asked := getattr(trainer.args, name, None):
            raise ValueError(f"Trainer has {name}={asked!r}. {way}")
    for name, several in {"n_gpu": "devices", "world_size": "processes"}.items():
        if (count := getattr(trainer.args, name, 1)) > 1:
            raise ValueError(f"Trainer trains on {count} {several}. {_ALONE}")
    if trainer.eval_dataset is None or isinstance(trainer.eval_dataset, Mapping):
        several = ", ".join(map(repr, trainer.eval_dataset or ()))
        raise DataError(
            f"Trainer has {f'several eval_datasets ({several})' if several else 'no eval_dataset'}, and "
            "schedules are judged by one. Give it one: Trainer(..., eval_dataset=data)."
        )


def _model(trainer: Any) -> Any:
    """Its present weights, or fresh ones under each run's seed where it has a `model_init`."""
    step = functools.partial(_step, trainer)
    if trainer.model_init is not None:
        return lambda: stepping(trainer.call_model_init(), step)
    return stepping(copy.deepcopy(trainer.accelerator.unwrap_model(trainer.model)), step)


def _loading(loader: Any, name: str, made: Callable[..., Any] | None = None) -> Loading:
    loading = whole(loader, name, made)
    # Accelerate's own permutation, seeded otherwise.
    shuffled = isinstance(loading.sampler, RandomSampler) and not loading.sampler.replacement
    return replace(loading, sampler=None) if shuffled else loading


def _parts(network: nn.Module, total: Any, size: int) -> int:
    """As many as the trainer has micro-batches, which bounds the memory of a step as there; one graph of all
    where engines have no other way."""
    split = isinstance(total, int) and total % size == 0
    mixed = any(isinstance(part, _BatchNorm) for part in network.modules())
    return total // size if split and not mixed else 1


def _step(trainer: Any, network: Any, whole: Whole) -> dict[str, Any]:
    """The loss of a step: of micro-batches as Trainer adds them up, so that a mean over all of a step's, or
    over a part of these, is of one size."""
    if not network.training:
        return _loss(trainer, network, whole.batch, None)
    given, count = whole.batch, len(whole.batch.batches)
    batches, items = trainer.get_batch_samples(iter(given.batches), count, trainer.args.device)
    scaled = getattr(trainer, "loss_is_scaled_for_ga", None)
    if scaled is None:
        scaled = trainer.model_accepts_loss_kwargs and items is not None
        scaled = scaled or trainer.compute_loss_func is not None
    rows = [_loss(trainer, network, batch, items) for batch in batches[given.begin : given.end]]
    # Scaled ones sum to the loss of the whole step, and a part is to have the mean of its size.
    return {"loss": sum(row["loss"] for row in rows) / (len(rows) / count if scaled else len(rows))}


def _loss(trainer: Any, network: Any, batch: Mapping[str, Any], items: Any) -> dict[str, Any]:
    # A copy of the batch, out of which Trainer takes the labels.
    found = trainer.compute_loss(
        network, dict(batch), return_outputs=True, num_items_in_batch=items
    )
    loss, output = found if isinstance(found, tuple) else (found, None)
    return {"loss": loss, "logits": part_of(output, "logits")}
