"""Training under hyperparameters that follow greedy hypergradients on the way."""

import functools
import math

import pytest
import torch

import nongreedy as ng
from nongreedy.training._online_values import OnlineValues

from .helpers import MODELS, tiny_task
from .test_closed_forms import noiseless
from .test_greedy import STEPPERS, P, loss_at, small

DOUBLE = {"seed": 6, "dtype": torch.float64}
LEARNING = {
    "learning_rate": ng.Constant(initial=0.1),
    "momentum": ng.Constant(initial=0.3),
    "weight_decay": ng.Constant(initial=0.01),
}
ENGINES = [ng.Greedy(), ng.Greedy(batch=4, every=3), ng.Greedy(0.9), ng.Greedy(1.0, every=2)]


def online(model="mlp", steps=12, **changed):
    settings = {"outer_learning_rate": 0.5, **DOUBLE, **changed}
    optimizer = settings.pop("optimizer", ng.SGD(**LEARNING))
    return ng.train_online(tiny_task(model), optimizer, steps=steps, **settings)


# ---- The recursion ------------------------------------------------------------------------------


@pytest.mark.parametrize("every", [1, 3])
@pytest.mark.parametrize("transform", ["log", None])
@pytest.mark.parametrize("mu", [0.0, 0.5, 1.0])
def test_equals_the_recursion_by_hand(mu, transform, every):
    h, steps, beta = 2.0, 12, 0.02
    optimizer = ng.SGD(ng.Constant(initial=0.05, transform=transform))
    result = ng.train_online(
        noiseless([h], steps), optimizer, steps=steps, engine=ng.Greedy(mu, every),
        outer_learning_rate=beta, dtype=torch.float64,
    )  # fmt: skip
    theta, tangent, rate, followed = 1.0, 0.0, 0.05, []
    for t in range(steps):
        followed.append(rate)
        tangent = mu * (1 - rate * h) * tangent - h * theta
        theta -= rate * h * theta
        slope = h * theta * tangent
        if (t + 1) % every == 0 and transform == "log":
            rate = 10 ** (math.log10(rate) - beta * slope * rate * math.log(10))
        elif (t + 1) % every == 0:
            rate -= beta * slope
    assert result.schedule["learning_rate"].tolist() == pytest.approx(followed, rel=1e-10)
    assert result.validation_loss == pytest.approx(h * theta**2 / 2, rel=1e-9)
    assert len({round(rate, 12) for rate in followed}) == steps // every  # it did move


@pytest.mark.parametrize("mu", [0.0, 0.9, 1.0])
@pytest.mark.parametrize("name", STEPPERS)
def test_several_at_once_equal_dense_jacobians(name, mu):
    (step, slots), steps, beta = STEPPERS[name], 6, 0.3
    table = {
        "sgd": (ng.SGD, {"learning_rate": 0.2, "momentum": 0.3, "weight_decay": 0.01}),
        "adamw": (
            ng.AdamW,
            {
                "learning_rate": 0.05,
                "beta1": 0.8,
                "beta2": 0.9,
                "epsilon": 0.03,
                "weight_decay": 0.1,
            },
        ),
    }
    kind, initial = table[name]
    optimizer = kind(**{n: ng.Constant(initial=v, transform=None) for n, v in initial.items()})
    task = tiny_task(model=small)
    settings = {"steps": steps, "engine": ng.Greedy(mu), "outer_learning_rate": beta, **DOUBLE}
    result = ng.train_online(task, optimizer, **settings)

    values = torch.tensor(list(initial.values()), dtype=torch.float64)
    low, high = torch.tensor([h.bounds for h in optimizer.hyperparameters().values()]).double().T
    start = ng.Run(task, optimizer, steps, **DOUBLE).initial()[0]
    state = torch.cat([start, torch.zeros((slots - 1) * P, dtype=torch.float64)])
    tangents, followed = torch.zeros(len(state), len(values)).double(), []
    for t in range(steps):
        followed.append(values)
        data = task.plan.batch(6, t, task.device, torch.float64)
        by_state, by_values = torch.func.jacrev(step, (0, 1))(state, values, data, t)
        tangents = mu * by_state @ tangents + by_values
        state = step(state, values, data, t)
        slope = torch.func.grad(loss_at)(state[:P], task.validation.source) @ tangents[:P]
        values = (values - beta * slope).clamp(low, high)
    found = torch.stack([result.schedule[n] for n in initial], 1)
    torch.testing.assert_close(found, torch.stack(followed), rtol=1e-9, atol=1e-12)
    # All moved, though some have nothing to act on at first, and epsilon comes to rest on its bound.
    assert min(len(column.unique()) for column in found.T) >= 3


