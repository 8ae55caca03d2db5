"""What the tests of studies share: a small search, and ways to end it at a bad moment."""

import json
import os
import signal
import time
import traceback

import torch
from torch import nn

import nongreedy as ng

from .helpers import classes

STEPS = 8
OPTIMIZER = ng.SGD(ng.Windows(3, initial=1e-3), ng.Windows(1), ng.Windows(1))
SETTINGS = {"steps": STEPS, "outer_steps": 3, "budget": 40.0, "engine": "reverse:device"}


def small_task(**changed):
    """Three classes in eight dimensions, BatchNorm and dropout."""
    settings = {
        "model": lambda: nn.Sequential(
            nn.Linear(8, 12), nn.BatchNorm1d(12), nn.ReLU(), nn.Dropout(0.2), nn.Linear(12, 3)
        ),
        "loss": nn.functional.cross_entropy,
        "train": classes(96, (8,), 0),
        "validation": classes(60, (8,), 1),
        "batch_size": 16,
        **changed,
    }
    return ng.Task(**settings)


def search(study=None, **changed):
    """A search of a few tenths of a second."""
    return ng.tune(small_task(), OPTIMIZER, study=study, **{**SETTINGS, **changed})


def kept(study):
    """Every answer that a study holds, bit for bit: losses, per-step derivatives, adjoint norms."""
    storage = ng.Study.of(study).open()
    try:
        names = sorted(storage.names("answer:"))
        return {name: json.dumps(storage.read(name), sort_keys=True) for name in names}
    finally:
        storage.close()


def told(result):
    """Everything a search says but for the seconds, with every bit of its numbers."""
    rows = [{k: v for k, v in row.to_json().items() if k != "seconds"} for row in result.history]
    content = [result.schedule.to_json(), rows, result.validation_loss, result.cost]
    return json.dumps([*content, result.validation_accuracy, result.status.name])


class Killed(BaseException):
    """Passes every handler, as a kill does; what it leaves on the disk is the same."""


class KillAt(ng.Callback):
    """Ends the search at its n-th inner step."""

    def __init__(self, count):
        self.left = count

    def on_inner_step(self, step, steps):
        del step, steps
        self.left -= 1
        if self.left < 0:
            raise Killed


class Count(ng.Callback):
    """How many inner steps are really taken."""

    def __init__(self):
        self.steps = 0

    def on_inner_step(self, step, steps):
        del step, steps
        self.steps += 1


def in_child(action, seconds=None):
    """Run an action in a forked process and SIGKILL it after so long; its exit status."""
    child = os.fork()
    if child == 0:
        try:
            torch.set_num_threads(1)
            action()
            os._exit(0)
        except BaseException:
            traceback.print_exc()
            os._exit(1)
    if seconds is not None:
        time.sleep(seconds)
        os.kill(child, signal.SIGKILL)
    return os.waitpid(child, 0)[1]
