"""Accuracy is the share of right answers where the loss says what those are; else there is none."""

import pytest
import torch
from torch import nn
from torch.nn import functional

import nongreedy as ng

from .judged_tasks import (
    COUNT,
    SIZE,
    TWO,
    Pairs,
    Sequences,
    drawn,
    labels,
    linear,
    of_pairs,
    of_tokens,
    run_of,
    tokens,
    weighted,
)  # fmt: skip


def yes(x):
    return x[:, 0] > 0.3


def one(loss):
    """A loss of one logit as users write them."""
    return lambda output, target: loss(output.squeeze(1), target.to(output.dtype))


def logistic(output, target):
    target = target.to(output.dtype)
    signs = functional.logsigmoid(output.flatten()), functional.logsigmoid(-output.flatten())
    return -(target * signs[0] + (1 - target) * signs[1]).mean()


def likelihood(output, target):
    output, target = output.flatten(), target.to(output.dtype)
    return -(target * output.log() + (1 - target) * (1 - output).log()).mean()


def counting(output, target):
    return (output.exp().flatten() - target * output.flatten()).mean()


def focal(output, target):
    each = -output.log_softmax(1).gather(1, target[:, None])
    return ((1 - (-each).exp()) ** 2 * each).mean()


logits, chances = functional.binary_cross_entropy_with_logits, functional.binary_cross_entropy
hidden = nn.AdaptiveLogSoftmaxWithLoss(4, 6, cutoffs=[3])


def sigmoid(outputs=1):
    return lambda: nn.Sequential(nn.Linear(4, outputs), nn.Sigmoid())


def flat():
    return nn.Sequential(nn.Linear(4, 1), nn.Flatten(0))


def by_sign(output, x):
    return ((output.flatten() > 0) == yes(x)).double().mean().item()


def by_half(output, x):
    return ((output.flatten() > 0.5) == yes(x)).double().mean().item()


def by_greatest(output, x):
    return (output.argmax(1) == labels(x)).double().mean().item()


def nothing(output, x):
    return None


# Name -> (model, targets, loss, what the accuracy is).
ANSWERS = {
    "one logit, int": (linear(1), lambda x: yes(x).long(), one(logits), by_sign),
    "one logit, bool": (linear(1), yes, one(logits), by_sign),
    "one logit, float": (linear(1), lambda x: yes(x).double(), one(logits), by_sign),
    "one logit, plain": (flat, lambda x: yes(x).double(), logits, by_sign),
    "one logit, module": (
        linear(1), lambda x: yes(x).double()[:, None], nn.BCEWithLogitsLoss(pos_weight=TWO[1:]),
        by_sign,
    ),
    "one chance": (sigmoid(), yes, one(chances), by_half),
    "one chance, module": (sigmoid(), lambda x: yes(x).double()[:, None], nn.BCELoss(), by_half),
    "one logit by hand": (linear(1), yes, logistic, by_sign),
    "one logit by hand, flat": (flat, lambda x: yes(x).long(), logistic, by_sign),
    "one chance by hand": (sigmoid(), lambda x: yes(x).long(), likelihood, by_half),
    "classes": (linear(3), labels, functional.cross_entropy, by_greatest),
    "classes, weighted": (linear(3), labels, weighted, by_greatest),
    "classes by hand": (linear(3), labels, focal, by_greatest),
    "classes by margins": (linear(3), labels, nn.MultiMarginLoss(), by_greatest),
    "classes, likelihoods of others": (
        linear(3), labels, lambda o, y: functional.nll_loss(o.log_softmax(1), y), by_greatest,
    ),
    "classes in a dictionary": (
        Pairs, labels, of_pairs, lambda o, x: by_greatest(o["scores"], x),
    ),
    "soft labels": (linear(1), lambda x: x[:, 0].sigmoid(), one(logits), nothing),
    "squares of nought and one by hand": (
        linear(1), lambda x: yes(x).long(), lambda o, y: (o.flatten() - y).square().mean(), nothing,
    ),
    "two classes by hand": (
        linear(2), lambda x: yes(x).long(), focal, lambda o, x: by_sign(o[:, 1] - o[:, 0], x),
    ),
    "chances of classes by hand": (
        lambda: nn.Sequential(nn.Linear(4, 3), nn.Softmax(1)), labels,
        lambda o, y: -o.gather(1, y[:, None]).log().mean(), by_greatest,
    ),
    "clamped chances by hand": (
        sigmoid(), yes, lambda o, y: likelihood(o.clamp(1e-6, 1 - 1e-6), y), by_half,
    ),
    "several labels": (linear(2), lambda x: (x[:, :2] > 0).double(), logits, nothing),
    "counts": (
        linear(1), lambda x: x[:, 0].exp().long(), one(functional.poisson_nll_loss), nothing,
    ),
    "counts of nought and one": (
        linear(1), lambda x: yes(x).long(), one(functional.poisson_nll_loss), nothing,
    ),
    "counts by hand": (linear(1), lambda x: x[:, 0].exp().long(), counting, nothing),
    "counts of nought and one by hand": (linear(1), lambda x: yes(x).long(), counting, nothing),
    "squares of two": (
        linear(2), lambda x: x[:, :2].round().long(), lambda o, y: (o - y).square().mean(), nothing,
    ),
    "whole numbers": (
        linear(3), labels, lambda o, y: functional.mse_loss(o[:, 0], y.double()), nothing,
    ),
    "whole numbers by hand": (
        linear(3), labels, lambda o, y: (o.sum(1) - y).square().mean(), nothing,
    ),
    "mean and spread of counts": (
        linear(2), lambda x: yes(x).long(),
        lambda o, y: ((o[:, 0] - y).square() * (-o[:, 1]).exp() + o[:, 1]).mean(), nothing,
    ),
    "a mean of classes": (
        linear(3), labels,
        lambda o, y: ((o.softmax(1) @ torch.arange(3.0).to(o)) - y).square().mean(), nothing,
    ),
    "a layer inside the loss": (
        linear(4), labels, lambda o, y: hidden(o.float(), y).loss.to(o.dtype), nothing,
    ),
    "places, not classes": (
        linear(2), labels,
        lambda o, y: functional.cross_entropy(o @ o.T, torch.arange(len(o))), nothing,
    ),
    "two losses": (
        linear(3), labels,
        lambda o, y: functional.cross_entropy(o, y) + functional.cross_entropy(-o, 2 - y), nothing,
    ),
}  # fmt: skip


