"""Plain PyTorch: every step of a run in one graph, and the optimizers' formulas as torch documents them."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor
from torch.func import functional_call

import nongreedy as ng

from ._peer_methods import Unrolling, Values, batches, held_out, network

# One step's values; and the moments of one tensor of parameters, which begin at zero.
Now = Mapping[str, Tensor | float]
Moments = tuple[Tensor, ...]


class Autograd(Unrolling):
    """``torch.func.functional_call``, ``create_graph=True``, one backward pass at the end."""

    def final_loss(self, run: ng.Run, values: Values) -> Tensor:
        """Parameters are replaced, never changed in place, so that each step's stay in the graph."""
        net, update = network(run), UPDATES[type(run.optimizer)]
        parameters = {n: p.detach().requires_grad_() for n, p in net.named_parameters()}
        moments = {n: (torch.zeros_like(p),) * 2 for n, p in parameters.items()}
        for step, (inputs, targets) in enumerate(batches(run)):
            now = {name: value[step] for name, value in values.items()} | {"step": step + 1}
            loss = run.task.loss(functional_call(net, parameters, (inputs,)), targets)
            gradients = torch.autograd.grad(loss, list(parameters.values()), create_graph=True)
            for name, gradient in zip(list(parameters), gradients, strict=True):
                moved = update(parameters[name], gradient, moments[name], now)
                parameters[name], moments[name] = moved
        inputs, targets = held_out(run)
        output = functional_call(net.eval(), parameters, (inputs,))
        return run.task.validation_loss(output, targets)


def _sgd(theta: Tensor, gradient: Tensor, moments: Moments, now: Now) -> tuple[Tensor, Moments]:
    velocity = now["momentum"] * moments[0] + gradient + now["weight_decay"] * theta
    return theta - now["learning_rate"] * velocity, (velocity,)


def _adam(theta: Tensor, gradient: Tensor, moments: Moments, now: Now) -> tuple[Tensor, Moments]:
    return _moved(theta, gradient + now["weight_decay"] * theta, moments, now)


def _adamw(theta: Tensor, gradient: Tensor, moments: Moments, now: Now) -> tuple[Tensor, Moments]:
    shrunk = theta * (1 - now["learning_rate"] * now["weight_decay"])
    return _moved(shrunk, gradient, moments, now)


def _moved(theta: Tensor, gradient: Tensor, moments: Moments, now: Now) -> tuple[Tensor, Moments]:
    beta1, beta2, step = now["beta1"], now["beta2"], now["step"]
    first = beta1 * moments[0] + (1 - beta1) * gradient
    second = beta2 * moments[1] + (1 - beta2) * gradient.square()
    size = second.sqrt() / (1 - beta2**step) ** 0.5 + now["epsilon"]
    rate = now["learning_rate"] / (1 - beta1**step)
    return theta - rate * first / size, (first, second)


def _rmsprop(theta: Tensor, gradient: Tensor, moments: Moments, now: Now) -> tuple[Tensor, Moments]:
    decayed = gradient + now["weight_decay"] * theta
    square = now["smoothing"] * moments[0] + (1 - now["smoothing"]) * decayed.square()
    velocity = now["momentum"] * moments[1] + decayed / (square.sqrt() + now["epsilon"])
    return theta - now["learning_rate"] * velocity, (square, velocity)


def _adagrad(theta: Tensor, gradient: Tensor, moments: Moments, now: Now) -> tuple[Tensor, Moments]:
    decayed = gradient + now["weight_decay"] * theta
    square = moments[0] + decayed.square()
    return theta - now["learning_rate"] * decayed / (square.sqrt() + now["epsilon"]), (square,)


UPDATES: dict[
    type[ng.Optimizer], Callable[[Tensor, Tensor, Moments, Now], tuple[Tensor, Moments]]
] = {
    ng.SGD: _sgd,
    ng.Adam: _adam,
    ng.AdamW: _adamw,
    ng.RMSprop: _rmsprop,
    ng.Adagrad: _adagrad,
}
