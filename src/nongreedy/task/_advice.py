"""Errors from the depths of PyTorch, in one sentence: whose data, which example, and the way out."""

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from ..errors import DataError
from ._examples import Examples
from ._hypers import Hypers
from ._nest import tensors
from ._steps import Whole

BROADCAST = "each output with each target"  # what a loss of shapes (N, 1) and (N,) does
IGNORED = -100  # what cross-entropy leaves out where nobody says otherwise


@dataclass
class Case:
    """What was being computed of a batch when an error came; None where it was not reached.

    Attributes:
        hypers: Those of a training batch, which know the numbers of its examples.
        numbers: These numbers, shape (batch,), of other batches; None where they begin at 0.
    """

    examples: Examples
    inputs: Any
    targets: Any
    output: Any = None
    hypers: Hypers | None = None
    numbers: Tensor | None = None

    def number(self, position: int) -> int:
        """Of the example at this position of the batch."""
        numbers = self.numbers if self.hypers is None else self.hypers.index
        return position if numbers is None else int(numbers[position])


@contextmanager
def advising(case: Case) -> Iterator[Case]:
    """Say what is meant by an error that a table knows; others, and their traces, stay as they are."""
    try:
        yield case
    except (IndexError, RuntimeError, TypeError, ValueError, UserWarning) as error:
        found = None if isinstance(error, DataError) else _advice(error, case)
        if found is None:
            raise
        raise DataError(found) from error


def _advice(error: Exception, case: Case) -> str | None:
    for pattern, say in _TABLE:
        words = re.search(pattern, str(error))
        said = None if words is None else say(case, words)
        if said is not None:
            return said
    return None


def check_labels(case: Case, classes: int, ignored: int = IGNORED) -> None:
    """Raise DataError at the first label of the batch that is no number of a class."""
    labels = case.targets
    wrong = ((labels < 0) | (labels >= classes)) & (labels != ignored)
    if not bool(wrong.any()):
        return
    place = wrong.reshape(len(wrong), -1).any(1).nonzero()[0, 0]
    label = int(labels[wrong][0])
    raise DataError(
        f"`{case.examples.name}` has the label {label} (example {case.number(int(place))}), but the model "
        f"gives {classes} classes, numbered 0 to {classes - 1}. Renumber the labels (torch.unique(labels, "
        "return_inverse=True)), or give the model more outputs."
    )


def _label(case: Case, words: re.Match[str]) -> str | None:
    output, targets = case.output, case.targets
    if not isinstance(output, Tensor) or not isinstance(targets, Tensor) or targets.dim() == 0:
        return None
    try:
        check_labels(case, output.shape[1 if output.dim() > 1 else 0])
    except DataError as error:
        return str(error)
    return None


def _kind_of_label(case: Case, words: re.Match[str]) -> str | None:
    targets, output = case.targets, case.output
    if not isinstance(targets, Tensor) or not isinstance(output, Tensor):
        return None
    if targets.is_floating_point() and targets.dim() < output.dim():
        return (
            f"`{case.examples.name}` has real labels, but cross-entropy takes whole "
            "numbers: give targets.long()."
        )
    if targets.shape == output.shape and not targets.is_floating_point():
        return (
            f"`{case.examples.name}` has targets of shape {tuple(targets.shape)} and {targets.dtype}; "
            "cross-entropy takes the numbers of classes, targets.argmax(1), or probabilities, "
            "targets.float()."
        )
    return None


def _shapes(case: Case, words: re.Match[str]) -> str | None:
    """Outputs and targets that a loss cannot compare; the most usual ways to make them alike."""
    output, targets = case.output, case.targets
    if not isinstance(output, Tensor) or not isinstance(targets, Tensor):
        return None
    shapes, way = (tuple(output.shape), tuple(targets.shape)), ""
    if targets.shape == (*output.shape[:1], 1):
        way = " Give targets.squeeze(1)."
    elif output.shape == (*targets.shape, 1):
        way = " Have the model return output.squeeze(-1), or give targets.unsqueeze(-1)."
    elif output.shape[:-1] == targets.shape and targets.dim() > 1:
        way = " Cross-entropy wants the classes second: output.transpose(1, -1) in the loss."
    return (
        f"The loss cannot compare outputs of shape {shapes[0]} with the targets of "
        f"`{case.examples.name}`, of shape {shapes[1]}: {words[0]}.{way or ' Reshape either.'}"
    )


def _whole_targets(case: Case, words: re.Match[str]) -> str | None:
    if not isinstance(case.targets, Tensor) or case.output is None:
        return None
    return (
        f"The targets of `{case.examples.name}` are {case.targets.dtype}, but the loss takes real "
        "numbers: give targets.float()."
    )


def _whole_inputs(case: Case, words: re.Match[str]) -> str | None:
    found = {part.dtype for part in tensors(case.inputs)}
    if case.output is not None or any(dtype.is_floating_point for dtype in found):
        return None
    return (
        f"The inputs of `{case.examples.name}` are {', '.join(map(str, found))}, but the first layer takes "
        "real numbers: give inputs.float(), of images inputs.float() / 255."
    )


def _real_tokens(case: Case, words: re.Match[str]) -> str | None:
    if case.output is not None:
        return None
    return (
        f"An embedding looks up whole numbers, but the inputs of `{case.examples.name}` are real: give "
        "inputs.long()."
    )


