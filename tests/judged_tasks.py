"""Losses, models and targets of every kind, on a sorted validation set that is seen in slices."""

import functools

import torch
from torch import nn
from torch.nn import functional

import nongreedy as ng

COUNT, SIZE = 61, 8  # validation examples, and how many are seen at once
SCHEDULE = ng.Schedule.of(learning_rate=0.2, momentum=0.5, weight_decay=0.0)
FIXED = ng.SGD(ng.Windows(1, initial=0.2), momentum=0.5, weight_decay=0.0)


def drawn(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed)).double()


def labels(x, classes=3):
    """By the first column, so that classes are uneven."""
    return (x.flatten(1)[:, 0] * 2).long().clamp(0, classes - 1)


def tokens(count, seed):
    """Sequences of 5 targets of 3 classes, of which many are ignored: all of some sequences."""
    targets = torch.randint(0, 3, (count, 5), generator=torch.Generator().manual_seed(seed))
    lengths = torch.arange(count) % 6
    return targets.masked_fill(torch.arange(5) >= lengths[:, None], -100)


def dice(output, target):
    chances = output.softmax(1)[:, 1]
    hit = (chances * (target == 1)).sum()
    return 1 - 2 * hit / (chances.sum() + (target == 1).sum())


class Sequences(nn.Module):
    """(B, 4) -> scores (B, classes, places)."""

    def __init__(self, classes=3, places=5):
        super().__init__()
        self.flat, self.shape = nn.Linear(4, classes * places), (classes, places)

    def forward(self, x):
        return self.flat(x).unflatten(1, self.shape)


class Pairs(nn.Module):
    """Outputs in a dictionary, with a part that is no tensor of rows where `odd`."""

    def __init__(self, odd=False):
        super().__init__()
        self.flat, self.odd = nn.Linear(4, 3), odd

    def forward(self, x):
        scores = self.flat(x)
        parts = {"scores": scores, "norms": scores.square().sum(1)}
        return {**parts, "mean": scores.mean()} if self.odd else parts


def linear(outputs):
    return lambda: nn.Linear(4, outputs)


WEIGHT = torch.tensor([1.0, 9.0, 0.0]).double()
TWO = WEIGHT[:2]
weighted = nn.CrossEntropyLoss(weight=WEIGHT)


def of_classes(output, target):
    return functional.cross_entropy(output, target, weight=WEIGHT.to(output.dtype))


def by_hand(output, target):
    """Cross-entropy that PyTorch is not asked for."""
    return -output.log_softmax(1).gather(1, target[:, None]).mean()


def of_tokens(output, target):
    """As users flatten language models."""
    return functional.cross_entropy(output.transpose(1, 2).flatten(0, 1), target.flatten())


def of_pairs(output, target):
    return functional.cross_entropy(output["scores"], target) + output["norms"].mean()


# Name -> (model, targets of so many inputs, loss).
CASES = {
    "mean": (linear(3), labels, functional.cross_entropy),
    "class weights": (linear(3), labels, weighted),
    "class weights by a function": (linear(3), labels, lambda o, y: of_classes(o, y)),
    "class weights, partial": (
        linear(3), labels, functools.partial(functional.cross_entropy, weight=WEIGHT),
    ),
    "smoothed, weighted": (
        linear(3), labels, nn.CrossEntropyLoss(weight=WEIGHT, label_smoothing=0.2),
    ),
    "sum": (linear(3), labels, nn.CrossEntropyLoss(reduction="sum")),
    "sum, weighted, ignored": (
        linear(3), labels, nn.CrossEntropyLoss(weight=WEIGHT, reduction="sum", ignore_index=1),
    ),
    "ignored class": (linear(3), labels, nn.CrossEntropyLoss(ignore_index=0)),
    "ignored tokens": (Sequences, lambda x: tokens(len(x), 3), nn.CrossEntropyLoss()),
    "ignored tokens by a function": (Sequences, lambda x: tokens(len(x), 3), of_tokens),
    "likelihoods, weighted": (
        lambda: nn.Sequential(nn.Linear(4, 3), nn.LogSoftmax(1)), labels, nn.NLLLoss(weight=WEIGHT),
    ),
    "chances of classes": (
        linear(3), lambda x: torch.cat([x.sigmoid()[:, :2], 1 - x.sigmoid()[:, :1]], 1),
        nn.CrossEntropyLoss(weight=WEIGHT),
    ),
    "squares": (linear(1), lambda x: x[:, :1].sin(), functional.mse_loss),
    "counts spread over all pairs": (linear(1), lambda x: x[:, 0].sin(), nn.PoissonNLLLoss()),
    "sum of squares": (linear(1), lambda x: x[:, :1].sin(), nn.MSELoss(reduction="sum")),
    "weights of logits": (
        linear(2), lambda x: (x[:, :2] > 0).double(), nn.BCEWithLogitsLoss(pos_weight=TWO),
    ),
    "counts": (linear(1), lambda x: x[:, :1].exp().round(), nn.PoissonNLLLoss()),
    "a ratio": (linear(2), lambda x: labels(x, 2), dice),
    "a root": (linear(1), lambda x: x[:, :1].sin(), lambda o, y: (o - y).square().mean().sqrt()),
    "by hand": (linear(3), labels, by_hand),
    "a dictionary": (Pairs, labels, of_pairs),
    "scores against each other": (
        linear(2), labels,
        lambda o, y: functional.cross_entropy(o @ o.T, torch.arange(len(o))),
    ),
    "neighbours": (linear(2), labels, lambda o, y: (o[1:] - o[:-1]).square().mean()),
}  # fmt: skip


def made(name, **settings):
    """A task; what is seen at once, and in which order, is the settings'."""
    model, target, loss = CASES[name]
    x, v = drawn(30, 4, seed=1), drawn(COUNT, 4, seed=2)
    v = v[v[:, 0].argsort()]  # sorted by class
    chosen = {"model": model, "loss": loss, "train": (x, target(x)), "validation": (v, target(v))}
    sizes = {"batch_size": 10, "evaluation_batch_size": SIZE}
    return ng.Task(**{**chosen, "test": chosen["validation"], **sizes, **settings})


def run_of(task):
    return ng.Run(task, FIXED, 3, dtype=torch.float64)
