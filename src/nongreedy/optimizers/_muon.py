"""Muon: orthogonalized momentum for matrices, AdamW for everything else."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, final

import torch
from torch import Tensor

from ..errors import check_whole
from ..schedules import Basis, Default, Windows
from ._adaptive import BETA1, DECAY, EPSILON, safe_sqrt
from ._optimizer import Layout, Optimizer, Values
from ._plain import PlainOptimizer

# Quintic iteration of the published implementation: steep at zero, values end near one.
_QUINTIC = (3.4445, -4.7750, 2.0315)
_TINY = 1e-7


def orthogonalized(matrix: Tensor, iterations: int) -> Tensor:
    r"""Newton-Schulz: the singular vectors of a matrix with singular values near one.

    .. math:: X_0 = M / (\|M\|_F + 10^{-7}), \qquad
              X_{k+1} = a X_k + (b A + c A^2) X_k, \quad A = X_k X_k^\top

    A matrix of more than two dimensions is flattened after the first. In the matrix's own
    precision; zero stays zero, with a finite derivative.
    """
    flat = matrix.reshape(len(matrix), -1)
    wide = flat.T if flat.shape[0] > flat.shape[1] else flat
    x, (a, b, c) = wide / (safe_sqrt(wide.square().sum()) + _TINY), _QUINTIC
    for _ in range(iterations):
        gram = x @ x.T
        x = a * x + (b * gram + c * gram @ gram) @ x
    return (x.T if flat.shape[0] > flat.shape[1] else x).reshape(matrix.shape)


def stretch(shape: Sequence[int]) -> float:
    """Factor on a matrix' learning rate: the root of rows by columns, at least one."""
    columns = torch.Size(shape[1:]).numel()
    return max(1.0, shape[0] / columns) ** 0.5


@final
@dataclass(frozen=True)
class Muon(Optimizer):
    r"""Muon for parameters of two or more dimensions, AdamW for the others.

    .. math:: m_t &= \mu_t m_{t-1} + (1 - \mu_t) g_t, \qquad
              u_t = \mu_t m_t + (1 - \mu_t) g_t \\
              \theta_t &= (1 - \alpha_t \xi_t) \theta_{t-1}
              - \alpha_t \sqrt{\max(1, \mathrm{rows} / \mathrm{columns})} \,
              \mathrm{orthogonalized}(u_t)

    Args:
        learning_rate: alpha of the matrices, a basis (learned) or a number (fixed).
        momentum: mu in [0, 1), likewise.
        adam_learning_rate: alpha of the other parameters, likewise.
        beta1, beta2, epsilon: Of the other parameters, as in :class:`AdamW`.
        weight_decay: xi >= 0, of all parameters, decoupled.
        iterations: Of Newton-Schulz.
        nesterov: Orthogonalize u; otherwise m.
        clip_value, clip_norm: Bounds of the gradient's coordinates and of its norm.

    Raises:
        ValueError: A clipping bound that is not positive, a hyperparameter that cannot be, or less
            than one iteration.

    Source: Jordan et al., "Muon: an optimizer for hidden layers in neural networks", 2024.

    .. code-block:: bibtex

        @misc{jordan2024muon,
          author    = {Jordan, Keller and Jin, Yuchen and Boza, Vlado and You, Jiacheng and Cesista, Franz
                       and Newhouse, Laker and Bernstein, Jeremy},
          title     = {{Muon}: An Optimizer for Hidden Layers in Neural Networks},
          year      = {2024},
          url       = {https://kellerjordan.github.io/posts/muon/}
        }

    And AdamW's, :cite:`loshchilov2019decoupled`.

    Cannot: leave embeddings or the last layer to AdamW, as is usual for language models; run the
    iteration in bfloat16, as ``torch.optim.Muon`` does.

    Example:
        >>> Muon(momentum=0.9).iterations
        5
    """

    learning_rate: Basis | float = field(default_factory=Windows)
    momentum: Basis | float = 0.95
    adam_learning_rate: Basis | float = 3e-4
    beta1: Basis | float = 0.9
    beta2: Basis | float = 0.95
    epsilon: Basis | float = 1e-8
    weight_decay: Basis | float = 0.0
    iterations: int = 5
    nesterov: bool = True
    layout: Layout = field(default=(), repr=False, compare=False)
    is_matrix: Tensor = field(default_factory=lambda: torch.zeros(0), repr=False, compare=False)

    slots: ClassVar[int] = 3
    learnable: ClassVar[Mapping[str, Default]] = {
        "learning_rate": Default(1e-3, (1e-8, 10.0), "log", 1.0),
        "momentum": Default(0.95, (0.0, 0.999), "log1m", 0.5),
        "adam_learning_rate": Default(3e-4, (1e-8, 10.0), "log", 1.0),
        "beta1": BETA1,
        "beta2": Default(0.95, (0.0, 0.99999), "log1m", 0.5),
        "epsilon": EPSILON,
        "weight_decay": DECAY,
    }

    def __post_init__(self) -> None:
        check_whole("iterations", self.iterations)
        super().__post_init__()

    def bound_to(self, layout: Layout, device: torch.device) -> Muon:
        """Knowing which stretches of the flat vector are matrices."""
        sizes = [torch.Size(shape).numel() for _, shape in layout]
        kinds = torch.tensor([len(shape) > 1 for _, shape in layout])
        is_matrix = kinds.repeat_interleave(torch.tensor(sizes)).to(device)
        return replace(self, layout=layout, is_matrix=is_matrix)

    def update(self, state: Tensor, gradient: Tensor, values: Values) -> Tensor:
        """(theta, m, v) -> (theta', m', v'), shape (3, P)."""
        parameters, mean, square = state.unbind(0)
        gradient, step, beta2 = self.clip(gradient), values["step"], values["beta2"]
        sizes = [torch.Size(shape).numel() for _, shape in self.layout]
        beta = torch.where(self.is_matrix, values["momentum"], values["beta1"])
        mean = beta * mean + (1 - beta) * gradient
        square = beta2 * square + (1 - beta2) * gradient.square()
        ahead = beta * mean + (1 - beta) * gradient if self.nesterov else mean
        turned = torch.cat(
            [
                (stretch(shape) * orthogonalized(part.view(shape), self.iterations)).reshape(-1)
                if len(shape) > 1
                else torch.zeros_like(part)
                for part, (_, shape) in zip(ahead.split(sizes), self.layout, strict=True)
            ]
        )
        size = safe_sqrt(square) / (1 - beta2**step).sqrt() + values["epsilon"]
        scaled = mean / (1 - values["beta1"] ** step) / size
        rate = torch.where(self.is_matrix, values["learning_rate"], values["adam_learning_rate"])
        direction = torch.where(self.is_matrix, turned, scaled)
        shrunk = parameters * (1 - rate * values["weight_decay"])
        return torch.stack([shrunk - rate * direction, mean, square])

    def torch_optimizer(self, parameters: Any) -> torch.optim.Optimizer:
        """:class:`TorchMuon`; attach a schedule before its first step."""
        return TorchMuon(parameters, iterations=self.iterations, nesterov=self.nesterov)


