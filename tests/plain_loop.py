"""The judge of what must never be silently wrong: plain PyTorch, in float64, and differences of it.

Nothing of the library takes part but what defines a run: which examples a step sees
(``task.plan.batch``) and which seed the default generators have there. The model is the user's own,
trained by ``torch.optim``; a derivative is a difference of two trainings.
"""

import contextlib
import copy
import itertools
import random
from collections.abc import Mapping

import numpy
import torch
from torch import nn
from torch.nn.modules.batchnorm import _NormBase
from torch.utils._pytree import tree_map

import nongreedy as ng
from nongreedy.task._data_plan import DROPOUT, INITIAL, JUDGE, mix

Slopes = dict[str, tuple[torch.Tensor, torch.Tensor]]
CPU = torch.device("cpu")
DOUBLE = {torch.float32: torch.float64, torch.complex64: torch.complex128}
# Widths of differences, relative to a coefficient. A kink that a wide one crosses, a narrow one may
# not; a rounding error that spoils a narrow one, a wide one does not see.
WIDTHS = (1e-3, 1e-4, 1e-5, 1e-6)
STENCIL = ((1, 8 / 12), (-1, -8 / 12), (2, -1 / 12), (-2, 1 / 12))
TOLERANCE = 1e-6


def exactly(value):
    """A tensor in double precision, real or complex; anything else as it is."""
    return value.to(DOUBLE.get(value.dtype, value.dtype)) if torch.is_tensor(value) else value


@contextlib.contextmanager
def own_randomness():
    """All three generators as they were, whatever happens inside."""
    python, arrays = random.getstate(), numpy.random.get_state()
    with torch.random.fork_rng(devices=[]):
        yield
    random.setstate(python)
    numpy.random.set_state(arrays)


def seed_all(seed):
    torch.default_generator.manual_seed(seed)  # torch.manual_seed takes as long as a step
    random.seed(seed)
    numpy.random.seed(seed % 2**32)


def network(task, seed):
    """The user's model in float64, as it is at the start of a run."""
    seed_all(mix(seed, INITIAL))
    made = task.model if isinstance(task.model, nn.Module) else task.model()
    # BatchNorm's copy tracks nothing, but batch statistics are used all the same.
    return copy.deepcopy(made)._apply(exactly)


def function(loss):
    return copy.deepcopy(loss)._apply(exactly) if isinstance(loss, nn.Module) else loss


def call(model, inputs):
    if isinstance(inputs, Mapping):
        return model(**inputs)
    return model(*inputs) if isinstance(inputs, (tuple, list)) else model(inputs)


def frozen_norms(model):
    """Those that the user keeps in evaluation mode: the rest use the statistics of the batch."""
    norms = [part for part in model.train().modules() if isinstance(part, _NormBase)]
    for norm in norms:
        norm.momentum = 0.0  # a pass leaves no trace, so that judging changes nothing
    return {norm for norm in norms if not norm.training}


def judged(model, frozen, task):
    """The loss of the whole validation set. With autograd: what PyTorch's fast paths leave out."""
    model.eval()
    for part in model.modules():
        if isinstance(part, _NormBase) and part not in frozen:
            part.train()
    inputs, targets = tree_map(exactly, task.validation.fetch(slice(0, task.validation.count)))
    return function(task.validation_loss)(call(model, inputs), targets).item()


