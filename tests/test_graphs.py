"""Graphs kept: the same bits as from states, two plain steps a sweep's step instead of three."""

import gc
import os
import platform
from pathlib import Path

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

import nongreedy as ng
from nongreedy.engines import (
    Auto,
    Checkpoints,
    Device,
    Disk,
    Graphs,
    _free_memory,
    _graphed,
    _store,
)
from nongreedy.engines._graph_size import GraphSize, graph_size
from nongreedy.engines._slack import give_back
from nongreedy.planning import settle
from nongreedy.testing import EDGE_MODELS, HYPERPARAMETERS, MODELS, OPTIMIZERS, STEPS, tiny_task

ALL = sorted({**MODELS, **EDGE_MODELS})
STORES = [
    Graphs(),
    Graphs(1),
    Graphs(3, Checkpoints(2)),
    Graphs(4, Disk()),
    Checkpoints(),
    Disk(),
    Auto(),
]


def problem(model, optimizer="sgd", learn=(), steps=STEPS, dtype=torch.float32):
    return ng.Problem(tiny_task(model, learn), OPTIMIZERS[optimizer], steps, dtype)


def swept(one, store):
    run = one.run(6)
    return ng.Reverse(store).hypergradient(run, one.initial, list(one.learned))


def assert_same_bits(found, expected):
    assert found.value == expected.value
    for name, gradient in expected.gradients.items():
        assert torch.equal(found.gradients[name], gradient), name
    for name, row in expected.per_step.items():
        assert torch.equal(found.per_step[name], row), name
    assert torch.equal(found.initial, expected.initial)
    assert torch.equal(found.adjoint_norms, expected.adjoint_norms)


@pytest.mark.parametrize("store", STORES, ids=repr)
@pytest.mark.parametrize("model", ALL)
def test_where_a_run_is_kept_changes_no_bit(model, store):
    one = problem(model, learn=HYPERPARAMETERS)
    assert_same_bits(swept(one, store), swept(one, Device()))


@pytest.mark.parametrize("optimizer", sorted(OPTIMIZERS))
@pytest.mark.parametrize("model", ["conv_net", "transformer"])
def test_no_bit_of_any_optimizer_changes(model, optimizer):
    one = problem(model, optimizer)
    assert_same_bits(swept(one, Graphs(3)), swept(one, Device()))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("model", ALL)
def test_a_gradient_has_the_same_bits_with_its_graph(model, dtype):
    # Else a run whose graphs are kept would not be the run that it is without.
    assert graph_size(problem(model, learn=HYPERPARAMETERS, dtype=dtype).run()).exact


def test_a_sweep_from_graphs_computes_no_gradient_again(monkeypatch):
    one, calls = problem("mlp", steps=9), []
    engine, run = ng.Reverse(Graphs(6)), one.run()
    rollout = engine.rollout(run, one.initial, keep=True)
    linearize = run.linearize
    monkeypatch.setattr(
        run, "linearize", lambda *given: calls.append(given[1]) or linearize(*given)
    )
    engine.differentiate(rollout, list(one.learned))
    assert calls == [2, 1, 0]


def test_a_fixed_number_is_no_leaf_of_a_graph_and_can_be_differentiated_all_the_same():
    noise = {"strength": 0.1, "smoothing": ng.Constant(initial=0.2, bounds=(0.0, 0.5))}

    def loss(output, target, hypers):
        right = torch.nn.functional.cross_entropy(output * (1 + hypers["strength"]), target)
        return right + hypers["smoothing"] * output.square().mean()

    judge = torch.nn.functional.cross_entropy
    one = ng.Problem(
        tiny_task(loss=loss, hyperparameters=noise, validation_loss=judge), OPTIMIZERS["sgd"], 5
    )
    run = one.run()
    assert run.learned == ("smoothing",)
    names = ["learning_rate", "strength", "smoothing"]
    found, expected = (
        ng.Reverse(store).hypergradient(run, one.initial, names) for store in (Graphs(), Device())
    )
    assert expected.gradients["strength"].abs().max() > 0
    assert_same_bits(found, expected)


def test_graphs_are_freed_as_they_are_used():
    one = problem("mlp", steps=9)
    engine, run = ng.Reverse("graphs"), one.run()
    rollout = engine.rollout(run, one.initial, keep=True)
    alive = []

    def count(step):
        del step
        gc.collect()
        alive.append(sum(type(x).__name__ == "Linearized" for x in gc.get_objects()))

    engine.differentiate(rollout, list(one.learned), count)
    assert alive[0] - alive[-1] == 8 and alive == sorted(alive, reverse=True)


@pytest.mark.parametrize(("last", "cost"), [(None, 2.0), (10, 2.0), (5, 2.5), (1, 2.9)])
def test_the_price_of_a_sweep_is_that_of_its_steps(last, cost):
    one = problem("mlp", steps=10)
    given = one.run(), one.initial, list(one.learned)
    assert ng.Reverse(Graphs(last)).sweep_cost(*given) == pytest.approx(cost)
    checkpointed = ng.Reverse(Graphs(last, Checkpoints())).sweep_cost(*given)
    assert checkpointed == pytest.approx(2 + 2 * (cost - 2))


class Summed(TorchDispatchMode):
    """Bytes of all results of operations: no less than what of them is held."""

    def __init__(self):
        super().__init__()
        self.bytes = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        for one in result if isinstance(result, (tuple, list)) else (result,):
            self.bytes += one.nbytes if isinstance(one, torch.Tensor) else 0
        return result


