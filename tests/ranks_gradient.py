"""Hypergradients under torchrun, each run spread over the ranks: ranks_gradient.py FOLDER CASE ..."""

import sys
from pathlib import Path

import torch
from torch import nn

import nongreedy as ng
from nongreedy.parallel import Columns, ranks, sharded

STEPS = 7


def data(count, seed):
    draw = torch.Generator().manual_seed(seed)
    x = torch.randn(count, 3, 8, 8, generator=draw)
    return x, (x.mean((1, 2, 3)) > 0).long() + (x[:, 0, 0, 0] > 0).long()


def convnet():
    layers = [nn.Conv2d(3, 6, 3), nn.BatchNorm2d(6), nn.ReLU(), nn.Conv2d(6, 4, 3)]
    layers += [nn.BatchNorm2d(4, affine=False), nn.SiLU(), nn.Flatten(), nn.LayerNorm(64)]
    return nn.Sequential(*layers, nn.Linear(64, 3))


def plain(dropped=0.0):
    return nn.Sequential(
        nn.Flatten(), nn.Linear(192, 9), nn.Tanh(), nn.Dropout(dropped), nn.Linear(9, 3)
    )


def weighted(output, target, hypers):
    """Examples weighted, and a penalty: whole numbers of examples, hyperparameters and weights meet here."""
    each = nn.functional.cross_entropy(output, target, reduction="none")
    penalty = sum((p**2).sum() for p in hypers.parameters.values())
    return (each * hypers["weight"][hypers.index]).mean() + hypers["decay"] * penalty


def summed(output, target):
    return nn.functional.cross_entropy(output, target, reduction="sum")


SGD = ng.SGD(learning_rate=ng.Windows(2, initial=0.05), momentum=ng.Windows(1, initial=0.8))
ADAM = ng.AdamW(learning_rate=ng.Windows(2, initial=0.01), weight_decay=ng.Windows(1, initial=0.1))
SLOW = ng.SGD(learning_rate=ng.Windows(1, initial=1e-3))
MEAN = nn.functional.cross_entropy
WEIGHTS = {"weight": ng.Variable(initial=torch.ones(50)), "decay": ng.Windows(2, initial=1e-3)}
# model, loss, the task's hyperparameters, optimizer, engine, what sharded() is told
CASES = {
    "convnet": (convnet, MEAN, {}, SGD, ng.Reverse("graphs"), {}),
    "checkpoints": (convnet, MEAN, {}, ADAM, ng.Reverse("checkpoint"), {}),
    "forward": (plain, MEAN, {}, SGD, ng.Forward(), {}),
    "weights": (plain, weighted, WEIGHTS, ADAM, "auto", {}),
    "sum": (plain, summed, {}, SLOW, ng.Reverse(), {"summed": True}),
    "reversible": (plain, MEAN, {}, SGD, ng.Reversible(), {}),
}
# The same, whose runs are not spread: only the tangents of forward mode are.
COLUMNS = {
    "columns": (convnet, MEAN, {}, SGD, None, {}),
    "one coefficient": (plain, MEAN, {}, SLOW, None, {}),
}
REFUSED = {
    "dropout": (lambda: plain(0.5), MEAN, {}, SGD, ng.Reverse(), {}),
    "a sum as a mean": (plain, summed, {}, SLOW, ng.Reverse(), {}),
    "ignored late": (plain, MEAN, {}, SGD, ng.Reverse(), {}),
}


def made(case):
    model, loss, own, *_ = {**CASES, **COLUMNS, **REFUSED}[case]
    (inputs, target), held = data(50, 0), data(30, 1)
    if case == "ignored late":  # by an example that the first epoch leaves out
        plan = made("sum").plan
        first, second = (torch.cat([plan.index(0, 3 * k + t) for t in range(3)]) for k in range(2))
        target[next(i for i in second.tolist() if i not in first)] = -100
    return ng.Task(
        model,
        loss,
        (inputs, target),
        held,
        batch_size=15,
        hyperparameters=own,
        validation_loss=MEAN,
    )


def gradient(case, team):
    *_, optimizer, engine, told = {**CASES, **COLUMNS, **REFUSED}[case]
    if case in COLUMNS:
        task, engine = made(case), Columns(team)
    else:
        task = sharded(made(case), team, **told)
    h = ng.hypergradient(task, optimizer, steps=STEPS, engine=engine, dtype=torch.float64)
    return h.value, {**h.gradients, "initial": torch.zeros(1) if h.initial is None else h.initial}


def searched(case, team, study):
    """A search whose every run is made by all ranks."""
    *_, optimizer, _, told = CASES[case]
    result = ng.tune(
        sharded(made(case), team, **told), optimizer, steps=STEPS, budget=16, study=study, progress=False,
        dtype=torch.float64, ranks=team,
    )  # fmt: skip
    return result.validation_loss, {n: c.coefficients for n, c in result.schedule.curves.items()}


def answer(case, team, folder):
    if case.startswith("search "):
        return searched(case.removeprefix("search "), team, f"{folder}/of{team.size}.db")
    try:
        return gradient(case, team)
    except ValueError as error:  # on all ranks
        return str(error)


def main(folder, *cases):
    with ranks() as team:
        rows = {case: answer(case, team, folder) for case in cases}
    torch.save(rows, Path(folder) / f"rank{team.rank}of{team.size}.pt")


if __name__ == "__main__":
    main(*sys.argv[1:])
