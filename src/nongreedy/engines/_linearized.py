"""The training gradient at one point, ready to be differentiated once more."""

import functools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


def leaves_of(values: Mapping[str, Tensor], names: Iterable[str]) -> dict[str, Tensor]:
    """Those of the values that derivatives shall be taken by."""
    return {name: values[name].detach().clone().requires_grad_() for name in names}


def derivatives(
    output: Tensor, leaves: Iterable[Tensor], weight: Tensor | None = None, graph: bool = False
) -> Sequence[Tensor]:
    """Of a weighted output by each leaf: zeros where it does not depend on one."""
    leaves = list(leaves)
    if not leaves or not output.requires_grad:
        return [torch.zeros_like(leaf) for leaf in leaves]
    return torch.autograd.grad(
        output, leaves, weight, create_graph=graph, allow_unused=True, materialize_grads=True
    )


@dataclass(frozen=True)
class Linearized:
    r"""A batch's gradient :math:`g(\theta, h)`, with its graph.

    Attributes:
        loss: Training loss, shape (), with its graph.
        parameters: theta, a leaf of shape (P,).
        hypers: h by name: leaves, those of the task's hyperparameters that are differentiated.
        gradient: g, shape (P,), with its graph.
    """

    loss: Tensor
    parameters: Tensor
    hypers: Mapping[str, Tensor]
    gradient: Tensor

    def pull_back(self, vector: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        r"""Adjoints of the point: :math:`v^\top \partial_\theta g = H v` and :math:`v^\top \partial_h g`.

        Args:
            vector: Adjoint of the gradient, shape (P,).
        """
        leaves = self.parameters, *self.hypers.values()
        product, *rest = derivatives(self.gradient, leaves, vector)
        return product, dict(zip(self.hypers, rest, strict=True))

    def push(self, tangent: Tensor, moved: Mapping[str, Tensor]) -> Tensor:
        r"""Tangent of the gradient: :math:`\partial_\theta g\, z + \partial_h g\, e`, shape (P,).

        Both are derivatives of one scalar, :math:`\nabla_\theta
        (\langle \nabla_\theta L, z \rangle + \langle \nabla_h L, e \rangle)`.

        Args:
            tangent: z, shape (P,).
            moved: e by name, each in its hyperparameter's shape.
        """
        pairs = [(self.gradient, tangent), *((self._slopes[name], moved[name]) for name in moved)]
        pairs = [(output, direction) for output, direction in pairs if output.requires_grad]
        if not pairs:
            return torch.zeros_like(tangent)
        outputs, directions = zip(*pairs, strict=True)
        options = {"retain_graph": True, "allow_unused": True, "materialize_grads": True}
        return torch.autograd.grad(outputs, self.parameters, directions, **options)[0]

    @functools.cached_property
    def _slopes(self) -> dict[str, Tensor]:
        """Derivatives of the loss by the hyperparameters, with their graph: one for all tangents."""
        slopes = derivatives(self.loss, self.hypers.values(), graph=True)
        return dict(zip(self.hypers, slopes, strict=True))
