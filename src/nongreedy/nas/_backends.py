"""Where a network has to be fast."""

from __future__ import annotations

import abc
import copy
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, final

import torch
from torch import Tensor, nn

from .._extras import optional
from ..errors import check_whole
from ._onnx import session, to_onnx


class Backend(abc.ABC):
    """Something that runs a plain network."""

    @abc.abstractmethod
    def prepared(self, network: nn.Module, x: Tensor) -> Callable[[], Any]:
        """A call that runs the network once on these inputs, and returns when it is done."""

    @abc.abstractmethod
    def versions(self) -> dict[str, str]:
        """Of the packages that a time depends on."""

    @contextmanager
    def running(self) -> Iterator[None]:
        """While it is measured."""
        yield

    def to_json(self) -> dict[str, Any]:
        return {"class": type(self).__name__, **vars(self)}


@final
@dataclass(frozen=True)
class Eager(Backend):
    """PyTorch as it is, without gradients.

    Args:
        threads: Of the CPU.
        device: "cpu", or another that PyTorch knows.
    """

    threads: int = 1
    device: str = "cpu"

    def __post_init__(self) -> None:
        check_whole("threads", self.threads)

    def prepared(self, network: nn.Module, x: Tensor) -> Callable[[], Any]:
        # A copy: the caller's network stays where it is, and in its mode.
        network, x = copy.deepcopy(network).eval().to(self.device), x.to(self.device)
        wait = torch.cuda.synchronize if x.is_cuda else lambda: None

        def once() -> None:
            with torch.inference_mode():
                network(x)
            wait()

        return once

    def versions(self) -> dict[str, str]:
        return {"torch": torch.__version__}

    @contextmanager
    def running(self) -> Iterator[None]:
        before = torch.get_num_threads()
        torch.set_num_threads(self.threads)
        try:
            yield
        finally:
            torch.set_num_threads(before)


@final
@dataclass(frozen=True)
class OnnxRuntime(Backend):
    """ONNX Runtime on the CPU, of a network exported to ONNX.

    Args:
        threads: Of the CPU.

    Raises:
        ModuleNotFoundError: Where it is used, if it is not installed; with the way to install it.
    """

    threads: int = 1

    def __post_init__(self) -> None:
        check_whole("threads", self.threads)

    def prepared(self, network: nn.Module, x: Tensor) -> Callable[[], Any]:
        running = session(to_onnx(network, x.shape[1:]), self.threads)
        feed = {"input": x.numpy()}
        return lambda: running.run(None, feed)

    def versions(self) -> dict[str, str]:
        return {
            "torch": torch.__version__,
            "onnxruntime": optional("ONNX", "onnxruntime").__version__,
        }