def test_any_torch_optimizer_moves_the_coordinates():
    rates = {"learning_rate": 0.1, "momentum": 0.02, "weight_decay": 0.3}
    result = online(outer_optimizer=torch.optim.Adam, outer_learning_rate=rates, steps=3)
    for name, hyper in ng.SGD(**LEARNING).hyperparameters().items():
        first, second = hyper.to_coordinate(result.schedule[name]).diff().abs().tolist()
        # Adam's first step has the length of its learning rate. Momentum acts from the second step
        # on: m = 0.1 g / 0.19 over the root of v = 0.001 g^2 / 0.001999.
        if name == "momentum":
            assert (first, second) == (0.0, pytest.approx(0.7441 * rates[name], rel=1e-3))
        else:
            assert first == pytest.approx(rates[name], rel=1e-3)


def test_the_way_back_from_a_bound_is_short():
    hyper = ng.SGD(ng.Constant(initial=0.1, bounds=(0.01, 0.2))).hyperparameters()["learning_rate"]
    values = OnlineValues({"learning_rate": hyper}, 1.0, torch.optim.SGD)
    seen = []
    for slope in (-50.0, 0.1, 50.0, -0.1):
        values.move({"learning_rate": torch.tensor(slope)})
        seen.append(values.now["learning_rate"].item())
    assert seen[0] == pytest.approx(0.2) and seen[2] == pytest.approx(0.01)
    assert 0.15 < seen[1] < 0.2 and 0.01 < seen[3] < 0.011


# ---- What comes out -----------------------------------------------------------------------------


@pytest.mark.parametrize("engine", ENGINES, ids=repr)
@pytest.mark.parametrize("model", MODELS)
def test_a_plain_run_of_the_schedule_is_the_same_run(model, engine, tmp_path):
    result = online(model, engine=engine)
    schedule = ng.Schedule.load(result.schedule.save(tmp_path / "schedule.json"))
    run = ng.Run(tiny_task(model), ng.SGD(), 12, **DOUBLE)
    plain = ng.Reverse().rollout(run, schedule).outcome
    assert plain.accuracy == result.validation_accuracy
    if engine.mu == 0:
        assert plain.loss == result.validation_loss  # to the last bit
    assert plain.loss == pytest.approx(result.validation_loss, rel=1e-12)
    assert all(len(result.schedule[n].unique()) > 2 for n in LEARNING)


def test_retraining_gives_the_same_network():
    result = online(steps=20, dtype=torch.float32)
    again = ng.retrain(tiny_task(), result.schedule, steps=20, seed=6)
    assert again.validation_loss == pytest.approx(result.validation_loss, rel=1e-4)
    other = ng.retrain(tiny_task(), ng.Schedule.of(learning_rate=0.1), steps=20, seed=6)
    assert again.validation_loss < 0.95 * other.validation_loss


@pytest.mark.parametrize(("mu", "outer"), [(0.0, 0.5), (0.9, 0.2), (1.0, 0.2)])
def test_it_approaches_the_optimum_of_a_quadratic(mu, outer):
    # Curvature 2: one step of rate 1/2 is enough, whatever the state.
    optimizer, task = ng.SGD(ng.Constant(initial=0.02)), noiseless([2.0], 30)
    settings = {"steps": 30, "dtype": torch.float64, "engine": ng.Greedy(mu)}
    result = ng.train_online(task, optimizer, outer_learning_rate=outer, **settings)
    rates = result.schedule["learning_rate"]
    assert bool((rates[:6].diff() > 0).all()) and abs(rates[-1] - 0.5) < 0.3
    assert result.validation_loss < 0.01 * (1 - 0.02 * 2) ** 60  # of the first rate, kept


