"""Averages of weights: differences of a plain loop, engines, twins, and schedules in the user's own loop."""

import copy
import io
import math
from dataclasses import replace

import pytest
import torch
from torch import nn
from torch.nn import functional

import nongreedy as ng
from nongreedy import testing

from .helpers import assert_equals_twin, assert_same, tiny_task
from .plain_loop import slope

STEPS, SEED = 9, 4
DOUBLE = {"steps": STEPS, "seed": SEED, "dtype": torch.float64}
RATES = ng.Windows(3, initial=(0.3, 0.4, 0.2))
ENGINES = [ng.Reverse("device"), ng.Reverse("checkpoint"), ng.Forward(chunk=1)]


def tail(share=0.4):
    return ng.TailAverage(ng.Constant(initial=share))


def exponential(decay=0.7):
    return ng.ExponentialAverage(ng.Constant(initial=decay))


def tail_weights(share):
    """Of theta_1 .. theta_T, as anyone would write them down."""
    length = share * STEPS
    whole = math.floor(length)
    return [0.0] * (STEPS - whole - 1) + ([length - whole] if whole < STEPS else []) + [1.0] * whole


def exponential_weights(decay):
    return [decay ** (STEPS - 1 - t) for t in range(STEPS)]


WEIGHTS = {"average_share": tail_weights, "average_decay": exponential_weights}


