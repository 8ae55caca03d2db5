"""Every loss of ``torch.nn``, with what a network's output and a target are to it."""

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional


class Loss(NamedTuple):
    """A loss module; `outputs` of the network that it takes, the targets of n examples, and a call."""

    make: Callable[[], nn.Module]
    outputs: int
    targets: Callable[[int, torch.Generator], Tensor]
    call: Callable[[nn.Module, Tensor, Tensor], Tensor] = lambda loss, output, target: loss(
        output, target
    )


def _real(width: int) -> Any:
    return lambda n, draw: torch.randn(n, width, generator=draw, dtype=torch.float64)


def _share(width: int) -> Any:
    return lambda n, draw: torch.rand(n, width, generator=draw, dtype=torch.float64)


def _sign(width: int) -> Any:
    return lambda n, draw: torch.randint(2, (n, width), generator=draw).double() * 2 - 1


def _class(count: int) -> Any:
    return lambda n, draw: torch.randint(count, (n,), generator=draw)


def _count(n: int, draw: torch.Generator) -> Tensor:
    return torch.randint(4, (n, 3), generator=draw).double()


def _chances(n: int, draw: torch.Generator) -> Tensor:
    return _real(3)(n, draw).softmax(1)


def _labels(n: int, draw: torch.Generator) -> Tensor:
    """One or two right classes of four each, the list ended by -1."""
    return torch.tensor([[0, 2, -1, -1], [3, -1, -1, -1]])[torch.randint(2, (n,), generator=draw)]


def _halves(loss: nn.Module, output: Tensor, target: Tensor) -> Tensor:
    return loss(output[:, :3], output[:, 3:], target)


def _pairs(loss: nn.Module, output: Tensor, target: Tensor) -> Tensor:
    return loss(output[:, :3], output[:, 3:], target[:, 0])


def _thirds(loss: nn.Module, output: Tensor, target: Tensor) -> Tensor:
    """Which of two is the like one is a matter of the example: no constant is right for all."""
    anchor, one, other = output.chunk(3, 1)
    swap = target[:, None] == 1
    return loss(anchor, torch.where(swap, one, other), torch.where(swap, other, one))


def _alignment(loss: nn.Module, output: Tensor, target: Tensor) -> Tensor:
    """Two words in four frames of three symbols."""
    frames = output.view(-1, 4, 3).log_softmax(2).transpose(0, 1)
    lengths = torch.full((len(output),), 4), torch.full((len(output),), 2)
    return loss(frames, target, *lengths)


def _with_variance(loss: nn.Module, output: Tensor, target: Tensor) -> Tensor:
    return loss(output[:, :3], target, functional.softplus(output[:, 3:]))


def _log_chances(loss: nn.Module, output: Tensor, target: Tensor) -> Tensor:
    return loss(output.log_softmax(1), target)


def _distance(a: Tensor, b: Tensor) -> Tensor:
    return (a - b).square().sum(1)


WEIGHTS = (0.5, 1.0, 2.0)

LOSSES: dict[str, Loss] = {
    "BCELoss": Loss(nn.BCELoss, 3, _share(3), lambda loss, out, y: loss(out.sigmoid(), y)),
    "BCEWithLogitsLoss": Loss(lambda: nn.BCEWithLogitsLoss(pos_weight=torch.tensor(WEIGHTS)), 3, _share(3)),
    "CTCLoss": Loss(nn.CTCLoss, 12, lambda n, draw: torch.randint(1, 3, (n, 2), generator=draw), _alignment),
    "CosineEmbeddingLoss": Loss(lambda: nn.CosineEmbeddingLoss(margin=0.1), 6, _sign(1), _pairs),
    "CrossEntropyLoss": Loss(nn.CrossEntropyLoss, 3, _class(3)),
    "CrossEntropyLoss weights": Loss(
        lambda: nn.CrossEntropyLoss(torch.tensor(WEIGHTS), ignore_index=2, label_smoothing=0.1), 3, _class(3)
    ),
    "CrossEntropyLoss chances": Loss(nn.CrossEntropyLoss, 3, _chances),
    "GaussianNLLLoss": Loss(nn.GaussianNLLLoss, 6, _real(3), _with_variance),
    "HingeEmbeddingLoss": Loss(nn.HingeEmbeddingLoss, 3, _sign(3)),
    "HuberLoss": Loss(lambda: nn.HuberLoss(delta=0.7), 3, _real(3)),
    "KLDivLoss": Loss(lambda: nn.KLDivLoss(reduction="batchmean"), 3, _chances, _log_chances),
    "L1Loss": Loss(nn.L1Loss, 3, _real(3)),
    "LinearCrossEntropyLoss": Loss(lambda: nn.LinearCrossEntropyLoss(4, 3), 4, _class(3)),
    "MSELoss": Loss(nn.MSELoss, 3, _real(3)),
    "MSELoss sum": Loss(
        lambda: nn.MSELoss(reduction="sum"), 3, _real(3), lambda loss, out, y: loss(0.3 * out, 0.3 * y)
    ),
    "MarginRankingLoss": Loss(lambda: nn.MarginRankingLoss(0.3), 6, _sign(3), _halves),
    "MultiLabelMarginLoss": Loss(nn.MultiLabelMarginLoss, 4, _labels),
    "MultiLabelSoftMarginLoss": Loss(nn.MultiLabelSoftMarginLoss, 3, _share(3)),
    "MultiMarginLoss": Loss(nn.MultiMarginLoss, 3, _class(3)),
    "NLLLoss": Loss(nn.NLLLoss, 3, _class(3), _log_chances),
    "PoissonNLLLoss": Loss(nn.PoissonNLLLoss, 3, _count),
    "SmoothL1Loss": Loss(nn.SmoothL1Loss, 3, _real(3)),
    "SoftMarginLoss": Loss(nn.SoftMarginLoss, 3, _sign(3)),
    "TripletMarginLoss": Loss(nn.TripletMarginLoss, 6, _class(2), _thirds),
    "TripletMarginWithDistanceLoss": Loss(
        lambda: nn.TripletMarginWithDistanceLoss(distance_function=_distance), 6, _class(2), _thirds
    ),
}  # fmt: skip


class Judged(nn.Module):
    """One of them as a loss function of a task."""

    def __init__(self, name: str):
        super().__init__()
        self.name, self.loss = name, LOSSES[name].make()

    def forward(self, output: Tensor, target: Tensor) -> Tensor:
        return LOSSES[self.name].call(self.loss, output, target)
