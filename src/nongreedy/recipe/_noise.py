"""Multiplicative noise before layers, of learned strengths, in place of dropout."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional
from torch.overrides import TorchFunctionMode

_RECOMPUTED = (
    "Noise of learned strengths cannot reach parts of the forward pass that are computed again (activation "
    "checkpointing, or other hooks on saved tensors): they would be computed without it. Leave `noise` "
    "out of what is learned, or the checkpointing out of the model."
)
# By the function that a layer calls: the dimensions, of its input, that have draws of their own.
_LAYERS: dict[Any, Callable[[Tensor], Sequence[int]]] = {
    functional.linear: lambda inputs: range(inputs.dim()),
    # A channel as a whole, as of dropout for images: neighbouring pixels tell each other's values.
    **{getattr(torch, f"conv{count}d"): lambda inputs: (0, 1) for count in (1, 2, 3)},
}


class Layers(TorchFunctionMode):
    """Calls a function of each layer's input, where the layer has one of the given weights.

    Args:
        weights: Name -> weight of the layers.
        instead: (name, input, its dimensions with draws of their own) -> another input.

    Attributes:
        reached: Whether any of them was called.
    """

    def __init__(
        self,
        weights: Mapping[str, Tensor],
        instead: Callable[[str, Tensor, Sequence[int]], Tensor],
    ):
        super().__init__()
        self._names = {id(weight): name for name, weight in weights.items()}
        self._instead, self.reached = instead, False

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func in _LAYERS and len(args) > 1 and (name := self._names.get(id(args[1]))) is not None:
            self.reached = True
            inputs, *rest = args
            args = self._instead(name, inputs, _LAYERS[func](inputs)), *rest
        return func(*args, **(kwargs or {}))


def noisy(
    network: Callable[[Any], Any],
    inputs: Any,
    weights: Mapping[str, Tensor],
    strengths: Mapping[str, Tensor],
) -> Any:
    r"""A network's output where each layer's input is multiplied by noise.

    .. math:: x \leftarrow x \odot (1 + s_k \epsilon), \qquad \epsilon \sim N(0, 1)

    with one draw for each entry before a linear layer, for each channel before a convolution, from
    the default generator.

    Args:
        weights: Name -> weight of the layers, by which they are known.
        strengths: Name -> s, shape ().

    Raises:
        ValueError: Parts of the forward pass are to be computed again; layers that the model does not
            have, or that its call does not reach.

    Source: arXiv:1506.02557 (learned strengths of such noise, by another principle).

    .. code-block:: bibtex

        @inproceedings{kingma2015variational,
          author    = {Kingma, Diederik P. and Salimans, Tim and Welling, Max},
          title     = {Variational Dropout and the Local Reparameterization Trick},
          booktitle = {Advances in Neural Information Processing Systems},
          year      = {2015}, eprint = {1506.02557}, archivePrefix = {arXiv}
        }
    """

    def noised(name: str, inputs: Tensor, own: Sequence[int]) -> Tensor:
        shape = [size if k in own else 1 for k, size in enumerate(inputs.shape)]
        draws = torch.randn(shape, device=inputs.device).to(inputs.dtype)
        return inputs * (1 + strengths[name] * draws)

    if lost := [name for name in strengths if name not in weights]:
        raise ValueError(
            f"There is to be noise before the layer of {lost[0]!r}, but the model has no such parameter, "
            f"only {', '.join(weights)}. Give the model itself, or that within its wrapper."
        )
    layers = Layers({name: weights[name] for name in strengths}, noised)
    try:
        with torch.autograd.graph.disable_saved_tensors_hooks(_RECOMPUTED), layers:
            output = network(inputs)
    except RuntimeError as error:
        if _RECOMPUTED in str(error):
            raise ValueError(_RECOMPUTED) from error
        raise
    if not layers.reached:
        raise ValueError(
            f"There is to be noise before the layers of {', '.join(strengths)}, but the call of the model "
            "came to none of them, as where it calls copies on several devices (DataParallel). Call it "
            "itself, or leave `noise` out of what is learned."
        )
    return output