def by_hand(rates, weights, momentum=0.5):
    """Validation loss of averaged weights, by ``torch.optim`` and a sum."""
    task = tiny_task()
    task = ng.Run(task, ng.SGD(), STEPS, SEED, torch.float64).task
    model, visited = task.network(SEED, torch.float64), []
    optimizer = torch.optim.SGD(model.parameters(), lr=0.0, momentum=momentum)
    for step in range(STEPS):
        inputs, targets = task.plan.batch(SEED, step, task.device, torch.float64)
        optimizer.zero_grad()
        functional.cross_entropy(model(inputs), targets).backward()
        optimizer.param_groups[0]["lr"] = rates[len(rates) * step // STEPS]
        optimizer.step()
        visited.append(nn.utils.parameters_to_vector(model.parameters()).detach())
    mean = sum(w * theta for w, theta in zip(weights, visited, strict=True)) / sum(weights)
    nn.utils.vector_to_parameters(mean, model.parameters())
    inputs, targets = task.validation.fetch(slice(0, task.validation.count))
    return functional.cross_entropy(model(inputs.double()), targets).item()


@pytest.mark.parametrize("engine", ENGINES, ids=repr)
@pytest.mark.parametrize("average", [tail(), tail(0.95), exponential(), exponential(0.0)], ids=repr)
def test_hypergradients_match_differences_of_a_plain_loop(average, engine):
    optimizer = ng.SGD(RATES, momentum=0.5, average=average)
    found = ng.hypergradient(tiny_task(), optimizer, engine=engine, **DOUBLE)
    name, setting = average.name, average.setting.initial

    def loss(rates=RATES.initial, value=setting):
        return by_hand(list(rates), WEIGHTS[name](value))

    assert found.value == pytest.approx(loss(), rel=1e-12)
    expected = {name: torch.tensor([slope(lambda by: loss(value=setting + by))]).double()}
    rows = [
        slope(lambda by, j=j: loss(rates=[r + by * (i == j) for i, r in enumerate(RATES.initial)]))
        for j in range(3)
    ]
    expected["learning_rate"] = torch.tensor(rows, dtype=torch.float64)
    assert_same(found.gradients, expected, 1e-6)
    assert expected[name].abs() > 1e-4


@pytest.mark.parametrize("share", [1 / STEPS, 0.7 / STEPS, 1e-3])
def test_a_share_of_a_step_or_less_is_the_plain_run(share):
    plain = ng.hypergradient(tiny_task(), ng.SGD(RATES), **DOUBLE)
    averaged = ng.SGD(RATES, average=ng.TailAverage(share))
    found = ng.hypergradient(tiny_task(), averaged, **DOUBLE)
    assert found.value == plain.value
    assert torch.equal(found.gradients["learning_rate"], plain.gradients["learning_rate"])
    assert torch.equal(found.adjoint_norms, plain.adjoint_norms)
    if share < 1 / STEPS:
        flat = ng.SGD(RATES, average=tail(share))
        assert ng.hypergradient(tiny_task(), flat, **DOUBLE).gradients["average_share"] == 0


def test_the_loss_is_continuous_in_the_share_and_its_slope_the_mean_of_both_sides_at_a_step():
    def found(share):
        answer = ng.hypergradient(tiny_task(), ng.SGD(0.3, average=tail(share)), **DOUBLE)
        return answer.value, answer.gradients["average_share"].item()

    at, width = 4 / STEPS, 1e-9
    (below, left), (value, middle), (above, right) = (found(at + w) for w in (-width, 0, width))
    assert abs(below - value) < 1e-8 and abs(above - value) < 1e-8
    assert abs(left - right) > 1e-3 and middle == pytest.approx((left + right) / 2, rel=1e-5)


@pytest.mark.parametrize(
    "average",
    [ng.TailAverage(0.6), ng.ExponentialAverage(0.8), ng.ScheduleFreeAverage(0.8)],
    ids=repr,
)
@pytest.mark.parametrize("name", ["nesterov", "adam", "muon", "lion", "grouped"])
def test_every_optimizer_can_be_averaged_and_equals_its_twin(name, average):
    given = testing.OPTIMIZERS[name]
    if isinstance(given, ng.Grouped):
        optimizer = replace(given, base=replace(given.base, average=average))
    else:
        optimizer = replace(given, average=average, clip_norm=0.6)
    schedule = ng.Schedule.initial(optimizer.hyperparameters(30))
    assert_equals_twin(optimizer, schedule, relative=1e-10, steps=30)
    ours = [ng.hypergradient(tiny_task(), optimizer, engine=e, **DOUBLE) for e in ENGINES]
    judge = ng.FiniteDifference(step=3e-5, order=4)
    expected = ng.hypergradient(tiny_task(), optimizer, engine=judge, **DOUBLE)
    for this in ours:
        assert_same(this.gradients, expected.gradients, 1e-6)


def test_groups_may_differ_in_their_average():
    optimizer = ng.Grouped(
        ng.SGD(RATES, momentum=0.5, average=exponential()),
        {"vectors": {"average_decay": ng.Constant(initial=0.3)}},
    )
    assert "average_decay[vectors]" in optimizer.learnable
    schedule = ng.Schedule.initial(optimizer.hyperparameters(20))
    assert_equals_twin(optimizer, schedule, relative=1e-11, steps=20)
    judge = ng.FiniteDifference(step=3e-5, order=4)
    expected = ng.hypergradient(tiny_task(), optimizer, engine=judge, **DOUBLE).gradients
    for engine in ENGINES:
        found = ng.hypergradient(tiny_task(), optimizer, engine=engine, **DOUBLE).gradients
        assert_same(found, expected, 1e-6)
    with pytest.raises(ValueError, match="One average is over all groups"):
        ng.Grouped(ng.SGD(), {"vectors": {"momentum": 0.1}}, average=tail())


def test_a_closed_form_is_that_of_automatic_differentiation():
    optimizer = ng.SGD(RATES, momentum=0.5, weight_decay=0.1, average=exponential())
    run = ng.Run(tiny_task(), optimizer, STEPS, SEED, torch.float64)
    values = run.values(ng.Schedule.initial(optimizer.hyperparameters(STEPS)))
    now, generator = {n: v[3] for n, v in values.items()}, torch.Generator().manual_seed(0)

    def drawn(*shape):
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    slots, count = run.initial().shape
    state, gradient, adjoint = drawn(slots, count), drawn(count), drawn(slots, count)
    state[-1] = 2.5
    names = list(run.optimizer.learnable)
    found = run.optimizer.pull_back(state, gradient, now, adjoint, names)
    expected = ng.Optimizer.pull_back(run.optimizer, state, gradient, now, adjoint, names)
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)
    tangents, curved = drawn(2, slots, count), drawn(2, count)
    moved, pushed = {name: drawn(2) for name in names}, []
    for push in (run.optimizer.push_forward, ng.Optimizer.push_forward.__get__(run.optimizer)):
        pushed.append(tangents.clone())
        push(state, gradient, now, pushed[-1], curved, moved)
    torch.testing.assert_close(*pushed, rtol=1e-12, atol=1e-12)


