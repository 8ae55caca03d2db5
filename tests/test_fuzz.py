"""Forty networks drawn from all layers of PyTorch: none is silently wrong.

``python -m benchmarks.fuzz`` tries more.
"""

import inspect

import pytest
import torch
from torch import nn

from .fuzz.case import Case
from .fuzz.losses import LOSSES
from .fuzz.network import LAYERS

SEEDS = range(40)

# Of torch.nn, what no network of the fuzz is made of, and why.
LEFT_OUT = {
    "Module": "the base of all",
    "Container": "an empty base that is no more in use",
    "RNNBase": "the base of the recurrent layers",
    "RNNCellBase": "the base of their cells",
    "NLLLoss2d": "another name of NLLLoss",
    "SyncBatchNorm": "needs several processes, each with a GPU",
    "DataParallel": "a wrapper for several GPUs; tests/test_bad_input.py tries wrappers",
}


def public_layers():
    return {
        name
        for name, value in vars(nn).items()
        if inspect.isclass(value) and issubclass(value, nn.Module) and not name.startswith("_")
    }


def test_every_layer_of_pytorch_is_drawn_from_or_left_out_for_a_reason():
    drawn = {name.split()[0] for name in (*LAYERS, *LOSSES)}
    assert drawn | LEFT_OUT.keys() == public_layers()
    assert not drawn & LEFT_OUT.keys()


def test_every_layer_and_loss_has_its_turn():
    cases = [Case.of(seed) for seed in range(len(LAYERS))]
    assert {case.layers[0] for case in cases} == set(LAYERS)
    assert {case.loss for case in cases} == set(LOSSES)


def test_a_case_is_the_same_at_every_call():
    case = Case.of(7)
    assert case == Case.of(7) and case != Case.of(8)
    one, other = case.task(), case.task()
    assert all(torch.equal(a, b) for a, b in zip(one.train.source, other.train.source, strict=True))


# What may be refused, by the first letters of its name, and why. Everything else is exact.
REFUSABLE = {
    "CTCLoss": "PyTorch has no second derivative of it",
    "MultiLabelMarginLoss": "PyTorch has no second derivative of it",
    "MultiMarginLoss": "PyTorch has no second derivative of it",
    "EmbeddingBag": "PyTorch has no second derivative of it",
    "CrossMapLRN2d": "PyTorch has no second derivative of it",
    "LinearCrossEntropyLoss": "a loss with trained parameters of its own",
    "Embedding max_norm": "changes its weights in the forward pass",
    "Embedding sparse": "its gradient is no dense tensor",
    "Embedding scale_grad_by_freq": "its gradient is not that of the loss",
    "Linear spectral_norm": "remembers a vector from step to step",
    "Linear old spectral_norm": "remembers a vector from step to step",
    "Conv2d spectral_norm": "remembers a vector from step to step",
    "FractionalMaxPool": "draws when it is judged, too",
}


@pytest.mark.parametrize("seed", SEEDS)
def test_exact_or_refused(seed):
    case = Case.of(seed)
    found = case.verdict()
    parts = (*case.layers, case.loss)
    refusable = any(part.startswith(name) for part in parts for name in REFUSABLE)
    assert found.grade == "exact" or (refusable and found.grade == "refused"), f"{case}: {found}"


@pytest.mark.parametrize("name", REFUSABLE)
def test_what_may_be_refused_is_drawn(name):
    assert any(part.startswith(name) for part in (*LAYERS, *LOSSES))
