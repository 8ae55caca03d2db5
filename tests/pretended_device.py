"""A device that is pretended: real numbers on the CPU, in tensors that say they lie elsewhere.

An operation that mixes them with the CPU's raises, as on a GPU; so does ``numpy()``. Run by
``test_pretended_device.py`` in a process of its own, since PyTorch's third-party device is registered for a
whole process: ``python tests/pretended_device.py`` prints a line of JSON for each row, with the largest
relative difference to the same on the CPU, or what was raised.
"""

import contextlib
import json
import sys
import tempfile
import warnings

import torch
from torch import nn
from torch.nn import functional
from torch.utils._pytree import tree_flatten, tree_map
from torch.utils.backend_registration import _setup_privateuseone_for_python_backend

NAME = "pretended"
# What may have tensors of both, as on a GPU: copies, and indices that lie on the CPU.
BOTH = {"copy_", "_to_copy", "index", "index_put", "index_put_", "_index_put_impl_"}


class Pretended(torch.Tensor):
    """A tensor there."""

    @staticmethod
    def __new__(cls, raw):
        return torch.Tensor._make_wrapper_subclass(
            cls, raw.shape, strides=raw.stride(), storage_offset=raw.storage_offset(),
            dtype=raw.dtype, device=torch.device(NAME, 0), requires_grad=False,
        )  # fmt: skip

    def __init__(self, raw):
        self.raw = raw

    def __repr__(self):
        return f"Pretended({self.raw!r})"

    def tolist(self):
        return self.raw.tolist()  # PyTorch has none for subclasses

    @classmethod
    def __torch_dispatch__(cls, function, types, args=(), kwargs=None):
        return computed(function, args, kwargs or {})


def computed(function, args, kwargs):
    """On the CPU, from what lies under the tensors, unless some lie elsewhere."""
    given = tree_flatten((args, kwargs))[0]
    here = [x for x in given if isinstance(x, Pretended)]
    cpu = [
        x for x in given if isinstance(x, torch.Tensor) and x.dim() and not isinstance(x, Pretended)
    ]
    if here and cpu and function.overloadpacket.__name__ not in BOTH:
        shapes = [tuple(x.shape) for x in cpu]
        raise RuntimeError(f"{function}: on two devices; of {shapes} on the CPU")

    def lower(x):
        if isinstance(x, torch.device):
            return torch.device("cpu")
        return x.raw if isinstance(x, Pretended) else x

    found = function(*tree_map(lower, args), **tree_map(lower, kwargs))
    fetched = torch.device(kwargs.get("device") or NAME).type == "cpu"
    changed = {id(x.raw): x for x in here}  # in place: the same tensor, not one more

    def raised(x):
        if fetched or not isinstance(x, torch.Tensor):
            return x
        return changed[id(x)] if id(x) in changed else Pretended(x)

    return tree_map(raised, found)


def elsewhere(make):
    """``torch.tensor(..., device=)``, which PyTorch makes below any subclass."""

    def function(data, *args, device=None, **kwargs):
        if device is None or torch.device(device).type != NAME:
            return make(data, *args, device=device, **kwargs)
        return make(data, *args, **kwargs).to(device)

    return function


def register():
    _setup_privateuseone_for_python_backend(NAME)
    library = torch.library.Library("_", "IMPL")
    library.fallback(lambda op, *args, **kwargs: computed(op, args, kwargs), "PrivateUse1")
    torch.tensor, torch.as_tensor = elsewhere(torch.tensor), elsewhere(torch.as_tensor)
    return library


LIBRARY = register()

import nongreedy as ng  # noqa: E402
from nongreedy.engines import Checkpoints, Disk, Graphs, Host  # noqa: E402
from nongreedy.task import _task  # noqa: E402

