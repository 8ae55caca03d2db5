"""What once was silently wrong is right, to 1e-6 of differences of a plain loop, or refused."""

import functools
import inspect

import optuna
import pytest
import torch
from torch import nn
from torch.nn import functional

import nongreedy as ng
from nongreedy import errors

from . import plain_loop
from . import silent_cases as cases
from .plain_loop import assert_exact
from .silent_cases import task

STEPS = 6
VALUES = {"learning_rate": [0.5, 0.3], "momentum": [0.5, 0.4], "weight_decay": [0.03, 0.02]}
ENGINES = {
    "device": ng.Reverse("device"),
    "host": ng.Reverse("host"),
    "disk": ng.Reverse("disk"),
    "checkpoint": ng.Reverse("checkpoint"),
    "forward": ng.Forward(),
    "reversible": ng.Reversible(),
    "differences": ng.FiniteDifference(1e-4, order=4),
}

# What is differentiated exactly, by every engine.
EXACT = {
    "F1 detach": lambda: task(loss=cases.focal),
    "F1 no_grad": lambda: task(loss=cases.bootstrapped),
    "F1 straight through": lambda: task(cases.Staircase),
    "F2 checkpointing": lambda: task(cases.Checkpointed),
    "F5 weight norm of rows": lambda: task(cases.weight_normed(0)),
    "F5 weight norm of columns": lambda: task(cases.weight_normed(1)),
    "F5 weight norm of all": lambda: task(cases.weight_normed(None)),
    "F6 frozen BatchNorm": lambda: task(cases.FineTuned),
    "F8 fixed parameters of a loss": lambda: task(loss=cases.Centres(False).double()),
    "F9 no gradient": lambda: task(cases.Probe),
    "F12 the same module again": lambda: task(functools.partial(_identity, cases.TwoLayers())),
    "F13 fast path": lambda: task(cases.Padded),
    "F19 autograd in the forward pass": cases.forces,
    "F22 Python's generator": lambda: task(cases.LayerDrop),
    "F22 NumPy's generator": lambda: task(cases.ArrayLayerDrop),
}


def _identity(value):
    return value


@functools.cache
def judged(case):
    """The task and its slopes, once for all engines. Under one seed: some cases draw their weights."""
    torch.manual_seed(0)
    made = EXACT[case]()
    return made, plain_loop.slopes(made, ng.SGD, VALUES, STEPS)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("case", EXACT)
def test_exact(case, engine):
    made, expected = judged(case)
    assert_exact(made, VALUES, STEPS, ENGINES[engine], expected=expected)


# What no engine can differentiate -> what the message must name.
REFUSED = {
    "F1 straight through by a Function": (lambda: task(cases.StraightThrough), "Identity"),
    "F1 gradient reversal": (lambda: task(cases.Reversed), "GradientReversal"),
    "F1 hook of a tensor": (lambda: task(cases.Hooked), "hook"),
    "F1 hook of a layer": (lambda: task(cases.HookedLayer), "hook"),
    "F1 hook of a weight": (lambda: task(cases.HookedWeight), "hook"),
    "F1 scale_grad_by_freq": (lambda: task(cases.ByFrequency), "scale_grad_by_freq"),
    "F4 an attribute that moves": (lambda: task(cases.Annealed), "step|replay"),
    "F4 a frozen weight that moves": (lambda: task(cases.Teacher), "teacher.weight"),
    "F8 trained parameters of a loss": (lambda: task(loss=cases.Centres(True).double()), "loss"),
    "F8 a penalty on another network": (lambda: _penalized(), "loss"),
    "F2 reentrant checkpointing": (lambda: task(cases.Reentrant), "use_reentrant=False"),
}


def _penalized():
    network = cases.TwoLayers().double()
    return task(network, cases.penalized(network))


@pytest.mark.parametrize("engine", [name for name in ENGINES if name != "differences"])
@pytest.mark.parametrize("case", REFUSED)
def test_refused(case, engine):
    make, cause = REFUSED[case]
    optimizer = plain_loop.optimizer(ng.SGD, VALUES)
    with pytest.raises((errors.NongreedyError, ValueError), match=cause) as caught:
        ng.hypergradient(make(), optimizer, steps=STEPS, engine=ENGINES[engine])
    assert raised_by_us(caught.value)


def raised_by_us(error):
    """Not by something below that happened to raise a ValueError."""
    *_, last = inspect.getinnerframes(error.__traceback__)
    return "nongreedy" in last.filename


@pytest.mark.parametrize(
    "model", [cases.StraightThrough, cases.Reversed, cases.Hooked, cases.ByFrequency]
)
def test_differences_serve_where_there_is_no_second_derivative(model):
    assert_exact(task(model), VALUES, STEPS, ENGINES["differences"])


