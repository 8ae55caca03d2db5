"""Small runs that can be reversed, for the tests of the integer engine."""

import torch

import nongreedy as ng

from .helpers import tiny_task

RATE = ng.Windows(3, initial=(0.03, 0.05, 0.02))
TAIL = {
    "beta1": ng.Windows(2, initial=(0.9, 0.8)),
    "beta2": ng.Linear(2, initial=(0.98, 0.9)),
    "epsilon": ng.Constant(initial=0.01),
    "weight_decay": ng.Windows(4, initial=(0.01, 0.02, 0.005, 0.03)),
}
# Everything learned that can be. The first momentum is a fraction, the second is not quite one.
OPTIMIZERS = {
    "sgd": (
        ng.SGD,
        {
            "learning_rate": RATE,
            "momentum": ng.Windows(2, initial=(0.9, 0.87654321)),
            "weight_decay": TAIL["weight_decay"],
        },
    ),
    "adam": (ng.Adam, {"learning_rate": RATE, **TAIL}),
    "adamw": (ng.AdamW, {"learning_rate": RATE, **TAIL}),
}


def made(name, **changed):
    kind, settings = OPTIMIZERS[name]
    return kind(**{**settings, **changed})


def started(optimizer, steps, task=None, dtype=torch.float64):
    run = ng.Run(task or tiny_task(), optimizer, steps, seed=6, dtype=dtype)
    return run, ng.Schedule.initial(optimizer.hyperparameters(steps))


def kept(optimizer, steps, engine=None, **settings):
    engine = engine or ng.Reversible()
    return engine.rollout(*started(optimizer, steps, **settings), keep=True)


def undone(rollout):
    """Every (t, s_t) of a kept rollout, last first."""
    with rollout.run.isolated():
        yield from rollout.trajectory.backwards(rollout.final, lambda state, t: state)
