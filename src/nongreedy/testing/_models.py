"""Networks that are small enough to be differenced, and large enough to have everything in them."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from ..errors import nearest_name


def mlp() -> nn.Module:
    return nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 3))


def conv_net() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.SiLU(), nn.Dropout(0.3), nn.Flatten(), nn.Linear(8, 3)
    )  # fmt: skip


class GRU(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.recurrent, self.head = nn.GRU(2, 3, batch_first=True), nn.Linear(3, 3)

    def forward(self, sequence: Tensor) -> Tensor:
        return self.head(self.recurrent(sequence)[0][:, -1])


class Transformer(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        # Smooth, as finite differences must not step across a kink.
        self.layer = nn.TransformerEncoderLayer(4, 2, 5, 0.2, "gelu", batch_first=True)
        self.head = nn.Linear(4, 3)

    def forward(self, tokens: Tensor) -> Tensor:
        return self.head(self.layer(tokens).mean(1))


def dead_relu() -> nn.Module:
    net = nn.Sequential(hidden := nn.Linear(4, 5), nn.ReLU(), nn.Linear(5, 3))
    with torch.no_grad():
        hidden.bias[0] = -100.0  # this unit sees no positive input, in no batch
    return net


def batch_norm_1d() -> nn.Module:
    return nn.Sequential(nn.Linear(4, 5), nn.BatchNorm1d(5), nn.Tanh(), nn.Linear(5, 3))


class StopGradient(nn.Module):
    """Weights that are squashed straight through, and outputs weighted by their own confidence, which
    no gradient passes."""

    def __init__(self) -> None:
        super().__init__()
        self.hidden, self.head = nn.Linear(4, 5), nn.Linear(5, 3)

    def forward(self, inputs: Tensor) -> Tensor:
        weight = self.hidden.weight
        squashed = weight + (torch.tanh(3 * weight) - weight).detach()
        output = self.head(torch.tanh(nn.functional.linear(inputs, squashed, self.hidden.bias)))
        with torch.no_grad():
            confidence = output.softmax(1).square().sum(1, keepdim=True)
        return output * (1 + confidence)


# Name -> (model, shape of one input). The columns of the table.
MODELS: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    "mlp": (mlp, (4,)),
    "conv_net": (conv_net, (1, 4, 4)),
    "gru": (GRU, (3, 2)),
    "transformer": (Transformer, (2, 4)),
}

# The same, of more that went wrong somewhere once; not in the table unless they are asked for.
EDGE_MODELS: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    "dead_relu": (dead_relu, (4,)),
    "batch_norm_1d": (batch_norm_1d, (4,)),
    "stop_gradient": (StopGradient, (4,)),
}


def built(name: str) -> tuple[Callable[[], nn.Module], tuple[int, ...]]:
    """A model of either table, by name.

    Raises:
        ValueError: No model of this name.
    """
    models = {**MODELS, **EDGE_MODELS}
    if name not in models:
        raise ValueError(f"No model is called {name!r}." + nearest_name(name, models))
    return models[name]


def classes(count: int, shape: tuple[int, ...], seed: int) -> tuple[Tensor, Tensor]:
    """Noisy but learnable: the class, one of three, shifts every entry of its inputs."""
    generator = torch.Generator().manual_seed(seed)
    targets = torch.arange(count) % 3
    inputs = torch.randn(count, *shape, generator=generator, dtype=torch.float64)
    return inputs + targets.reshape(-1, *[1] * len(shape)) - 1, targets
