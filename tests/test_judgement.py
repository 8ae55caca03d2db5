"""The outer loss is that of the whole validation set, in runs, retrained and in tests."""

import copy
import functools

import pytest
import torch
from torch import nn
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

import nongreedy as ng
from nongreedy.engines import Runner
from nongreedy.task import _judgement
from nongreedy.task._looks import evaluation_parts

from .judged_tasks import (
    CASES,
    COUNT,
    FIXED,
    SCHEDULE,
    SIZE,
    WEIGHT,
    Pairs,
    by_hand,
    dice,
    drawn,
    labels,
    made,
    run_of,
)  # fmt: skip
from .silent_cases import focal


def judged(task, **settings):
    run = run_of(task)
    return run.outer_gradient(run.initial()[0], **settings)


def assert_whole(task):
    """Loss and gradient are those of all examples at once."""
    run, (inputs, targets) = run_of(task), task.validation.fetch(slice(0, COUNT))
    theta = run.initial()[0].requires_grad_()
    whole = task.validation_loss(run.module(theta, inputs, False), targets)
    (slope,) = torch.autograd.grad(whole, theta)
    outcome, gradient = judged(task)
    assert outcome.loss == pytest.approx(whole.item(), rel=1e-12)
    torch.testing.assert_close(gradient, slope, rtol=1e-10, atol=1e-12 * float(slope.abs().max()))
    return outcome


@pytest.mark.parametrize("name", CASES)
def test_loss_and_gradient_are_those_of_the_whole_set(name):
    task = made(name)
    outcome, run = assert_whole(task), run_of(task)
    assert run.outer_loss(run.initial()[0]) == outcome


@pytest.mark.parametrize("name", ["class weights", "class weights by a function", "a ratio", "sum"])
def test_hypergradients_are_those_of_the_whole_set_by_differences(name):
    found = [
        ng.hypergradient(made(name), FIXED, steps=3, engine=engine, dtype=torch.float64)
        for engine in (ng.Reverse(), ng.Forward(), ng.FiniteDifference())
    ]
    for gradient in found[:2]:
        expected = found[2].gradients["learning_rate"].item()
        assert gradient.gradients["learning_rate"].item() == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("name", [n for n in CASES if n != "neighbours"])  # a loss of the order
def test_neither_order_nor_size_of_slices_matters_and_retraining_says_the_same(name):
    order = torch.randperm(COUNT, generator=torch.Generator().manual_seed(5))
    task = made(name)
    shuffled = tuple(part[order] for part in task.validation.source)
    tasks = [task, made(name, validation=shuffled), made(name, evaluation_batch_size=COUNT)]
    losses = [run_of(task).outer_loss(run_of(task).initial()[0]).loss for task in tasks]
    assert losses == pytest.approx([losses[0]] * 3, rel=1e-12)
    single = made(name, loss=as_float(CASES[name][2]))
    done = ng.retrain(single, SCHEDULE, steps=3)
    run = ng.Run(single, FIXED, 3)
    final = nn.utils.parameters_to_vector(done.model.parameters()).detach()
    outcome = run.outer_loss(final)
    assert done.validation_loss == pytest.approx(outcome.loss, rel=1e-5)
    assert done.test_loss == pytest.approx(done.validation_loss, rel=1e-6)
    assert done.validation_accuracy == outcome.accuracy == done.test_accuracy


def as_float(loss):
    """The same in single precision, weights of classes included."""
    if isinstance(loss, functools.partial):
        return functools.partial(loss.func, weight=WEIGHT.float())
    return copy.deepcopy(loss).float() if isinstance(loss, nn.Module) else loss


@pytest.mark.parametrize("size", [1, 2, 7, COUNT - 1])
@pytest.mark.parametrize("name", ["ignored tokens", "ignored tokens by a function", "by hand"])
def test_slices_of_any_size_even_where_no_target_counts(name, size):
    assert_whole(made(name, evaluation_batch_size=size))


ADDING = [
    "mean", "class weights by a function", "sum", "ignored tokens by a function", "by hand",
    "a dictionary", "chances of classes", "counts",
]  # fmt: skip


@pytest.mark.parametrize("size", [2, SIZE])
@pytest.mark.parametrize("name", ADDING)
def test_outputs_too_large_to_be_held_are_added_up_as_measured(name, size, monkeypatch):
    monkeypatch.setattr(_judgement, "HELD", 0)
    monkeypatch.setattr(_judgement, "is_plain", lambda loss: False)
    assert_whole(made(name, evaluation_batch_size=size))