def test_history_and_cost():
    class Watch(ng.Callback):
        def __init__(self):
            self.runs, self.steps, self.rows = [], [], []

        def on_run_start(self, label, steps):
            self.runs.append((label, steps))

        def on_inner_step(self, step, steps):
            self.steps.append(step)

        def on_outer_step(self, row):
            self.rows.append(row)

    watch = Watch()
    result = online(engine=ng.Greedy(every=5, batch=3), callbacks=[watch])
    assert watch.rows == result.history and watch.steps == list(range(12))
    assert watch.runs == [("online run", 12)]
    # Looks come after steps 1, 6 and 11; each row has the values of the step before its look.
    for row, step in zip(result.history, (1, 6, 11), strict=True):
        assert row.values == {n: [result.schedule[n][step].item()] for n in LEARNING}
        assert row.cost == pytest.approx(result.cost * (step + 1) / 12)
    assert result.cost == pytest.approx(1 + 3 * 3 / (12 * 6))
    assert online(engine=ng.Greedy(0.5, every=None)).cost == pytest.approx(1 + 2 * 3 + 9 / 72)
    assert result.status is ng.Status.completed and result.settings["steps"] == 12


def test_one_seed_is_one_run():
    first, again, other = (
        online(engine=ng.Greedy(batch=4), seed=seed).schedule["learning_rate"] for seed in (0, 0, 1)
    )
    assert torch.equal(first, again) and not torch.allclose(first, other)


# ---- What can go wrong --------------------------------------------------------------------------


@pytest.mark.parametrize("mu", [0.0, 1.0])
def test_divergence_names_the_step_the_values_and_the_way_out(mu):
    optimizer = ng.SGD(ng.Constant(initial=0.1, bounds=(0.0, 1e300), transform=None))
    settings = {"steps": 40, "dtype": torch.float64, "outer_learning_rate": 1e3}
    with pytest.raises(ng.DivergedError, match=r"step \d+ of 40") as caught:
        ng.train_online(noiseless([2.0], 40), optimizer, engine=ng.Greedy(mu), **settings)
    assert 0 < caught.value.step < 40
    message = str(caught.value)
    assert all(w in message for w in ("learning_rate=", "`outer_learning_rate` (1000.0)")), message


MISTAKES = {
    "nothing": (lambda: online(optimizer=ng.SGD(0.1)), ["Nothing to learn", "0.1", "ng.Constant()"]),
    "engine": (lambda: online(engine=ng.Reverse()), ["Reverse(", "ng.Greedy(mu=...)", "`tune`"]),
    "engine_name": (lambda: online(engine="forward"), ["Forward(", "ng.Greedy"]),
    "unknown_name": (lambda: online(engine="greeedy"), ["'greeedy'", "Did you mean 'greedy'"]),
    "rate": (lambda: online(outer_learning_rate=0.0), ["`outer_learning_rate`", "0.0", "positive"]),
    "rate_nan": (lambda: online(outer_learning_rate=math.nan), ["nan", "positive finite"]),
    "rate_missing": (
        lambda: online(outer_learning_rate={"learning_rate": 1.0}), ["momentum", "None", "each of"]
    ),
    "rate_unknown": (
        lambda: online(outer_learning_rate={"momentun": 1.0}), ["'momentun'", "Did you mean 'momentum'"]
    ),
    "several": (
        lambda: online(optimizer=ng.SGD(ng.Windows(2, initial=(0.1, 0.2)))),
        ["learning_rate", "[0.1, 0.2]", "one `initial`"],
    ),
    "length": (functools.partial(online, steps=0), ["whole number of at least 1", "got 0", "one step"]),
}  # fmt: skip


@pytest.mark.parametrize("name", MISTAKES)
def test_mistake_is_explained(name):
    act, words = MISTAKES[name]
    with pytest.raises(ValueError) as caught:
        act()
    assert all(word in str(caught.value) for word in words), str(caught.value)
