"""How far a hypergradient can be followed: its size against its noise, coefficient by coefficient."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ...engines import Hypergradient
from ...schedules import Schedule
from ...statistics import CLEAR, error_of_mean
from ._moves import Direction, Hyperparameters
from ._rule import sign_text


@dataclass(frozen=True)
class Evidence:
    """Hypergradients of several seeds in the outer rule's coordinates, by name.

    Attributes:
        mean: Mean over the seeds, times the outer step: predicted change of the loss per step.
        score: Mean over its standard error; huge where no noise can be estimated.
        agreed: Whether the mean exceeds its standard error over the seeds; of two seeds, this says
            that their signs agree.
    """

    mean: Mapping[str, Tensor]
    score: Mapping[str, Tensor]
    agreed: Mapping[str, Tensor]

    def signs(self) -> dict[str, str]:
        """``+``, ``-`` or, where the seeds disagree, ``0`` for each coefficient, by name."""
        return {n: sign_text(torch.where(self.agreed[n], g, 0.0)) for n, g in self.mean.items()}

    def direction(self, schedule: Schedule, hyperparameters: Hyperparameters) -> Direction:
        r"""Steps downhill, in units of each hyperparameter's outer step, at most 1.

        .. math:: c_i = \mathrm{clip}(z_i / 2, -1, 1), \qquad
                  d_i = -c_i \sqrt{\min(1, |G_i| / \max_j |c_j G_j|)}

        zero where the seeds disagree or where a bound is in the way: certain coefficients move
        before noisy ones, and those that matter before those that do not.
        """
        trusted = {
            name: torch.where(self.agreed[name], (z / CLEAR).clamp(-1, 1), 0.0)
            for name, z in self.score.items()
        }
        for name, hyper in hyperparameters.items():
            trust = trusted[name]
            trusted[name] = torch.where(hyper.blocked(schedule[name], trust), 0.0, trust)
        weighty = {name: (trust * self.mean[name]).abs() for name, trust in trusted.items()}
        largest = max(float(w.max()) for w in weighty.values())
        if largest == 0:
            return {name: torch.zeros_like(trust) for name, trust in trusted.items()}
        return {
            name: -trust * (self.mean[name].abs() / largest).clamp(max=1).sqrt()
            for name, trust in trusted.items()
        }


def weigh(
    sweeps: Sequence[Hypergradient],
    schedule: Schedule,
    hyperparameters: Hyperparameters,
    steps: int,
) -> Evidence:
    """Compare the hypergradients of several seeds, each also with what it says of its own noise."""
    mean, score, agreed = {}, {}, {}
    for name, hyper in hyperparameters.items():
        value, basis = schedule[name], schedule.curves[name].basis
        average, scatter, error = error_of_mean(sweeps, name, basis, steps)
        agreed[name] = average.abs() > scatter
        score[name] = torch.where(average == 0, 0.0, average / error.clamp(min=1e-300))
        mean[name] = hyper.gradient_in_coordinate(value, average) * hyper.outer_step
    return Evidence(mean, score, agreed)