def test_who_it_is_and_what_it_learns():
    plain, averaged = ng.SGD(0.1), ng.SGD(0.1, average=ng.TailAverage(0.5))
    assert "average" not in plain.to_json()  # as before there were averages
    assert averaged.to_json()["average"] == {"class": "TailAverage", "share": 0.5}
    assert averaged != plain and averaged == ng.SGD(0.1, average=ng.TailAverage(0.5))
    assert averaged.given()["average_share"] == 0.5 and averaged.slots == plain.slots + 2
    assert set(averaged.learnable) == {*plain.learnable, "average_share"}
    assert ng.SGD.learnable.keys() == plain.learnable.keys()
    assert replace(averaged, average=None) == plain
    learned = ng.SGD(0.1, average=tail()).hyperparameters(10)
    assert learned["average_share"].learned and learned["average_share"].transform == "log"


@pytest.mark.parametrize(
    ("make", "error", "words"),
    [
        (lambda: ng.TailAverage(0.0), ValueError, "`share` of TailAverage"),
        (lambda: ng.TailAverage(1.5), ValueError, "1.5"),
        (lambda: ng.ExponentialAverage(1.0), ValueError, "`decay` of ExponentialAverage"),
        (lambda: ng.ExponentialAverage("long"), ValueError, "'long'"),
        (lambda: ng.SGD(0.1, average=0.25), TypeError, "`average` of SGD must be ng.TailAverage"),
        (
            lambda: ng.Run(
                tiny_task(), ng.SGD(0.1, average=tail()), 3, dtype=torch.bfloat16
            ).initial(),
            ValueError,
            "dtype=torch.float32",
        ),
        (
            lambda: ng.hypergradient(
                tiny_task(), ng.SGD(RATES, average=tail()), steps=5, engine="reversible"
            ),
            ValueError,
            "cannot undo a step of a running average",
        ),
        (
            lambda: ng.Schedule.of(learning_rate=0.1, average_share=1.5),
            ValueError,
            "average_share is 1.5.*at most 1",
        ),
        (lambda: ng.Schedule.of(average_decay=1.0), ValueError, "less than 1"),
        (
            lambda: ng.Schedule.of(average_decay=0.5, average_share=0.5).attach(sgd()[1], 4),
            ValueError,
            "averaged in one way",
        ),
    ],
    ids=["zero", "above", "one", "word", "number", "half", "reversible", "file", "decay", "both"],
)
def test_bad_averages(make, error, words):
    with pytest.raises(error, match=words):
        make()


# What is judged on the way and at the end


def test_greedy_and_online_judge_what_would_be_kept():
    optimizer = ng.SGD(RATES, momentum=0.5, average=exponential())
    whole = ng.hypergradient(tiny_task(), optimizer, engine=ng.Greedy(mu=1.0, every=None), **DOUBLE)
    exact = ng.hypergradient(tiny_task(), optimizer, **DOUBLE)
    assert_same(whole.gradients, exact.gradients, 1e-10)
    one = ng.hypergradient(tiny_task(), optimizer, engine="greedy", **DOUBLE)
    # The last step is the last one for all: there greedy is exact.
    for name, row in one.per_step.items():
        assert row[-1] == pytest.approx(float(exact.per_step[name][-1]), rel=1e-9)
    optimizer = ng.SGD(ng.Constant(initial=0.3), momentum=0.5, average=exponential())
    online = ng.train_online(tiny_task(), optimizer, steps=12, dtype=torch.float64)
    run = ng.Run(tiny_task(), optimizer, 12, dtype=torch.float64)
    again = ng.Reverse().rollout(run, online.schedule)
    assert online.validation_loss == pytest.approx(again.outcome.loss, rel=1e-12)
    flat = torch.cat([p.reshape(-1) for p in online.parameters.values()])
    torch.testing.assert_close(flat, again.answer, rtol=1e-12, atol=1e-12)


