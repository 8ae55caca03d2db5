"""MNIST's ten thousand t10k images, the data of the small studies."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from nongreedy.data._idx import read_idx

FOLDER = Path("../shared/data/mnist")


def read(folder: Path) -> tuple[Tensor, Tensor]:
    """All images, shape (10000, 1, 28, 28), values 0 to 1, and their labels."""
    images = read_idx(folder / "t10k-images-idx3-ubyte.gz").float()[:, None] / 255
    return images, read_idx(folder / "t10k-labels-idx1-ubyte.gz").long()


def shuffled(labels: Tensor, seed: int) -> Tensor:
    """The numbers of all images in a random order."""
    return torch.randperm(len(labels), generator=torch.Generator().manual_seed(seed))


def mean_and_deviation(values: Sequence[float], scale: float = 1.0, digits: int = 1) -> str:
    """Over seeds, for a table."""
    found = scale * torch.tensor(values, dtype=torch.float64)
    return f"{found.mean():.{digits}f} ± {found.std():.{digits}f}"
