"""The training gradient at one point, ready to be differentiated once more."""

import functools
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ..task._double_backward import grad
from ..task._stop_gradient import Gate
from ._graph import coarsest


def leaves_of(values: Mapping[str, Tensor], names: Iterable[str]) -> dict[str, Tensor]:
    """Those of the values that derivatives shall be taken by."""
    return {name: values[name].detach().clone().requires_grad_() for name in names}


def derivatives(
    output: Tensor,
    leaves: Iterable[Tensor],
    weight: Tensor | None = None,
    graph: bool = False,
    keep: bool = False,
) -> Sequence[Tensor]:
    """Of a weighted output by each leaf: zeros where it does not depend on one.

    Args:
        graph: Whether they shall be differentiated in turn.
        keep: Whether the output will be differentiated again.
    """
    leaves = list(leaves)
    if not leaves or not output.requires_grad:
        return [torch.zeros_like(leaf) for leaf in leaves]
    return grad(
        output, leaves, weight, retain_graph=graph or keep, create_graph=graph, allow_unused=True,
        materialize_grads=True,
    )  # fmt: skip


@dataclass(frozen=True)
class Linearized:
    r"""A batch's gradient :math:`g(\theta, h)`, with its graph.

    Attributes:
        loss: Training loss, shape (), with its graph.
        parameters: theta, a leaf of shape (P,).
        hypers: h by name: leaves, those of the task's hyperparameters that are differentiated.
        gradient: g, shape (P,), with its graph.
        gate: What stopped values pass: open by now, so that g is differentiated as the function of
            theta and h that it is. Where it was used, the Jacobian of g is not symmetric.
        held: Calls a function while parts of the forward pass may be computed again.
    """

    loss: Tensor
    parameters: Tensor
    hypers: Mapping[str, Tensor]
    gradient: Tensor
    gate: Gate
    held: Callable[[Callable[[], Any]], Any]

    def pull_back(self, vector: Tensor, keep: bool = False) -> tuple[Tensor, dict[str, Tensor]]:
        r"""Adjoints of the point: :math:`v^\top \partial_\theta g = H v` and :math:`v^\top \partial_h g`.

        Args:
            vector: Adjoint of the gradient, shape (P,).
            keep: As in :func:`derivatives`.
        """
        return self._pulled(vector, keep=keep)

    def _pulled(
        self, vector: Tensor, graph: bool = False, keep: bool = False
    ) -> tuple[Tensor, dict[str, Tensor]]:
        leaves = self.parameters, *self.hypers.values()
        product, *rest = self.held(lambda: derivatives(self.gradient, leaves, vector, graph, keep))
        return product, dict(zip(self.hypers, rest, strict=True))

    def push(self, tangent: Tensor, moved: Mapping[str, Tensor]) -> Tensor:
        r"""Tangent of the gradient: :math:`\partial_\theta g\, z + \partial_h g\, e`, shape (P,).

        Both are derivatives of one scalar, :math:`\nabla_\theta
        (\langle \nabla_\theta L, z \rangle + \langle \nabla_h L, e \rangle)`, because second derivatives
        commute. Behind stop-gradients they do not: there :math:`v^\top \partial g`, which is linear in v,
        is differentiated by v.

        Args:
            tangent: z, shape (P,).
            moved: e by name, each in its hyperparameter's shape.
        """
        if self.gate.used:
            by, (product, rest) = self._transposed
            pairs = [(product, tangent), *((rest[name], moved[name]) for name in moved)]
        else:
            by = self.parameters
            pairs = [(self.gradient, tangent), *((self._slopes[n], moved[n]) for n in moved)]
        pairs = [(output, direction) for output, direction in pairs if output.requires_grad]
        if not pairs:
            return torch.zeros_like(tangent)
        outputs, directions = zip(*pairs, strict=True)
        options = {"retain_graph": True, "allow_unused": True, "materialize_grads": True}
        return self.held(lambda: grad(outputs, by, directions, **options)[0])

    def push_all(self, tangents: Tensor, moved: Mapping[str, Tensor]) -> Tensor:
        """The same for rows of tangents, shape (K, P); each of `moved` has K rows, too."""
        rows = ({name: moved[name][k] for name in self.hypers} for k in range(len(tangents)))
        return torch.stack([self.push(z, row) for z, row in zip(tangents, rows, strict=True)])

    @property
    def coarse(self) -> float:
        """Epsilon of the least precise numbers that it was computed with."""
        return coarsest(self.loss)

    @functools.cached_property
    def _transposed(self) -> tuple[Tensor, tuple[Tensor, dict[str, Tensor]]]:
        """v, a leaf, and the adjoints for it with their graph: one for all tangents."""
        vector = torch.zeros_like(self.gradient).requires_grad_()
        return vector, self._pulled(vector, graph=True)

    @functools.cached_property
    def _slopes(self) -> dict[str, Tensor]:
        """Derivatives of the loss by the hyperparameters, with their graph: one for all tangents."""
        slopes = self.held(lambda: derivatives(self.loss, self.hypers.values(), graph=True))
        return dict(zip(self.hypers, slopes, strict=True))
