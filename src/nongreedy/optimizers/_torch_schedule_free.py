"""Schedule-free optimizers for ordinary training loops, with settings that may change at each step."""

import abc
from typing import Any

import torch
from torch import Tensor

from ._plain import PlainOptimizer


class _TorchScheduleFree(PlainOptimizer):
    """Parameters are y while training and x in evaluation; z and x are kept beside."""

    def __init__(self, params: Any, defaults: dict[str, Any]):
        super().__init__(params, {**defaults, "train_mode": True})

    @abc.abstractmethod
    def direction(self, parameter: Tensor, gradient: Tensor, group: dict[str, Any]) -> Tensor:
        """Against which z is moved."""

    @abc.abstractmethod
    def mixing(self, group: dict[str, Any]) -> float:
        """How much of x is in y."""

    def move(self, parameter: Tensor, gradient: Tensor, group: dict[str, Any]) -> None:
        """z along the gradient, x to it, y between them."""
        if not group["train_mode"]:
            raise RuntimeError(
                "The parameters are the averaged ones, for evaluation: call optimizer.train() before "
                "the next step."
            )
        state, rate = self.state[parameter], float(group["lr"])
        if "z" not in state:
            if torch.finfo(parameter.dtype).bits < 32:
                raise ValueError(
                    f"{parameter.dtype} does not resolve what a step adds to an average. Keep the weights "
                    f"of {type(self).__name__} in torch.float32, with torch.autocast in the model."
                )
            state["z"], state["x"], state["total"] = parameter.clone(), parameter.clone(), 0.0
        z, x = state["z"], state["x"]
        z.sub_(self.direction(parameter, gradient, group), alpha=rate)
        state["total"] += rate**2
        x.lerp_(z, rate**2 / state["total"] if state["total"] else 1.0)
        parameter.copy_(torch.lerp(z, x, self.mixing(group)))

    @torch.no_grad()
    def eval(self) -> None:
        """Put the averaged weights into the parameters: to judge them, or to save them at the end."""
        for group in self.param_groups:
            if group["train_mode"]:
                for state, parameter in self._begun(group):
                    state["y"] = parameter.clone()
                    parameter.copy_(state["x"])
            group["train_mode"] = False

    @torch.no_grad()
    def train(self) -> None:
        """Put back what training goes on with."""
        for group in self.param_groups:
            if not group["train_mode"]:
                for state, parameter in self._begun(group):
                    parameter.copy_(state.pop("y"))
            group["train_mode"] = True

    def _begun(self, group: dict[str, Any]) -> list[tuple[dict[str, Any], Tensor]]:
        rows = ((self.state[p], p) for p in group["params"] if p in self.state)
        return [(state, parameter) for state, parameter in rows if "z" in state]


class TorchScheduleFreeSGD(_TorchScheduleFree):
    """Schedule-free SGD for an ordinary training loop; ``torch.optim`` has none.

    Call ``eval()`` before the network is judged or saved, and ``train()`` before training goes on.

    Args:
        params: Parameters or parameter groups.
        lr, momentum, weight_decay: As in :class:`ScheduleFreeSGD`.

    Raises:
        RuntimeError: A step in evaluation.
        ValueError: A step on weights in half precision.

    Source: that of :class:`ScheduleFreeSGD` (:cite:`defazio2024road`).

    Example:
        >>> import torch
        >>> optimizer = TorchScheduleFreeSGD(torch.nn.Linear(2, 1).parameters(), lr=1.0)
    """

    def __init__(
        self, params: Any, lr: float = 1.0, momentum: float = 0.9, weight_decay: float = 0.0
    ):
        super().__init__(params, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})

    def direction(self, parameter: Tensor, gradient: Tensor, group: dict[str, Any]) -> Tensor:
        return gradient.add(parameter, alpha=group["weight_decay"])

    def mixing(self, group: dict[str, Any]) -> float:
        return group["momentum"]


class TorchScheduleFreeAdamW(_TorchScheduleFree):
    """Schedule-free AdamW for an ordinary training loop; as :class:`TorchScheduleFreeSGD`.

    Args:
        params: Parameters or parameter groups.
        lr, betas, eps, weight_decay: As in :class:`ScheduleFreeAdamW`.

    Raises:
        RuntimeError: A step in evaluation.
        ValueError: A step on weights in half precision.

    Source: that of :class:`ScheduleFreeAdamW` (:cite:`defazio2024road`).

    Example:
        >>> import torch
        >>> optimizer = TorchScheduleFreeAdamW(torch.nn.Linear(2, 1).parameters(), lr=0.0025)
    """

    def __init__(
        self,
        params: Any,
        lr: float = 2.5e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
    ):
        settings = {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay}
        super().__init__(params, settings)

    def direction(self, parameter: Tensor, gradient: Tensor, group: dict[str, Any]) -> Tensor:
        state, beta2 = self.state[parameter], group["betas"][1]
        state["step"] = state.get("step", 0) + 1
        square = state.setdefault("square", torch.zeros_like(parameter))
        square.mul_(beta2).addcmul_(gradient, gradient, value=1 - beta2)
        size = square.sqrt() / (1 - beta2 ** state["step"]) ** 0.5 + group["eps"]
        return (gradient / size).add(parameter, alpha=group["weight_decay"])

    def mixing(self, group: dict[str, Any]) -> float:
        return group["betas"][0]
