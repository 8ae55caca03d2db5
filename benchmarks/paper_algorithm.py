"""The paper's own algorithm, for comparison: forward mode by one double backward per started column.

Written from the recursion of arXiv:2007.07869, section 3, with PyTorch's own BatchNorm:

    C_j <- beta C_j + H Z_j + xi Z_j + [j active in beta] v + [j active in xi] theta
    Z_j <- Z_j - alpha C_j - [j active in alpha] v'

Columns whose window has not started are skipped.
"""

from __future__ import annotations

from collections.abc import Collection

import torch
from torch import Tensor

import nongreedy as ng


def paper_hypergradient(
    run: ng.Run, schedule: ng.Schedule, learn: Collection[str] | None = None
) -> dict[str, Tensor]:
    """Name -> hypergradient, shape (windows,), of a run of plain SGD with windows.

    By the hyperparameters in `learn`, or by all of them.
    """
    sizes = {n: len(schedule[n]) for n in (schedule.curves if learn is None else learn)}
    table = [(name, j) for name, size in sizes.items() for j in range(size)]
    values, window = run.values(schedule), _windows(run, schedule)
    theta, velocity = run.initial().unbind(0)
    tangents: dict[tuple[str, int], tuple[Tensor, Tensor]] = {}
    for t in range(run.steps):
        alpha, beta, xi = (values[n][t] for n in ("learning_rate", "momentum", "weight_decay"))
        leaf = theta.detach().requires_grad_()
        loss = run.training_loss(leaf, t)
        (gradient,) = torch.autograd.grad(loss, leaf, create_graph=True)
        new_velocity = beta * velocity + gradient.detach() + xi * theta
        for name, j in table:
            if j > window[name][t]:
                continue
            z, c = tangents.get((name, j), (torch.zeros_like(theta), torch.zeros_like(theta)))
            (curved,) = torch.autograd.grad(gradient, leaf, z, retain_graph=True)
            active = j == window[name][t]
            c = beta * c + curved + xi * z
            if active and name == "momentum":
                c = c + velocity
            if active and name == "weight_decay":
                c = c + theta
            z = z - alpha * c
            if active and name == "learning_rate":
                z = z - new_velocity
            tangents[name, j] = z, c
        velocity, theta = new_velocity, theta - alpha * new_velocity
    _, outer = run.outer_gradient(theta)
    result = {name: torch.zeros(size).double() for name, size in sizes.items()}
    for (name, j), (z, _) in tangents.items():
        result[name][j] = (outer @ z).item()
    return result


def _windows(run: ng.Run, schedule: ng.Schedule) -> dict[str, list[int]]:
    """The active window of each schedule at each step."""
    return {
        name: [(len(curve.coefficients) * t) // run.steps for t in range(run.steps)]
        for name, curve in schedule.curves.items()
    }
