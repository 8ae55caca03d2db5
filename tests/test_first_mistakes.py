"""First mistakes: one sentence each, with what was meant, before anything is spent."""

import pytest
import torch
from torch import nn
from torch.nn import functional

import nongreedy as ng

from .helpers import assert_refused, classes, tiny_task

X, Y = classes(14, (4,), 0)
PAIR = (X, Y)


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
    "groups before their base": (
        lambda: ng.Grouped({"*bias": {"weight_decay": 0.0}}, ng.SGD()),
        TypeError,
        ["optimizer of the rest", 'Grouped(SGD(Windows(4)), {"*bias": {"weight_decay": 0.0}})'],
    ),
    "optimizers as groups": (
        lambda: ng.Grouped(ng.SGD(), {"*bias": ng.SGD(0.1)}),
        TypeError,
        ["settings of their own", "SGD("],
    ),
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
    "class of an engine": (
        lambda: ng.hypergradient(tiny_task(), ng.SGD(), steps=3, engine=ng.Reverse),
        TypeError,
        ["`engine`", "Reverse()"],
    ),
    "half precision": (
        lambda: ng.tune(tiny_task(), ng.SGD(), steps=3, dtype=torch.float16),
        ValueError,
        ["`dtype`", "float16", "torch.float32", "autocast"],
    ),
}  # fmt: skip


def behind_a_branch(output, target):
    """The root that is not taken has a gradient all the same: 0 times NaN."""
    root = torch.where(output > 1e9, (output - 1e9).sqrt(), output)
    return functional.cross_entropy(root, target)


def hypergradient(model=None, loss=functional.cross_entropy, train=(X, Y), steps=6, **changed):
    """In float32, of 14 examples in batches of 7: the second step sees the rest."""
    dtype, outer = changed.pop("dtype", torch.float32), changed.pop("validation", (X, Y))
    task = ng.Task(model or nn.Linear(4, 3), loss, train, outer, **{"batch_size": 7, **changed})
    return ng.hypergradient(task, ng.SGD(), steps=steps, dtype=dtype)


def with_one(values, value):
    changed = values.clone()
    changed[(5,) + (0,) * (values.dim() - 1)] = value
    return changed


def weighted(output, target, hypers):
    losses = functional.cross_entropy(output, target, reduction="none")
    return (losses * hypers["w"][hypers.index]).mean()


def learning_weights(**changed):
    settings = {
        "loss": weighted,
        "hyperparameters": {"w": ng.Variable(initial=torch.ones(9))},
        "validation_loss": functional.cross_entropy,
    }
    return hypergradient(**{**settings, **changed})


class Centres(nn.Module):
    def __init__(self):
        super().__init__()
        self.centres = nn.Parameter(torch.zeros(3, 3))

    def forward(self, output, target):
        return (output - self.centres[target]).square().mean()


