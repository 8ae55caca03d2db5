"""Text: sequences of characters, each with what comes next."""

import torch
from torch import Tensor

from ..errors import DataError
from ._load import Splits


def characters(
    text: str, *, context: int = 64, validation: float = 0.1, test: float = 0.1
) -> Splits:
    """Cut a text into sequences of characters and, as targets, the characters that follow.

    Training, validation and test data are contiguous pieces of the text, in this order, cut into
    sequences one after the other: no character is an input twice, and none is in two pieces.

    Args:
        text: Any text.
        context: Characters per sequence.
        validation, test: Fractions of the text.

    Returns:
        Inputs and targets, int64 ``(N, context)`` each, numbers of ``classes``: the characters of
        the text, sorted.

    Raises:
        DataError: If a piece is too short for one sequence.

    Example:
        >>> splits = characters("to be or not to be", context=4, validation=0.3, test=0.3)
        >>> [["".join(splits.classes[i] for i in row) for row in part] for part in splits.train]
        [['to b'], ['o be']]
    """
    if context < 1 or not (validation > 0 and test > 0 and validation + test < 1):
        raise DataError(
            f"`context` must be at least 1, and `validation` and `test` fractions that leave some "
            f"text for training, but got {context=}, {validation=}, {test=}."
        )
    classes = tuple(sorted(set(text)))
    number = {character: index for index, character in enumerate(classes)}
    numbers = torch.tensor([number[character] for character in text], dtype=torch.int64)
    edges = [round(len(text) * part) for part in (1 - validation - test, 1 - test)]
    pieces = zip(numbers.tensor_split(edges), ("train", "validation", "test"), strict=True)
    train, held_out, last = (_sequences(piece, context, name) for piece, name in pieces)
    return Splits("characters", train, held_out, last, classes)


def _sequences(piece: Tensor, context: int, name: str) -> tuple[Tensor, Tensor]:
    count = (len(piece) - 1) // context
    if count < 1:
        raise DataError(
            f"The {name} piece has {len(piece)} characters, but a sequence and what follows it "
            f"takes {context + 1}. Give a longer text or a larger fraction, or lower `context`."
        )
    used = count * context
    return piece[:used].view(count, context), piece[1 : used + 1].view(count, context)
