"""Tasks whose loss, data or initialization has hyperparameters, each with functions of its own."""

import torch
from torch.nn import functional

import nongreedy as ng

from .helpers import MODELS, tiny_task

COUNT = 14  # training examples of a tiny task


def drawn(*shape, scale=1.0, seed=3):
    return scale * torch.randn(*shape, generator=torch.Generator().manual_seed(seed)).double()


def smoothed(output, target, hypers):
    chances, log = functional.one_hot(target, 3).to(output.dtype), output.log_softmax(1)
    return (
        -((1 - hypers["smoothing"]) * chances * log + hypers["smoothing"] / 3 * log).sum(1).mean()
    )


def weighted(output, target, hypers):
    losses = functional.cross_entropy(output, target, reduction="none")
    return (losses * hypers["weights"][hypers.index].sigmoid()).mean()


def penalized(output, target, hypers):
    penalties = [
        (scale.exp() * weight.square()).sum()
        for scale, weight in zip(hypers["penalty"], hypers.parameters.values(), strict=True)
    ]
    return functional.cross_entropy(output, target) + sum(penalties)


def decayed(output, target, hypers):
    flat = torch.cat([weight.reshape(-1) for weight in hypers.parameters.values()])
    return functional.cross_entropy(output, target) + (hypers["decay"].exp() * flat**2).sum()


def judged_by_a_network(output, target, hypers):
    losses = functional.cross_entropy(output, target, reduction="none")
    hidden = torch.tanh(losses[:, None] * hypers["first"])
    return (losses + hidden @ hypers["second"]).mean()


def invented(inputs, targets, hypers):
    return inputs + hypers["images"][targets], targets


def noisy(inputs, targets, hypers):
    return inputs + hypers["strength"] * torch.randn_like(inputs), targets


def scaled(parameters, hypers):
    return {
        name: scale.exp() * weight
        for (name, weight), scale in zip(parameters.items(), hypers["scale"], strict=True)
    }


def sizes(model):
    return [p.numel() for p in MODELS[model][0]().parameters() if p.requires_grad]


# Name -> (model -> hyperparameters, functions of the task that take them).
KINDS = {
    "label_smoothing": (
        lambda model: {"smoothing": ng.Windows(2, initial=(0.1, 0.3))},
        {"loss": smoothed},
    ),
    "example_weights": (
        lambda model: {"weights": ng.Variable(initial=drawn(COUNT))},
        {"loss": weighted},
    ),
    "group_penalties": (
        lambda model: {"penalty": ng.Variable(initial=drawn(len(sizes(model))) - 3)},
        {"loss": penalized},
    ),
    "weight_penalties": (
        lambda model: {"decay": ng.Variable(initial=drawn(sum(sizes(model))) - 3)},
        {"loss": decayed},
    ),
    "loss_network": (
        lambda model: {
            "first": ng.Variable(initial=drawn(4)),
            "second": ng.Variable(initial=drawn(4, seed=4)),
        },
        {"loss": judged_by_a_network},
    ),
    "training_images": (
        lambda model: {"images": ng.Variable(initial=drawn(3, *MODELS[model][1]))},
        {"prepare": invented},
    ),
    "augmentation_strength": (
        lambda model: {"strength": ng.Linear(2, initial=(0.1, 0.4))},
        {"prepare": noisy},
    ),
    "initial_scales": (
        lambda model: {"scale": ng.Variable(initial=drawn(len(sizes(model)), scale=0.3))},
        {"initialize": scaled},
    ),
    "all_at_once": (
        lambda model: {
            "smoothing": ng.Windows(2, initial=(0.1, 0.3)),
            "strength": 0.2,
            "scale": ng.Variable(initial=drawn(len(sizes(model)), scale=0.3)),
        },
        {"loss": smoothed, "prepare": noisy, "initialize": scaled},
    ),
}


def task_of(kind, model, **changed):
    made, functions = KINDS[kind]
    given = {"hyperparameters": made(model), "validation_loss": functional.cross_entropy}
    return tiny_task(model, **{**given, **functions, **changed})
