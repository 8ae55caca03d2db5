"""What tests of preference share: beliefs, items, and people who know what they want."""

import torch

from nongreedy.preference import (
    Belief,
    Catalogue,
    ConstantError,
    Gaussian,
    Items,
    Logistic,
    Mixture,
    Noiseless,
    Probit,
    smaller,
)
from nongreedy.protocols import generator

RESPONSES = [Logistic(), Probit(), Noiseless(), ConstantError(0.2)]
TABLE = [
    [0.10, 90.0, 8.0], [0.12, 40.0, 9.0], [0.15, 30.0, 4.0],
    [0.20, 12.0, 3.0], [0.30, 5.0, 3.5], [0.50, 4.0, 1.0],
]  # fmt: skip
ATTRIBUTES = [smaller("error"), smaller("ms", log=True), smaller("MB", log=True)]


def normal(seed, *shape):
    return torch.randn(*shape, generator=generator(seed, 4711), dtype=torch.float64)


def sphere(seed, count, attributes):
    points = normal(seed, count, attributes)
    return Catalogue(points / points.norm(dim=1, keepdim=True))


def some_belief(seed=0, attributes=4, samples=200, **settings):
    prior = Gaussian(normal(seed + 50, attributes) / 2, torch.eye(attributes))
    return Belief(prior, samples=samples, seed=seed, **{"noise": 0.5, **settings})


def two_kinds():
    return Mixture(
        [Gaussian([2.0, 0.0], torch.eye(2)), Gaussian([-1.0, 1.0], torch.eye(2) / 4)], [1, 2]
    )


def items():
    return Items.of(TABLE, ATTRIBUTES)


def person(utility):
    """Answers a question without noise."""
    return lambda question: int(
        (question.query.points @ torch.as_tensor(utility).double()).argmax()
    )