def test_an_implicit_derivative_at_a_minimum_is_taken_at_the_average():
    generator = torch.Generator().manual_seed(0)
    inputs = torch.randn(32, 3, generator=generator, dtype=torch.float64)
    targets = inputs.sum(1, keepdim=True)

    def loss(output, target, hypers):
        penalty = sum(p.square().sum() for p in hypers.parameters.values())
        return functional.mse_loss(output, target) + hypers["penalty"] * penalty

    task = ng.Task(
        lambda: nn.Linear(3, 1), loss, (inputs, targets), (inputs[:9] + 1, targets[:9]),
        batch_size=32, hyperparameters={"penalty": ng.Constant(initial=0.1, bounds=(1e-6, 9.0))},
        validation_loss=functional.mse_loss,
    )  # fmt: skip
    settings = {"steps": 400, "dtype": torch.float64}
    optimizer = ng.SGD(0.2, average=ng.TailAverage(0.2))
    engine = ng.Implicit(ng.engines.ConjugateGradients(iterations=20))
    found = ng.hypergradient(task, optimizer, engine=engine, **settings)
    exact = ng.hypergradient(task, optimizer, **settings)
    assert found.value == exact.value
    assert_same(found.gradients, {"penalty": exact.gradients["penalty"]}, 1e-6)


def test_tuned_retrained_and_trusted():
    optimizer = ng.SGD(RATES, average=tail(0.5))
    result = ng.tune(tiny_task(), optimizer, steps=12, outer_steps=2, budget=30)
    assert "average_share" in result.schedule.curves
    again = ng.retrain(tiny_task(), result.schedule, steps=12, optimizer=optimizer)
    plain = ng.Reverse().rollout(ng.Run(tiny_task(), optimizer, 12), result.schedule)
    assert again.validation_loss == pytest.approx(plain.outcome.loss, rel=1e-4)
    weights = nn.utils.parameters_to_vector(again.model.parameters()).detach()
    torch.testing.assert_close(weights, plain.answer, rtol=1e-4, atol=1e-5)
    trusted = ng.trust(tiny_task(), optimizer, schedule=result.schedule, steps=12)
    assert trusted.smoothness is None or abs(trusted.smoothness.metasmoothness) <= 1


def test_a_fixed_average_is_kept_where_the_schedule_has_none():
    schedule, optimizer = ng.Schedule.of(learning_rate=0.5), ng.SGD(average=ng.TailAverage(0.5))
    with_average = ng.retrain(tiny_task(), schedule, steps=12, optimizer=optimizer)
    named = ng.Schedule.of(learning_rate=0.5, average_share=0.5)
    spelled = ng.retrain(tiny_task(), named, steps=12)
    assert with_average.validation_loss == spelled.validation_loss
    assert spelled.validation_loss != ng.retrain(tiny_task(), schedule, steps=12).validation_loss