def test_outputs_that_are_no_rows_are_added_up_as_measured():
    def inside(output, target):
        return functional.cross_entropy(output["scores"], target, weight=WEIGHT)

    assert_whole(made("a dictionary", model=lambda: Pairs(odd=True), loss=inside))


def test_a_ratio_too_large_to_be_held_is_the_mean_over_fixed_slices(monkeypatch):
    monkeypatch.setattr(_judgement, "HELD", 0)
    task = made("a ratio")
    run, (inputs, targets) = run_of(task), task.validation.source
    theta, parts = run.initial()[0].requires_grad_(), evaluation_parts(COUNT, SIZE)
    losses = [dice(run.module(theta, inputs[p], False), targets[p]) for p in parts]
    expected = sum(len(p) * loss for p, loss in zip(parts, losses, strict=True)) / COUNT
    (slope,) = torch.autograd.grad(expected, theta)
    outcome, gradient = judged(task)
    assert outcome.loss == pytest.approx(expected.item(), rel=1e-12)
    torch.testing.assert_close(gradient, slope, rtol=1e-10, atol=1e-12)
    assert ng.retrain(task, SCHEDULE, steps=3).validation_loss == pytest.approx(
        Runner().rollout(ng.Run(task, FIXED, 3), SCHEDULE).outcome.loss, rel=1e-4
    )


def test_chosen_examples_are_judged_as_a_set_of_their_own():
    chosen = torch.randperm(COUNT)[:20]
    for name in ("class weights", "a ratio", "neighbours"):
        task = made(name)
        picked = tuple(part[chosen] for part in task.validation.source)
        found, expected = judged(task, chosen=chosen), judged(made(name, validation=picked))
        assert found[0].loss == pytest.approx(expected[0].loss, rel=1e-12)
        torch.testing.assert_close(found[1], expected[1])


def test_a_first_dimension_that_is_no_row_is_not_taken_for_one():
    class Turned(nn.Module):  # (places, B, classes), with as many places as examples in a slice
        def __init__(self):
            super().__init__()
            self.flat = nn.Linear(4, 8 * 3)

        def forward(self, x):
            return self.flat(x).unflatten(1, (8, 3)).transpose(0, 1)

    def loss(output, target):
        each = functional.cross_entropy(output.flatten(0, 1), target.T.flatten(), reduction="none")
        return each.mean()

    x = drawn(64, 4)
    data = x, torch.randint(0, 3, (64, 8))
    assert evaluation_parts(64, 8)[0].shape == (8,)
    task = ng.Task(Turned, loss, data, data, batch_size=16, evaluation_batch_size=8)
    run = run_of(task)
    theta = run.initial()[0]
    whole = loss(run.module(theta, x, False), data[1]).item()
    assert run.outer_loss(theta).loss == pytest.approx(whole, rel=1e-12)


# ---- BatchNorm, randomness, derivatives of inputs -----------------------------------------------


def normed():
    return nn.Sequential(nn.Linear(6, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 2))


def test_sorted_validation_data_meet_batch_norm_mixed():
    x, v = drawn(64, 6, seed=1), drawn(1000, 6, seed=2)
    y, w = labels(x, 2), (v[:, 0] > 0).long()
    order = w.argsort()
    found = {}
    for name, data in {"mixed": (v, w), "sorted": (v[order], w[order])}.items():
        task = ng.Task(normed, functional.cross_entropy, (x, y), data, batch_size=32)
        run = ng.Run(task, FIXED, 60)
        rollout = Runner().rollout(run, SCHEDULE)
        found[name], theta = rollout.outcome, rollout.final[0]
        halves = [run.module(theta, data[0][part].float(), False) for part in
                  (slice(0, 500), slice(500, 1000))]  # fmt: skip
    in_order = functional.cross_entropy(torch.cat(halves), data[1]).item()
    assert abs(in_order - found["mixed"].loss) > 0.3 * found["mixed"].loss  # what it was
    assert found["sorted"].loss == pytest.approx(found["mixed"].loss, rel=0.1)
    assert found["sorted"].accuracy == pytest.approx(found["mixed"].accuracy, abs=0.01)


