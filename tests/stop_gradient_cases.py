"""Models and losses of the literature with a stop-gradient: one value, and no derivative, on purpose.

Each gives a task. What is stopped still depends on the parameters, so that the derivative of the
training gradient has a term through it, which no graph of autograd's records.
"""

import torch
from torch import nn
from torch.nn import functional

import nongreedy as ng

from .silent_cases import HIDDEN, TwoLayers, data, focal, task


def focal_loss():
    """Lin et al., Focal Loss for Dense Object Detection, 2017: detached weights of the examples."""
    return task(loss=focal)


def _bootstrapped(output, target):
    with torch.no_grad():
        own = output.softmax(1)
    mixed = 0.8 * functional.one_hot(target, 2).to(output.dtype) + 0.2 * own
    return functional.cross_entropy(output, mixed)


def soft_bootstrapping():
    """Reed et al., Training Deep Neural Networks on Noisy Labels with Bootstrapping, 2015."""
    return task(loss=_bootstrapped)


def _pseudo_labelled(output, target):
    # Each second example counts as unlabelled: the network's confident class is its label.
    labelled, unlabelled = output[::2], output[1::2]
    confidence, label = unlabelled.detach().softmax(1).max(1)
    guessed = (confidence * functional.cross_entropy(unlabelled, label, reduction="none")).mean()
    return functional.cross_entropy(labelled, target[::2]) + guessed


def pseudo_labels():
    """Lee, Pseudo-Label, 2013, weighted by confidence as in FixMatch (Sohn et al., 2020)."""
    return task(loss=_pseudo_labelled)


class _Siamese(nn.Module):
    def __init__(self):
        super().__init__()
        self.encoder = nn.Sequential(nn.Linear(6, HIDDEN), nn.Tanh(), nn.Linear(HIDDEN, 2))
        self.predictor = nn.Linear(2, 2)

    def forward(self, x):
        views = [x + 0.3 * torch.randn_like(x) for _ in range(2)] if self.training else [x, x]
        codes = [self.encoder(view) for view in views]
        return codes, [self.predictor(code) for code in codes]


def _agreement(output, target):
    (z1, z2), (p1, p2) = output
    pairs = (p1, z2.detach()), (p2, z1.detach())
    return -sum(functional.cosine_similarity(p, z).mean() for p, z in pairs) / 2


def simsiam():
    """Chen and He, Exploring Simple Siamese Representation Learning, 2021: the other view is stopped."""
    return task(_Siamese, _agreement, validation_loss=_of_codes)


def _of_codes(output, target):
    return functional.cross_entropy(output[0][0], target)


class _Binary(TwoLayers):
    def between(self, h):
        weight = self.middle.weight
        binary = weight + (weight.sign() * weight.abs().mean() - weight).detach()
        return torch.tanh(functional.linear(h, binary, self.middle.bias))


def binary_connect():
    """Courbariaux et al., BinaryConnect, 2015, with the scale of XNOR-Net: weights are signs."""
    return task(_Binary)


class _Rounded(TwoLayers):
    def between(self, h):
        steps = (4 * h).round() / 4
        return torch.tanh(self.middle(h + (steps - h).detach()))


def straight_through():
    """Bengio et al., Estimating or Propagating Gradients Through Stochastic Neurons, 2013."""
    return task(_Rounded)


class _Gumbel(TwoLayers):
    def between(self, h):
        if not self.training:
            return h.softmax(1)
        return functional.gumbel_softmax(self.middle(h), tau=0.8, hard=True)


def gumbel_softmax():
    """Jang et al., Categorical Reparameterization with Gumbel-Softmax, 2017: hard, straight through."""
    return task(_Gumbel)


