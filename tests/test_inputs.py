"""Inputs as people have them: whatever draws is replayed, whatever holds tensors is read.

The judge is a plain loop of ``torch.optim`` in float64, differentiated by central differences.
"""

import collections
import dataclasses
import multiprocessing
import os
import random

import numpy
import pytest
import torch
from torch import nn
from torch.nn import functional
from torch.utils.data import (
    DataLoader,
    Dataset,
    IterableDataset,
    RandomSampler,
    SequentialSampler,
    Subset,
    SubsetRandomSampler,
    TensorDataset,
    WeightedRandomSampler,
)

import nongreedy as ng
from nongreedy.task import DataPlan, Examples
from nongreedy.task._kept import Kept

CPU = torch.device("cpu")
GENERATOR = torch.Generator().manual_seed(5)
X, XV = torch.randn(48, 6, generator=GENERATOR), torch.randn(20, 6, generator=GENERATOR)
Y, YV = (X[:, 0] * X[:, 1] > 0).long(), (XV[:, 0] * XV[:, 1] > 0).long()
RATES, MOMENTUM, STEPS = (0.3, 0.2), 0.5, 12
OPTIMIZER = ng.SGD(ng.Windows(2, initial=RATES), momentum=MOMENTUM)
ENGINES = [ng.Reverse(), ng.Reverse("checkpoint"), ng.Forward(), ng.FiniteDifference(order=4)]


def network(width=6):
    torch.manual_seed(3)
    return nn.Sequential(nn.Linear(width, 5), nn.Tanh(), nn.Linear(5, 2))


def task_of(train=(X, Y), validation=(XV, YV), model=None, **changed):
    settings = {"batch_size": 16, **changed}
    return ng.Task(model or network(), functional.cross_entropy, train, validation, **settings)


def call(model, inputs):
    if isinstance(inputs, dict):
        return model(**inputs)
    return model(*inputs) if isinstance(inputs, (tuple, list)) else model(inputs)


