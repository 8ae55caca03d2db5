"""Micro-batches: the gradient of a batch is the mean of its parts', in runs and sweeps alike."""

import functools
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from torch import nn
from torch.nn import functional

import nongreedy as ng
from nongreedy.engines import Checkpoints, Device, Disk, Graphs, Neumann
from nongreedy.engines._accumulated import Accumulated
from nongreedy.engines._run import at
from nongreedy.parallel import sharded
from nongreedy.planning._peak import peak_memory
from nongreedy.task._data_plan import DROPOUT, mix

STATUS = Path("/proc/self/status")
STEPS, SIZE, PARTS = 6, 7, 3  # parts of 2, 2 and 3 examples
DRAW = torch.Generator().manual_seed(0)
X, Y = torch.randn(30, 4, generator=DRAW), torch.randint(3, (30,), generator=DRAW)
RATE = ng.Windows(2, initial=(0.3, 0.2))
OPTIMIZERS = {
    "sgd": ng.SGD(
        RATE, ng.Windows(1, initial=0.8, bounds=(0.1, 0.99)), ng.Windows(1, initial=0.01)
    ),
    "adam": ng.Adam(ng.Windows(2, initial=(0.05, 0.02)), epsilon=0.01),
    "clipped": ng.SGD(RATE, 0.5, 0.0, clip_norm=0.4),
    "schedule-free": ng.ScheduleFreeSGD(RATE),
}
ENGINES = {
    "states": ng.Reverse(Device()),
    "checkpoints": ng.Reverse(Checkpoints(interval=2)),
    "disk": ng.Reverse(Disk()),
    "graphs, which are not kept": ng.Reverse(Graphs()),
    "forward": ng.Forward(chunk=2),
}


def network(dropout=0.0):
    return nn.Sequential(nn.Linear(4, 6), nn.Tanh(), nn.Dropout(dropout), nn.Linear(6, 3))


def task(model=network, loss=functional.cross_entropy, accumulate=PARTS, **settings):
    train, held = (X[:21], Y[:21]), (X[21:], Y[21:])
    settings = {"batch_size": SIZE, **settings}
    return ng.Task(model, loss, train, held, accumulate=accumulate, **settings)


def gradients(task, optimizer, engine=None, dtype=torch.float64, steps=STEPS):
    engine = engine or ng.Reverse(Device())
    return ng.hypergradient(task, optimizer, steps=steps, engine=engine, dtype=dtype).gradients


def near(found, wanted, tolerance=1e-9):
    for name, value in wanted.items():
        assert float((found[name] - value).abs().max()) <= tolerance * float(value.abs().max()), (
            name
        )


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_a_hypergradient_is_that_of_whole_batches(optimizer, engine):
    rule = OPTIMIZERS[optimizer]
    near(gradients(task(), rule, ENGINES[engine]), gradients(task(accumulate=1), rule))


def test_stores_have_the_same_bits():
    first, *others = (gradients(task(), OPTIMIZERS["sgd"], ENGINES[e]) for e in list(ENGINES)[:4])
    assert all(torch.equal(first[name], other[name]) for other in others for name in first)


def test_reversible_runs_are_undone():
    split, whole = (
        gradients(task(accumulate=k), OPTIMIZERS["sgd"], ng.Reversible()) for k in (3, 1)
    )
    near(split, whole, 1e-6)  # two integer runs, apart by their rounding


