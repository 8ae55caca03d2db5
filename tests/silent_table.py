"""What once was silently wrong, and what is to become of it: a table for tests and for reports."""

import functools

import nongreedy as ng

from . import escape_cases as escapes
from . import silent_cases as cases
from .silent_cases import task
from .verdict import Training, Verdict, verdict

VALUES = {"learning_rate": [0.5, 0.3], "momentum": [0.5, 0.4], "weight_decay": [0.03, 0.02]}
ENGINES = {
    "graphs": ng.Reverse("graphs"),
    "device": ng.Reverse("device"),
    "host": ng.Reverse("host"),
    "disk": ng.Reverse("disk"),
    "checkpoint": ng.Reverse("checkpoint"),
    "forward": ng.Forward(),
    "reversible": ng.Reversible(),
    "differences": ng.FiniteDifference(1e-4, order=4),
}
KINDS = [
    "graphs",
    "device",
    "checkpoint",
    "forward",
    "reversible",
]  # those that differ in more than a store

# What is differentiated exactly, by every engine.
EXACT = {
    "F1 detach": lambda: task(loss=cases.focal),
    "F1 no_grad": lambda: task(loss=cases.bootstrapped),
    "F1 straight through": lambda: task(cases.Staircase),
    "F1 padding_idx": lambda: task(cases.PaddedWords),
    "F1 padding_idx of a pretrained word": lambda: task(cases.PretrainedWords),
    "F1 a loss of PyTorch that clamps in place": cases.noisy,
    "F1 scale_grad_by_freq": lambda: task(cases.ByFrequency),
    "F2 checkpointing": lambda: task(cases.Checkpointed),
    "F3 a draw when judged, unverified": lambda: task(cases.Sampled, verify=False),
    "F5 weight norm of rows": lambda: task(cases.weight_normed(0)),
    "F5 weight norm of columns": lambda: task(cases.weight_normed(1)),
    "F5 weight norm of all": lambda: task(cases.weight_normed(None)),
    "F6 frozen BatchNorm": lambda: task(cases.FineTuned),
    "F8 fixed parameters of a loss": lambda: task(loss=cases.Centres(False).double()),
    "weights folded once for evaluation": lambda: task(cases.Folded),
    "two parameters are columns of a matrix": lambda: task(cases.Columns),
    "F9 no gradient": lambda: task(cases.Probe),
    "F12 the same module again": lambda: task(functools.partial(_identity, cases.TwoLayers())),
    "F13 fast path": lambda: task(cases.Padded),
    "F19 autograd in the forward pass": cases.forces,
    "F22 Python's generator": lambda: task(cases.LayerDrop),
    "F22 NumPy's generator": lambda: task(cases.ArrayLayerDrop),
    **escapes.RIGHT,
}


def _identity(value):
    return value


# What no engine can differentiate -> what the message must name.
REFUSED = {
    "F1 straight through by a Function": (lambda: task(cases.StraightThrough), "Identity"),
    "F1 gradient reversal": (lambda: task(cases.Reversed), "GradientReversal"),
    "F1 hook of a tensor": (lambda: task(cases.Hooked), "hook"),
    "F1 hook of a layer": (lambda: task(cases.HookedLayer), "hook"),
    "F1 hook of a weight": (lambda: task(cases.HookedWeight), "hook"),
    "F1 once_differentiable": (escapes.once_differentiable, "Function Once"),
    "F4 an attribute that moves": (lambda: task(cases.Annealed), "attributes of the model"),
    "F4 a frozen weight that moves": (lambda: task(cases.Teacher), "teacher|frozen"),
    "F4 a buffer that moves late": (cases.late, r"loss at step \d|another state|different state"),
    "two parameters share memory": (lambda: task(cases.OneMemory), "share memory"),
    "a parameter and a buffer share memory": (lambda: task(cases.Shadow), "share memory"),
    "F8 trained parameters of a loss": (lambda: task(loss=cases.Centres(True).double()), "loss"),
    "F8 a penalty on another network": (lambda: _penalized(), "loss"),
    "F2 reentrant checkpointing": (lambda: task(cases.Reentrant), "use_reentrant=False"),
}


def _penalized():
    network = cases.TwoLayers().double()
    return task(network, cases.penalized(network))


# Of these, what a loss that is only evaluated does not mind.
BLACK_BOX = [
    "F1 straight through by a Function",
    "F1 gradient reversal",
    "F1 hook of a tensor",
    "F1 hook of a layer",
    "F1 once_differentiable",
]

# Right or refused: either is kept to.
EITHER = {
    **{f"F1 {name}": make for name, make in escapes.ESCAPES.items()},
    "F3 a draw when judged": lambda: task(cases.Sampled),
    "F9 no gradient at some steps": lambda: task(cases.Sometimes),
    "F14 spectral norm": lambda: task(cases.spectral_normed),
    "F14 as its refusal advises": lambda: task(
        cases.spectral_normed, constant_buffers=cases.SPECTRAL_BUFFERS
    ),
    "F15 complex weights": lambda: task(cases.Filter),
}
CASES = {**EXACT, **{name: make for name, (make, _) in REFUSED.items()}, **EITHER}
_slopes = functools.cache(Training.slopes)  # once for all engines


def found(case: str, engine: str) -> Verdict:
    """What becomes of a case, by the name of both."""
    return verdict(_training(case), ENGINES[engine], _slopes)


@functools.cache
def _training(case: str) -> Training:
    return Training(CASES[case], ng.SGD, VALUES, steps=6)