ENTROPY = functional.cross_entropy
DATA = {
    "a label too large": (
        lambda: hypergradient(train=(X, with_one(Y, 7))), ["`train`", "label 7 (example 5)", "3 classes"]
    ),
    "a label below zero": (
        lambda: hypergradient(train=(X, with_one(Y, -1))), ["label -1 (example 5)", "0 to 2"]
    ),
    "real labels": (lambda: hypergradient(train=(X, Y.float())), ["`train`", "real labels", ".long()"]),
    "one-hot": (
        lambda: hypergradient(train=(X, functional.one_hot(Y, 3))), ["(7, 3)", "argmax(1)", ".float()"]
    ),
    "a column of labels": (lambda: hypergradient(train=(X, Y[:, None])), ["(7, 1)", "squeeze(1)"]),
    "classes last": (
        lambda: hypergradient(
            nn.Linear(4, 3), ENTROPY, (X[:, None].expand(14, 5, 4), Y[:, None].expand(14, 5))
        ),
        ["(7, 5, 3)", "(7, 5)", "transpose(1, -1)"],
    ),
    "width": (lambda: hypergradient(nn.Linear(6, 3)), ["`train`", "(4,)", "7x4 and 6x3", "first layer"]),
    "channels": (
        lambda: hypergradient(nn.Conv2d(3, 4, 1), train=(X.view(14, 1, 2, 2), Y)), ["(1, 2, 2)", "3 channels"]
    ),
    "whole inputs": (lambda: hypergradient(train=(X.long(), Y)), ["torch.int64", "inputs.float()"]),
    "whole targets": (
        lambda: hypergradient(
            nn.Sequential(nn.Linear(4, 1), nn.Flatten(0)), functional.binary_cross_entropy_with_logits,
            (X, Y.clamp(max=1)),
        ),
        ["`train`", "torch.int64", "targets.float()"],
    ),
    "targets without a column": (
        lambda: hypergradient(
            nn.Linear(4, 1), functional.binary_cross_entropy_with_logits, (X, Y.clamp(max=1).float())
        ),
        ["(7, 1)", "(7,)", "unsqueeze(-1)"],
    ),
    "a broadcast loss": (
        lambda: hypergradient(nn.Linear(4, 1), functional.mse_loss, (X, X[:, 0])),
        ["(7, 1)", "(7,)", "different to the input size", "squeeze(-1)"],
    ),
    "a broadcast in a function": (
        lambda: hypergradient(nn.Linear(4, 1), lambda o, t: functional.l1_loss(o, t) + 1, (X, X[:, 0])),
        ["(7, 1)", "(7,)", "unsqueeze(-1)"],
    ),
    "a label too large in validation": (
        lambda: hypergradient(validation=(X, with_one(Y, 4))), ["`validation`", "label 4 (example 5)"]
    ),
    "a label too large in a validation data set": (
        lambda: hypergradient(
            validation=list(zip(X, with_one(Y, 4), strict=True)), evaluation_batch_size=4
        ),
        ["`validation`", "label 4 (example 5)", "3 classes"],
    ),
    "width in validation": (
        lambda: hypergradient(validation=(torch.ones(9, 5), Y[:9])), ["`validation`", "(5,)", "x5 and 4x3"]
    ),
    "a broadcast in validation": (
        lambda: hypergradient(nn.Linear(4, 1), functional.mse_loss, (X, X[:, :1]), validation=(X, X[:, 0])),
        ["`validation`", "different to the input size", "unsqueeze(-1)"],
    ),
    "a label beyond the first batch": (
        lambda: hypergradient(train=(X, with_one(Y, 3)), batch_size=1, steps=1), ["label 3 (example 5)"]
    ),
    "tokens": (
        lambda: hypergradient(nn.Sequential(nn.Embedding(3, 2), nn.Flatten()), train=(Y[:, None] + 5, Y)),
        ["`train`", "go from 5 to 7", "8 rows"],
    ),
    "real tokens": (
        lambda: hypergradient(nn.Sequential(nn.Embedding(3, 2), nn.Flatten())), ["real", "inputs.long()"]
    ),
    "precision": (
        lambda: hypergradient(
            loss=lambda output, target: ENTROPY(output, target, weight=torch.ones(3)), dtype=torch.float64
        ),
        ["in the loss", "Double but found Float", "nn.CrossEntropyLoss(weight=w)"],
    ),
    "precision of the model": (
        lambda: hypergradient(
            nn.Sequential(nn.Linear(4, 4), Added()), dtype=torch.float64
        ),
        ["model's forward pass", "x.new_zeros"],
    ),
    "names": (
        lambda: hypergradient(train={"image": X, "label": Y}), ["by name, with image", "collate_fn"]
    ),
    "positions": (
        lambda: hypergradient(train=((X, X), Y)), ["2 positional arguments", "`train`", "collate_fn"]
    ),
    "a model with two outputs": (
        lambda: hypergradient(nn.GRU(4, 3)), ["returns a tuple", "loss(output[0], target)"]
    ),
    "weights of another length": (lambda: learning_weights(), ["'w'", "9 entries", "14 examples"]),
    "NaN in training": (
        lambda: hypergradient(train=(with_one(X, torch.nan), Y)), ["`train`", "inputs of example 5"]
    ),
    "infinity in targets": (
        lambda: hypergradient(
            nn.Linear(4, 1), functional.mse_loss, (X, with_one(X[:, :1], torch.inf)), validation=(X, X[:, :1])
        ),
        ["`train`", "targets of example 5"],
    ),
    "NaN in validation": (
        lambda: hypergradient(validation=(with_one(X, torch.nan), Y)),
        ["`validation`", "inputs of example 5", "nan_to_num"],
    ),
}  # fmt: skip
FUNCTIONS = {
    "detached loss": (
        lambda: hypergradient(loss=lambda output, target: output.detach().square().mean()),
        ValueError,
        ["does not depend on the parameters", "detach everything"],
    ),
    "NaN in a gradient": (
        lambda: hypergradient(loss=behind_a_branch),
        ng.DivergedError,
        ["step 1 of 6", "torch.where", "root"],
    ),
    "a class of losses": (
        lambda: hypergradient(loss=nn.CrossEntropyLoss), TypeError, ["CrossEntropyLoss", "CrossEntropyLoss()"]
    ),
    "trainable loss": (
        lambda: hypergradient(loss=Centres()), ValueError, ["`loss`", "centres", "part of the model"]
    ),
    "trainable judge": (
        lambda: hypergradient(validation_loss=Centres()), ValueError, ["`validation_loss`", "centres"]
    ),
    "misspelt hyperparameter": (
        lambda: learning_weights(loss=lambda output, target, hypers: hypers["weigth"].sum()),
        KeyError,
        ["'weigth'", "Valid names: w."],
    ),
}  # fmt: skip


class Added(nn.Module):
    """Multiplies by a matrix that is no buffer."""

    def forward(self, inputs):
        return inputs @ torch.ones(4, 3)


MISTAKES = {
    **OPTIMIZERS,
    **ARGUMENTS,
    **{name: (act, ng.DataError, words) for name, (act, words) in DATA.items()},
    **FUNCTIONS,
}


@pytest.mark.parametrize("name", MISTAKES)
def test_mistake_is_helped(name):
    assert_refused(*MISTAKES[name])


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"train": PAIR, "validation": PAIR}, "same data.*validation=0.2"),
        ({"train": PAIR, "validation": (X, Y)}, "same data.*validation=0.2"),
        ({"train": (X, Y * 0 + 2)}, "All 14 labels of `train` are 2"),
        ({"validation": (X[:3], Y[:3] * 0)}, "All 3 labels of `validation` are 0"),
    ],
)
def test_data_that_nothing_can_be_learned_from_are_warned_of(settings, words):
    with pytest.warns(UserWarning, match=words):
        tiny_task(**settings)


def test_ignored_labels_are_labels():
    ignoring = nn.CrossEntropyLoss(ignore_index=-1)
    assert hypergradient(loss=ignoring, train=(X, with_one(Y, -1))).value > 0
    assert hypergradient(train=(X, with_one(Y, -100))).value > 0


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