class _Quantized(nn.Module):
    """An autoencoder whose code is the nearest row of a codebook."""

    def __init__(self):
        super().__init__()
        self.encoder, self.decoder = nn.Linear(6, 2), nn.Linear(2, 6)
        self.codebook = nn.Parameter(torch.randn(4, 2))

    def forward(self, x):
        code = self.encoder(x).tanh()
        nearest = self.codebook[torch.cdist(code, self.codebook).argmin(1)]
        return self.decoder(code + (nearest - code).detach()), code, nearest


def _quantization(output, target):
    decoded, code, nearest = output
    codebook = functional.mse_loss(nearest, code.detach())
    commitment = functional.mse_loss(code, nearest.detach())
    return functional.mse_loss(decoded, target) + codebook + 0.25 * commitment


def vq_vae():
    """Van den Oord et al., Neural Discrete Representation Learning, 2017: stopped in three places."""
    (train, _), (validation, _) = data()
    pairs = ((x, x) for x in (train, validation))
    return ng.Task(
        _Quantized, _quantization, *pairs, batch_size=12,
        validation_loss=lambda output, target: functional.mse_loss(output[0], target),
    )  # fmt: skip


def _divergence(stopped, output):
    chances = stopped.detach().softmax(1)
    return functional.kl_div(output.log_softmax(1), chances, reduction="batchmean")


class _Adversarial(TwoLayers):
    """The output, and that at the neighbour where it changes most, by an inner gradient."""

    def forward(self, x):
        output = super().forward(x)
        if not self.training:
            return output, output
        step = (0.1 * functional.normalize(torch.randn_like(x))).requires_grad_()
        distance = _divergence(output, super().forward(x + step))
        (slope,) = torch.autograd.grad(distance, step)
        return output, super().forward(x + 0.5 * functional.normalize(slope))


def virtual_adversarial_training():
    """Miyato et al., Virtual Adversarial Training, 2018: an inner gradient without a graph."""
    return task(
        _Adversarial,
        lambda pair, target: functional.cross_entropy(pair[0], target) + _divergence(*pair),
        validation_loss=lambda pair, target: functional.cross_entropy(pair[0], target),
    )


class _Values(nn.Module):
    """Values of a state and of the next one."""

    def __init__(self):
        super().__init__()
        self.value = nn.Sequential(nn.Linear(6, HIDDEN), nn.Tanh(), nn.Linear(HIDDEN, 1))

    def forward(self, states):
        return self.value(states[:, 0]), self.value(states[:, 1])


def _temporal_difference(output, reward):
    now, later = output
    return functional.mse_loss(now, reward + 0.9 * later.detach())


def temporal_difference():
    """Sutton, Learning to Predict by the Methods of Temporal Differences, 1988: a stopped target."""
    (train, _), (validation, _) = data()
    states = ((torch.stack([x, x.roll(1, 0)], 1), x[:, :1].sin()) for x in (train, validation))
    return ng.Task(
        _Values, _temporal_difference, *states, batch_size=12,
        validation_loss=lambda output, reward: functional.mse_loss(output[0], 3 * reward),
    )  # fmt: skip


class _Distilled(_Siamese):
    """Teacher and student are one network: the teacher's output is centred, sharpened and stopped."""

    def forward(self, x):
        codes, students = super().forward(x)
        with torch.no_grad():
            centre = torch.stack(codes).mean((0, 1))
            teachers = [((code - centre) / 0.4).softmax(1) for code in codes]
        return codes, students, teachers


def _distillation(output, target):
    _, (s1, s2), (t1, t2) = output
    return (functional.cross_entropy(s1, t2) + functional.cross_entropy(s2, t1)) / 2


def self_distillation():
    """Caron et al., Emerging Properties in Self-Supervised Vision Transformers (DINO), 2021."""
    return task(_Distilled, _distillation, validation_loss=_of_codes)


CASES = {
    made.__name__: made
    for made in (
        focal_loss, soft_bootstrapping, pseudo_labels, simsiam, binary_connect, straight_through,
        gumbel_softmax, vq_vae, virtual_adversarial_training, temporal_difference,
        self_distillation,
    )
}  # fmt: skip
