"""What people really train passes verification, in whatever precision it is written."""

import pytest
import torch
from torch import nn
from torch.nn import functional

import nongreedy as ng

from .helpers import classes
from .test_verification import OPTIMIZER, Squares, task_of

HIDDEN = 16


class Written(nn.Module):
    """A small network, with something in the middle that is written for float32."""

    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Linear(6, HIDDEN), nn.Linear(HIDDEN, 3)

    def forward(self, x):
        return self.b(self.between(self.a(x)))

    def between(self, h):
        return torch.relu(h)


class Cast(Written):
    """Back to float32 before a layer, as of bytes or after a softmax."""

    def forward(self, x):
        return self.b(torch.relu(self.a(x.float())).softmax(1, dtype=torch.float32).float()).float()


class Table(Written):
    """A table that is no buffer."""

    def __init__(self):
        super().__init__()
        self.table = torch.linspace(-1, 1, HIDDEN).diag()

    def between(self, h):
        return torch.relu(h @ self.table)


class FirstState(Written):
    """A recurrent layer whose first state is made in the forward pass."""

    def __init__(self):
        super().__init__()
        self.cell = nn.GRU(HIDDEN, HIDDEN, batch_first=True)

    def between(self, h):
        return self.cell(h[:, None], torch.zeros(1, len(h), HIDDEN))[0][:, 0]


class FilledIn(Written):
    """Outputs written one by one into a tensor made for them."""

    def between(self, h):
        outputs = torch.zeros(len(h), HIDDEN)
        for i in range(HIDDEN):
            outputs[:, i] = torch.relu(h[:, i])
        return outputs


class Root(Written):
    """A norm that is computed in float32, as of language models."""

    def between(self, h):
        wide = h.to(torch.float32)
        return (wide * torch.rsqrt(wide.pow(2).mean(-1, keepdim=True) + 1e-6)).type_as(h)


class Autocast(Written):
    def forward(self, x):
        with torch.autocast("cpu", torch.bfloat16):
            return super().forward(x).float()


class Penalized(Written):
    """Reads its input's gradient, which is a leaf of lower precision than the weights."""

    def between(self, h):
        x = torch.ones(len(h), HIDDEN).requires_grad_()
        slope = torch.autograd.grad((torch.tanh(h) * x.square()).sum(), x, create_graph=True)[0]
        return torch.relu(slope)


WRITTEN = [Cast, Table, FirstState, FilledIn, Root, Autocast, Penalized]


@pytest.mark.parametrize("model", WRITTEN)
def test_what_is_written_for_float32_is_verified_in_float64(model):
    found = ng.Problem(task_of(model), OPTIMIZER, 5).verified()
    assert len(found.checks) == 11 and not found.note
    assert found.checks[-2].difference < 1e-6  # nothing was rounded to less on the way


def test_and_is_trained_as_it_is_written():
    seen = set()

    class Watched(Cast):
        def between(self, h):
            raise NotImplementedError

        def forward(self, x):
            out = super().forward(x)
            seen.add(out.dtype)
            return out

    ng.hypergradient(task_of(Watched), OPTIMIZER, steps=3)
    assert seen == {torch.float64, torch.float32}


def test_no_raising_is_left_behind():
    ng.Problem(task_of(Cast), OPTIMIZER, 5).verified()
    assert torch.zeros(1).dtype == torch.float32
    assert torch.zeros(1, dtype=torch.float64).float().dtype == torch.float32


def images(count, seed):
    source = torch.Generator().manual_seed(seed)
    return (
        torch.randn(count, 3, 16, 16, generator=source),
        torch.randint(0, 3, (count,), generator=source),
    )


def normalized(*more):
    """The bias before BatchNorm does nothing, so that its gradient is rounding."""

    def make():
        layers = nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.MaxPool2d(2), *more
        return nn.Sequential(*layers, nn.Flatten(), nn.Linear(8 * 49, 3))

    return make


def of_images(model):
    return task_of(model, train=images(64, 0), validation=images(40, 1), batch_size=32)


@pytest.mark.parametrize(
    "optimizer", [ng.Adam, ng.NAdam, ng.Adagrad, ng.RMSprop, ng.Lion, ng.Muon, ng.AdamW]
)
def test_gradients_that_are_rounding(optimizer):
    found = ng.Problem(
        of_images(normalized()), optimizer(ng.Windows(1, initial=0.01)), 5
    ).verified()
    assert len(found.checks) == 11


def test_hardsigmoid_has_a_second_derivative():
    task = task_of(
        lambda: nn.Sequential(nn.Linear(6, 5), nn.Hardsigmoid(inplace=True), nn.Linear(5, 3))
    )
    told, true = (
        ng.hypergradient(task, OPTIMIZER, steps=6, engine=engine, dtype=torch.float64).gradients
        for engine in (ng.Reverse(), ng.FiniteDifference(order=4))
    )
    for name in told:
        assert torch.allclose(told[name], true[name], rtol=1e-6, atol=1e-10)


class Rounded(nn.Module):
    """BatchNorm within autocast: another kernel rounds to other bits of bfloat16."""

    def __init__(self):
        super().__init__()
        self.inner = normalized(nn.Conv2d(8, 8, 1), nn.GroupNorm(2, 8))()

    def forward(self, x):
        with torch.autocast("cpu", torch.bfloat16):
            return self.inner(x).float()


