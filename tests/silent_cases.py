"""Models and losses that once gave a wrong number without a word: what is in them, not how they end."""

import random
from typing import ClassVar

import numpy
import torch
from torch import nn
from torch.nn import functional
from torch.nn.utils.parametrizations import spectral_norm, weight_norm
from torch.utils.checkpoint import checkpoint

import nongreedy as ng

HIDDEN = 5


def data():
    """Two classes that no linear layer tells apart: 24 examples to train on and 20 to judge by."""
    draw = torch.Generator().manual_seed(0)
    inputs = torch.randn(44, 6, generator=draw, dtype=torch.float64)
    targets = (inputs[:, 0] * inputs[:, 1] > 0).long()
    return (inputs[:24], targets[:24]), (inputs[24:], targets[24:])


def task(model=None, loss=functional.cross_entropy, **changed):
    """A network of two layers on them; judged by the plain cross-entropy."""
    train, validation = data()
    settings = {"batch_size": 12, "validation_loss": functional.cross_entropy, **changed}
    return ng.Task(model or TwoLayers, loss, train, validation, **settings)


class TwoLayers(nn.Module):
    """What happens between the layers is up to the subclass."""

    def __init__(self):
        super().__init__()
        self.first, self.middle = nn.Linear(6, HIDDEN), nn.Linear(HIDDEN, HIDDEN)
        self.last = nn.Linear(HIDDEN, 2)

    def forward(self, x):
        return self.last(self.between(torch.tanh(self.first(x))))

    def between(self, h):
        return torch.tanh(self.middle(h))


# ---- F1: a training gradient that is not the gradient of the loss -------------------------------


def focal(output, target):
    """Weights of examples that are not differentiated (detach)."""
    each = functional.cross_entropy(output, target, reduction="none")
    return ((1 - (-each).exp().detach()) ** 2 * each).mean()


def bootstrapped(output, target):
    """Labels that are half the network's own (no_grad)."""
    with torch.no_grad():
        own = output.softmax(1)
    given = functional.one_hot(target, 2).to(output.dtype)
    return functional.cross_entropy(output, 0.5 * given + 0.5 * own)


class Staircase(TwoLayers):
    """Straight through a step that is a little smooth, so that its value has a derivative."""

    def between(self, h):
        steps = h + torch.sin(6 * h) / 6
        return torch.tanh(self.middle(h + (steps - h).detach()))


class Identity(torch.autograd.Function):
    """A straight-through estimator of one's own: the sine, as if it were the identity."""

    @staticmethod
    def forward(ctx, x):
        return torch.sin(3 * x)

    @staticmethod
    def backward(ctx, grad):
        return grad