def trained(model, batches, judged, rates, decay=0.0):
    """The final validation loss of a plain loop over these batches, in float64."""
    settings = {"momentum": MOMENTUM, "weight_decay": decay}
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, **settings)
    for step, (inputs, targets) in enumerate(batches):
        optimizer.param_groups[0]["lr"] = rates[step * len(rates) // len(batches)]
        optimizer.zero_grad()
        functional.cross_entropy(call(model, inputs), targets).backward()
        optimizer.step()
    with torch.no_grad():
        return functional.cross_entropy(call(model, judged[0]), judged[1]).item()


def assert_right(task, make=network, judged=None, engines=ENGINES, decay=0.0):
    """Every engine gives what differences of a plain loop over the task's own batches give."""
    judged = judged or (XV.double(), YV)
    batches = [task.plan.batch(0, t, CPU, torch.float64) for t in range(STEPS)]

    def loss(rates):
        return trained(make().double(), batches, judged, rates, decay)

    step, slopes = 1e-5, []
    for moved in ((step, 0.0), (0.0, step)):
        up, down = (
            loss([r + sign * d for r, d in zip(RATES, moved, strict=True)]) for sign in (1, -1)
        )
        slopes.append((up - down) / (2 * step))
    optimizer = dataclasses.replace(OPTIMIZER, weight_decay=decay)
    for engine in engines:
        # Whatever the default generators hold when a run begins is of no consequence.
        torch.manual_seed(hash(str(engine)) % 1000)
        random.seed(1), numpy.random.seed(2)
        found = ng.hypergradient(task, optimizer, steps=STEPS, engine=engine, dtype=torch.float64)
        assert found.value == pytest.approx(loss(RATES), rel=1e-10)
        torch.testing.assert_close(
            found.gradients["learning_rate"], torch.tensor(slopes).double(), rtol=1e-6, atol=1e-8
        )


# ---- What draws --------------------------------------------------------------------------------


def by_torch(inputs):
    return inputs + 0.5 * torch.randn_like(inputs)


def by_python(inputs):
    return inputs * random.uniform(0.5, 1.5)


def by_numpy(inputs):
    return inputs + torch.from_numpy(numpy.random.randn(*inputs.shape)).to(inputs.dtype)


def by_all(inputs):
    return by_numpy(by_python(by_torch(inputs)))


DRAWS = {"torch": by_torch, "python": by_python, "numpy": by_numpy, "all": by_all}


class Transformed(Dataset):
    """Pairs with a transform of the inputs, as torchvision's data sets have it."""

    def __init__(self, inputs, targets, transform=lambda inputs: inputs):
        self.inputs, self.targets, self.transform = inputs, targets, transform

    def __len__(self):
        return len(self.inputs)

    def __getitem__(self, index):
        return self.transform(self.inputs[index]), self.targets[index]


@pytest.mark.parametrize("draws", DRAWS)
def test_augmentation_by_default_generators_is_replayed(draws):
    augment = DRAWS[draws]
    assert_right(task_of(augment=lambda inputs, generator: augment(inputs)))


@pytest.mark.parametrize("draws", DRAWS)
def test_random_transforms_of_a_data_set_are_replayed(draws):
    assert_right(task_of(Transformed(X, Y, DRAWS[draws])))


def test_draws_differ_between_steps_seeds_and_examples():
    noise = Examples(Transformed(torch.zeros(8, 3), torch.zeros(8), by_all), "train")
    plan = DataPlan(noise, 8, lambda inputs, generator: inputs + torch.randn_like(inputs))
    drawn = [
        plan.batch(seed, step, CPU, torch.float64)[0].flatten()
        for seed in (0, 1)
        for step in (0, 1)
    ]
    assert len(set(torch.cat(drawn).tolist())) == 4 * 24
    judged = noise.fetch(slice(None))[0].flatten()
    assert len(set(judged.tolist())) == 24


def test_retraining_sees_the_same_draws():
    seen = []

    def augment(inputs, generator):
        seen.append(by_all(inputs))
        return seen[-1]

    task = task_of(Transformed(X, Y, by_all), augment=augment)
    ng.Reverse().rollout(ng.Run(task, OPTIMIZER, 5, seed=2), ng.cosine_schedule(0.1))
    run, seen[:] = seen[-5:], []  # the first batch was looked at before
    ng.retrain(task, ng.cosine_schedule(0.1), steps=5, seed=2)
    assert len(seen) == 5 and all(map(torch.equal, run, seen))


def flips(inputs):
    return inputs.flip(0) if torch.rand(()) < 0.5 else inputs


def test_random_validation_data_are_one_fixed_draw():
    data, values = Transformed(XV, YV, lambda row: by_all(flips(row))), []
    for k in range(3):
        torch.manual_seed(k), random.seed(k), numpy.random.seed(k)
        task = task_of(validation=data)
        values.append(ng.hypergradient(task, OPTIMIZER, steps=3).value)
    assert len(set(values)) == 1
    assert_right(task, judged=[part.double() if part.is_floating_point() else part
                               for part in task.validation.fetch(slice(None))])  # fmt: skip


def test_reading_does_not_depend_on_slices_or_order():
    examples = Examples(Transformed(XV, YV, by_all), "validation")
    whole = examples.fetch(slice(None))[0]
    apart = torch.cat([examples.fetch([i])[0] for i in reversed(range(20))]).flip(0)
    parts = torch.cat([examples.fetch(slice(0, 7))[0], examples.fetch(slice(7, 20))[0]])
    assert torch.equal(whole, apart) and torch.equal(whole, parts)


def test_reading_leaves_the_callers_generators_alone():
    task = task_of(Transformed(X, Y, by_all), Transformed(XV, YV, by_all))

    def states():
        return torch.get_rng_state().tolist(), random.getstate(), str(numpy.random.get_state())

    before = states()
    task.plan.batch(0, 3, CPU, torch.float64), task.validation.fetch([1])
    assert states() == before


class Counter(Dataset):
    def __init__(self):
        self.reads = 0

    def __len__(self):
        return 48

    def __getitem__(self, index):
        self.reads += 1
        return X[index] + self.reads, Y[index]


def own_generator():
    own = numpy.random.default_rng(0)
    return Transformed(X, Y, lambda row: row + own.standard_normal())


@pytest.mark.parametrize("make", [Counter, own_generator])
def test_what_cannot_be_seeded_is_refused(make):
    with pytest.raises(ng.ReplayError, match=r"`train`.*cannot be seeded.*augment="):
        task_of(make())


def test_augmenting_in_place_leaves_full_batches_alone():
    kept = X.clone()
    task = task_of((kept, Y), batch_size=48, augment=lambda inputs, generator: inputs.mul_(2))
    for _ in range(2):
        assert torch.equal(task.plan.batch(0, 0, CPU, torch.float32)[0], 2 * X)
    assert torch.equal(kept, X)


# ---- What holds tensors ------------------------------------------------------------------------

Pair = collections.namedtuple("Pair", "left right")


class Two(nn.Module):
    """A network of two inputs."""

    def __init__(self):
        torch.manual_seed(4)
        super().__init__()
        self.both = nn.Bilinear(3, 3, 2)

    def forward(self, left, right):
        return self.both(left, right)


def halves(inputs):
    return inputs[:, :3], inputs[:, 3:]


def named(inputs):
    return dict(zip(("left", "right"), halves(inputs), strict=True))


def items(whole):
    """A list of items of a nest whose tensors lie together."""
    if isinstance(whole, torch.Tensor):
        return list(whole)
    if isinstance(whole, dict):
        return [
            dict(zip(whole, row, strict=True))
            for row in zip(*map(items, whole.values()), strict=True)
        ]
    rows = zip(*map(items, whole), strict=True)
    return [type(whole)(*row) if hasattr(whole, "_fields") else type(whole)(row) for row in rows]


WHOLE = {
    "tuple": lambda x, y: (halves(x), y),
    "list": lambda x, y: (list(halves(x)), y),
    "named tuple": lambda x, y: (Pair(*halves(x)), y),
    "dictionary": lambda x, y: (named(x), y),
    "labels inside": lambda x, y: {**named(x), "labels": y},
    "target inside": lambda x, y: {"target": y, **named(x)},
    "three tensors": lambda x, y: (*halves(x), y),
}
FORMS = {
    **WHOLE,
    "TensorDataset": lambda x, y: TensorDataset(*halves(x), y),
    **{f"items: {name}": lambda x, y, form=form: items(form(x, y)) for name, form in WHOLE.items()},
    "loader": lambda x, y: DataLoader(TensorDataset(*halves(x), y), batch_size=16, shuffle=True),
    "loader of dictionaries": lambda x, y: DataLoader(
        items({**named(x), "labels": y}), batch_size=16, shuffle=True
    ),
}


@pytest.mark.parametrize("form", FORMS)
def test_every_form_of_data_gives_the_same_run(form):
    task = task_of(FORMS[form](X, Y), FORMS[form](XV, YV), Two(), test=FORMS[form](XV, YV))
    assert_right(task, Two, (halves(XV.double()), YV), [ng.Reverse(), ng.Forward()])
    plain = task_of((halves(X), Y), (halves(XV), YV), Two())
    values = [ng.hypergradient(t, OPTIMIZER, steps=4).value for t in (task, plain)]
    assert values[0] == values[1]
    retrained = [
        ng.retrain(t, ng.cosine_schedule(0.1), steps=4).validation_loss for t in (task, plain)
    ]
    assert retrained[0] == retrained[1]


@pytest.mark.parametrize("form", ["tuple", "labels inside", "items: dictionary"])
def test_a_fraction_of_any_form_is_held_out(form):
    task = task_of(FORMS[form](X, Y), 0.25, Two(), batch_size=8)
    assert (task.train.count, task.validation.count) == (36, 12)
    assert ng.hypergradient(task, OPTIMIZER, steps=3).value > 0


class Stream(IterableDataset):
    def __iter__(self):
        yield from zip(X, Y, strict=True)

    def __len__(self):
        return 48


REFUSED = {
    "stream": (Stream(), "stream .Stream.*map-style Dataset"),
    "stream in a loader": (DataLoader(Stream(), batch_size=4), "stream .Stream.*map-style Dataset"),
    "no target": ({"x": X, "y": Y}, "keys 'x', 'y'.*'labels'.*collate_fn"),
    "two targets": ({"x": X, "label": Y, "labels": Y}, "keys 'x', 'label', 'labels'.*collate_fn"),
    "nothing but a target": ({"labels": Y}, "keys 'labels'"),
    "items without a target": ([{"x": X[0], "y": Y[0]}] * 48, "`train` returns items.*'x', 'y'"),
    "lengths": (({"a": X, "b": X[:-1]}, Y), "48 and 47 inputs but 48 targets"),
    "arrays": (((X, X.numpy()), Y), "ndarray.*as_tensor"),
    "a number": ((X, torch.tensor(3)), "a number"),
    "lone tensor": (TensorDataset(X), "tuple.*pair"),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_what_has_no_examples_or_no_target_is_refused(case):
    data, words = REFUSED[case]
    with pytest.raises(ng.DataError, match=words):
        task_of(data)


# ---- Loaders, collation and samplers -----------------------------------------------------------


def ragged(count, seed):
    """Sentences of several lengths, and whether more of their tokens are even."""
    drawn = torch.Generator().manual_seed(seed)
    rows = [
        torch.randint(1, 9, (int(torch.randint(2, 7, (), generator=drawn)),), generator=drawn)
        for _ in range(count)
    ]
    return [{"ids": row, "label": int((row % 2).float().mean() < 0.5)} for row in rows]


def padded(rows):
    ids = nn.utils.rnn.pad_sequence([row["ids"] for row in rows], batch_first=True)
    return {"ids": ids, "labels": torch.tensor([row["label"] for row in rows])}


class Sentences(nn.Module):
    def __init__(self):
        torch.manual_seed(4)
        super().__init__()
        self.embed, self.out = nn.Embedding(9, 4, padding_idx=0), nn.Linear(4, 2)

    def forward(self, ids):
        return self.out(self.embed(ids).mean(1))


@pytest.mark.parametrize("loader", [True, False])
def test_ragged_items_are_collated_as_a_loader_does(loader):
    train, validation = ragged(48, 0), ragged(20, 1)
    if loader:
        data = [DataLoader(d, batch_size=16, collate_fn=padded) for d in (train, validation)]
        task = ng.Task(Sentences(), functional.cross_entropy, *data)
    else:
        task = task_of(train, validation, Sentences(), collate_fn=padded)
    judged = padded(validation)
    assert_right(task, Sentences, ({"ids": judged["ids"]}, judged["labels"]))


def test_collation_of_tensors_in_memory_goes_by_item():
    def collate(rows):
        assert isinstance(rows, list) and len(rows[0]) == 2
        return torch.stack([row[0] for row in rows]), torch.stack([row[1] for row in rows])

    task, plain = task_of(collate_fn=collate), task_of()
    for t in range(4):
        pair = zip(
            *(some.plan.batch(1, t, CPU, torch.float64) for some in (task, plain)), strict=True
        )
        assert all(torch.equal(a, b) for a, b in pair)


def test_a_loader_gives_its_batch_size_unless_another_is_asked_for():
    loader = DataLoader(TensorDataset(X, Y), batch_size=12, shuffle=True)
    settings = functional.cross_entropy, loader, (XV, YV)
    assert ng.Task(network(), *settings).batch_size == 12
    assert ng.Task(network(), *settings, batch_size=6).batch_size == 6
    with pytest.raises(ng.DataError, match="batch_size=128"):
        ng.Task(network(), settings[0], (X, Y), (XV, YV))


def targets_of(task, epochs, seed=0):
    """Numbers of the examples of whole epochs."""
    return [task.plan.index(seed, t).tolist() for t in range(epochs * task.steps_per_epoch)]


def test_a_loader_that_does_not_shuffle_keeps_its_order():
    task = ng.Task(
        network(), functional.cross_entropy, DataLoader(TensorDataset(X, Y), 16), (XV, YV)
    )
    epoch = [list(range(low, low + 16)) for low in (0, 16, 32)]
    assert targets_of(task, 2) == epoch * 2 == targets_of(task, 2, seed=1)


def test_weights_decide_how_often_an_example_is_drawn():
    weights = torch.ones(48)
    weights[:2], weights[2:4] = 12.0, 0.0
    samplers = weights, weights.tolist(), WeightedRandomSampler(weights, 48)
    drawn = [targets_of(task_of(sampler=sampler), 200) for sampler in samplers]
    assert drawn[0] == drawn[1] == drawn[2] == targets_of(task_of(sampler=weights), 200)
    assert drawn[0] != targets_of(task_of(sampler=weights), 200, seed=1)
    counts = torch.tensor(drawn[0]).flatten().bincount(minlength=48)
    # Of 200 epochs of 48 draws each is expected 200 * 48 * 12 / 68 times, within five deviations.
    assert (counts[:2] - 1694).abs().max() < 5 * 37 and not counts[2:4].any()
    assert (counts[4:] - 141).abs().max() < 5 * 12


def test_a_weighted_run_is_right():
    assert_right(task_of(sampler=1.0 + 4.0 * Y))


@pytest.mark.parametrize(
    ("sampler", "per_epoch", "distinct"),
    [
        (RandomSampler(X), 48, 48),
        (RandomSampler(X, num_samples=32), 32, 32),
        (RandomSampler(X, replacement=True, num_samples=96), 96, None),
        (WeightedRandomSampler(torch.arange(48) + 1.0, 40, replacement=False), 40, 40),
        (SequentialSampler(X), 48, 48),
        (SubsetRandomSampler(range(10, 42)), 32, 32),
    ],
    ids=lambda value: type(value).__name__ if hasattr(value, "__iter__") else str(value),
)
def test_torchs_samplers_are_taken_apart(sampler, per_epoch, distinct):
    loader = DataLoader(TensorDataset(X, Y), batch_size=8, sampler=sampler)
    task = ng.Task(network(), functional.cross_entropy, loader, (XV, YV))
    drawn = [index for batch in targets_of(task, 1) for index in batch]
    assert len(drawn) == per_epoch and len(set(drawn)) == (distinct or len(set(drawn)))
    if distinct is None:
        assert len(set(drawn)) < 48
    if isinstance(sampler, SubsetRandomSampler):
        assert torch.equal(task.train.fetch(slice(None))[0], X[10:42])


def test_weights_follow_the_examples_that_are_kept():
    weights = torch.arange(48.0)
    task = task_of(validation=0.25, sampler=weights, batch_size=12)
    kept = task.train.fetch(slice(None))[0]
    place = (kept[:, None] == X[None]).all(2).int().argmax(1)
    assert torch.equal(task.plan.order.weights, weights.double()[place])


@pytest.mark.parametrize(
    ("sampler", "words"),
    [
        (torch.ones(2), r"shape \(2,\) for 48 training examples.*weights\[targets\]"),
        (torch.ones(48, 1), r"shape \(48, 1\)"),
        (-torch.ones(48), "the least is -1"),
        (torch.zeros(48), "the sum 0"),
        (torch.full((48,), torch.nan), "the least is nan"),
        (RandomSampler(X, num_samples=96), "96 of 48 examples without replacement"),
    ],
)
def test_weights_that_cannot_be_are_refused(sampler, words):
    with pytest.raises(ng.DataError, match=words):
        task_of(sampler=sampler)


def test_a_sampler_of_ones_own_is_refused():
    class Mine(torch.utils.data.Sampler):
        def __iter__(self):
            return iter(range(48))

        def __len__(self):
            return 48

    data = TensorDataset(X, Y)
    with pytest.raises(TypeError, match=r"Mine.*\(seed, step\)"):
        task_of(DataLoader(data, 8, sampler=Mine()))
    batches = torch.utils.data.BatchSampler(Mine(), 8, True)
    with pytest.raises(TypeError, match="Mine"):
        task_of(DataLoader(data, batch_sampler=batches))
    with pytest.raises(ng.DataError, match="DataLoader with list as its batch_sampler"):
        task_of(DataLoader(data, batch_sampler=[[0, 1], [2, 3]]))
    with pytest.raises(
        ng.DataError, match=r"`validation`.*WeightedRandomSampler.*each example once"
    ):
        task_of(validation=DataLoader(data, 8, sampler=WeightedRandomSampler([1.0] * 48, 48)))
    assert task_of(validation=DataLoader(Subset(data, [1, 2]), 8)).validation.count == 2


# ---- Slow data sets -----------------------------------------------------------------------------


class Slow(Dataset):
    """Counts its reads, in whichever process, and says in its targets which one that was."""

    def __init__(self):
        self.reads = multiprocessing.Value("i", 0)

    def __len__(self):
        return 48

    def __getitem__(self, index):
        with self.reads.get_lock():
            self.reads.value += 1
        return by_all(X[index]), os.getpid()


def test_workers_read_what_this_process_would():
    plain, read = (
        task_of(Transformed(X, Y, by_all), num_workers=workers, augment=lambda x, g: by_all(x))
        for workers in (0, 2)
    )
    asked = [(0, t) for t in (0, 1, 2, 3, 3, 2, 1, 0, 7)] + [(1, t) for t in (9, 8, 7, 0, 1)]
    for seed, step in asked:
        pair = [some.plan.batch(seed, step, CPU, torch.float64) for some in (plain, read)]
        assert all(map(torch.equal, *pair))


def test_workers_read_once_for_a_run_and_its_sweep():
    data, ahead = Slow(), 2 * 2  # batches, by the two processes
    loader = DataLoader(data, batch_size=16, shuffle=True, num_workers=2)
    task = ng.Task(network(), lambda out, y: out.square().mean(), loader, (XV, YV))
    run, begun = ng.Run(task, OPTIMIZER, STEPS), data.reads.value
    _, targets = task.plan.batch(0, 0, CPU, torch.float64)
    assert os.getpid() not in targets.tolist()
    ng.Reverse().hypergradient(run, ng.cosine_schedule(0.1), ["learning_rate"])
    assert data.reads.value - begun <= 16 * (STEPS + ahead)


def test_data_that_judge_are_read_once():
    data = Slow()
    task = task_of(validation=data, num_workers=2)
    begun = data.reads.value
    first, again = (task.validation.fetch(slice(None)) for _ in range(2))
    assert torch.equal(first[0], again[0]) and data.reads.value - begun == 48
    first[0].zero_()
    assert torch.equal(task.validation.fetch(slice(None))[0], again[0])


def test_what_is_kept_is_bounded():
    kept, reads = Kept(most=100), []

    def read(key):
        reads.append(key)
        return torch.full((5,), float(key)), torch.zeros(5)  # 40 bytes

    for key in (1, 2, 2, 3, 2, 3, 1):
        assert kept.get(key, lambda: read(key))[0][0] == key  # noqa: B023 - called at once
    assert reads == [1, 2, 3, 1]


def test_a_worker_that_fails_says_why():
    class Broken(Dataset):
        def __len__(self):
            return 48

        def __getitem__(self, index):
            if index == 7:
                raise OSError("damaged file 7")
            return X[index], Y[index]

    task = task_of(Broken(), num_workers=1)
    with pytest.raises(OSError, match="damaged file 7"):
        for t in range(3):
            task.plan.batch(0, t, CPU, torch.float64)


# ---- Networks and losses as people have them ----------------------------------------------------


def compiled(module):
    module.compile()
    return module


WRAPPED = {
    "DataParallel": nn.DataParallel,
    "compiled": torch.compile,
    "a compiled part": lambda module: nn.Sequential(torch.compile(module[:2]), module[2]),
    "compiled in place": compiled,
    "both": lambda module: nn.DataParallel(torch.compile(module)),
}


@pytest.mark.parametrize("made", [True, False], ids=["callable", "module"])
@pytest.mark.parametrize("wrapper", WRAPPED)
def test_wrappers_come_off(wrapper, made):
    def make():
        return WRAPPED[wrapper](network())

    model = make if made else make()
    before = str(model)
    task, plain = task_of(model=model), task_of(model=network)
    found = [ng.hypergradient(t, OPTIMIZER, steps=4).value for t in (task, plain)]
    assert found[0] == found[1] and str(model) == before
    retrained = ng.retrain(task, ng.cosine_schedule(0.1), steps=2).model
    names = {name.removeprefix("0.") for name, _ in retrained.named_parameters()}
    assert not any("module" in name or "_orig_mod" in name for name in names)


class Bags(nn.Module):
    """Bags of words, as classifiers of texts have them."""

    def __init__(self, kind=nn.EmbeddingBag, **settings):
        torch.manual_seed(4)
        super().__init__()
        self.bags, self.out = kind(9, 4, **settings), nn.Linear(4, 2)
        nn.init.normal_(self.bags.weight)  # also of the padding, which decays and is looked up

    def forward(self, tokens, offsets=None):
        rows = self.bags(tokens) if offsets is None else self.bags(tokens, offsets)
        return self.out(torch.tanh(rows if rows.dim() == 2 else rows.mean(1)))


def tokens(count, seed):
    return torch.randint(0, 9, (count, 3), generator=torch.Generator().manual_seed(seed))


EMBEDDED = {
    "sum": {"mode": "sum"},
    "mean": {"mode": "mean"},
    "max": {"mode": "max"},
    "padding": {"mode": "mean", "padding_idx": 2},
    "sparse bags": {"sparse": True},
    "sparse": {"kind": nn.Embedding, "sparse": True},
    "by frequency": {"kind": nn.Embedding, "scale_grad_by_freq": True},
    "padded": {"kind": nn.Embedding, "padding_idx": 2},
    "padded from the end, by frequency": {
        "kind": nn.Embedding,
        "padding_idx": -2,
        "scale_grad_by_freq": True,
    },
}


@pytest.mark.parametrize("case", EMBEDDED)
def test_embeddings_are_differentiated(case):
    settings = EMBEDDED[case]
    task = task_of((tokens(48, 0), Y), (tokens(20, 1), YV), Bags(**settings))

    def make():
        return Bags(**{**settings, "sparse": False})

    assert_right(task, make, (tokens(20, 1), YV), decay=0.1)
    assert task.model.bags.sparse == settings.get("sparse", False)  # the user's own


def test_bags_by_frequency_are_refused():
    task = task_of((tokens(48, 0), Y), (tokens(20, 1), YV), Bags(scale_grad_by_freq=True))
    with pytest.raises(ValueError, match=r"scale_grad_by_freq=True.*FiniteDifference"):
        ng.hypergradient(task, OPTIMIZER, steps=3)
    assert ng.hypergradient(task, OPTIMIZER, steps=3, engine=ng.FiniteDifference()).value > 0


def flat(rows):
    offsets = torch.arange(0, 3 * len(rows), 3)
    return (torch.cat([row[0] for row in rows]), offsets), torch.stack([row[1] for row in rows])


def test_bags_with_offsets_are_differentiated():
    train, validation = (tokens(48, 0), Y), (tokens(20, 1), YV)
    task = task_of(TensorDataset(*train), TensorDataset(*validation), Bags(), collate_fn=flat)
    assert_right(task, Bags, validation)


@pytest.mark.parametrize("kind", [nn.Embedding, nn.EmbeddingBag])
def test_weights_that_a_forward_pass_rescales_are_refused(kind):
    task = task_of((tokens(48, 0), Y), (tokens(20, 1), YV), Bags(kind, max_norm=1.0))
    with pytest.raises(ValueError, match=r"'bags' \(Embedding\w*\) has max_norm=1.0.*parametrize"):
        ng.hypergradient(task, OPTIMIZER, steps=3, engine=ng.FiniteDifference())


class Letters(nn.Module):
    """Scores of letters at each of six moments, with the moments first, as CTC wants them."""

    def __init__(self):
        super().__init__()
        self.out = nn.Linear(1, 3)

    def forward(self, inputs):
        return self.out(inputs.T[:, :, None]).log_softmax(2)


def ctc(output, target):
    lengths = [torch.full((len(target),), length) for length in (len(output), 2)]
    return functional.ctc_loss(output, target, *lengths)


@pytest.mark.parametrize("engine", [ng.Reverse(), ng.Forward(), ng.Reverse("checkpoint")], ids=repr)
def test_a_missing_second_derivative_is_named_with_the_way_out(engine):
    words = torch.stack([1 + Y, 2 - Y], 1)
    task = ng.Task(Letters(), ctc, (X, words), (X, words), batch_size=16)
    with pytest.raises(
        ValueError, match=r"second derivative of `ctc_loss`.*ng.FiniteDifference.*compare"
    ):
        ng.hypergradient(task, OPTIMIZER, steps=3, engine=engine)
    black_box = ng.FiniteDifference()
    found = ng.hypergradient(task, OPTIMIZER, steps=3, engine=black_box, dtype=torch.float64)
    assert found.gradients["learning_rate"].isfinite().all()


def test_class_weights_follow_the_precision_of_the_run():
    weights = torch.tensor([1.0, 9.0])
    task = ng.Task(network(), nn.CrossEntropyLoss(weight=weights), (X, Y), (X, Y), batch_size=48)
    moved = functional.cross_entropy(network().double()(X.double()), Y, weight=weights.double())
    still = ng.SGD(ng.Windows(1, initial=1e-7))
    for engine in (ng.Reverse(), ng.Forward(), ng.FiniteDifference()):
        found = ng.hypergradient(task, still, steps=1, engine=engine, dtype=torch.float64)
        assert found.value == pytest.approx(moved.item(), rel=1e-6)
    assert task.loss.weight.dtype == torch.float32 and ng.retrain(
        task, ng.cosine_schedule(1e-7), steps=1
    ).validation_loss == pytest.approx(moved.item(), rel=1e-5)