class TorchMuon(PlainOptimizer):
    """Muon with AdamW for an ordinary training loop, in the parameters' own precision.

    Matrices and other parameters become two groups; the latter's learning rate is ``adam_lr``.

    Args:
        params: Parameters.
        lr, momentum, weight_decay, iterations, nesterov: As in :class:`Muon`.
        adam_lr, betas, eps: Of parameters that are not matrices.

    Source: that of :class:`Muon` (:cite:`jordan2024muon`, :cite:`loshchilov2019decoupled`).

    Example:
        >>> import torch
        >>> layer = torch.nn.Linear(2, 1)
        >>> len(TorchMuon(layer.parameters(), lr=0.02).param_groups)
        2
    """

    def __init__(
        self,
        params: Any,
        lr: float = 1e-3,
        momentum: float = 0.95,
        adam_lr: float = 3e-4,
        betas: tuple[float, float] = (0.9, 0.95),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        iterations: int = 5,
        nesterov: bool = True,
    ):
        params = list(params)
        self.iterations, self.nesterov = iterations, nesterov
        shared = {"lr": lr, "weight_decay": weight_decay}
        matrices = {"params": [p for p in params if p.dim() > 1], "momentum": momentum}
        others = {"params": [p for p in params if p.dim() < 2], "adam_lr": adam_lr}
        # One of them may be empty: a schedule's momentum is that of the matrices, and of nothing else.
        super().__init__([matrices, {**others, "betas": betas, "eps": eps}], shared)

    def move(self, parameter: Tensor, gradient: Tensor, group: dict[str, Any]) -> None:
        """By Muon in the matrices' group, by AdamW in the other."""
        move = self._matrix if "momentum" in group else self._other
        move(parameter, gradient, group)

    def _matrix(self, parameter: Tensor, gradient: Tensor, group: Mapping[str, Any]) -> None:
        mean = self.state[parameter].setdefault("mean", torch.zeros_like(parameter))
        mean.lerp_(gradient, 1 - group["momentum"])
        ahead = torch.lerp(gradient, mean, group["momentum"]) if self.nesterov else mean
        parameter.mul_(1 - group["lr"] * group["weight_decay"])
        turned = orthogonalized(ahead, self.iterations)
        parameter.add_(turned, alpha=-group["lr"] * stretch(parameter.shape))

    def _other(self, parameter: Tensor, gradient: Tensor, group: Mapping[str, Any]) -> None:
        state, (beta1, beta2), rate = self.state[parameter], group["betas"], group["adam_lr"]
        state["step"] = state.get("step", 0) + 1
        mean = state.setdefault("mean", torch.zeros_like(parameter))
        square = state.setdefault("square", torch.zeros_like(parameter))
        mean.lerp_(gradient, 1 - beta1)
        square.lerp_(gradient.square(), 1 - beta2)
        parameter.mul_(1 - rate * group["weight_decay"])
        size = square.sqrt() / (1 - beta2 ** state["step"]) ** 0.5 + group["eps"]
        parameter.addcdiv_(mean, size, value=-rate / (1 - beta1 ** state["step"]))