class GradientReversal(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return x.view_as(x)

    @staticmethod
    def backward(ctx, grad):
        return -0.5 * grad


class StraightThrough(TwoLayers):
    def between(self, h):
        return torch.tanh(self.middle(Identity.apply(h)))


class Reversed(TwoLayers):
    def between(self, h):
        return torch.tanh(self.middle(GradientReversal.apply(h)))


class Hooked(TwoLayers):
    """A hook of a tensor scales its gradient."""

    def between(self, h):
        h = h * 1.0
        if h.requires_grad:
            h.register_hook(lambda grad: 0.5 * grad)
        return torch.tanh(self.middle(h))


class HookedLayer(TwoLayers):
    """A hook of a module does."""

    def __init__(self):
        super().__init__()
        self.middle.register_full_backward_hook(lambda layer, into, out: (0.5 * into[0],))


class HookedWeight(TwoLayers):
    """A hook of a parameter does: it would be left out where other tensors stand in for parameters."""

    def __init__(self):
        super().__init__()
        self.middle.weight.register_hook(lambda grad: 0.5 * grad)


class ByFrequency(nn.Module):
    """An embedding whose gradient is divided by how often a word occurs in the batch."""

    settings: ClassVar = {"scale_grad_by_freq": True}

    def __init__(self):
        super().__init__()
        self.words = nn.Embedding(4, 3, **self.settings)
        self.last = nn.Linear(18, 2)

    def forward(self, x):
        return self.last(torch.tanh(self.words((x > 0).long() + (x > 1).long())).flatten(1))


class PaddedWords(ByFrequency):
    """A word whose vector is used and has no gradient, only decay. PyTorch's starts at zero, and stays."""

    settings: ClassVar = {"padding_idx": 1}


class PretrainedWords(PaddedWords):
    """The same where it does not start at zero."""

    def __init__(self):
        super().__init__()
        with torch.no_grad():
            self.words.weight.normal_()


# ---- F2: work that is done when the forward pass is over ----------------------------------------


class Checkpointed(TwoLayers):
    reentrant = False

    def between(self, h):
        return checkpoint(super().between, h, use_reentrant=self.reentrant)


class Reentrant(Checkpointed):
    reentrant = True


# ---- F4, F22: state that is neither a parameter nor a buffer ------------------------------------


class Annealed(TwoLayers):
    """A temperature that falls at every training step, as in Gumbel softmax."""

    temperature = 3.0

    def between(self, h):
        if self.training:
            self.temperature = max(0.3, self.temperature * 0.9)
        return super().between(h / self.temperature)


class Teacher(TwoLayers):
    """A frozen layer that follows another one, a little at every pass."""

    def __init__(self):
        super().__init__()
        self.teacher = nn.Linear(HIDDEN, HIDDEN).requires_grad_(False)

    def between(self, h):
        if self.training:
            with torch.no_grad():
                self.teacher.weight.lerp_(self.middle.weight, 0.2)
        return torch.tanh(self.middle(h) + self.teacher(h))


class Late(TwoLayers):
    """A buffer that moves where a batch has some row, such as after a warm-up."""

    def __init__(self, row):
        super().__init__()
        self.row = row
        self.register_buffer("mean", torch.zeros(6, dtype=torch.float64))

    def forward(self, x):
        if self.training and (x == self.row).all(1).any():
            self.mean.copy_(x.mean(0))
        return super().forward(x - self.mean)


def late():
    """By a row that no step has which verification looks at."""
    inputs, _ = task(batch_size=4).plan.batch(0, 4, torch.device("cpu"), torch.float64)
    return task(lambda: Late(inputs[0]), batch_size=4)


class Folded(TwoLayers):
    """Weights that are folded together where evaluation begins, and kept until training goes on."""

    folded = None

    def train(self, mode=True):
        self.folded = None
        return super().train(mode)

    def between(self, h):
        if self.training:
            return torch.tanh(self.middle(2 * h))
        if self.folded is None:
            self.folded = 2 * self.middle.weight
        return torch.tanh(functional.linear(h, self.folded, self.middle.bias))


class OneMemory(TwoLayers):
    """Two layers tied by their memory, as PyTorch does not tie them: copies and casts cut it."""

    def __init__(self):
        super().__init__()
        self.again = nn.Linear(HIDDEN, HIDDEN)
        self.again.weight = nn.Parameter(self.middle.weight.detach().T)

    def between(self, h):
        return super().between(self.again(h))


class Columns(TwoLayers):
    """Two parameters that lie between each other in one memory, and share none of it."""

    def __init__(self):
        super().__init__()
        both = torch.randn(HIDDEN, 2 * HIDDEN)
        self.left, self.right = nn.Parameter(both[:, :HIDDEN]), nn.Parameter(both[:, HIDDEN:])

    def between(self, h):
        return torch.tanh(h @ self.left) @ self.right


class Shadow(TwoLayers):
    """The first weights, which follow the trained ones because no one has cloned them."""

    def __init__(self):
        super().__init__()
        self.register_buffer("first_weight", self.middle.weight.detach())

    def between(self, h):
        return super().between(h) + functional.linear(h, self.first_weight)


class LayerDrop(TwoLayers):
    """Leaves the middle out by a generator that is the whole process's."""

    draw = staticmethod(random.random)

    def between(self, h):
        kept = not self.training or self.draw() < 0.5
        return h + kept * super().between(h)


class ArrayLayerDrop(LayerDrop):
    draw = staticmethod(numpy.random.rand)


class Sampled(TwoLayers):
    """Draws when it is judged, too, as the code of a variational autoencoder."""

    def between(self, h):
        return super().between(h + 0.5 * torch.randn_like(h))


# ---- F5, F14: parametrizations --------------------------------------------------------------------


def weight_normed(dim):
    def make():
        layers = (weight_norm(nn.Linear(*shape), dim=dim) for shape in ((6, HIDDEN), (HIDDEN, 2)))
        return nn.Sequential(next(layers), nn.Tanh(), next(layers))

    return make


def spectral_normed():
    first, last = spectral_norm(nn.Linear(6, HIDDEN)), spectral_norm(nn.Linear(HIDDEN, 2))
    return nn.Sequential(first, nn.Tanh(), last)


SPECTRAL_BUFFERS = [f"{i}.parametrizations.weight.0._{vector}" for i in (0, 2) for vector in "uv"]


# ---- F6: a BatchNorm that the user has frozen -----------------------------------------------------


class FineTuned(nn.Module):
    """The statistics of a pre-training are kept."""

    def __init__(self):
        super().__init__()
        self.first, self.norm, self.last = nn.Linear(6, 5), nn.BatchNorm1d(5), nn.Linear(5, 2)
        self.norm.running_mean.normal_()
        self.norm.running_var.uniform_(0.5, 4)

    def train(self, mode=True):
        super().train(mode)
        self.norm.eval()
        return self

    def forward(self, x):
        return self.last(torch.tanh(self.norm(self.first(x))))


# ---- F8: trainable tensors that are not the network's ---------------------------------------------


class Centres(nn.Module):
    """A loss with parameters of its own."""

    def __init__(self, trained):
        super().__init__()
        self.centres = nn.Parameter(torch.tensor([[1.0, -0.5], [0.3, 0.8]]), requires_grad=trained)

    def forward(self, output, target):
        near = (output - self.centres[target]).square().mean()
        return functional.cross_entropy(output, target) + near


def penalized(network):
    """A penalty on the weights of the network that was given, which is not the one that is trained."""

    def loss(output, target):
        sizes = sum(weight.abs().sum() for weight in network.parameters())
        return functional.cross_entropy(output, target) + 0.1 * sizes

    return loss


# ---- F9: parameters that have no gradient ---------------------------------------------------------


class Probe(TwoLayers):
    """Only the last layer learns; decay must leave the others alone, as torch.optim does."""

    def between(self, h):
        return super().between(h).detach()


class Sometimes(TwoLayers):
    """The middle is used in some steps only."""

    def between(self, h):
        return h if self.training and h.mean() > 0 else super().between(h)


# ---- F13, F15, F19 --------------------------------------------------------------------------------


class Padded(nn.Module):
    """An encoder whose fast path, taken where nothing is differentiated, is another function."""

    def __init__(self):
        super().__init__()
        layer = nn.TransformerEncoderLayer(4, 2, 6, 0.0, "gelu", batch_first=True)
        self.encoder, self.last = nn.TransformerEncoder(layer, 2), nn.Linear(4, 2)

    def forward(self, x):
        tokens = torch.stack([x, x.square(), x.sin(), x.cos()], 2)
        padding = torch.tensor([[False] * 5 + [True]]).expand(len(x), 6)
        return self.last(self.encoder(tokens, src_key_padding_mask=padding).mean(1))


class Filter(nn.Module):
    """Complex weights."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(3 * torch.randn(4, dtype=torch.cfloat))
        self.last = nn.Linear(6, 2)

    def forward(self, x):
        return self.last(torch.fft.irfft(torch.fft.rfft(x, dim=1) * self.weight, n=6, dim=1))


class Force(nn.Module):
    """The derivative of an energy: even a plain evaluation needs autograd."""

    def __init__(self):
        super().__init__()
        self.energy = nn.Sequential(nn.Linear(6, HIDDEN), nn.Tanh(), nn.Linear(HIDDEN, 1))

    def forward(self, x):
        x = x.detach().requires_grad_()
        return -torch.autograd.grad(self.energy(x).sum(), x, create_graph=True)[0]


def forces(model=Force):
    """A task whose targets are forces."""
    (train, _), (validation, _) = data()
    pairs = ((inputs, -2 * inputs) for inputs in (train, validation))
    return ng.Task(model, functional.mse_loss, *pairs, batch_size=12)


def _gaussian(output, target):
    return functional.gaussian_nll_loss(output[:, :1], target, functional.softplus(output[:, 1:]))


def noisy():
    """A regression with a variance, whose loss clamps it in place under no_grad."""
    train, validation = data()
    pairs = ((inputs, inputs[:, :1].sin()) for inputs, _ in (train, validation))
    return ng.Task(TwoLayers, _gaussian, *pairs, batch_size=12)