@pytest.mark.parametrize("engine", [ng.Reverse(), ng.Reverse("checkpoint"), ng.Forward()])
def test_rounding_of_autocast_is_no_failed_replay(engine):
    optimizer = ng.SGD(ng.Windows(1, initial=0.1), momentum=0.9)
    found = ng.hypergradient(of_images(Rounded), optimizer, steps=8, engine=engine)
    assert found.gradients["learning_rate"].isfinite().all()


def shifted(x, y, hypers):
    """Between columns: to the right one side of 0, to the left on the other, as of an image."""
    by = hypers["shift"]
    return x + by.relu() * (x.roll(1, 1) - x) + (-by).relu() * (x.roll(-1, 1) - x), y


@pytest.mark.parametrize("initial", [0.0, 0.3])
def test_a_hyperparameter_may_begin_on_a_kink(initial):
    own = {"shift": ng.Constant(initial=initial, bounds=(-1.0, 1.0))}
    task = task_of(hyperparameters=own, prepare=shifted)
    assert len(ng.Problem(task, OPTIMIZER, 5).verified().checks) == 12


class Unmoved(nn.Module):
    """Units whose inputs are dead for some examples; the bias of half of them is as good as 0 still."""

    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Linear(6, HIDDEN), nn.Linear(HIDDEN, 3)
        nn.init.zeros_(self.a.bias[: HIDDEN // 2])

    def forward(self, x):
        return self.b(torch.relu(self.a(x.relu())))


def half_dead(count, seed):
    x, y = classes(count, (6,), seed)
    return torch.cat([-x[: count // 2].abs(), x[count // 2 :]]), y


def test_weights_may_lie_on_a_kink():
    data = {"train": half_dead(24, 0), "validation": half_dead(20, 1)}
    slow = ng.SGD(ng.Constant(initial=1e-14, bounds=(1e-16, 1)), momentum=0.0, weight_decay=0.0)
    assert len(ng.Problem(task_of(Unmoved, **data), slow, 5).verified().checks) == 11


class Single(nn.Module):
    """Refuses float64, as MPS does."""

    def __init__(self, inner):
        super().__init__()
        self.inner = inner

    def forward(self, x):
        if next(self.parameters()).dtype == torch.float64:
            raise RuntimeError("no doubles")
        return self.inner(x)


def wide():
    layers = nn.Linear(64, 512), nn.ReLU(), nn.Linear(512, 512), nn.ReLU(), nn.Linear(512, 3)
    return Single(nn.Sequential(*layers))


def test_kinks_do_not_fail_in_float32():
    data = {"train": classes(128, (64,), 0), "validation": classes(64, (64,), 1)}
    found = ng.Problem(task_of(wide, batch_size=128, **data), OPTIMIZER, 5).verified()
    assert "float64 the model fails" in found.note and "kinks" in found.note
    assert all(check.passed for check in found.checks)


def test_bars_of_float32_hold_where_differences_settle():
    smooth = task_of(lambda: Single(nn.Sequential(nn.Linear(6, 5), nn.Tanh(), nn.Linear(5, 3))))
    found = ng.Problem(smooth, OPTIMIZER, 5).verified()
    assert len(found.checks) == 11 and "kinks" not in found.note
    with pytest.raises(ng.VerificationError, match="WrongSecond"):
        ng.Problem(task_of(lambda: Single(Squares())), OPTIMIZER, 5).verified()


def test_a_gradient_that_is_another_is_refused_by_name():
    class Halved(Written):
        def between(self, h):
            training = torch.is_grad_enabled() and type(self.a.weight) is nn.Parameter
            return torch.relu(h if not training else 0.5 * h + 0.5 * h.detach())

    with pytest.raises(
        ng.VerificationError, match=r"torch.optim: at step \d the gradient of .*'a\."
    ):
        ng.Problem(task_of(Halved), OPTIMIZER, 5).verified()


class Overwriting(Written):
    """Changes its inputs in place, as a first layer with `inplace=True` does."""

    def forward(self, x):
        return super().forward(x.mul_(0.5))


@pytest.mark.parametrize("batch_size", [12, 24])
@pytest.mark.parametrize("where", ["model", "loss", "prepare"])
def test_data_in_memory_stay_as_they_are(where, batch_size):
    def overwriting(output, target):
        return functional.cross_entropy(output, target.clamp_(max=1))

    changed = {
        "model": {"model": Overwriting},
        "loss": {"loss": overwriting},
        "prepare": {"prepare": lambda x, y, hypers: (x.mul_(0.5), y)},
    }[where]
    task = task_of(batch_size=batch_size, **{"model": Written, **changed})
    data = [*task.train.source, *task.validation.source]
    before = [part.clone() for part in data]
    first, second = (ng.hypergradient(task, OPTIMIZER, steps=6) for _ in range(2))
    assert all(map(torch.equal, data, before))
    assert first.value == second.value
    rate = "learning_rate"
    assert torch.equal(first.gradients[rate], second.gradients[rate])
