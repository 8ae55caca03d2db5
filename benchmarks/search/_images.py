"""Tasks on images: digits, MNIST, CIFAR-10; with noisy labels; from pretrained weights."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional

import nongreedy as ng
from nongreedy.data import Augmentation
from nongreedy.models import WideBlock
from nongreedy.models._build import MeanOverPixels

from ._data import Data, Examples, Split
from ._entry import ADAMW, Entry

NOISE = 0.4  # of the labels, drawn anew; of these a tenth by chance as they were
KNOWN = 5  # classes that the pretrained network has seen, the first; it is tuned on the others
PRETRAINING = 400  # steps


def classified(
    model: Callable[[], nn.Module],
    split: Split,
    batch_size: int,
    augment: Augmentation | None = None,
) -> ng.Task:
    """A task of images and classes."""
    return ng.Task(
        model,
        functional.cross_entropy,
        split.train,
        split.validation,
        split.test,
        batch_size=batch_size,
        augment=augment,
    )


def plain() -> nn.Module:
    """Three strided convolutions without BatchNorm, the mean over pixels, linear."""
    return nn.Sequential(
        *(nn.Conv2d(3, 16, 3, stride=2, padding=1), nn.ReLU()),
        *(nn.Conv2d(16, 32, 3, stride=2, padding=1), nn.ReLU()),
        *(nn.Conv2d(32, 32, 3, padding=1), nn.ReLU()),
        *(nn.Flatten(), nn.Linear(512, 10)),
    )


def residual() -> nn.Module:
    """A strided convolution, two residual blocks that halve the image, BatchNorm, linear."""
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, stride=2, padding=1, bias=False),
        WideBlock(8, 16, 2, 0.0),
        WideBlock(16, 32, 2, 0.0),
        *(nn.BatchNorm2d(32), nn.ReLU(), MeanOverPixels(), nn.Linear(32, 10)),
    )


def digits(data: Data) -> ng.Task:
    return classified(partial(ng.models.mlp, 64, 10, 64), data.digits, 32)


def mnist_mlp(data: Data) -> ng.Task:
    return classified(partial(ng.models.mlp, 784, 10, 64), data.mnist, 32)


def mnist_lenet(data: Data) -> ng.Task:
    return classified(ng.models.build("lenet", (1, 28, 28), 10), data.mnist, 32)


def cifar_plain(data: Data) -> ng.Task:
    return classified(plain, data.cifar.shortened(train=2000), 32)


def cifar_norm(data: Data) -> ng.Task:
    network = partial(ng.models.convnet, (3, 16, 16), 10, 12)
    return classified(network, data.cifar.shortened(train=2000), 32)


def cifar_residual(data: Data) -> ng.Task:
    moved = ng.data.Compose(ng.data.RandomCrop(padding=2), ng.data.HorizontalFlip())
    return classified(residual, data.cifar.shortened(train=2000), 32, moved)


def noisy(data: Data) -> ng.Task:
    """Redrawn are labels to train on; those that choose and judge are right."""
    split = data.mnist
    train = split.train[0], redrawn(split.train[1], data.index)
    split = Split(train, split.validation, split.test)
    return classified(partial(ng.models.mlp, 784, 10, 64), split, 32)


def redrawn(labels: Tensor, seed: int) -> Tensor:
    """A share of the labels at random."""
    source = torch.Generator().manual_seed(seed)
    which = torch.rand(len(labels), generator=source) < NOISE
    return torch.where(which, torch.randint(0, 10, labels.shape, generator=source), labels)


def finetuned(data: Data) -> ng.Task:
    """A network that knows the first classes of CIFAR-10, tuned on a few images of the others."""
    weights = data.kept(f"pretrained-{data.part}-{PRETRAINING}.pt", lambda: pretrained(data))
    split = data.cifar.shortened(train=1200)
    parts = (split.train, split.validation, split.test)
    return classified(partial(started, weights), Split(*map(unknown, parts)), 32)


def body() -> nn.Sequential:
    """What is pretrained: 48 features of an image."""
    return ng.models.convnet((3, 16, 16), KNOWN, 12)


def started(weights: dict[str, Tensor]) -> nn.Module:
    """The pretrained network with a fresh last layer."""
    network = body()
    network.load_state_dict(weights)
    network[-1] = nn.Linear(48, 10 - KNOWN)
    return network


def pretrained(data: Data) -> dict[str, Tensor]:
    """Trained on images of this part that no task of the suite trains on."""
    images, labels = (tensor[2000:] for tensor in data.cifar.train)
    known = labels < KNOWN
    train = images[known], labels[known]
    task = ng.Task(
        body, functional.cross_entropy, train, 0.1, batch_size=64,
        augment=ng.data.HorizontalFlip(), verify=False,
    )  # fmt: skip
    return ng.retrain(task, ng.cosine_schedule(0.1), steps=PRETRAINING).model.state_dict()


def unknown(examples: Examples) -> Examples:
    """Those of the classes that the pretrained network has not seen, counted from 0."""
    images, labels = examples
    new = labels >= KNOWN
    return images[new], labels[new] - KNOWN


ENTRIES = {
    "digits": Entry("scikit-learn's digits, 400 images, perceptron", digits, 150),
    "mnist-mlp": Entry("MNIST, 2,000 images, perceptron", mnist_mlp, 200),
    "mnist-lenet": Entry("MNIST, 2,000 images, LeNet", mnist_lenet, 100),
    "cifar-plain": Entry("CIFAR-10, 2,000 images, convolutions without BatchNorm", cifar_plain, 200),
    "cifar-norm": Entry("CIFAR-10, 2,000 images, convolutions with BatchNorm", cifar_norm, 160),
    "cifar-residual": Entry(
        "CIFAR-10, 2,000 images, flipped and shifted, residual net with BatchNorm", cifar_residual, 110
    ),
    "noisy-labels": Entry("MNIST, 2,000 images, 40 % of labels redrawn, perceptron", noisy, 200),
    "fine-tuning": Entry(
        "CIFAR-10, 600 images of 5 classes, network pretrained on 5 others, AdamW", finetuned, 80,
        ADAMW,
    ),
}  # fmt: skip
