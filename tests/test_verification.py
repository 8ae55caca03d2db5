"""Verification of a task: planted faults are caught by it at once, and nothing that is right is refused."""

from contextlib import nullcontext

import numpy
import pytest
import torch
from torch import nn
from torch.nn import functional

import nongreedy as ng
from nongreedy.testing import OPTIMIZERS

from .helpers import MODELS, classes, tiny_task

OPTIMIZER = ng.SGD(ng.Windows(2, initial=(0.3, 0.2)), momentum=0.5)


def task_of(model=None, loss=functional.cross_entropy, **changed):
    settings = {
        "model": model or (lambda: nn.Sequential(nn.Linear(6, 5), nn.Tanh(), nn.Linear(5, 3))),
        "loss": loss,
        "train": classes(24, (6,), 0),
        "validation": classes(20, (6,), 1),
        "batch_size": 12,
        **changed,
    }
    return ng.Task(**settings)


class WrongSecond(torch.autograd.Function):
    """x^2, whose derivative forgets that it depends on x."""

    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x * x

    @staticmethod
    def backward(ctx, gradient):
        return 2 * ctx.saved_tensors[0].detach() * gradient


class Squares(nn.Module):
    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Linear(6, 5), nn.Linear(5, 3)

    def forward(self, x):
        return self.b(WrongSecond.apply(self.a(x)))


class Lagging(nn.Module):
    """Reads the weights that it had one call before."""

    def __init__(self):
        super().__init__()
        self.a, self.b, self.old = nn.Linear(6, 5), nn.Linear(5, 3), None

    def forward(self, x):
        used = self.a.weight if self.old is None else 0.5 * (self.a.weight + self.old)
        self.old = self.a.weight.detach().clone()
        return self.b(torch.tanh(functional.linear(x, used, self.a.bias)))


class Teacher(nn.Module):
    """A frozen copy follows the network by a moving average, in its forward pass."""

    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Linear(6, 5), nn.Linear(5, 3)
        self.slow = nn.Linear(6, 5).requires_grad_(False)

    def forward(self, x):
        with torch.no_grad():
            self.slow.weight.data = 0.9 * self.slow.weight.data + 0.1 * self.a.weight.data.detach()
        return self.b(torch.tanh(self.a(x) + 0.5 * self.slow(x)))


def jittered(inputs, generator):
    return inputs + torch.from_numpy(numpy.random.default_rng().normal(size=inputs.shape)).to(
        inputs
    )


def by_place(output, target):
    """The first examples count more."""
    weight = torch.linspace(2.0, 0.0, len(target), dtype=output.dtype)
    return (weight * functional.cross_entropy(output, target, reduction="none")).mean()


# Name -> what differs from a sound task, and what the refusal must say.
FAULTS = {
    "a wrong second derivative": ({"model": Squares}, "not that of its differences.*WrongSecond"),
    "a stale weight": ({"model": Lagging}, "torch.optim|computed again"),
    "a draw that is not replayed": ({"augment": jittered}, "torch.optim|read again"),
    "a moved frozen parameter": ({"model": Teacher}, "slow|torch.optim"),
    "an order of the validation data": ({"validation_loss": by_place}, "how the data are sorted"),
}


def penalized(output, target, hypers):
    """The penalty is a number where it is used, and small beside the loss."""
    squares = sum(part.square().sum() for part in hypers.parameters.values())
    return functional.cross_entropy(output, target) + hypers["penalty"].item() * squares


def scaled_once(parameters, hypers):
    return {name: part * float(hypers["scale"]) for name, part in parameters.items()}


OWN = {
    "penalty": {"loss": penalized, "validation_loss": functional.cross_entropy},
    "scale": {"initialize": scaled_once},
}


@pytest.mark.parametrize("name", OWN)
class TestHyperparametersThatLeavePyTorch:
    def test_are_refused_by_name(self, name):
        own = {name: ng.Constant(initial=1e-6 if name == "penalty" else 0.8)}
        with pytest.raises(ng.VerificationError, match=f"by '{name}' is not that of .*item"):
            ng.hypergradient(task_of(hyperparameters=own, **OWN[name]), OPTIMIZER, steps=6)

    def test_are_wrong_without_a_word_unless_verified(self, name):
        own = {name: ng.Constant(initial=0.1)}
        task = task_of(hyperparameters=own, verify=False, **OWN[name])
        told, true = (
            ng.hypergradient(task, OPTIMIZER, steps=6, engine=engine, dtype=torch.float64)
            for engine in (ng.Reverse(), ng.FiniteDifference(order=4))
        )
        assert float(told.gradients[name]) == 0.0 and abs(float(true.gradients[name])) > 1e-3

    def test_are_no_matter_where_they_are_fixed(self, name):
        found = task_of(hyperparameters={name: 0.5}, **OWN[name])
        assert ng.hypergradient(found, OPTIMIZER, steps=6).value > 0


