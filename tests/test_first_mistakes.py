"""First mistakes: one sentence each, with what was meant, before anything is spent."""

import pytest
import torch
from torch import nn

import nongreedy as ng

from .helpers import classes, tiny_task

X, Y = classes(14, (4,), 0)


def parameters():
    return nn.Linear(2, 2).parameters()


def tuned(optimizer):
    return ng.tune(tiny_task(), optimizer, steps=3)


# What is done, error, words of the message: what was given, then what to write.
OPTIMIZERS = {
    "torch's": (
        lambda: tuned(torch.optim.SGD(parameters(), lr=0.1, momentum=0.9)),
        TypeError,
        [
            "torch.optim.SGD",
            "ng.SGD(learning_rate=0.1, momentum=0.9)",
            "ng.Windows(7, initial=0.1)",
        ],
    ),
    "torch's with betas": (
        lambda: tuned(torch.optim.AdamW(parameters(), torch.tensor(0.1), betas=(0.8, 0.999))),
        TypeError,
        ["ng.AdamW(learning_rate=0.1, weight_decay=0.01, beta1=0.8)"],
    ),
    "torch's with other names": (
        lambda: tuned(torch.optim.RMSprop(parameters(), alpha=0.9, eps=1e-6)),
        TypeError,
        ["ng.RMSprop(", "smoothing=0.9", "epsilon=1e-06"],
    ),
    "torch's groups": (
        lambda: tuned(
            torch.optim.Adam([{"params": [p], "lr": 0.1} for p in parameters()], weight_decay=0.1)
        ),
        TypeError,
        ["ng.Adam(", "weight_decay=0.1", "ng.Grouped"],
    ),
    "torch's class": (
        lambda: tuned(torch.optim.NAdam),
        TypeError,
        ["torch.optim.NAdam", "ng.NAdam()"],
    ),
    "torch's without counterpart": (
        lambda: tuned(torch.optim.Adamax(parameters())),
        TypeError,
        ["torch.optim.Adamax", "nearest is ng.Adam(learning_rate=0.002)"],
    ),
    "torch's for retrain": (
        lambda: ng.retrain(
            tiny_task(), ng.cosine_schedule(0.1), steps=3, optimizer=torch.optim.SGD
        ),
        TypeError,
        ["torch.optim.SGD", "ng.SGD()"],
    ),
    "a class": (lambda: tuned(ng.SGD), TypeError, ["class SGD", "ng.SGD()"]),
    "several": (
        lambda: tuned((ng.SGD(), ng.SGD())),
        TypeError,
        ["tuple of 2", "ng.Grouped", "GAN"],
    ),
    "a name": (lambda: tuned("adam"), TypeError, ["'adam'", "Did you mean 'Adam'"]),
    "None": (lambda: tuned(None), TypeError, ["NoneType", "ng.SGD()"]),
    "lr": (lambda: ng.SGD(lr=0.1), TypeError, ["SGD", "'lr'", "learning_rate="]),
    "betas": (lambda: ng.Adam(betas=(0.9, 0.99)), TypeError, ["'betas'", "beta1= and beta2="]),
    "eps": (lambda: ng.AdamW(eps=1e-8), TypeError, ["'eps'", "epsilon="]),
    "misspelt": (
        lambda: ng.SGD(momentun=0.9),
        TypeError,
        ["'momentun'", "Did you mean 'momentum'"],
    ),
    "parameters": (lambda: ng.SGD(parameters()), ValueError, ["generator", "task's model"]),
    "list of parameters": (
        lambda: ng.Adam(list(parameters())),
        ValueError,
        ["list", "task's model"],
    ),
    "negative rate": (lambda: ng.SGD(-0.1), ValueError, ["learning_rate", "at least 0", "-0.1"]),
    "momentum": (lambda: ng.SGD(momentum=1.5), ValueError, ["momentum", "[0, 1)", "1.5"]),
    "negative momentum": (
        lambda: ng.SGD(momentum=-0.1),
        ValueError,
        ["momentum", "[0, 1)", "-0.1"],
    ),
    "momentum of one": (lambda: ng.SGD(momentum=1.0), ValueError, ["[0, 1)"]),
    "decay": (lambda: ng.SGD(weight_decay=-1.0), ValueError, ["weight_decay", "at least 0", "-1"]),
    "beta": (lambda: ng.Adam(beta1=1.2), ValueError, ["beta1", "[0, 1)", "1.2"]),
    "in a group": (
        lambda: ng.Grouped(ng.SGD(), {"*bias": {"weight_decay": -1.0}}),
        ValueError,
        ["weight_decay[*bias]", "at least 0"],
    ),
}
ARGUMENTS = {
    "task's name": (
        lambda: ng.tune("mnist", ng.SGD(), steps=3),
        TypeError,
        ["`task`", "'mnist'", "ng.Task(model, loss, train, validation)", "nongreedy.data.load"],
    ),
    "model": (lambda: ng.trust(nn.Linear(2, 2), ng.SGD(), steps=3), TypeError, ["Linear", "ng.Task("]),
    "no task": (lambda: ng.retrain(None, ng.cosine_schedule(0.1), steps=3), TypeError, ["NoneType"]),
    "half steps": (
        lambda: ng.tune(tiny_task(), ng.SGD(), steps=2.5), ValueError, ["`steps`", "whole number", "2.5"]
    ),
    "few epochs": (
        lambda: ng.tune(tiny_task(), ng.SGD(), epochs=0.1), ValueError, ["epochs=0.1 of 2"]
    ),
    "no seeds": (
        lambda: ng.tune(tiny_task(), ng.SGD(), steps=3, seeds=0), ValueError, ["`seeds`", "0"]
    ),
    "half precision": (
        lambda: ng.tune(tiny_task(), ng.SGD(), steps=3, dtype=torch.float16),
        ValueError,
        ["`dtype`", "float16", "torch.float32", "autocast"],
    ),
}  # fmt: skip
MISTAKES = {**OPTIMIZERS, **ARGUMENTS}


@pytest.mark.parametrize("name", MISTAKES)
def test_mistake_is_helped(name):
    act, error, words = MISTAKES[name]
    with pytest.raises(error) as caught:
        act()
    message = str(caught.value)
    assert all(word in message for word in words), message
    assert message.rstrip().endswith("."), message


def test_what_is_unusual_is_accepted():
    ng.SGD(learning_rate=0.0, momentum=0.999, weight_decay=2.0)
    ng.Adam(learning_rate=20.0, beta2=0.9999999)
    ng.Task(nn.Linear(4, 3), nn.CrossEntropyLoss(), (X, Y), (X, Y), batch_size=7)


def test_an_optimizer_of_ones_own_takes_what_it_takes():
    class Mine(ng.Optimizer):
        slots, learnable = 1, {}

        def __init__(self, lr, **others):
            self.given_rate = lr

        def update(self, state, gradient, values):
            return state - 0.1 * gradient

        def torch_optimizer(self, parameters):
            return torch.optim.SGD(parameters, lr=0.1)

    assert Mine(lr=0.1, eps=1).given_rate == 0.1
