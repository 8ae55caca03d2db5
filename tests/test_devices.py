"""What another device needs and none is at hand for: told from names and settings alone."""

import pytest
import torch

import nongreedy as ng
from nongreedy.engines._problem import machine
from nongreedy.engines._replay import same_outcome
from nongreedy.engines._trajectory import InMemory
from nongreedy.optimizers._grouping import by_group
from nongreedy.task._device import checked_device
from nongreedy.testing import tiny_task

CUDA = torch.device("cuda", 1)


@pytest.fixture
def two_gpus(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 1)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "H100")


def test_a_gpu_without_a_number_is_the_one_that_is_current_now(two_gpus):
    assert checked_device("cuda") == CUDA
    assert checked_device("cuda:0") == torch.device("cuda", 0)
    with pytest.raises(ValueError, match="there are 2"):
        checked_device("cuda:2")


def test_a_study_knows_the_kind_of_gpu_and_what_decides_its_bits(two_gpus):
    told = machine(CUDA)
    assert told["gpu"] == "H100" and told["device"] == "cuda"
    assert {"cudnn", "matmul_precision"} <= told.keys()
    assert machine(torch.device("cpu")) == {"device": "cpu"}


def test_an_outcome_may_differ_in_its_last_bits_where_sums_are_not_repeated():
    before, now = 1.0, 1.0 + 2**-22
    assert same_outcome(now, before, CUDA, torch.float32)
    assert not same_outcome(now, before, torch.device("cpu"), torch.float32)
    assert not same_outcome(1.001, before, CUDA, torch.float32)


def test_numbers_of_groups_and_their_derivatives_are_those_of_an_index():
    rows = torch.tensor([1.0, 2.0, 3.0], dtype=torch.float64, requires_grad=True)
    index = torch.tensor([0, 2, 1, 1, 0, 2, 2])
    stretches = [(0, 1), (2, 1), (1, 2), (0, 1), (2, 2)]
    weight = torch.arange(7.0).double()
    slopes = [
        torch.autograd.grad(spread @ weight, rows)[0]
        for spread in (by_group(list(rows), stretches), rows[index])
    ]
    assert torch.equal(by_group(list(rows), stretches), rows[index])
    assert torch.equal(*slopes)


def test_states_are_given_back_as_they_are_swept():
    kept = InMemory()
    for t in range(3):
        kept.append(torch.full((1, 2), float(t)))
    for t, state in kept.backwards(torch.zeros(1, 2), lambda state, t: state):
        assert float(state[0, 0]) == t and len(kept.states) == t


def test_noise_is_drawn_once_for_a_look(monkeypatch):
    from nongreedy.engines import _perturbation

    draws, draw = [], _perturbation.generator
    monkeypatch.setattr(_perturbation, "generator", lambda *at: draws.append(at) or draw(*at))
    run = ng.Run(tiny_task("mlp"), ng.SGD(), 3)
    noise = _perturbation.Rademacher().around(run, run.initial()[0], 0, None, None)
    first = [noise.of(k) for k in (0, 1)]
    assert all(torch.equal(noise.of(k), first[k]) for k in (1, 0, 1))
    assert len(draws) == 2
