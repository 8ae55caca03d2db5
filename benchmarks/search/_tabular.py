"""Tasks on tables: a regression with the troubles of real ones, drawn rather than downloaded."""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional

import nongreedy as ng

from ._data import Data, Examples, Split
from ._entry import ADAMW, Entry

NUMBERS, LEVELS = 10, (3, 5, 8, 12)  # columns of numbers; levels of the columns of categories
COUNTS = (2000, 1000, 3000)  # rows to train on, to validate and to judge
HEAVY = 3.0  # degrees of freedom of the noise


def drawn(seed: int) -> Split:
    r"""Friedman's first function, and what tables have beside it.

    .. math:: y = a_k (10 \sin(\pi x_1 x_2) + 20 (x_3 - .5)^2) + 10 x_4 + 5 x_5 + b_{lm} + s(x_4) \epsilon

    with numbers of which half mean nothing and some are skewed, categories of uneven frequency that
    shift (b) and scale (a), and noise with heavy tails whose spread depends on a column.
    """
    source = torch.Generator().manual_seed(9000 + seed)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=source)

    rows = sum(COUNTS)
    x = torch.rand(rows, NUMBERS, generator=source)
    levels = [_uneven(rows, count, source) for count in LEVELS]
    scale, shift = 1 + 0.4 * normal(LEVELS[1]), 2 * normal(LEVELS[2], LEVELS[3])
    curved = 10 * torch.sin(torch.pi * x[:, 0] * x[:, 1]) + 20 * (x[:, 2] - 0.5) ** 2
    clean = scale[levels[1]] * curved + 10 * x[:, 3] + 5 * x[:, 4] + shift[levels[2], levels[3]]
    chi = normal(rows, int(HEAVY)).square().sum(1)
    y = clean + (0.5 + 2 * x[:, 3]) * normal(rows) * (HEAVY / chi).sqrt()
    skewed = torch.cat([x[:, :6], (4 * x[:, 6:]).exp()], 1)
    columns = [
        functional.one_hot(level, count) for level, count in zip(levels, LEVELS, strict=True)
    ]
    inputs = torch.cat([skewed, *columns], 1)
    return _standardised(inputs, y[:, None])


def _uneven(rows: int, count: int, source: torch.Generator) -> Tensor:
    """Levels of which each is rarer than the last."""
    return torch.multinomial(1 / torch.arange(1.0, count + 1), rows, True, generator=source)


def _standardised(*columns: Tensor) -> Split:
    """By means and deviations of the rows to train on."""
    scaled = []
    for values in columns:
        seen = values[: COUNTS[0]].float()
        scaled.append(((values - seen.mean(0)) / seen.std(0).clamp_min(1e-3)).split(COUNTS))
    return Split(*zip(*scaled, strict=True))


def examples(data: Data) -> Split:
    """Each part is a table of its own, with a function of its own."""
    return drawn(data.index)


def network(inputs: int) -> nn.Module:
    return nn.Sequential(
        *(nn.Linear(inputs, 64), nn.ReLU()), *(nn.Linear(64, 64), nn.ReLU()), nn.Linear(64, 1)
    )


def tabular(data: Data) -> ng.Task:
    """The mean squared error, in units of the variance of y."""
    split: Split = examples(data)
    train: Examples = split.train
    return ng.Task(
        partial(network, train[0].shape[1]),
        functional.mse_loss,
        split.train,
        split.validation,
        split.test,
        batch_size=32,
    )


ENTRIES = {
    "tabular": Entry(
        "a drawn table, 2,000 rows, 28 categories, perceptron, AdamW",
        tabular,
        250,
        ADAMW,
        "test_loss",
    ),
}
