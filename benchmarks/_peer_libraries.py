"""`higher` and `torchopt`, used as they document it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

import nongreedy as ng

from ._peer_methods import CannotError, Unrolling, Values, batches, held_out, network

_TORCH_NAMES = {"learning_rate": "lr", "epsilon": "eps", "smoothing": "alpha"}


def torch_settings(given: Mapping[str, Any]) -> dict[str, Any]:
    """By the names of ``torch.optim``, which both libraries share."""
    found = {_TORCH_NAMES.get(n, n): v for n, v in given.items() if not n.startswith("beta")}
    if "beta1" in given:
        found["betas"] = (given["beta1"], given["beta2"])
    return found


class Higher(Unrolling):
    """``higher.innerloop_ctx``; settings are tensors by ``override``, which each step may change."""

    module: ClassVar[str | None] = "higher"

    def cannot(self, optimizer: ng.Optimizer, name: str) -> str | None:
        """It has a differentiable optimizer for some of torch's, and formulas of its own for them."""
        if isinstance(optimizer, ng.AdamW):
            return "higher has no differentiable AdamW"
        if isinstance(optimizer, ng.Adam) and name == "beta2":
            return "higher takes `math.sqrt` of the bias correction, which leaves the graph"
        return None

    def differs(self, optimizer: ng.Optimizer) -> str | None:
        """Its formulas are of an earlier torch."""
        if isinstance(optimizer, ng.Adam):
            return "higher's Adam adds epsilon before the bias correction of the root, torch's after it"
        return None

    def final_loss(self, run: ng.Run, values: Values) -> Tensor:
        """Initial weights are copied, as nobody asks for their gradient."""
        import higher

        if isinstance(run.optimizer, ng.AdamW):
            raise CannotError(self.cannot(run.optimizer, "") or "")
        net = network(run)
        first = torch_settings({name: float(value[0]) for name, value in values.items()})
        plain = getattr(torch.optim, type(run.optimizer).__name__)(net.parameters(), **first)
        with higher.innerloop_ctx(net, plain, copy_initial_weights=True) as (patched, optimizer):
            for step, (inputs, targets) in enumerate(batches(run)):
                now = torch_settings({name: value[step] for name, value in values.items()})
                loss = run.task.loss(patched(inputs), targets)
                optimizer.step(loss, override={name: [value] for name, value in now.items()})
            inputs, targets = held_out(run)
            return run.task.validation_loss(patched(inputs), targets)


@dataclass(frozen=True)
class TorchOpt(Unrolling):
    """``torchopt.MetaOptimizer`` around the functional optimizer.

    The learning rate is a schedule, as its documentation has it: a function of the step, here of
    tensors. Everything else is an argument that holds for the whole run.

    Args:
        eps_root: Added under Adam's root; its documentation calls it needed for gradients through Adam.
    """

    eps_root: float = 0.0
    module: ClassVar[str | None] = "torchopt"

    def constant(self, name: str) -> bool:
        """Only the learning rate has schedules."""
        return name != "learning_rate"

    def cannot(self, optimizer: ng.Optimizer, name: str) -> str | None:
        """Such settings raise a TypeError as tensors; as numbers they are not in the graph."""
        if name == "weight_decay":
            return "torchopt gives weight_decay to torch as `alpha=`, which must be a number"
        if isinstance(optimizer, ng.Adam | ng.AdamW) and name in ("beta1", "beta2"):
            return (
                "torchopt gives 1 - beta to torch as `alpha=` or `value=`, which must be a number"
            )
        if isinstance(optimizer, ng.RMSprop) and name == "smoothing":
            return "torchopt gives 1 - alpha to torch as `value=`, which must be a number"
        return None

    def final_loss(self, run: ng.Run, values: Values) -> Tensor:
        """The network's own parameters are replaced by tensors with a graph, step by step."""
        import torchopt

        net, rates = network(run), values["learning_rate"]
        given = torch_settings({name: value[0] for name, value in values.items()})
        given["lr"] = lambda count: rates[int(count)]
        if isinstance(run.optimizer, ng.Adam | ng.AdamW):
            given["eps_root"] = self.eps_root
        make = getattr(torchopt, type(run.optimizer).__name__.lower())
        optimizer = torchopt.MetaOptimizer(net, make(**given))
        for inputs, targets in batches(run):
            optimizer.step(run.task.loss(net(inputs), targets))
        inputs, targets = held_out(run)
        return run.task.validation_loss(net.eval()(inputs), targets)