def test_running_statistics_are_those_of_the_averaged_weights():
    inputs, labels = testing.classes(48, (4,), seed=1)

    def model():
        return nn.Sequential(nn.Linear(4, 5), nn.BatchNorm1d(5), nn.Linear(5, 2))

    task = ng.Task(model, functional.cross_entropy, (inputs, labels % 2), (inputs, labels % 2),
                   batch_size=48)  # fmt: skip
    schedule = ng.Schedule.of(learning_rate=0.5, average_share=0.5)
    network = ng.retrain(task, schedule, steps=10).model
    hidden = network[0](inputs.float()).detach()
    torch.testing.assert_close(network[1].running_mean, hidden.mean(0), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(network[1].running_var, hidden.var(0), rtol=1e-4, atol=1e-5)


def test_three_steps_are_verified_against_the_twin_with_their_average():
    for steps in (2, 3, 30):
        for optimizer in (
            ng.SGD(ng.Constant(initial=0.3), average=exponential()),
            ng.AdamW(ng.Constant(), average=tail(1.0)),
            ng.ScheduleFreeSGD(ng.Constant(initial=0.5)),
        ):
            problem = ng.Problem.of(tiny_task(), optimizer, steps=steps, engine="reverse")
            assert len(problem.verification.checks) > 5


class Forgetful(ng.SGD):
    """Judges something else than its twin leaves."""

    def answer(self, state):
        return 1.01 * state[..., 0, :]


def test_another_answer_than_the_twins_is_refused():
    with pytest.raises(ng.VerificationError, match=r"what is judged of '0.weight'"):
        ng.Problem.of(tiny_task(), Forgetful(ng.Constant(initial=0.3)), steps=9)


# In the user's own loop


def sgd(**settings):
    torch.manual_seed(0)
    layer = nn.Linear(3, 1).double()
    return layer, torch.optim.SGD(layer.parameters(), lr=0.0, **settings)


def flat(layer):
    return nn.utils.parameters_to_vector(layer.parameters()).detach().clone()


def loop(layer, optimizer, scheduler, steps, first=0):
    """Trains on; the weights after each step, before any average is put in their place."""
    visited, holder = [], []
    hook = optimizer.register_step_post_hook(lambda *given: holder.append(flat(layer)))
    for step in range(first, first + steps):
        inputs = torch.randn(4, 3, generator=torch.Generator().manual_seed(step)).double()
        optimizer.zero_grad()
        (layer(inputs) - inputs.sum(1, keepdim=True)).square().mean().backward()
        optimizer.step()
        scheduler.step()
        visited.append(holder[-1])
    hook.remove()
    return visited


SCHEDULE = ng.Schedule.of(learning_rate=[0.1, 0.05], average_share=0.5)
FADING = ng.Schedule.of(learning_rate=[0.1, 0.05], average_decay=0.8)
FREE = ng.Schedule.of(learning_rate=[0.1, 0.05], average_interpolation=[0.9, 0.7])


def expected(schedule, visited, total, upto):
    counted = range(1, upto + 1)
    if schedule is SCHEDULE:
        weights = [min(1.0, max(0.0, 0.5 * total - (total - t))) for t in counted]
    else:
        weights = [0.8 ** (upto - t) for t in counted]
    if not any(weights):
        return visited[upto - 1]
    rows = zip(weights, visited, strict=False)
    return sum(w * theta for w, theta in rows) / sum(weights)


@pytest.mark.parametrize("total", [9, 10, 1])
@pytest.mark.parametrize("schedule", [SCHEDULE, FADING], ids=["tail", "exponential"])
def test_averages_are_shown_on_the_way_and_left_at_the_end(schedule, total):
    layer, optimizer = sgd(momentum=0.5)
    scheduler, visited = schedule.attach(optimizer, total), []
    for step in range(total):
        visited += loop(layer, optimizer, scheduler, 1, step)
        trained = flat(layer)
        with scheduler.averaged():
            mean = expected(schedule, visited, total, step + 1)
            torch.testing.assert_close(flat(layer), mean, rtol=1e-12, atol=1e-14)
            with scheduler.averaged():
                torch.testing.assert_close(flat(layer), mean, rtol=1e-12, atol=1e-14)
        assert torch.equal(flat(layer), trained)
        assert (step + 1 == total) or torch.equal(trained, visited[-1])
    torch.testing.assert_close(trained, expected(schedule, visited, total, total))
    loop(layer, optimizer, scheduler, 2, total)  # whoever goes on does so from there
    with scheduler.averaged():
        assert not torch.equal(flat(layer), trained)


@pytest.mark.parametrize("saved_at", [2, 6, 7])
@pytest.mark.parametrize(
    "schedule", [SCHEDULE, FADING, FREE], ids=["tail", "exponential", "schedule-free"]
)
def test_a_saved_state_goes_on_exactly(schedule, saved_at):
    layer, optimizer = sgd(momentum=0.5)
    scheduler = schedule.attach(optimizer, 10)
    loop(layer, optimizer, scheduler, saved_at)
    file, parts = io.BytesIO(), (layer, optimizer, scheduler)
    torch.save([part.state_dict() for part in parts], file)
    kept = copy.deepcopy(scheduler.state_dict())
    loop(layer, optimizer, scheduler, 10 - saved_at, saved_at)
    file.seek(0)
    states = torch.load(file, weights_only=True)
    again, other = sgd(momentum=0.5)
    anew = schedule.attach(other, 10)
    for part, state in zip((again, other, anew), states, strict=True):
        part.load_state_dict(state)
    loop(again, other, anew, 10 - saved_at, saved_at)
    assert torch.equal(flat(again), flat(layer))
    assert kept.keys() == states[2].keys()  # and is not changed by what came after
    for mine, theirs in zip(
        kept["averages"]["of"].values(), states[2]["averages"]["of"].values(), strict=True
    ):
        assert torch.equal(mine, theirs)


@pytest.mark.parametrize("name", ["average_share", "average_decay", "average_interpolation"])
def test_weights_in_half_precision_are_averaged_in_single_precision(name):
    setting = {"average_share": 1.0, "average_decay": 0.999, "average_interpolation": 0.9}[name]
    torch.manual_seed(0)
    weights = nn.Parameter(torch.ones(50, dtype=torch.bfloat16))
    optimizer = torch.optim.SGD([weights], lr=0.0)
    scheduler = ng.Schedule.of(learning_rate=0.05, **{name: setting}).attach(optimizer, 1000)
    last, visited = weights.detach().double(), []
    for step in range(1000):
        weights.grad = (torch.randn(50) + 0.3 * weights.detach().float()).bfloat16()
        before = weights.detach().double()
        optimizer.step()
        # What is averaged: the weights, or where steps from y have led z.
        last = last + weights.detach().double() - before if name in FREE.curves else weights
        visited.append(last.detach().double())
        scheduler.step()
        if step == 500:  # half precision does not hold what is put aside for an evaluation, either
            with scheduler.averaged():
                pass
            state = copy.deepcopy(scheduler.state_dict())
            scheduler.load_state_dict(state)
    ages = torch.arange(999, -1, -1).double()[:, None]
    share = 0.999**ages if name == "average_decay" else torch.ones_like(ages)
    mean = (share * torch.stack(visited)).sum(0) / share.sum()
    torch.testing.assert_close(weights.detach().double(), mean, rtol=2**-8, atol=1e-5)


def test_a_schedule_free_optimizer_refuses_weights_in_half_precision():
    weights = nn.Parameter(torch.ones(3).bfloat16())
    weights.grad = torch.ones_like(weights)
    for kind in (ng.TorchScheduleFreeSGD, ng.TorchScheduleFreeAdamW):
        with pytest.raises(ValueError, match=r"bfloat16 does not resolve .* average"):
            kind([weights]).step()


def test_what_remains_of_a_run_averages_the_end_of_the_longer_one():
    # 6 of 12 steps are over; the other half, stretched to 12, ends a run of 24: its last half is all.
    layer, optimizer = sgd()
    scheduler = SCHEDULE.attach(optimizer, 12, from_step=6, remaining=12)
    visited = loop(layer, optimizer, scheduler, 12)
    torch.testing.assert_close(flat(layer), torch.stack(visited).mean(0))
    layer, optimizer = sgd()
    scheduler = SCHEDULE.attach(optimizer, 12, from_step=8)  # of the last six it sees four
    visited = loop(layer, optimizer, scheduler, 4)
    torch.testing.assert_close(flat(layer), torch.stack(visited).mean(0))


def test_no_step_is_taken_and_no_state_saved_while_averages_are_shown():
    layer, optimizer = sgd()
    scheduler = FADING.attach(optimizer, 9)
    loop(layer, optimizer, scheduler, 3)
    with scheduler.averaged():
        with pytest.raises(RuntimeError, match="outside of"):
            loop(layer, optimizer, scheduler, 1)
        with pytest.raises(RuntimeError, match="outside of"):
            scheduler.state_dict()


def test_a_schedule_without_an_average_is_as_it_was():
    layer, optimizer = sgd()
    scheduler = ng.Schedule.of(learning_rate=0.1).attach(optimizer, 3)
    visited = loop(layer, optimizer, scheduler, 2)
    assert "averages" not in scheduler.state_dict() and not scheduler.averages
    with scheduler.averaged():
        assert torch.equal(flat(layer), visited[-1])
    assert torch.equal(loop(layer, optimizer, scheduler, 1, 2)[-1], flat(layer))


def test_a_schedule_with_an_average_is_met_with_the_optimizer_that_it_needs():
    averaged = ng.SGD(average=ng.ScheduleFreeAverage(ng.Constant()))
    schedule = ng.Schedule.initial(averaged.hyperparameters(8))
    with pytest.raises(ValueError, match="give the optimizer of the result"):
        ng.Problem(tiny_task(), ng.SGD(), 8).at(schedule)
