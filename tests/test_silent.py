"""What once was silently wrong is right, to 1e-6 of differences of a plain loop, or refused."""

import re

import optuna
import pytest
import torch
from torch import nn
from torch.nn import functional

import nongreedy as ng
from nongreedy import errors

from . import silent_cases as cases
from .silent_cases import task
from .silent_table import BLACK_BOX, EITHER, ENGINES, EXACT, KINDS, REFUSED, found
from .verdict import refused_by_us


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("case", EXACT)
def test_exact(case, engine):
    verdict = found(case, engine)
    assert verdict.grade == "exact", str(verdict)


@pytest.mark.parametrize("engine", KINDS)
@pytest.mark.parametrize("case", REFUSED)
def test_refused(case, engine):
    verdict, (_, cause) = found(case, engine), REFUSED[case]
    assert verdict.grade == "refused" and re.search(cause, verdict.message), str(verdict)


@pytest.mark.parametrize("engine", KINDS)
@pytest.mark.parametrize("case", EITHER)
def test_exact_or_refused(case, engine):
    verdict = found(case, engine)
    assert verdict.grade in ("exact", "refused"), str(verdict)


@pytest.mark.parametrize("case", BLACK_BOX)
def test_differences_serve_where_there_is_no_second_derivative(case):
    verdict = found(case, "differences")
    assert verdict.grade == "exact", str(verdict)


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
        assert refused_by_us(error) and "complex" in str(error)
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
