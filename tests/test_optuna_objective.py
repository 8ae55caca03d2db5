"""Discrete choices by Optuna, schedules by hypergradients inside each trial."""

import optuna
import pytest
import torch
from torch import nn

import nongreedy as ng

from .helpers import classes


@pytest.fixture(autouse=True)
def _quiet():
    optuna.logging.set_verbosity(optuna.logging.WARNING)


def make(trial):
    width = trial.suggest_categorical("width", [2, 8])
    size = trial.suggest_categorical("batch_size", [8, 16])
    task = ng.Task(
        lambda: nn.Sequential(nn.Linear(4, width), nn.Tanh(), nn.Linear(width, 3)),
        nn.functional.cross_entropy, classes(48, (4,), 0), classes(32, (4,), 1), batch_size=size,
    )  # fmt: skip
    kind = trial.suggest_categorical("optimizer", [ng.SGD.__name__, ng.AdamW.__name__])
    return task, getattr(ng, kind)(ng.Windows(2))


def studied(objective, trials, **settings):
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=3), **settings)
    study.optimize(objective, n_trials=trials)
    return study


def test_each_trial_is_a_search_and_keeps_its_schedule():
    study = studied(ng.optuna_objective(make, epochs=2, outer_steps=2, seed=5), 3)
    for trial in study.trials:
        task, optimizer = make(optuna.trial.FixedTrial(trial.params))
        result = ng.tune(task, optimizer, epochs=2, outer_steps=2, seed=5)
        kept = trial.user_attrs
        assert trial.value == result.validation_loss
        schedule = ng.Schedule.from_json(kept["schedule"])
        assert torch.equal(schedule["learning_rate"], result.schedule["learning_rate"])
        assert kept["cost"] == round(result.cost, 3) and kept["status"] == result.status.name
        assert kept["steps"] == task.steps_for(2, None) and kept["seconds"] > 0
        best, reported = float("inf"), []
        for row in result.history:
            best = min(best, row.validation_loss)
            reported.append(best)
        assert list(trial.intermediate_values.values()) == reported
    assert len({trial.user_attrs["steps"] for trial in study.trials}) == 2


class After(optuna.pruners.BasePruner):
    """Ends every trial at a given outer step."""

    def __init__(self, step):
        self.step = step

    def prune(self, study, trial):
        return trial.last_step >= self.step


def test_a_pruner_ends_a_trial_which_keeps_its_cost():
    rows = []

    class Watch(ng.Callback):
        def on_outer_step(self, row):
            rows.append(row)

    objective = ng.optuna_objective(make, epochs=2, outer_steps=9, callbacks=[Watch()])
    trial = studied(objective, 1, pruner=After(1)).trials[0]
    assert trial.state is optuna.trial.TrialState.PRUNED and len(rows) == 2
    assert trial.user_attrs["cost"] == round(rows[-1].cost, 3)
    assert "schedule" not in trial.user_attrs


def test_a_trial_that_diverges_is_pruned_with_the_reason():
    def diverging(trial):
        pair = torch.ones(16, 4), torch.arange(16) % 2
        task = ng.Task(
            lambda: nn.Linear(4, 2),
            lambda output, target: output.mean() / 0,
            pair,
            pair,
            batch_size=8,
        )
        return task, ng.SGD()

    trial = studied(ng.optuna_objective(diverging, steps=4), 1).trials[0]
    assert trial.state is optuna.trial.TrialState.PRUNED
    assert "training loss became non-finite at step 0" in trial.user_attrs["diverged"]


@pytest.mark.parametrize(
    ("wrong", "settings", "error", "said"),
    [
        (
            lambda trial: ng.SGD(),
            {"steps": 4},
            TypeError,
            r"must return a pair \(Task, optimizer\)",
        ),
        (make, {}, ValueError, "either `epochs` or `steps`"),
        (make, {"steps": 4, "outer": "papr"}, ValueError, "'paper'"),
    ],
)
def test_bad_input(wrong, settings, error, said):
    with pytest.raises(error, match=said):
        studied(ng.optuna_objective(wrong, **settings), 1)


def test_an_interruption_ends_the_study():
    class Interrupt(ng.Callback):
        def on_outer_step(self, row):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        studied(ng.optuna_objective(make, steps=4, callbacks=[Interrupt()]), 2)
