"""Two studies of the EvoGrad specification in small, on MNIST's test split: rotation and label noise."""

import functools
import math

import torch
from torch import nn
from torch.nn import functional

import nongreedy as ng
from nongreedy.data._idx import read_idx

from .data_files import shared

PIXELS = 14 * 14


@functools.cache
def digits():
    """All 10,000 images, 14 x 14, values 0 to 1, and their labels."""
    folder = shared("mnist")
    images = read_idx(folder / "t10k-images-idx3-ubyte.gz").float()[:, None] / 255
    return functional.avg_pool2d(images, 2), read_idx(folder / "t10k-labels-idx1-ubyte.gz").long()


def part(low, high, seed):
    """Some images of a shuffle by this seed."""
    images, labels = digits()
    order = torch.randperm(len(labels), generator=torch.Generator().manual_seed(seed))[low:high]
    return images[order], labels[order]


def accuracy(make, parameters, images, labels):
    module = make()
    module.load_state_dict(parameters)
    with torch.no_grad():
        return (module(images).argmax(1) == labels).float().mean().item()


def network(hidden):
    return nn.Sequential(nn.Flatten(), nn.Linear(PIXELS, hidden), nn.ReLU(), nn.Linear(hidden, 10))


def trained(task, optimizer, steps, seed):
    """Parameters after a plain run at the initial values."""
    run = ng.Run(task, optimizer, steps, seed)
    table = {**optimizer.hyperparameters(), **task.hyperparameters()}
    return run.module.unflatten(ng.Reverse().rollout(run, ng.Schedule.initial(table)).final[0])


# ---- X2: one angle -------------------------------------------------------------------------------


def rotated(images, angle):
    """Images turned by an angle in radians, differentiably."""
    cos, sin, zero = angle.cos(), angle.sin(), torch.zeros_like(angle)
    matrix = torch.stack([torch.stack([cos, -sin, zero]), torch.stack([sin, cos, zero])])
    grid = functional.affine_grid(
        matrix.expand(len(images), 2, 3), images.shape, align_corners=False
    )
    return functional.grid_sample(images, grid, align_corners=False)


def rotation(seed, engine, steps=300):
    """(mean angle of the last two thirds in degrees, accuracy on rotated test images).

    Without an engine nothing is learned and the training images stay upright.
    """
    thirty = torch.tensor(math.radians(30))
    inputs, targets = part(2500, 3000, seed)
    make, angle = (
        functools.partial(network, 64),
        0.0 if engine is None else ng.Constant(initial=0.0),
    )
    task = ng.Task(
        make, functional.cross_entropy, part(0, 2500, seed), (rotated(inputs, thirty), targets),
        batch_size=100, hyperparameters={"angle": angle},
        prepare=lambda x, y, hypers: (rotated(x, hypers["angle"]), y),
    )  # fmt: skip
    optimizer, path = ng.Adam(learning_rate=3e-3), torch.zeros(steps)
    if engine is None:
        parameters = trained(task, optimizer, steps, seed)
    else:
        result = ng.train_online(
            task, optimizer, steps=steps, engine=engine, seed=seed,
            outer_optimizer=torch.optim.Adam, outer_learning_rate=0.01,
        )  # fmt: skip
        parameters, path = result.parameters, result.schedule["angle"]
    images, labels = part(3000, 5000, seed)
    angle = math.degrees(path[steps // 3 :].mean().item())
    return angle, accuracy(make, parameters, rotated(images, thirty), labels)


# ---- X4: weights of examples by a small network ----------------------------------------------------

HIDDEN = 100


def weighing(seed):
    """First values of V-Net 1-100-1, drawn as ``nn.Linear`` draws its own."""
    source = torch.Generator().manual_seed(seed)

    def uniform(bound, *shape):
        return ng.Variable(initial=bound * (2 * torch.rand(*shape, generator=source) - 1))

    return {
        "first": uniform(1.0, HIDDEN),
        "first_bias": uniform(1.0, HIDDEN),
        "second": uniform(HIDDEN**-0.5, HIDDEN),
        "second_bias": uniform(HIDDEN**-0.5, 1),
    }


def reweighted(output, target, hypers):
    losses = functional.cross_entropy(output, target, reduction="none")
    hidden = (losses.detach()[:, None] * hypers["first"] + hypers["first_bias"]).relu()
    weights = (hidden @ hypers["second"] + hypers["second_bias"]).sigmoid()
    return (weights * losses).sum() / weights.sum()


def flipped(labels, share, seed):
    """This share of the labels moved to one other class."""
    source = torch.Generator().manual_seed(seed)
    wrong = torch.rand(len(labels), generator=source) < share
    return torch.where(wrong, (labels + 1) % 10, labels)


def label_noise(seed, weighed=True, **changed):
    """(task, test images and labels): 2,000 images, 40 % flipped, and 200 clean ones to judge by."""
    images, labels = part(0, 2000, seed)
    loss = {"loss": reweighted, "hyperparameters": weighing(seed)} if weighed else {}
    settings = {"loss": functional.cross_entropy, **loss, **changed}
    return ng.Task(
        functools.partial(network, 100), train=(images, flipped(labels, 0.4, seed)),
        validation=part(2000, 2200, seed), batch_size=100,
        validation_loss=functional.cross_entropy, **settings,
    ), part(2200, 5200, seed)  # fmt: skip