def _precision(case: Case, words: re.Match[str]) -> str:
    where = "model's forward pass" if case.output is None else "loss"
    return (
        f"Tensors of several precisions or devices meet in the {where}: {words[0]}. The run has its own "
        "`dtype`, and `device` is the task's: make new tensors like others (x.new_zeros, "
        "torch.zeros_like), register fixed ones as buffers, and pass a loss that has weights as a module, "
        "such as nn.CrossEntropyLoss(weight=w)."
    )


def _width(case: Case, words: re.Match[str]) -> str | None:
    found = tensors(case.inputs)
    if case.output is not None or not found:
        return None
    shapes = " and ".join(str(tuple(part.shape[1:])) for part in found)
    return (
        f"The model does not take the inputs of `{case.examples.name}`, of which an example has the "
        f"shape {shapes}: {words[0]}. Change the first layer, or reshape the inputs."
    )


def _arguments(case: Case, words: re.Match[str]) -> str | None:
    if case.output is not None or (
        isinstance(case.inputs, tuple) and isinstance(case.inputs[0], Whole)
    ):
        return None  # the words are those of a trainer's step
    if isinstance(case.inputs, Mapping):
        how = f"by name, with {', '.join(map(str, case.inputs))}"
    elif isinstance(case.inputs, (tuple, list)):
        how = f"with {len(case.inputs)} positional arguments"
    else:
        return None
    return (
        f"The model is called {how}, because the inputs of `{case.examples.name}` are a "
        f"{type(case.inputs).__name__}: {words[0]}. Write a forward pass that takes them, or pass a "
        "`collate_fn` that returns (inputs, targets)."
    )


def _token(case: Case, words: re.Match[str]) -> str | None:
    whole = [part for part in tensors(case.inputs) if not part.is_floating_point()]
    if case.output is not None or not whole:
        return None
    low, high = min(int(p.min()) for p in whole), max(int(p.max()) for p in whole)
    return (
        f"An embedding of the model has no row for a number in the inputs of `{case.examples.name}`, "
        f"which go from {low} to {high} in this batch. Give it at least {high + 1} rows, and renumber "
        "what is negative."
    )


def _weights(case: Case, words: re.Match[str]) -> str | None:
    size = int(words[1])
    rows = case.hypers or {}
    named = [name for name in rows if rows[name].dim() and len(rows[name]) == size]
    return wrong_weights(case, named[0]) if named else None


def wrong_weights(case: Case, name: str) -> str:
    """What to say of weights of examples, a hyperparameter, that are more or fewer than there are."""
    assert case.hypers is not None
    return (
        f"The hyperparameter {name!r} has {len(case.hypers[name])} entries, but `{case.examples.name}` "
        f"has {case.examples.count} examples. Give Variable(initial=) one for each."
    )


def _nested(case: Case, words: re.Match[str]) -> str | None:
    if not isinstance(case.output, (tuple, list, Mapping)):
        return None
    kind, first, own = type(case.output).__name__, "output[0]", ""
    if isinstance(case.output, Mapping):
        name = "logits" if "logits" in case.output else next(iter(case.output), "name")
        first = f"output[{name!r}]"
        own = "; or loss=None, where the model computes its loss from `labels`"
    return (
        f"The model returns a {kind}, but the loss takes a tensor: {words[0]}. Pass what compares a part of "
        f"it, such as loss=lambda output, target: loss({first}, target){own}."
    )


# Words of PyTorch or Python -> what they mean here; None where they mean something else.
_TABLE: list[tuple[str, Callable[[Case, re.Match[str]], str | None]]] = [
    (r"Target -?\d+ is out of bounds", _label),
    (r"expected target dtype to be Long or Byte", _kind_of_label),
    (r"Expected floating point type for target", _kind_of_label),
    (r"expected scalar type Long but found \w+", _kind_of_label),
    (r"multi-target not supported", _shapes),
    (r"Expected target size \[[^\n]*\], got \[[^\n]*\]", _shapes),
    (r"Target size \([^\n]*\) must be the same as input size", _shapes),
    (r"Using a target size \([^\n]*\) that is different to the input size \([^\n]*?\)\)", _shapes),
    (rf"it would compare {BROADCAST}[^\n]*", _shapes),
    (r"The size of tensor a \(\d+\) must match the size of tensor b \(\d+\)", _shapes),
    (r"result type \w+ can't be cast to the desired output type Long", _whole_targets),
    (r"must have the same dtype, but got (?:Long|Int|Byte|Short|Char) and", _whole_inputs),
    (r"Input type \((?:unsigned char|long|int|short|char)\) and bias type", _whole_inputs),
    (r"argument #1 'indices' to have one of the following scalar types", _real_tokens),
    (r"expected scalar type \w+ but found \w+", _precision),
    (r"m\w*1 and m\w*2 (?:must|to) have the same dtype, but got:? \w+ (?:and|!=) \w+", _precision),
    (r"Input type \([\w. ]+\) and (?:bias|weight) type \([\w. ]+\)", _precision),
    (r"Expected all tensors to be on the same device", _precision),
    (r"mat1 and mat2 shapes cannot be multiplied \([^)]*\)", _width),
    (r"expected input\[.*\] to have \d+ channels, but got \d+ channels", _width),
    (r"must be equal to input_size. Expected \d+, got \d+", _width),
    (r"got an unexpected keyword argument '\w+'", _arguments),
    (r"missing \d+ required positional arguments?: [^\n]*", _arguments),
    (r"takes (?:from )?\d+ (?:to \d+ )?positional arguments? but \d+ were given", _arguments),
    (r"must be Tensor, not \w+", _nested),
    (r"index out of range in self", _token),
    (r"index -?\d+ is out of bounds for dimension 0 with size (\d+)", _weights),
]
