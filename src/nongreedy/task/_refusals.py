"""What a network is made of before it is trained: wrappers come off, and what cannot be is refused."""

import copy
import itertools
import re
from collections import defaultdict
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

_BAGS = (nn.Embedding, nn.EmbeddingBag)
_BLACK_BOX = "engine=ng.FiniteDifference() and the samplers of ng.compare need none"

# Kind of layer, what is the matter with one, and why it is refused.
_REFUSED: list[tuple[Any, Callable[[Any], Any], str]] = [
    (
        _BAGS,
        lambda part: part.max_norm is not None,
        "{what} has max_norm={part.max_norm}, by which its forward pass rescales the weights in place: no "
        "function of the parameters. Leave it out, and scale what is looked up, or the weights by "
        "torch.nn.utils.parametrize.",
    ),
]
# Words of PyTorch where a second derivative is missing.
_MISSING = re.compile(r"derivative for '?(?:aten::)?(\w+?)_?(?:backward\w*)?'? is not implemented")


def unwrapped(module: nn.Module) -> nn.Module:
    """The network within ``DataParallel``, ``DistributedDataParallel`` and ``torch.compile``."""
    while True:
        if isinstance(module, (nn.DataParallel, DistributedDataParallel)):
            module = module.module
        elif isinstance(inner := getattr(module, "_orig_mod", None), nn.Module):  # of torch.compile
            module = inner
        else:
            return module


def plain(network: nn.Module) -> nn.Module:
    """A network, taken over, whose every part is its own and can be differentiated twice.

    Wrappers come off, because neither copies on several devices nor compiled functions can be
    differentiated twice. Gradients of embeddings are dense: steps of ``torch.optim`` are the same.

    Raises:
        ValueError: A layer whose training is no function of the parameters.
    """
    network = unwrapped(network)
    for path, part in list(network.named_modules()):
        for name, child in part._modules.items():
            if child is not None and (inner := unwrapped(child)) is not child:
                part._modules[name] = inner
        part.__dict__.pop("_compiled_call_impl", None)  # module.compile()
        if isinstance(part, _BAGS):
            part.sparse = False
        for kind, wrong, why in _REFUSED:
            if isinstance(part, kind) and wrong(part):
                what = (
                    f"The layer {path!r} ({type(part).__name__})" if path else type(part).__name__
                )
                raise ValueError(why.format(what=what, part=part))
    _refuse_common_memory(network)
    return network


def _refuse_common_memory(network: nn.Module) -> None:
    """Raise ValueError where a step of one parameter moves another tensor, too."""
    places = defaultdict[int, list[tuple[int, int, str, Tensor]]](list)
    for name, x in itertools.chain(network.named_parameters(), network.named_buffers()):
        if type(x) in (Tensor, nn.Parameter) and x.layout == torch.strided and x.numel():
            steps = zip(x.shape, x.stride(), strict=True)
            begin, reach = int(x.storage_offset()), int(sum((n - 1) * step for n, step in steps))
            places[x.untyped_storage().data_ptr()].append((begin, begin + reach, name, x))
    for held in places.values():
        held.sort(key=lambda row: row[:2])
        for (_, end, first, one), (begin, _, second, two) in itertools.combinations(held, 2):
            if begin > end:
                continue
            moved = one.requires_grad or two.requires_grad
            if moved and bool(torch.isin(_elements(one), _elements(two)).any()):
                raise ValueError(
                    f"{first!r} and {second!r} of the model share memory, so that a step of torch.optim "
                    "moves both. Clone one, as in weight.detach().clone(); to tie two layers, give both the "
                    "same nn.Parameter: second.weight = first.weight."
                )


def _elements(x: Tensor) -> Tensor:
    """Where in its memory a tensor's numbers are."""
    found = torch.tensor([x.storage_offset()])
    for count, step in zip(x.shape, x.stride(), strict=True):
        found = (found[:, None] + torch.arange(count) * step).flatten()
    return found


def missing_derivative(error: BaseException) -> str | None:
    """What to do where PyTorch has no second derivative of a function; None of another error.

    Example:
        >>> said = missing_derivative(RuntimeError("derivative for '_ctc_loss_backward' is not implemented"))
        >>> "ctc_loss" in said
        True
    """
    found = _MISSING.search(str(error))
    if found is None:
        return None
    return (
        f"PyTorch has no second derivative of `{found[1].strip('_')}`, so that training cannot be "
        f"differentiated exactly. Write it out in elementary functions; or {_BLACK_BOX}."
    )


def check_differentiable(loss: Tensor) -> None:
    """Raise ValueError where a training loss has no gradient."""
    if not loss.requires_grad:
        raise ValueError(
            "The training loss does not depend on the parameters: nothing can be trained. Look "
            "whether the loss function or the model detach everything, or compute outside PyTorch."
        )


def placed(loss: Any, device: torch.device, dtype: torch.dtype) -> Any:
    """A loss whose own tensors lie on the device, real ones in the dtype: itself or a copy."""
    if not isinstance(loss, nn.Module):
        return loss
    own = itertools.chain(loss.parameters(), loss.buffers())
    if all(x.device == device and (x.dtype == dtype or not x.is_floating_point()) for x in own):
        return loss
    return copy.deepcopy(loss).to(device, dtype)