@pytest.mark.parametrize("size", [SIZE, 40])
@pytest.mark.parametrize("name", ANSWERS)
def test_accuracy_is_the_share_of_right_answers_or_nothing(name, size):
    model, target, loss, accuracy = ANSWERS[name]
    x = drawn(40, 4, seed=4)
    data = x, target(x)
    task = ng.Task(model, loss, data, data, batch_size=10, evaluation_batch_size=size)
    run = run_of(task)
    theta = run.initial()[0]
    expected = accuracy(run.module(theta, x, False), x)
    found = run.outer_loss(theta).accuracy
    assert found == (None if expected is None else pytest.approx(expected, rel=1e-12))


@pytest.mark.parametrize("loss", [nn.CrossEntropyLoss(ignore_index=-1), of_tokens])
def test_ignored_tokens_are_no_answers(loss):
    x, targets = drawn(COUNT, 4), tokens(COUNT, 3)
    ignored = loss.ignore_index if isinstance(loss, nn.Module) else -100
    data = x, targets.masked_fill(targets == -100, ignored)
    task = ng.Task(Sequences, loss, data, data, batch_size=10, evaluation_batch_size=SIZE)
    run = run_of(task)
    theta = run.initial()[0]
    right = run.module(theta, x, False).argmax(1) == targets
    expected = right[targets != -100].double().mean().item()
    assert run.outer_loss(theta).accuracy == pytest.approx(expected, rel=1e-12)


def test_an_ignored_class_is_no_answer():
    x = drawn(COUNT, 4)
    data = x, labels(x)
    loss = nn.CrossEntropyLoss(ignore_index=0)
    task = ng.Task(linear(3), loss, data, data, batch_size=20, evaluation_batch_size=SIZE)
    run = run_of(task)
    theta = run.initial()[0]
    right = (run.module(theta, x, False).argmax(1) == data[1])[data[1] != 0]
    assert right.sum() > 0 and run.outer_loss(theta).accuracy == pytest.approx(
        right.double().mean().item(), rel=1e-12
    )