def test_small_hyperparameters_and_those_in_place_are_right():
    def scaled(parameters, hypers):
        return {name: part.mul_(hypers["scale"]) for name, part in parameters.items()}

    def right(output, target, hypers):
        squares = sum(part.abs().sum() for part in hypers.parameters.values())
        return functional.cross_entropy(output, target) + hypers["penalty"] * squares

    own = {"penalty": ng.Constant(initial=1e-13), "scale": ng.Constant(initial=0.8)}
    functions = {"loss": right, "initialize": scaled, "validation_loss": functional.cross_entropy}
    task = task_of(hyperparameters=own, **functions)
    found = ng.Problem(task, OPTIMIZER, 5).verified()
    assert (
        sum("'penalty'" in check.short or "'scale'" in check.short for check in found.checks) == 4
    )


# Whose first loss is another one after the run.
MOVING = {"a stale weight", "a draw that is not replayed", "a moved frozen parameter"}


@pytest.mark.parametrize("name", FAULTS)
class TestPlantedFaults:
    def test_is_refused_before_anything_is_spent(self, name):
        changed, words = FAULTS[name]
        for ask in (ng.hypergradient, ng.tune, ng.trust):
            with pytest.raises(ng.VerificationError, match=words) as caught:
                ask(task_of(**changed), OPTIMIZER, steps=8)
            assert "verify=False" in str(caught.value)

    def test_nothing_else_catches_it_before_a_run_is_spent(self, name):
        task, words = task_of(verify=False, **FAULTS[name][0]), "loss at step 0 was"
        late = pytest.raises(ng.ReplayError, match=words) if name in MOVING else nullcontext()
        with late:
            found = ng.hypergradient(task, OPTIMIZER, steps=8, engine="forward")
            assert found.gradients["learning_rate"].isfinite().all()


def test_the_numbers_that_are_refused_are_wrong():
    task = task_of(Squares, verify=False)
    told, true = (
        ng.hypergradient(task, OPTIMIZER, steps=8, engine=engine, dtype=torch.float64).gradients
        for engine in (ng.Reverse(), ng.FiniteDifference(order=4))
    )
    assert (told["learning_rate"] - true["learning_rate"]).norm() > 0.01 * true[
        "learning_rate"
    ].norm()


def test_black_boxes_serve_where_no_derivative_is_right():
    black_box = ng.FiniteDifference()
    found = ng.hypergradient(task_of(Squares), OPTIMIZER, steps=6, engine=black_box)
    assert found.gradients["learning_rate"].isfinite().all()


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
def test_what_is_right_passes(model, optimizer):
    found = ng.Problem(tiny_task(model), OPTIMIZERS[optimizer], 5).verified()
    assert len(found.checks) == 11 and all(check.passed for check in found.checks)
    assert "3 training losses equal those of torch.optim" in found.summary


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_every_optimizer_equals_its_twin(optimizer):
    assert ng.Problem(tiny_task("mlp"), OPTIMIZERS[optimizer], 5).verified().checks


def test_it_is_done_once_for_a_task_and_an_optimizer(monkeypatch):
    from nongreedy.engines import _problem

    made, original = [], _problem.verify
    monkeypatch.setattr(_problem, "verify", lambda *rest: made.append(rest) or original(*rest))
    task = task_of()
    for _ in range(2):
        ng.hypergradient(task, OPTIMIZER, steps=6)
    assert len(made) == 1
    ng.hypergradient(task, ng.Adam(), steps=6)
    assert len(made) == 2


def test_the_outcome_is_told():
    sound, unchecked = task_of(), task_of(verify=False)
    for task, word in (
        (sound, "verified: nothing moves"),
        (unchecked, "not verified: verify=False"),
    ):
        result = ng.tune(task, OPTIMIZER, steps=6, outer_steps=1)
        assert result.settings["verification"].startswith(word)
        assert word in str(ng.trust(task, OPTIMIZER, steps=6, seeds=2))


def test_errors_of_the_users_own_are_theirs():
    with pytest.raises(ng.DataError, match="mat1 and mat2"):
        ng.hypergradient(task_of(lambda: nn.Linear(5, 3)), OPTIMIZER, steps=6)


def test_a_first_step_that_diverges_is_left_to_the_search():
    task = task_of()
    found = ng.Problem(task, ng.SGD(ng.Windows(1, initial=9.0), clip_value=None), 5).verified()
    assert found.checks or "diverge" in found.note
    steep = ng.SGD(ng.Windows(1, initial=1e200, bounds=(1e-8, 1e201)))
    level = task_of(lambda: nn.Linear(6, 3), lambda output, target: output.square().mean())
    assert "diverge" in ng.Problem(level, steep, 5).verified().note