def test_evaluation_slices_are_a_fixed_shuffle_cut_evenly():
    parts = evaluation_parts(1201, 500)
    assert [len(part) for part in parts] == [401, 400, 400]
    assert torch.equal(torch.cat(parts).sort().values, torch.arange(1201))
    assert all(0.4 < (part < 600).double().mean() < 0.6 for part in parts)
    assert evaluation_parts(500, 500) == (slice(0, 500),)


class Drawing(nn.Module):
    """Draws in evaluation, too, as samplers of latent codes do."""

    def __init__(self):
        super().__init__()
        self.flat = nn.Linear(4, 3)

    def forward(self, x):
        return self.flat(x + torch.randn_like(x))


@pytest.mark.parametrize("size", [SIZE, COUNT])
@pytest.mark.parametrize("loss", [functional.cross_entropy, by_hand])
def test_draws_in_evaluation_are_the_same_at_every_call(loss, size):
    task = made("mean", model=Drawing, loss=loss, evaluation_batch_size=size)
    run = run_of(task)
    theta = run.initial()[0]
    state = torch.get_rng_state()
    outcome, gradient = run.outer_gradient(theta)
    assert torch.equal(state, torch.get_rng_state())
    torch.rand(3)
    assert run.outer_loss(theta) == outcome
    along = torch.randn_like(theta)
    up, down = (run.outer_loss(theta + h * along).loss for h in (1e-5, -1e-5))
    assert float(gradient @ along) == pytest.approx((up - down) / 2e-5, rel=1e-6)


class Force(nn.Module):
    """Forces are derivatives of an energy, so that evaluation needs autograd, too."""

    def __init__(self):
        super().__init__()
        self.energy = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 1))

    def forward(self, x):
        x = x.detach().requires_grad_()
        return -torch.autograd.grad(self.energy(x).sum(), x, create_graph=True)[0]


@pytest.mark.parametrize("size", [SIZE, COUNT])
def test_networks_that_differentiate_by_their_inputs_are_judged(size):
    x = drawn(COUNT, 4)
    task = ng.Task(Force, functional.mse_loss, (x, -2 * x), (x, -2 * x), batch_size=20,
                   evaluation_batch_size=size)  # fmt: skip
    rollout = Runner().rollout(ng.Run(task, FIXED, 3), SCHEDULE)
    done = ng.retrain(task, SCHEDULE, steps=3)
    assert done.validation_loss == pytest.approx(rollout.outcome.loss, rel=1e-5)
    assert all(p.requires_grad for p in done.model.parameters())


@pytest.mark.parametrize("size", [SIZE, COUNT])
def test_a_loss_without_derivative_is_refused_with_the_way_out(size):
    def errors(output, target):
        return 1 - (output.argmax(1) == target).double().mean()

    task = made("mean", validation_loss=errors, evaluation_batch_size=size)
    with pytest.raises(ValueError, match=r"no derivative.*metric="):
        ng.hypergradient(task, FIXED, steps=3)
    assert ng.retrain(task, SCHEDULE, steps=3).validation_loss <= 1


@pytest.mark.parametrize("size", [0, -1, 2.5, None])
def test_sizes_of_slices_are_whole_numbers(size):
    with pytest.raises(ValueError, match=f"`evaluation_batch_size` .* but got {size!r}"):
        made("mean", evaluation_batch_size=size)


class Stopped(nn.Module):
    """A gate that is detached, in a part that is computed again where `again`."""

    def __init__(self, again):
        super().__init__()
        self.first, self.second, self.again = nn.Linear(4, 8), nn.Linear(8, 3), again

    def part(self, x):
        h = self.first(x)
        return torch.tanh(h) * h.detach().sigmoid()

    def forward(self, x):
        h = checkpoint(self.part, x, use_reentrant=False) if self.again else self.part(x)
        return self.second(h)


@pytest.mark.parametrize("size", [SIZE, COUNT])
@pytest.mark.parametrize("loss", [functional.cross_entropy, focal])
@pytest.mark.parametrize("again", [False, True])
def test_what_is_judged_is_differentiated_as_a_value_of_all_that_it_depends_on(again, loss, size):
    task = made(
        "mean", model=lambda: Stopped(again), validation_loss=loss, evaluation_batch_size=size
    )
    run = run_of(task)
    theta = run.initial()[0]
    gradient = run.outer_gradient(theta)[1]
    along = drawn(len(theta), seed=8)
    up, down = (run.outer_loss(theta + h * along).loss for h in (1e-5, -1e-5))
    assert float(gradient @ along) == pytest.approx((up - down) / 2e-5, rel=1e-6)
