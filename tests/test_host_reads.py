"""How often a run and its differentiation wait for the device: counted on the CPU, where reads are reads."""

import math

import pytest
import torch
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

import nongreedy as ng
from nongreedy.engines import Gaussian, Rademacher, RandomDirections, _readings
from nongreedy.engines._graph_size import graph_size
from nongreedy.testing import tiny_task

SHORT, LONG, MOST = 100, 300, 3  # steps of two runs; reads per 100 steps more
# What copies numbers to the host without an operation that could be seen below.
COPYING = {torch.Tensor.tolist, torch.Tensor.numpy, torch.Tensor.cpu, torch.Tensor.__array__}
READING = {"_local_scalar_dense", "is_nonzero", "equal"}


class Above(TorchFunctionMode):
    def __init__(self, count):
        super().__init__()
        self.count = count

    def __torch_function__(self, func, types, args=(), kwargs=None):
        self.count[0] += func in COPYING and args[0].numel() > 0
        return func(*args, **(kwargs or {}))


class Below(TorchDispatchMode):
    def __init__(self, count):
        super().__init__()
        self.count = count

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.count[0] += func.overloadpacket.__name__ in READING
        return func(*args, **(kwargs or {}))


def reads(body):
    count = [0]
    with Above(count), Below(count):
        body()
    return count[0]


OPTIMIZERS = {"sgd": (ng.SGD, {"momentum": 0.5}), "adam": (ng.Adam, {}), "adamw": (ng.AdamW, {})}


def problem(learn, steps, optimizer="sgd"):
    rate = ng.Windows(3, initial=0.05) if not learn else 0.05
    kind, settings = OPTIMIZERS[optimizer]
    task = tiny_task("mlp", learn)
    return ng.Problem(task, kind(rate, **settings, weight_decay=0.0 if learn else 1e-3), steps)


WEIGHTS = ["group_penalties"]
CASES = [
    (ng.Reverse("graphs"), WEIGHTS),
    (ng.Reverse("device"), []),
    (ng.Reverse("checkpoint"), WEIGHTS),
    (ng.Forward(), WEIGHTS),
    (RandomDirections(2), []),
    (ng.Reversible(), WEIGHTS),
    (ng.Reversible(), [], "adam"),
    (ng.Reversible(verify=False), [], "adamw"),
    (ng.Greedy(), []),
    (ng.Greedy(every=3, batch=4), WEIGHTS),
    (ng.Greedy(mu=0.9), []),
    (ng.EvoGrad(), WEIGHTS),
    (ng.EvoGrad(Rademacher(copies=4), order="before", every=2, execution="together"), WEIGHTS),
    (ng.EvoGrad(Gaussian(), relative=True, batch=4, execution="vectorized"), WEIGHTS),
]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_runs_and_sweeps_read_a_few_numbers_every_hundred_steps(monkeypatch, case):
    monkeypatch.setattr(_readings, "_LONG", math.inf)  # on a slow machine
    engine, learn, *optimizer = case

    def counted(steps):
        one, rollouts = problem(learn, steps, *optimizer), []
        run = one.run()
        graph_size(run)  # once per task
        trained = reads(lambda: rollouts.append(engine.rollout(run, one.initial, keep=True)))
        return trained, reads(lambda: engine.differentiate(rollouts[0], list(one.learned)))

    for few, many in zip(counted(SHORT), counted(LONG), strict=True):
        assert 0 < few <= many <= few + MOST * (LONG - SHORT) / 100


def test_a_read_is_seen():
    x = torch.ones(3)
    assert reads(lambda: x.tolist()) == 1
    assert reads(lambda: float(x[0])) == reads(lambda: bool(x.any())) == 1
    assert reads(lambda: x.numpy()) == 1
