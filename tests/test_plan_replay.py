"""Batches are functions of (seed, step); states come back bit for bit; what differs is noticed."""

import gc
import itertools
import random
import re
import shutil
import tempfile
from collections import Counter
from types import SimpleNamespace

import numpy
import pytest
import torch
from torch import nn

import nongreedy as ng
from nongreedy.engines import Checkpoints, _free_memory, _store, _trajectory
from nongreedy.engines._graph_size import GraphSize
from nongreedy.planning._peak import peak_memory
from nongreedy.task import DataPlan, Examples
from nongreedy.task._data_plan import checksum, mix
from nongreedy.task._shards import Shards

from .helpers import BASES, CLIPPINGS, Drift, at, classes, tiny_task

CPU = torch.device("cpu")


def indices_of(plan, seed, steps):
    return [tuple(plan.batch(seed, t, CPU, torch.float64)[1].tolist()) for t in steps]


def numbered(count, batch_size, **settings):
    """A plan over examples whose target is their own index."""
    data = torch.randn(count, 2), torch.arange(count)
    return DataPlan(Examples(data, "train"), batch_size, **settings)


@pytest.mark.parametrize("batch_size", [1, 3, 5, 16, 17])
def test_batches_depend_on_seed_and_step_only(batch_size):
    steps = list(range(40))
    expected = indices_of(numbered(17, batch_size), 5, steps)
    plan, shuffled = numbered(17, batch_size), random.Random(0).sample(steps, len(steps))
    for t in shuffled:  # any order of asking, interleaved with another seed
        indices_of(plan, 6, [t])
        assert indices_of(plan, 5, [t]) == [expected[t]]
    if batch_size < 17:
        assert indices_of(plan, 6, steps) != expected


@pytest.mark.parametrize("batch_size", [1, 3, 5, 16])
def test_every_epoch_is_another_permutation(batch_size):
    plan, epochs = numbered(17, batch_size), []
    for epoch in range(3):
        steps = range(epoch * plan.steps_per_epoch, (epoch + 1) * plan.steps_per_epoch)
        batches = indices_of(plan, 0, steps)
        assert all(len(batch) == batch_size for batch in batches)
        drawn = [index for batch in batches for index in batch]
        assert Counter(drawn).most_common(1)[0][1] == 1  # nothing twice
        assert len(drawn) == 17 - 17 % batch_size
        epochs.append(tuple(drawn))
    assert len(set(epochs)) == 3


def test_full_batch_keeps_the_datas_own_order():
    assert indices_of(numbered(9, 9), 3, range(4)) == [tuple(range(9))] * 4


@pytest.mark.parametrize("count", [64, 1000])
def test_neighbouring_seeds_are_unrelated(count):
    # Agreement of two random permutations in a place has expectation one, whatever their length.
    orders = [
        torch.tensor(indices_of(numbered(count, count - 1), seed, [0])[0]) for seed in range(8)
    ]
    agree = [(a == b).sum().item() for a, b in itertools.pairwise(orders)]
    assert max(agree) < 8
    assert len({mix(seed, stream) for seed in range(100) for stream in range(100)}) == 10_000


def test_data_sets_and_tensors_give_the_same_batches():
    inputs, targets = classes(14, (4,), 0)
    pairs = torch.utils.data.TensorDataset(inputs, targets)
    for t in range(5):
        one, other = (
            DataPlan(Examples(data, "train"), 4).batch(2, t, CPU, torch.float64)
            for data in ((inputs, targets), pairs)
        )
        assert torch.equal(one[0], other[0]) and torch.equal(one[1], other[1])


def jitter(inputs, generator):
    return inputs + 0.1 * torch.randn(inputs.shape, generator=generator, dtype=inputs.dtype)


def test_augmentation_depends_on_seed_and_step_only():
    plan = numbered(9, 9, augment=jitter)  # full batches: nothing else varies

    def inputs(seed, step):
        return plan.batch(seed, step, CPU, torch.float64)[0]

    for seed, step in ((0, 0), (0, 1), (1, 0), (0, 0)):
        assert torch.equal(inputs(seed, step), inputs(seed, step))
        assert torch.equal(inputs(seed, step), inputs(0, 0)) == ((seed, step) == (0, 0))