def plain_loss(rates, momentum, decay, model_of, seed=0, steps=STEPS):
    """Of a loop that anyone would write: gradients of micro-batches are added up."""
    torch.manual_seed(mix(seed, 4))
    model = model_of().double()
    optimizer = torch.optim.SGD(model.parameters(), lr=1.0)
    given = task(model_of)
    for step in range(steps):
        optimizer.param_groups[0].update(
            lr=rates[step * len(rates) // steps], momentum=momentum, weight_decay=decay
        )
        x, y = given.plan.batch(seed, step, torch.device("cpu"), torch.float64)
        optimizer.zero_grad()
        for k, (begin, end) in enumerate(((0, 2), (2, 4), (4, 7))):
            torch.manual_seed(mix(seed, DROPOUT, step, k) if k else mix(seed, DROPOUT, step))
            loss = functional.cross_entropy(model(x[begin:end]), y[begin:end])
            (loss * (end - begin) / SIZE).backward()
        optimizer.step()
    model.eval()
    return functional.cross_entropy(model(X[21:].double()), Y[21:]).item()


@pytest.mark.parametrize("dropout", [0.0, 0.4])
@pytest.mark.parametrize("engine", ["states", "checkpoints", "forward"])
def test_it_is_the_difference_of_a_plain_loop(engine, dropout):
    model_of = functools.partial(network, dropout)
    found = gradients(task(model_of), OPTIMIZERS["sgd"], ENGINES[engine])
    values = {"rates": [0.3, 0.2], "momentum": 0.8, "decay": 0.01}

    def moved(name, by, index=None):
        if index is None:
            return plain_loss(**{**values, name: values[name] + by}, model_of=model_of)
        rates = [v + by * (k == index) for k, v in enumerate(values["rates"])]
        return plain_loss(**{**values, "rates": rates}, model_of=model_of)

    def slope(*where, width=1e-4):
        name, *index = where
        ends = [moved(name, by, *index) for by in (width, -width, 2 * width, -2 * width)]
        return (8 * (ends[0] - ends[1]) - (ends[2] - ends[3])) / (12 * width)

    near(
        found,
        {"learning_rate": torch.tensor([slope("rates", 0), slope("rates", 1)]).double()},
        1e-6,
    )
    near(found, {"momentum": torch.tensor([slope("momentum")]).double()}, 1e-6)
    near(found, {"weight_decay": torch.tensor([slope("decay")]).double()}, 1e-6)


def weighted(output, target, hypers):
    each = functional.cross_entropy(output, target, reduction="none")
    return (each * hypers["weights"][hypers.index]).mean()


@pytest.mark.parametrize("engine", ["states", "forward"])
def test_weights_of_examples_follow_their_parts(engine):
    own = {"weights": ng.Variable(initial=torch.linspace(0.5, 1.5, 21).double())}
    given = {"hyperparameters": own, "validation_loss": functional.cross_entropy}
    split, whole = (
        gradients(task(loss=weighted, accumulate=k, **given), OPTIMIZERS["sgd"], e)
        for k, e in ((PARTS, ENGINES[engine]), (1, None))
    )
    near(split, whole)


OTHERS = {
    "greedy": ng.Greedy(),
    "greedy, discounted": ng.Greedy(mu=0.5),
    "random directions": ng.RandomDirections(2),
    "evograd": ng.EvoGrad(),
    "evograd, together": ng.EvoGrad(execution="together"),
    "implicit": ng.Implicit(Neumann(iterations=3)),
}


def scaled(output, target, hypers):
    return functional.cross_entropy(output, target) * hypers["scale"]


@pytest.mark.parametrize("name", OTHERS)
def test_every_other_engine_takes_them_as_whole_batches(name):
    given = {
        "hyperparameters": {"scale": ng.Constant(initial=1.5)},
        "validation_loss": functional.cross_entropy,
    }
    rule = ng.SGD(0.2, 0.5, 0.0)
    split, whole = (
        gradients(task(loss=scaled, accumulate=k, **given), rule, OTHERS[name]) for k in (PARTS, 1)
    )
    near(split, whole, 1e-7)


class InPlace(nn.Module):
    """Changes what it is given."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(4, 3)

    def forward(self, x):
        return self.layer(x.mul_(1.1))


def test_a_model_may_change_its_part_in_place():
    near(
        gradients(task(InPlace), OPTIMIZERS["sgd"]),
        gradients(task(InPlace, accumulate=1), OPTIMIZERS["sgd"]),
    )


def test_a_stopped_value_is_a_function_of_its_part():
    def focal(output, target):
        loss = functional.cross_entropy(output, target, reduction="none")
        return ((1 - (-loss).exp().detach()) ** 2 * loss).mean()

    for engine in (None, ENGINES["forward"]):
        near(
            gradients(task(loss=focal), OPTIMIZERS["sgd"], engine),
            gradients(task(loss=focal, accumulate=1), OPTIMIZERS["sgd"]),
        )


def batch_norm():
    return nn.Sequential(nn.Linear(4, 6), nn.BatchNorm1d(6), nn.Linear(6, 3))


def frozen():
    model = batch_norm()
    model[1].eval()
    return model


class Mixing(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(4, 3)

    def forward(self, x):
        return self.layer(x - x.mean(0))


WEIGHTS = torch.tensor([1.0, 5.0, 0.2])
REFUSED = {
    "BatchNorm": (batch_norm, functional.cross_entropy, "BatchNorm '1'"),
    "a sum": (network, functools.partial(functional.cross_entropy, reduction="sum"), "a mean"),
    "class weights": (
        network,
        functools.partial(functional.cross_entropy, weight=WEIGHTS),
        "class weights",
    ),
    "layers that mix": (Mixing, functional.cross_entropy, "mix examples"),
}


@pytest.mark.parametrize("name", REFUSED)
@pytest.mark.parametrize("verify", [True, False])
def test_what_cannot_be_split_is_refused_by_name(name, verify):
    model, loss, words = REFUSED[name]
    with pytest.raises(ValueError, match=words):
        gradients(task(model, loss, verify=verify), ng.SGD(), dtype=torch.float32)


LATE = 7  # no step that is looked at before training


def gapped(loss=functional.cross_entropy):
    """Ignored targets in one batch of an epoch of ten."""
    x = torch.randn(40, 4, generator=torch.Generator().manual_seed(2))
    y, held = torch.arange(40) % 3, (X[21:], Y[21:])

    def made(labels):
        return ng.Task(
            network, loss, (x, labels), held, batch_size=4, accumulate=2, verify=False,
            validation_loss=functional.cross_entropy,
        )  # fmt: skip

    y[made(y).plan.index(0, LATE)[0]] = -100
    return made(y)


def selected(output, target):
    kept = target != -100
    return functional.cross_entropy(output[kept], target[kept])


@pytest.mark.parametrize("loss", [functional.cross_entropy, selected])
def test_targets_that_are_ignored_late_are_refused_where_they_come(loss):
    schedule = ng.Schedule.of(learning_rate=0.1, momentum=0.0, weight_decay=0.0)
    for train in (
        lambda: gradients(gapped(loss), ng.SGD(), steps=10),
        lambda: ng.retrain(gapped(loss), schedule, steps=10),
    ):
        with pytest.raises(ValueError, match=f"at step {LATE} one micro-batch averages over"):
            train()


def test_a_loss_that_is_not_finite_is_not_blamed_on_them():
    def lost(output, target):
        return functional.cross_entropy(output, target) * float("nan")

    with pytest.raises(ng.DivergedError):
        gradients(task(loss=lost, verify=False), ng.SGD())


def test_frozen_batch_norm_can_be_split():
    near(
        gradients(task(frozen), OPTIMIZERS["sgd"]),
        gradients(task(frozen, accumulate=1), OPTIMIZERS["sgd"]),
    )


def test_more_parts_than_examples_and_ranks_as_well_are_refused():
    with pytest.raises(ValueError, match="accumulate=8 is more than the 7 examples"):
        task(accumulate=8)
    with pytest.raises(ValueError, match="accumulate"):
        task(accumulate=0)
    with pytest.raises(ValueError, match="accumulate=3 and ranks"):
        sharded(task(), SimpleNamespace(size=2))


def test_the_planner_and_studies_know():
    run = ng.Problem(task(), ng.SGD(), STEPS).run()
    whole = ng.Problem(task(accumulate=1), ng.SGD(), STEPS)
    states = ng.Reverse(Device())
    assert states.sweep_cost(run, None, ()) == 4 and states.sweep_cost(whole.run(), None, ()) == 3
    assert ng.Reverse(Graphs()).settled(run) == ng.Reverse(Device())
    assert "accumulate" not in whole.fingerprint()
    assert ng.Problem(task(), ng.SGD(), STEPS).fingerprint()["accumulate"] == PARTS
    assert ng.plan(task(), ng.SGD(), steps=STEPS).recommended == ng.Reverse(Device())


def test_a_search_and_a_retraining_use_them():
    found = ng.tune(
        task(), ng.SGD(ng.Windows(2)), steps=STEPS, outer="paper", outer_steps=2, progress=False
    )
    losses = [
        ng.retrain(task(accumulate=k), found.schedule, steps=STEPS).validation_loss for k in (3, 1)
    ]
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)


def wide():
    """Activations of 2048 examples take 16 MiB a layer, its weights 16 KiB."""
    layers = (part for _ in range(4) for part in (nn.Linear(64, 64), nn.Tanh()))
    return nn.Sequential(nn.Linear(4, 64), *layers, nn.Linear(64, 3))


def peak_of(accumulate):
    draw = torch.Generator().manual_seed(1)
    x, y = torch.randn(60_000, 4, generator=draw), torch.randint(3, (60_000,), generator=draw)
    given = ng.Task(
        wide, functional.cross_entropy, (x, y), (x[:100].clone(), y[:100]), batch_size=60_000,
        accumulate=accumulate,
    )  # fmt: skip
    run = ng.Run(given, ng.SGD(), 1)
    values = at(run.values(ng.Problem(given, ng.SGD(), 1).initial), 0)
    theta = run.initial(values)[0]
    with run.isolated():
        point = run.linearize(theta, 0, values)
        assert isinstance(point, Accumulated) == (accumulate > 1)
        del point
        with peak_memory(given.device) as peak:
            before = peak_now()
            point = run.linearize(theta, 0, values)
            point.pull_back(theta)
    return peak.bytes - before


def peak_now():
    rows = dict(line.split(":", 1) for line in STATUS.read_text().splitlines())
    return int(rows["VmRSS"].split()[0]) * 1024


@pytest.mark.skipif(not STATUS.exists(), reason="/proc tells what is resident")
def test_memory_of_a_double_backward_falls_with_their_number():
    whole, eighth = peak_of(1), peak_of(8)
    assert whole > 100 * 2**20
    assert eighth < whole / 3
