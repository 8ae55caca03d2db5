"""A plain network as files: weights, Python code that needs PyTorch alone, ONNX."""

from __future__ import annotations

import inspect
import io
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import nn

from ..errors import NongreedyError
from ..schedules._files import replace_file
from . import _plain
from ._onnx import session, to_onnx
from ._plain import Block, SqueezeExcite

_CLOSE = 1e-4


class ExportError(NongreedyError):
    """A network computes something else after its export, or cannot be written as code."""


def save(network: nn.Module, input_shape: Sequence[int], directory: Path) -> list[Path]:
    """Write ``model.pt`` and, where they can be had, ``model.py`` and ``model.onnx``; each is read
    again and compared with the network.

    ``model.py`` is written of networks that consist of PyTorch's own layers in rows, ``model.onnx`` where
    the packages of the extra "onnx" are installed.

    Raises:
        ExportError: What was read computes something else.
    """
    directory.mkdir(parents=True, exist_ok=True)
    buffer = io.BytesIO()
    torch.save(network.state_dict(), buffer)
    files = {"model.pt": buffer.getvalue()}
    code = python_code(network)
    if code is not None:
        _check_code(network, code, input_shape)
        files["model.py"] = code.encode()
    try:
        files["model.onnx"] = to_onnx(network, input_shape)
        check_onnx(network, files["model.onnx"], input_shape)
    except ModuleNotFoundError:
        files.pop("model.onnx", None)
    for name, content in files.items():
        replace_file(directory / name, content)
    return [directory / name for name in files]


def python_code(network: nn.Module) -> str | None:
    """Code that builds the network, for its weights to be loaded into; None where it has classes of the
    user's own."""
    try:
        built = _written(network, "    ")
    except ExportError:
        return None
    return (
        '"""A network that nongreedy.nas found. Load its weights:\n\n'
        '    network = build()\n    network.load_state_dict(torch.load("model.pt"))\n'
        '    network.eval()\n"""\n\n'
        + inspect.getsource(_plain).partition('"""\n\n')[2]
        + f"\n\ndef build() -> nn.Module:\n    return {built}\n"
    )


def _written(module: nn.Module, indent: str) -> str:
    """One module as an expression. PyTorch writes its own layers as the call that makes them."""
    inner = indent + "    "
    if isinstance(module, nn.Sequential) and type(module) is nn.Sequential:
        names = list(module._modules)
        if names != [str(k) for k in range(len(names))]:
            raise ExportError("A Sequential with names.")
        rows = "".join(f"{inner}{_written(each, inner)},\n" for each in module)
        return f"nn.Sequential(\n{rows}{indent})"
    if isinstance(module, Block):
        return f"Block({_written(module.layers, indent)}, residual={module.residual})"
    if isinstance(module, SqueezeExcite):
        return f"SqueezeExcite({module.reduce.in_channels}, {module.reduce.out_channels})"
    if type(module).__module__.startswith("torch.nn.modules") and not list(module.children()):
        return f"nn.{_short(module)}"
    raise ExportError(f"{type(module).__name__} is no layer of PyTorch.")


def _short(module: nn.Module) -> str:
    if isinstance(module, nn.BatchNorm2d):
        # Its own words differ between versions of PyTorch.
        return f"BatchNorm2d({module.num_features}, eps={module.eps}, momentum={module.momentum})"
    return repr(module)


def _check_code(network: nn.Module, code: str, input_shape: Sequence[int]) -> None:
    room: dict = {}
    exec(compile(code, "model.py", "exec"), room)
    again = room["build"]().eval()
    again.load_state_dict(network.state_dict())
    _check("model.py", _run(network, input_shape), _run(again, input_shape))


def check_onnx(network: nn.Module, model: bytes, input_shape: Sequence[int]) -> float:
    """The largest difference of outputs between the network and its ONNX model, both on the CPU.

    Raises:
        ExportError: It is above 1e-4 of the largest output.
    """
    x = _example(input_shape)
    (out,) = session(model).run(None, {"input": x.numpy()})
    return _check("model.onnx", _run(network, input_shape), torch.from_numpy(out))


def _example(input_shape: Sequence[int]) -> torch.Tensor:
    return torch.randn(2, *input_shape, generator=torch.Generator().manual_seed(0))


def _run(network: nn.Module, input_shape: Sequence[int]) -> torch.Tensor:
    training = network.training
    with torch.no_grad():
        out = network.eval()(_example(input_shape))
    network.train(training)
    return out


def _check(name: str, wanted: torch.Tensor, got: torch.Tensor) -> float:
    off = float((wanted - got).abs().max())
    if not off <= _CLOSE * (1 + float(wanted.abs().max())):
        raise ExportError(
            f"{name} computes something else than the network: outputs differ by {off:.2g}. "
            "Report this with the network."
        )
    return off