def test_augmentation_and_dropout_are_replayed():
    run = ng.Run(tiny_task("conv_net", augment=jitter), ng.SGD(), 8, dtype=torch.float64)
    parameters = run.initial()[0]
    with run.isolated():
        first = [run.gradient(parameters, t) for t in range(8)]
        again = {t: run.gradient(parameters, t) for t in (5, 0, 7, 2, 6, 1, 4, 3)}
        # The order differs from the engines' too: linearize interleaves another graph.
        curved = run.linearize(parameters, 3).gradient.detach()
    assert all(first[t][0] == again[t][0] and torch.equal(first[t][1], again[t][1]) for t in again)
    assert len({loss for loss, _ in first}) == 8  # fresh noise at every step
    torch.testing.assert_close(curved, first[3][1], rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("engine", [ng.Forward(), ng.Reverse("checkpoint")], ids=repr)
def test_engines_see_the_same_augmentation(engine):
    task, optimizer = tiny_task("conv_net", augment=jitter), ng.SGD(**BASES["constant"])
    settings = {"steps": 6, "dtype": torch.float64}
    found = ng.hypergradient(task, optimizer, engine=engine, **settings).gradients
    judge = ng.FiniteDifference(order=4)
    for name, value in ng.hypergradient(
        task, optimizer, engine=judge, **settings
    ).gradients.items():
        torch.testing.assert_close(found[name], value, rtol=1e-6, atol=1e-8)


def random_states():
    return (
        torch.get_rng_state().tolist(),
        random.getstate(),
        [part.tolist() if hasattr(part, "tolist") else part for part in numpy.random.get_state()],
    )


@pytest.mark.parametrize("verb", ["tune", "hypergradient", "retrain", "Run"])
def test_the_callers_random_state_is_left_alone(verb):
    before = random_states()
    task = tiny_task("conv_net", augment=jitter, validation=0.3)
    if verb == "tune":
        ng.tune(task, ng.SGD(), steps=4, outer_steps=2)
    elif verb == "hypergradient":
        ng.hypergradient(task, ng.SGD(), steps=4)
    elif verb == "retrain":
        ng.retrain(task, ng.cosine_schedule(0.1), steps=4)
    else:
        ng.Run(task, ng.SGD(), 4).initial()
    assert random_states() == before


def test_checksum_sees_every_bit_and_the_order():
    a = torch.arange(11, dtype=torch.float32)
    b = a.clone()
    b[7] = torch.nextafter(b[7], torch.tensor(9.0))
    values = [a, b, a.flip(0), a.double(), a[:10], (a, a), (a, b), (b, a), {"x": a, "y": b}]
    assert (
        len({checksum(v) for v in values}) == len(values) - 1
    )  # a mapping is its values, in order
    assert checksum(a) == checksum(a.clone().reshape(11, 1))
    assert checksum(torch.tensor([True, False])) != checksum(torch.tensor([False, True]))


# ---- Where states are kept ----------------------------------------------------------------------


def rolled_out(store, steps, model="conv_net"):
    run = ng.Run(tiny_task(model), ng.SGD(**CLIPPINGS["both"]), steps, dtype=torch.float64)
    schedule = ng.Schedule.of(learning_rate=[0.3, 0.1], momentum=0.9, weight_decay=0.01)
    return ng.Reverse(store).rollout(run, schedule, keep=True)


@pytest.mark.parametrize("steps", [1, 2, 3, 9, 10, 11, 17])
@pytest.mark.parametrize(
    "store",
    ["host", "disk", "checkpoint", Checkpoints(1), Checkpoints(4), Checkpoints(50)],
    ids=str,
)
def test_every_store_gives_back_every_state_bit_for_bit(store, steps):
    def replay(state, t):
        return done.run.step(state, at(done.run.values(done.schedule), t), t)[0]

    expected = rolled_out("device", steps).trajectory.states
    done, asked = rolled_out(store, steps), []
    with done.run.isolated():
        for t, state in done.trajectory.backwards(done.final, replay):
            asked.append(t)
            assert torch.equal(state, expected[t])
    assert asked == list(reversed(range(steps)))


@pytest.mark.parametrize("steps", [1, 10, 100, 5000])
def test_checkpoints_hold_about_two_square_roots_of_states(steps):
    kept, most = _trajectory.Checkpointed(steps), 0
    for t in range(steps):
        kept.append(torch.tensor([t]))
    most = len(kept.kept)
    for t, state in kept.backwards(torch.tensor([steps]), lambda s, t: s + 1):
        assert state.item() == t
        most = max(most, len(kept.kept) + kept.interval)
    assert most <= 2 * steps**0.5 + 3
    held = ng.engines.Checkpoints().states_held(SimpleNamespace(steps=steps))
    assert held - kept.interval <= most <= held


def test_recomputation_is_verified():
    done = rolled_out("checkpoint", 10)

    def wrong(state, t):  # off by one bit, in one step
        next_state = done.run.step(state, at(done.run.values(done.schedule), t), t)[0]
        if t == 6:
            next_state[0, 0] = torch.nextafter(next_state[0, 0], torch.tensor(9.0).double())
        return next_state

    with pytest.raises(ng.ReplayError, match=re.escape("a second time gave a different state")):
        list(done.trajectory.backwards(done.final, wrong))


class Aging(nn.Module):
    """State outside parameters and buffers, which nothing but a comparison of results can see."""

    def __init__(self):
        super().__init__()
        self.inner, self.calls = nn.Linear(4, 3), 0

    def forward(self, inputs):
        self.calls += 1
        return self.inner(inputs) * (1 + 1e-9 * self.calls)


def test_a_model_that_differs_on_replay_is_noticed():
    task = tiny_task(model=Aging)
    with pytest.raises(ng.ReplayError, match="store='device'"):
        ng.hypergradient(
            task, ng.SGD(), steps=9, engine=ng.Reverse("checkpoint"), dtype=torch.float64
        )


@pytest.mark.parametrize("name", ["train", "validation", "test"])
def test_a_data_set_that_differs_on_a_second_read_is_refused_at_once(name):
    with pytest.raises(ng.ReplayError, match=f"`{name}` .* second read .*augment="):
        tiny_task(**{name: Drift(*classes(14, (4,), 0), steady=1)})


@pytest.mark.parametrize(
    "engine", [*map(ng.Reverse, _store.STORES), ng.FiniteDifference()], ids=repr
)
def test_a_data_set_that_drifts_later_is_noticed(engine):
    # Four reads at construction, six a step: the twelfth step is the first whose reading differs
    # between the run and its differentiation.
    data = Drift(*classes(14, (4,), 0), steady=4 + 12 * 6)
    task = tiny_task(train=data)
    with pytest.raises(ng.ReplayError, match=r"`train` .*batch of step \d+.*in_memory"):
        ng.hypergradient(task, ng.SGD(), steps=12, engine=engine)


def test_steady_data_sets_pass_the_guard():
    inputs, targets = classes(14, (4,), 0)
    data = torch.utils.data.TensorDataset(inputs, targets)
    gradients = [
        ng.hypergradient(tiny_task(train=train), ng.SGD(), steps=9).gradients["learning_rate"]
        for train in (data, (inputs, targets))
    ]
    assert torch.equal(*gradients)


GIB = 2**30


@pytest.mark.parametrize(
    ("device", "device_free", "host_free", "states", "chosen"),
    [
        ("cpu", 8, 8, 2, "device"),
        ("cpu", 8, 8, 4, "device"),  # half of what is free may be used
        ("cpu", 8, 8, 5, "checkpoint"),
        ("cpu", 0, 0, 5, "disk"),
        ("cuda", 8, 64, 2, "device"),
        ("cuda", 8, 64, 5, "host"),
        ("cuda", 8, 8, 5, "checkpoint"),
        ("cuda", 0, 8, 5, "disk"),
    ],
)
def test_auto_store_takes_at_most_half_of_what_is_free(
    monkeypatch, device, device_free, host_free, states, chosen
):
    free = {"cpu": host_free * GIB, "cuda": device_free * GIB}
    monkeypatch.setattr(_free_memory, "free_bytes", lambda d: free[d.type])
    monkeypatch.setattr(_store, "graph_size", lambda run: GraphSize(2**30, exact=False))
    # 1024 states of `states` MiB: `states` GiB in all, 64 states' worth with checkpoints.
    task = SimpleNamespace(device=torch.device(device), shards=Shards())
    run = SimpleNamespace(state_bytes=states * 2**20, steps=1024, task=task)
    assert _store.Auto().settled(run) == _store.STORES[chosen]()
    assert _store.Disk().settled(run) == _store.Disk()  # asked for


def test_free_bytes_are_those_of_the_machine_or_its_group():
    assert 2**20 < _free_memory.free_bytes(CPU) < 2**50


@pytest.fixture
def temporary(monkeypatch, tmp_path):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def test_disk_store_takes_a_directory_that_exists(temporary, tmp_path):
    folder = tmp_path / "elsewhere"
    with pytest.raises(FileNotFoundError):
        rolled_out(ng.engines.Disk(str(folder)), 5)
    folder.mkdir()
    done = rolled_out(ng.engines.Disk(str(folder)), 5)
    assert len(list(done.trajectory.backwards(done.final, None))) == 5


def test_an_interval_is_at_least_one():
    with pytest.raises(ValueError, match="`interval` must be a whole number of at least 1 or None"):
        Checkpoints(0)


def test_disk_store_removes_its_file(temporary):
    done = rolled_out("disk", 5)
    file = done.trajectory._file
    assert file.seek(0, 2) == 5 * done.final.numel() * 8
    ng.Reverse().differentiate(done, ["learning_rate"])
    gc.collect()
    assert file.closed and not list(temporary.iterdir())


def test_disk_store_removes_its_file_when_never_used_or_interrupted(temporary):
    done = rolled_out("disk", 5)
    file = done.trajectory._file
    for _ in done.trajectory.backwards(done.final, None):
        break  # as an interruption would
    assert not file.closed
    del done
    gc.collect()
    assert file.closed and not list(temporary.iterdir())


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32, torch.float64])
def test_disk_store_takes_every_dtype_and_any_strides(temporary, dtype):
    kept, states = _trajectory.OnDisk(3), [torch.randn(5, 2).to(dtype).T for _ in range(3)]
    for state in states:
        kept.append(state)
    assert all(torch.equal(s, states[t]) for t, s in kept.backwards(states[0], None))


def test_states_on_disk_do_not_count_as_memory(temporary):
    kept, state = _trajectory.OnDisk(64), torch.ones(2, 2**18)
    with peak_memory(CPU) as before:
        pass
    with peak_memory(CPU) as peak:
        for _ in range(64):
            kept.append(state)
        for _ in kept.backwards(state, None):
            pass
    assert peak.bytes - before.bytes < 64 * state.nbytes / 4


def test_a_full_disk_is_noticed_before_it_is_full(temporary, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=1000))
    with pytest.raises(OSError, match=r"GiB free. Set TMPDIR .*checkpoint"):
        rolled_out("disk", 5)
