"""An optimizer's shortcuts against its update and the automatic differentiation of it."""

from __future__ import annotations

import pytest
import torch

import nongreedy as ng
from nongreedy.optimizers import Optimizer

NAMES = ["learning_rate", "momentum", "weight_decay"]
CLIPPING = [{}, {"clip_value": 0.7}, {"clip_norm": 1.5}, {"clip_value": 0.7, "clip_norm": 1.5}]
KINDS = [{}, {"nesterov": True}, {"dampening": 0.3}]


@pytest.mark.parametrize("step", [1, 2])
@pytest.mark.parametrize("kind", KINDS, ids=str)
@pytest.mark.parametrize("clipping", CLIPPING, ids=str)
@pytest.mark.parametrize("learn", [NAMES, NAMES[1:], NAMES[:1], []], ids=str)
def test_closed_form_of_sgd(clipping, kind, step, learn):
    draw = torch.Generator().manual_seed(0)
    state, adjoint = torch.randn(2, 2, 50, generator=draw, dtype=torch.float64)
    gradient = torch.randn(50, generator=draw, dtype=torch.float64)
    values = {n: torch.tensor(v).double() for n, v in zip(NAMES, (0.3, 0.8, 0.01), strict=True)}
    values["step"] = torch.tensor(step).double()
    sgd = ng.SGD(**clipping, **kind)
    advanced = sgd.advance(state, gradient, values)
    torch.testing.assert_close(
        advanced, sgd.update(state, gradient, values), rtol=1e-14, atol=1e-15
    )
    found = sgd.pull_back(state, gradient, values, adjoint, learn)
    oracle = Optimizer.pull_back(sgd, state, gradient, values, adjoint, learn)
    torch.testing.assert_close(found, oracle, rtol=1e-12, atol=1e-12)
    assert list(found[2]) == learn
    if clipping:  # the bounds above do bind
        assert not torch.equal(
            found[1], sgd.pull_back(state, gradient / 99, values, adjoint, [])[1]
        )
