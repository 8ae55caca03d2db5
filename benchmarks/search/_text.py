"""Tasks on text: characters of Shakespeare."""

from __future__ import annotations

from functools import partial

from torch.nn import functional

import nongreedy as ng

from ._data import Data
from ._entry import ADAMW, Entry


def transformer(data: Data) -> ng.Task:
    """Predict the next character."""
    splits = data.text
    assert splits.test is not None
    network = partial(
        ng.models.CharTransformer, len(splits.classes), context=32, width=32, layers=2, heads=2
    )
    return ng.Task(
        network,
        functional.cross_entropy,
        splits.train,
        tuple(tensor[:300] for tensor in splits.validation),
        splits.test,
        batch_size=12,
    )


ENTRIES = {
    "text": Entry(
        "Tiny Shakespeare by characters, transformer, AdamW", transformer, 120, ADAMW, "test_loss"
    ),
}