def at(values, step, steps):
    """Each hyperparameter at a step: windows of (nearly) equal length."""
    return {name: row[len(row) * step // steps] for name, row in values.items()}


def sgd(learning_rate, momentum=0.0, weight_decay=0.0):
    return {"lr": learning_rate, "momentum": momentum, "weight_decay": weight_decay}


def adam(learning_rate, beta1=0.9, beta2=0.999, weight_decay=0.0):
    return {"lr": learning_rate, "betas": (beta1, beta2), "weight_decay": weight_decay}


# The library's rule -> its twin, and our names in the twin's.
TWINS = {ng.SGD: (torch.optim.SGD, sgd), ng.Adam: (torch.optim.Adam, adam)}


def final_loss(task, rule, values, steps, seed=0):
    """Validation loss of ``torch.optim``'s training.

    Args:
        rule: ``ng.SGD`` or ``ng.Adam``, for its twin.
        values: Name -> one number per window.
    """
    with own_randomness():
        model = network(task, seed)
        frozen, loss = frozen_norms(model), function(task.loss)
        restored = {
            name: buffer.clone()
            for name, buffer in model.named_buffers()
            if name in task.constant_buffers
        }
        trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
        twin, settings = TWINS[rule]
        optimizer = twin(trained, **settings(**at(values, 0, steps)))
        for step in range(steps):
            optimizer.param_groups[0].update(settings(**at(values, step, steps)))
            inputs, targets = task.plan.batch(seed, step, CPU, torch.float64)
            seed_all(mix(seed, DROPOUT, step))
            model.train()
            optimizer.zero_grad()
            loss(call(model, inputs), targets).backward()
            optimizer.step()
            model.load_state_dict(restored, strict=False)
        seed_all(mix(JUDGE, 0))  # some models draw in evaluation, too; 0 is the only slice
        return judged(model, frozen, task)


def slopes(task, rule, values, steps, seed=0, learn=None):
    """Its derivative by each coefficient: name -> (slopes, how far they may be off), each (windows,)."""
    found = {}
    for name in learn or values:
        rows = [_slope(task, rule, values, steps, seed, name, j) for j in range(len(values[name]))]
        found[name] = torch.tensor(rows, dtype=torch.float64).unbind(1)
    return found


def _slope(task, rule, values, steps, seed, name, j):
    """The slope at the width that agrees best with the next one, and by how much it does."""

    def difference(width):
        total = 0.0
        for offset, weight in STENCIL:
            row = list(values[name])
            row[j] += offset * width
            total += weight * final_loss(task, rule, {**values, name: row}, steps, seed)
        return total / width

    scale, tried = max(abs(values[name][j]), 1e-3), []
    for width in WIDTHS:
        tried.append(difference(width * scale))
        if len(tried) > 1:
            gap, slope = min((abs(a - b), b) for a, b in itertools.pairwise(tried))
            if gap <= TOLERANCE / 10 * abs(slope):
                break
    return slope, gap


def slope(function, width=3e-4):
    """The slope of a function of an offset, at 0."""
    return sum(weight * function(offset * width) for offset, weight in STENCIL) / width


def optimizer(rule, values):
    """The library's own, which learns everything that the plain loop is given."""
    return rule(**{name: ng.Windows(len(row), initial=tuple(row)) for name, row in values.items()})


def error(found, expected):
    """The largest error of a hypergradient, relative to its name's largest slope; and the judge's own."""
    errors, doubts = [0.0], [0.0]
    for name, (slope, gap) in expected.items():
        scale = slope.abs().max().clamp(min=1e-300)
        off = (found[name] - slope).abs().max()
        errors.append((off / scale).item() if torch.isfinite(off) else float("inf"))
        doubts.append((gap.max() / scale).item())
    return max(errors), max(doubts)


def assert_exact(task, values, steps, engine="reverse", rule=ng.SGD, seed=0, expected=None):
    """The library's loss is the plain loop's, and its hypergradient the slope, to 1e-6."""
    loss = final_loss(task, rule, values, steps, seed)
    expected = expected or slopes(task, rule, values, steps, seed)
    answer = ng.hypergradient(
        task, optimizer(rule, values), steps=steps, engine=engine, seed=seed, dtype=torch.float64
    )
    assert abs(answer.value - loss) <= 1e-9 * abs(loss), (answer.value, loss)
    off, doubt = error(answer.gradients, expected)
    assert doubt <= TOLERANCE / 3, f"differences do not settle: {doubt:.1e}"
    assert off <= TOLERANCE, f"relative error {off:.1e}"
