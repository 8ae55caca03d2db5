"""One of several processes that share work: shared_work.py compare|optuna STUDY LOG COUNT."""

import sys
from pathlib import Path

import optuna

import nongreedy as ng
from tests.study_runs import OPTIMIZER, STEPS, small_task

SETTINGS = {
    "steps": STEPS, "budget": 4, "methods": ["cosine", "constant"], "retrain_seeds": 1, "curve_seeds": 0,
}  # fmt: skip
HEARTBEAT = 2


def compared(study, seeds, **options):
    return ng.compare(small_task(), OPTIMIZER, study=study, seeds=seeds, **SETTINGS, **options)


def comparison(study, count, began):
    study = ng.Study(
        study, savepoint_seconds=0.0, folder=f"{began.log}-states", heartbeat=HEARTBEAT
    )
    compared(study, count // 2, shared=True, started=began)


def trials(url, count, began):
    """As docs/scaling.md says."""
    again = optuna.storages.RetryHeartbeatStaleTrialCallback()
    storage = optuna.storages.RDBStorage(
        url, heartbeat_interval=HEARTBEAT, heartbeat_stale_trial_callback=again
    )
    study = optuna.create_study(
        study_name="trials", storage=storage, load_if_exists=True, pruner=optuna.pruners.NopPruner()
    )

    def make(trial):
        began(f"trial {trial.number}")
        return small_task(batch_size=trial.suggest_categorical("batch_size", [8, 16])), OPTIMIZER

    objective = ng.optuna_objective(make, steps=STEPS, outer_steps=1, outer="paper")
    over = optuna.study.MaxTrialsCallback(count, states=(optuna.trial.TrialState.COMPLETE,))
    study.optimize(objective, callbacks=[over])


class Log:
    def __init__(self, log):
        self.log = log

    def __call__(self, text):
        with Path(self.log).open("a") as file:
            file.write(text + "\n")


if __name__ == "__main__":
    kind, where, log, count = sys.argv[1:]
    {"compare": comparison, "optuna": trials}[kind](where, int(count), Log(log))
