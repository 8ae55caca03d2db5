"""The contract of an optimizer: a pure update of the flat state."""

from __future__ import annotations

import abc
from collections.abc import Collection, Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor

from .._basis import Basis
from .._hyperparameter import Default, Hyperparameter, resolve_all


class Optimizer(abc.ABC):
    """An inner optimizer as pure functions of tensors.

    The state has shape ``(slots, P)``; slot 0 holds the flat parameters. Everything that happens
    after the raw gradient (clipping, decay, momentum) lives in `update`, so that engines need one
    Hessian-vector product of the raw loss and one derivative of `update`.

    Class attributes:
        slots: Number of flat vectors in the state.
        learnable: Name -> default initial value, bounds and coordinate.
    """

    slots: ClassVar[int]
    learnable: ClassVar[Mapping[str, Default]]

    def init(self, parameters: Tensor) -> Tensor:
        """State before the first step: parameters, then zeros. Shape (slots, P)."""
        state = parameters.new_zeros(self.slots, parameters.numel())
        state[0] = parameters
        return state

    @abc.abstractmethod
    def update(self, state: Tensor, gradient: Tensor, values: Mapping[str, Tensor]) -> Tensor:
        """The next state.

        Args:
            state: Shape (slots, P).
            gradient: Raw gradient of the training loss, shape (P,).
            values: Name -> this step's value, shape ().
        """

    def pull_back(
        self,
        state: Tensor,
        gradient: Tensor,
        values: Mapping[str, Tensor],
        adjoint: Tensor,
        learn: Collection[str],
    ) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
        r"""The vector-Jacobian product of `update`, at a fixed gradient.

        .. math:: \bar s = \bar s' \cdot \partial_s U, \quad
                  \bar g = \bar s' \cdot \partial_g U, \quad
                  \bar h = \bar s' \cdot \partial_h U

        By automatic differentiation; an optimizer that knows its own closed form may override it.

        Args:
            state, gradient, values: As in `update`.
            adjoint: Derivative with respect to the next state, shape (slots, P).
            learn: Names of the values to differentiate.

        Returns:
            Adjoints of the state, of the gradient and of each value in `learn`.
        """
        leaves = {name: values[name].detach().requires_grad_() for name in learn}
        inputs = [x.detach().requires_grad_() for x in (state, gradient)]
        updated = self.update(inputs[0], inputs[1], {**values, **leaves})
        on_state, on_gradient, *on_values = torch.autograd.grad(
            updated, [*inputs, *leaves.values()], adjoint, allow_unused=True, materialize_grads=True
        )
        return on_state, on_gradient, dict(zip(leaves, on_values, strict=True))

    @abc.abstractmethod
    def torch_optimizer(self, parameters: Any) -> torch.optim.Optimizer:
        """The ``torch.optim`` twin, whose settings a schedule then sets at each step."""

    def clip_torch(self, parameters: Any) -> None:
        """Clip the gradients of a plain PyTorch loop as `update` does; nothing by default."""
        del parameters

    @abc.abstractmethod
    def given(self) -> Mapping[str, Basis | float]:
        """Name -> basis (learned) or number (fixed), as the user gave them."""

    def hyperparameters(
        self, steps: int | None = None, overrides: Mapping[str, Default] | None = None
    ) -> dict[str, Hyperparameter]:
        """Every hyperparameter with all its fields settled and checked."""
        return resolve_all(self.given(), self.learnable, steps, overrides)