_task.checked_device = torch.device  # which offers what it knows how to seed
STEPS, SIZE, FLOAT64 = 6, 48, torch.float64
draw = torch.Generator().manual_seed(0)
X, Y = torch.randn(64, 1, 8, 8, generator=draw), torch.randint(3, (64,), generator=draw)


def conv():
    return nn.Sequential(
        nn.Conv2d(1, 2, 3),
        nn.BatchNorm2d(2),
        nn.Tanh(),
        nn.Dropout(0.2),
        nn.Flatten(),
        nn.Linear(72, 3),
    )


def perceptron():
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 6), nn.Tanh(), nn.Linear(6, 3))


class Transformer(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.TransformerEncoderLayer(8, 2, 16, dropout=0.1, batch_first=True)
        self.last = nn.Linear(8, 3)

    def forward(self, x):
        return self.last(self.layer(x[:, 0]).mean(1))


def task(
    device,
    model=conv,
    there=False,
    dataset=False,
    loss=functional.cross_entropy,
    verify=False,
    **settings,
):
    x, y = (X.to(device), Y.to(device)) if there else (X, Y)
    train = x[:SIZE], y[:SIZE]
    if dataset:
        train = torch.utils.data.TensorDataset(*train)
    held = x[SIZE:], y[SIZE:]
    return ng.Task(
        model, loss, train, held, batch_size=16, device=device, verify=verify, **settings
    )


def staying(task):
    """With data that are too large for the device."""
    for examples in (task.train, task.validation):
        examples.source = tuple(part.cpu() for part in examples.source)
    return task


def weighted(output, target, hypers):
    each = functional.cross_entropy(output, target, reduction="none")
    return (each * hypers["weights"][hypers.index]).mean()


def weighing(device, there=False, **settings):
    ones = torch.ones(SIZE)
    weights = ng.Variable(initial=ones.to(device) if there else ones)
    return task(
        device, loss=weighted, validation_loss=functional.cross_entropy,
        hyperparameters={"weights": weights}, **settings,
    )  # fmt: skip


def gradients(task, optimizer=None, engine=None, **settings):
    settings = {"steps": STEPS, "engine": engine or ng.Reverse(), "dtype": FLOAT64, **settings}
    return ng.hypergradient(task, optimizer or ng.SGD(), **settings).gradients


def searched(device, model=perceptron, **settings):
    found = ng.tune(
        task(device, model),
        ng.SGD(ng.Linear(3)),
        steps=STEPS,
        budget=20,
        progress=False,
        **settings,
    )
    return {name: curve.coefficients for name, curve in found.schedule.curves.items()}


def kept(device):
    """Told again from its study."""
    with tempfile.TemporaryDirectory() as folder:
        searched(device, study=f"{folder}/study.db")
        return searched(device, study=f"{folder}/study.db")


def loss_of(trained):
    return {"loss": torch.tensor(trained.validation_loss)}


def trusted(device):
    verdict = ng.trust(task(device, perceptron), ng.SGD(ng.Linear(3)), steps=STEPS)
    return {"gain": torch.tensor(verdict.prospect.gain), "cost": torch.tensor(verdict.cost)}


def planned(device):
    """What it says depends on time; that it says something does not."""
    plan = ng.plan(task(device, perceptron), ng.SGD(), steps=STEPS)
    return {"measured": torch.tensor(float(all(row.seconds > 0 for row in plan.forecasts)))}


RATE = ng.SGD(learning_rate=0.1, momentum=0.5)
LIVELY = {"momentum": ng.Windows(1, initial=0.5, bounds=(0.05, 0.99))}
OPTIMIZERS = [
    ng.SGD(**LIVELY), ng.Adam(), ng.AdamW(), ng.NAdam(), ng.RMSprop(), ng.Adagrad(), ng.Lion(), ng.Muon(),
    ng.ScheduleFreeSGD(), ng.ScheduleFreeAdamW(), ng.SGD(average=ng.ExponentialAverage(ng.Constant())),
    ng.Grouped(ng.SGD(), {"*bias": {"weight_decay": 0.0}}),
]  # fmt: skip
ENGINES = [
    ng.Reverse(), ng.Reverse(Checkpoints(interval=2)), ng.Reverse(Disk()), ng.Reverse(Host()),
    ng.Reverse(Graphs()), ng.Forward(), ng.RandomDirections(), ng.Greedy(), ng.FiniteDifference(),
]  # fmt: skip
OWN = [ng.Reverse(), ng.Greedy(), ng.EvoGrad(), ng.RandomDirections()]

ROWS = {
    **{f"{o.__class__.__name__} {k}": lambda d, o=o: gradients(task(d), o)
       for k, o in enumerate(OPTIMIZERS)},
    **{repr(e): lambda d, e=e: gradients(task(d), engine=e) for e in ENGINES},
    **{f"Reversible of {o.__class__.__name__}": lambda d, o=o: gradients(task(d), o, ng.Reversible())
       for o in OPTIMIZERS[:3]},
    **{f"weights by {e!r}": lambda d, e=e: gradients(weighing(d), RATE, e) for e in OWN},
    "weights that lie there": lambda d: gradients(weighing(d, there=True), RATE),
    "verified": lambda d: gradients(task(d, verify=True)),
    "transformer": lambda d: gradients(task(d, Transformer)),
    "data that stay here": lambda d: gradients(staying(task(d))),
    "data that lie there": lambda d: gradients(task(d, there=True)),
    "micro-batches": lambda d: gradients(task(d, Transformer, accumulate=3)),
    "a data set": lambda d: gradients(task(d, dataset=True)),
    "flips of data that lie there": lambda d: gradients(
        task(d, there=True, augment=ng.data.HorizontalFlip())),
    "crops of data that lie there": lambda d: gradients(
        task(d, there=True, augment=ng.data.RandomCrop(padding=1))),
    "flips": lambda d: gradients(task(d, augment=ng.data.HorizontalFlip())),
    "crops": lambda d: gradients(task(d, augment=ng.data.RandomCrop(padding=1))),
    "clipping": lambda d: gradients(task(d), ng.SGD(clip_norm=0.5)),
    "tune, study": kept,
    "train_online, EvoGrad": lambda d: loss_of(
        ng.train_online(weighing(d), RATE, steps=STEPS, engine=ng.EvoGrad())),
    "train_online, Greedy": lambda d: loss_of(
        ng.train_online(task(d), ng.SGD(), steps=STEPS, engine=ng.Greedy())),
    "retrain": lambda d: loss_of(ng.retrain(task(d), ng.cosine_schedule(0.1), steps=STEPS)),
    "retrain, averaged": lambda d: loss_of(ng.retrain(
        task(d), ng.cosine_schedule(0.1), steps=STEPS, optimizer=ng.ScheduleFreeSGD())),
    "trust": trusted,
    "plan": planned,
}  # fmt: skip


def difference(found, wanted):
    assert found.keys() == wanted.keys()
    rows = [
        (found[name].cpu().double() - value.double()).abs().max()
        / value.abs().max().clamp(min=1e-9)
        for name, value in wanted.items()
    ]
    return float(max(rows))


def main():
    warnings.simplefilter("ignore")
    for name, row in ROWS.items():
        told = {"row": name}
        try:
            with contextlib.redirect_stdout(sys.stderr):
                told["difference"] = difference(row(f"{NAME}:0"), row("cpu"))
        except Exception as error:
            told["error"] = f"{type(error).__name__}: {error}"
        print(json.dumps(told), flush=True)


def mixed():
    """Whether what adds tensors of two devices is refused."""
    try:
        torch.zeros(3, device=NAME) + torch.ones(3)
    except RuntimeError as error:
        return "two devices" in str(error)
    return False


if __name__ == "__main__":
    if "--mixed" in sys.argv:
        print(json.dumps({"noticed": mixed()}))
    else:
        main()
