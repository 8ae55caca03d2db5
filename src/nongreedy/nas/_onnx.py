"""ONNX: export of a plain network, and a session that runs it. An extra: ``pip install nongreedy[onnx]``."""

from __future__ import annotations

import io
import logging
import warnings
from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from .._extras import needed, optional


def to_onnx(network: nn.Module, input_shape: Sequence[int]) -> bytes:
    """A network in evaluation mode as an ONNX model, for batches of any size."""
    needed("ONNX", "onnx")
    like = next(network.parameters(), torch.zeros(()))
    x, buffer, training = torch.zeros(1, *input_shape).to(like), io.BytesIO(), network.training
    before = logging.root.manager.disable
    try:
        logging.disable(logging.WARNING)
        with warnings.catch_warnings():
            # The exporter by tracing is called legacy, and is twenty times as fast: a table needs dozens.
            warnings.simplefilter("ignore")
            torch.onnx.export(
                network.eval(), (x,), buffer, dynamo=False,  # pyright: ignore[reportArgumentType]
                input_names=["input"], output_names=["output"],
                dynamic_axes={"input": {0: "batch"}, "output": {0: "batch"}},
            )  # fmt: skip
    finally:
        logging.disable(before)
        network.train(training)
    return buffer.getvalue()


def session(model: bytes, threads: int = 1) -> Any:
    """An ONNX Runtime session on the CPU."""
    runtime = optional("ONNX", "onnxruntime")
    options = runtime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = threads
    options.log_severity_level = 3
    return runtime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