# Right or refused: either is kept to.
EITHER = {
    "F3 a draw when judged": lambda: task(cases.Sampled),
    "F9 no gradient at some steps": lambda: task(cases.Sometimes),
    "F14 spectral norm": lambda: task(cases.spectral_normed),
    "F14 as its refusal advises": lambda: task(
        cases.spectral_normed, constant_buffers=cases.SPECTRAL_BUFFERS
    ),
    "F15 complex weights": lambda: task(cases.Filter),
}


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("case", EITHER)
def test_exact_or_refused(case, engine):
    made = EITHER[case]()
    try:
        assert_exact(made, VALUES, STEPS, ENGINES[engine])
    except (errors.NongreedyError, ValueError) as error:
        assert raised_by_us(error), error


# ---- what is judged is what a user has in the end -------------------------------------------------


def final(model, **changed):
    schedule = ng.Schedule.of(learning_rate=0.3, momentum=0.9, weight_decay=0.1)
    made = task(model, **changed)
    run = ng.hypergradient(
        made, ng.SGD(ng.Windows(1, initial=0.3), momentum=0.9, weight_decay=0.1), steps=10
    )
    return run.value, ng.retrain(made, schedule, steps=10)


@pytest.mark.parametrize(
    "model",
    [cases.Checkpointed, cases.FineTuned, cases.Probe, cases.Padded, cases.LayerDrop],
    ids=lambda model: model.__name__,
)
def test_runs_end_where_plain_training_does(model):
    value, done = final(model)
    assert value == pytest.approx(done.validation_loss, rel=1e-4)


def test_F6_frozen_statistics_are_kept_and_used():
    torch.manual_seed(0)
    network, (_, (inputs, targets)) = cases.FineTuned().eval(), cases.data()
    loss = functional.cross_entropy(network(inputs.float()), targets).item()
    done = ng.retrain(task(network), ng.Schedule.of(learning_rate=1e-9), steps=1)
    assert done.validation_loss == pytest.approx(loss, rel=1e-5)
    assert torch.equal(done.model.norm.running_mean, network.norm.running_mean)


def test_F12_a_network_that_is_handed_out_twice_stays_the_users():
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(6, 5), nn.BatchNorm1d(5), nn.Tanh(), nn.Linear(5, 2))
    before = {name: value.clone() for name, value in network.state_dict().items()}
    made, schedule = task(lambda: network), ng.cosine_schedule(0.3)
    losses = {ng.retrain(made, schedule, steps=5).validation_loss for _ in range(2)}
    ng.hypergradient(made, ng.SGD(), steps=2, dtype=torch.float64)
    assert len(losses) == 1
    after = network.state_dict()
    assert all(
        torch.equal(before[n], after[n]) and after[n].dtype == before[n].dtype for n in before
    )
    assert network[1].track_running_stats


def test_F15_complex_weights_stay_complex_or_are_refused():
    torch.manual_seed(0)
    network, (_, (inputs, targets)) = cases.Filter(), cases.data()
    loss = functional.cross_entropy(network(inputs.float()), targets).item()
    try:
        done = ng.retrain(task(network), ng.Schedule.of(learning_rate=1e-9), steps=1)
    except (errors.NongreedyError, ValueError) as error:
        assert raised_by_us(error) and "complex" in str(error)
    else:
        assert done.validation_loss == pytest.approx(loss, rel=1e-5)
        assert done.model.weight.is_complex()


def test_F16_trials_side_by_side_have_the_values_of_one_after_the_other():
    optuna.logging.set_verbosity(optuna.logging.ERROR)

    def network():
        layers = nn.Linear(6, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.2), nn.Linear(8, 2)
        return nn.Sequential(*layers)

    def make(trial):
        trial.suggest_categorical("width", [8])
        return task(network), ng.SGD()

    values = []
    for jobs in (1, 2):
        study = optuna.create_study()
        study.optimize(ng.optuna_objective(make, steps=3, outer_steps=2), n_trials=2, n_jobs=jobs)
        values += [trial.value for trial in study.trials]
    assert len(set(values)) == 1


def test_F19_plain_training_evaluates_with_autograd_where_the_model_needs_it():
    done = ng.retrain(cases.forces(), ng.Schedule.of(learning_rate=0.1), steps=5)
    run = ng.hypergradient(
        cases.forces(), ng.SGD(ng.Windows(1, initial=0.1), weight_decay=0.0), steps=5
    )
    assert done.validation_loss == pytest.approx(run.value, rel=1e-5)


def test_F21_the_callers_autocast_changes_runs_and_plain_training_alike():
    with torch.autocast("cpu", torch.bfloat16):
        value, done = final(cases.TwoLayers)
    assert value == pytest.approx(done.validation_loss, rel=1e-4)
