"""What PyTorch leaves to chance or to the caller, settled while a network trains."""

import contextlib
from collections.abc import Iterator

import torch

from ._default_generator import default_generator


@contextlib.contextmanager
def repeatable(device: torch.device) -> Iterator[None]:
    """One path for what is trained, judged, differentiated and computed again, in full precision.

    The default generators are handed back as they were. cuDNN's other kernels give other bits at every
    call, so that adjoints would be swept through gradients that the run never had; TF32 leaves three
    digits of a convolution's gradient; the fast path of ``nn.TransformerEncoderLayer``, taken where
    nothing is differentiated, is another function than the layer (off by 4e-3 in a hypergradient on
    CUDA); and the caller's autocast would go on with the weights of the first step, which it keeps.

    All are the whole process's, so that threads take turns (:func:`default_generator`).
    """
    cudnn, attention = torch.backends.cudnn, torch.backends.mha
    wanted = {"deterministic": True, "benchmark": False, "allow_tf32": False}
    with default_generator(device), torch.enable_grad():
        before = {name: getattr(cudnn, name) for name in wanted} if device.type == "cuda" else {}
        fast, cached = attention.get_fastpath_enabled(), torch.is_autocast_cache_enabled()
        try:
            attention.set_fastpath_enabled(False)
            torch.set_autocast_cache_enabled(False)
            for name in before:
                setattr(cudnn, name, wanted[name])
            yield
        finally:
            attention.set_fastpath_enabled(fast)
            torch.set_autocast_cache_enabled(cached)
            for name, value in before.items():
                setattr(cudnn, name, value)
