"""Models: those that the examples and benchmarks train.

Four families of `build` see images: a shape is ``(C, H, W)``, and they map ``(B, C, H, W)`` to
logits ``(B, classes)``. `CharTransformer` sees text. None uses an in-place operation, so that each
can be differentiated twice and under `torch.func`.
"""

from ..schedules._export import export
from ._build import NAMES, WideBlock, build, convnet, lenet, mlp, wrn
from ._transformer import CharTransformer

__all__ = ["NAMES", "CharTransformer", "WideBlock", "build", "convnet", "lenet", "mlp", "wrn"]

export(globals())
