"""Batch size, width and optimizer by Optuna; learning rate and the rest by hypergradients.

Handwritten digits, a small perceptron, 4 epochs. Each of twelve trials learns its schedules with at most
40 plain runs' worth of gradients; after each outer step Optuna may end a trial that lags behind. The
best trial's schedule is then trained afresh: 96.7 ± 0.2 % test accuracy over five seeds, in about a
minute on one core of a virtual AMD EPYC (2026-11-25); four of the twelve trials were pruned.

    python examples/hybrid.py
"""

import time

import optuna
import torch

import nongreedy as ng

EPOCHS = 4
BUDGET = 40  # plain runs of each trial, a final of its best schedules included
TRIALS = 12
FRESH = range(1000, 1005)  # seeds that no search has used

DATA = ng.data.load("digits")


def perceptron(width: int) -> torch.nn.Module:
    """64 pixels, two hidden layers, 10 classes."""
    return torch.nn.Sequential(
        torch.nn.Flatten(),
        torch.nn.Linear(64, width),
        torch.nn.ReLU(),
        torch.nn.Linear(width, width),
        torch.nn.ReLU(),
        torch.nn.Linear(width, len(DATA.classes)),
    )


def make(trial: optuna.Trial) -> tuple[ng.Task, ng.Optimizer]:
    """What has no derivative is the sampler's choice; every basis below is learned by its gradient."""
    width = trial.suggest_categorical("width", [16, 64, 256])
    batch_size = trial.suggest_categorical("batch_size", [32, 64, 128])
    kind = trial.suggest_categorical("optimizer", ["SGD", "AdamW"])
    task = ng.Task(
        lambda: perceptron(width),
        torch.nn.functional.cross_entropy,
        DATA.train,
        DATA.validation,
        DATA.test,
        batch_size=batch_size,
    )
    rate, decay = ng.Linear(3), ng.Windows(1)
    if kind == "SGD":
        return task, ng.SGD(rate, momentum=ng.Windows(1), weight_decay=decay)
    return task, ng.AdamW(rate, beta1=ng.Windows(1), weight_decay=decay)


def tell(study: optuna.Study, trial: optuna.trial.FrozenTrial) -> None:
    """One line per trial."""
    pruned = trial.state is optuna.trial.TrialState.PRUNED
    loss = "pruned" if pruned else f"{trial.value:.4f}"
    attributes = trial.user_attrs
    print(
        f"{trial.number}  {loss:>7}  {attributes['cost']:5.1f} plain runs of {attributes['steps']:3d} "
        f"steps, {attributes['seconds']:4.1f} s  {trial.params}",
        flush=True,
    )


def main() -> None:
    torch.set_num_threads(1)
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    started = time.perf_counter()
    study = optuna.create_study(
        sampler=optuna.samplers.TPESampler(seed=0, n_startup_trials=4),
        pruner=optuna.pruners.MedianPruner(n_startup_trials=2, n_warmup_steps=1),
    )
    objective = ng.optuna_objective(make, epochs=EPOCHS, outer_steps=20, budget=BUDGET)
    study.optimize(objective, n_trials=TRIALS, callbacks=[tell])

    best = study.best_trial
    schedule = ng.Schedule.from_json(best.user_attrs["schedule"])
    task, optimizer = make(optuna.trial.FixedTrial(best.params))
    trained = [
        ng.retrain(task, schedule, epochs=EPOCHS, seed=seed, optimizer=optimizer) for seed in FRESH
    ]
    accuracies = torch.tensor([each.test_accuracy for each in trained])
    print(f"\nBest: {best.params}\n{schedule.describe()}")
    print(
        f"Test accuracy of {len(trained)} fresh trainings: {100 * accuracies.mean():.1f} ± "
        f"{100 * accuracies.std() / len(trained) ** 0.5:.1f} %. "
        f"{time.perf_counter() - started:.0f} s in all."
    )


if __name__ == "__main__":
    main()