def test_a_graph_is_weighed_by_what_it_holds():
    # Two layers: inputs, activations, their slopes and the gradient are held, a few copies of each.
    wide = torch.nn.Sequential(torch.nn.Linear(4, 3000), torch.nn.Tanh(), torch.nn.Linear(3000, 3))
    run = ng.Run(tiny_task(model=lambda: wide), ng.SGD(), 5)
    activations, weights = 6 * 3000 * 4, run.state_bytes // 2
    with Summed() as summed:
        run.linearize(run.initial()[0], 0)
    assert 2 * activations + weights < graph_size(run).bytes < summed.bytes


def test_auto_keeps_as_many_graphs_as_it_has_room_for(monkeypatch):
    run = problem("mlp", steps=100).run()
    state = run.state_bytes
    monkeypatch.setattr(_store, "graph_size", lambda run: GraphSize(10 * state, exact=True))
    monkeypatch.setattr(_free_memory, "free_bytes", lambda device: 0)
    # 100 states and ten a graph; 20 checkpoints, and eleven a graph.
    for memory, store in (
        (1320, Graphs()),
        (1100, Graphs(100)),  # all, but nothing to spare for what lies between them
        (600, Graphs(50, Device())),
        (105, Device()),
        (99, Graphs(7, Checkpoints())),
        (25, Checkpoints()),
        (10, Disk()),
    ):
        assert Auto(memory * state).settled(run) == store
        if store != Disk():
            assert store.states_held(run) <= memory
    monkeypatch.setattr(_store, "graph_size", lambda run: GraphSize(10 * state, exact=False))
    assert Auto(1100 * state).settled(run) == Device()


def test_a_gradient_of_other_bits_is_not_kept(monkeypatch):
    one = problem("mlp")
    monkeypatch.setattr(_store, "graph_size", lambda run: GraphSize(1, exact=False))
    engine = ng.Reverse(Graphs(3, Checkpoints(2)))
    assert engine.settled(one.run()).store == Checkpoints(2)
    assert engine.sweep_cost(one.run(), one.initial, []) == 4
    assert_same_bits(swept(one, engine.store), swept(one, Device()))


@pytest.mark.parametrize(
    ("store", "expected"),
    [
        (Graphs(), []),
        (Graphs(16), ["step 14", "step 16", "swept 16"]),  # an eighth before the end, and around it
        (Graphs(99, Checkpoints()), ["step 14", "step 16", "swept 16"]),
        (Graphs(1), ["step 16", "swept 16"]),
    ],
    ids=repr,
)
def test_where_memory_is_tight_what_was_freed_is_returned(monkeypatch, store, expected):
    one, told, place = problem("mlp", steps=17), [], ["step 0"]
    monkeypatch.setattr(_graphed, "give_back", lambda: told.append(place[0]))
    engine, run = ng.Reverse(store), one.run()
    rollout = engine.rollout(
        run, one.initial, keep=True, on_step=lambda t: place.__setitem__(0, f"step {t + 1}")
    )
    engine.differentiate(rollout, list(one.learned), lambda t: place.__setitem__(0, f"swept {t}"))
    assert told == expected


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="nothing is returned elsewhere")
def test_what_is_resident_is_what_is_held():
    # Where nothing is returned, 1.2 times as much: a graph lies between what its step frees.
    x, y = torch.randn(128, 3, 32, 32), torch.randint(10, (128,))
    task = ng.Task(
        ng.models.build("convnet", (3, 32, 32), 10), torch.nn.functional.cross_entropy, (x, y), (x, y),
        batch_size=128, verify=False,
    )  # fmt: skip
    one, store = ng.Problem(task, ng.SGD(ng.Windows(3)), 13), Graphs(13)
    run, seen = one.run(), []
    held = store.states_held(run) * run.state_bytes
    give_back()
    before = resident()
    rollout = ng.Reverse(store).rollout(
        run, one.initial, keep=True, on_step=lambda t: seen.append(resident())
    )
    assert 0.9 * held < seen[-1] - before < 1.12 * held
    del rollout


def resident():
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def test_the_planner_takes_graphs_where_they_easily_fit(monkeypatch):
    one = problem("mlp", steps=100)
    run = one.run()
    every = (Graphs().states_held(run)) * run.state_bytes
    states = 100 * run.state_bytes
    for free, last in ((10 * every, None), (8 * (states + 51 * graph_size(run).bytes), 51)):
        monkeypatch.setattr(_free_memory, "free_bytes", lambda device, free=free: int(free))
        found = settle("auto", one, one.initial)
        assert found.engine == ng.Reverse(Graphs(last))
        assert "100 steps take" in found.reason and "easily fits" in found.reason


def test_what_keeps_no_states_is_refused():
    for store in (Graphs(), Auto()):
        with pytest.raises(ValueError, match="`before` keeps states"):
            Graphs(before=store)
    with pytest.raises(ValueError, match="last"):
        Graphs(last=0)
    with pytest.raises(ValueError, match="memory"):
        Auto(memory=0)


@pytest.mark.parametrize("engine", ["auto", ng.Reverse()], ids=repr)
def test_a_search_that_goes_on_keeps_its_store(monkeypatch, tmp_path, engine):
    # Else the price of a hypergradient, and with it all that a budget pays for, would follow other programs.
    def search(free, outer_steps):
        monkeypatch.setattr(_free_memory, "free_bytes", lambda device: free)
        return ng.tune(
            tiny_task(), ng.SGD(), steps=30, outer_steps=outer_steps, engine=engine,
            study=tmp_path / f"{outer_steps > 1}.db", progress=False,
        )  # fmt: skip

    first = search(2**40, 1)
    again = search(2**14, 1)
    assert first.settings["engine"] == again.settings["engine"] == ng.Reverse(Graphs()).to_json()
    assert first.cost == again.cost
    other = search(2**14, 2)
    assert other.settings["engine"] != first.settings["engine"]
