"""Optimizers of other packages as policies: nevergrad's, and Thompson sampling with BoTorch's models."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..._extras import needed, optional
from ...errors import check_number, check_whole
from .._batch import Batch, Plan
from ..problems import Ball
from ._policy import Policy


@dataclass(frozen=True)
class Nevergrad(Policy):
    r"""An optimizer of nevergrad's, which plays :math:`x / \|x\|` for its points x.

    Args:
        optimizer: Its name there. TBPSA is their own for noise: a population that grows while differences are
            not significant.
        batch: Points that are out at once.

    Raises:
        MissingExtraError: nevergrad is not installed.
        ValueError: No such optimizer.

    Source: nevergrad; Hellwig & Beyer 2016 for the population control in TBPSA.

    Cannot: know what regret is: it looks for the best action, and exploits nothing on the way.

    Example:
        >>> Nevergrad().optimizer
        'TBPSA'
    """

    optimizer: str = "TBPSA"
    batch: int = 16

    def __post_init__(self) -> None:
        check_whole("batch", self.batch)

    def check(self, ball: Ball) -> None:
        del ball
        nevergrad = optional("Nevergrad()", "nevergrad")
        if self.optimizer not in nevergrad.optimizers.registry:
            raise ValueError(f"nevergrad has no optimizer {self.optimizer!r}.")

    def plan(self, ball: Ball, draw: torch.Generator) -> Plan[None]:
        self.check(ball)
        nevergrad = optional("Nevergrad()", "nevergrad")
        # From zero its own first point would be no action.
        space = nevergrad.p.Array(init=ball.sphere(1, draw)[0].numpy())
        space.random_state = np.random.RandomState(_seed(draw))
        search = nevergrad.optimizers.registry[self.optimizer](space, num_workers=self.batch)
        choice = None
        while True:
            asked = [search.ask() for _ in range(self.batch)]
            points = torch.stack([torch.from_numpy(each.value.copy()) for each in asked])
            heard = (yield Batch(ball.normalised(points), choice=choice))[:, 0]
            for each, reward in zip(asked, heard.tolist(), strict=True):
                search.tell(each, -reward)
            choice = ball.normalised(torch.from_numpy(search.recommend().value.copy())[None])[0]


@dataclass(frozen=True)
class BoTorch(Policy):
    r"""Thompson sampling with BoTorch's Gaussian process: draw functions, play where they are largest.

    .. math:: a = \arg\max_{a \in A} f(a),\qquad f \sim \mathrm{GP}(\cdot \mid \text{rewards}),

    A being random actions, half of them near the one of largest posterior mean.

    Args:
        batch: Draws between two updates of the posterior.
        candidates: Of A, drawn anew for each batch.
        radius: How far those near the best lie from it, about.

    Raises:
        MissingExtraError: botorch is not installed.

    Source: BoTorch (arXiv:1910.06403), its `SingleTaskGP` and `MaxPosteriorSampling` as they come. The
    model's scales are fitted again when there are a half more rewards.

    Cannot: play for long: its updates cost the cube of the number of plays.

    Example:
        >>> BoTorch().batch
        32
    """

    batch: int = 32
    candidates: int = 1000
    radius: float = 0.3

    def __post_init__(self) -> None:
        check_whole("batch", self.batch)
        check_whole("candidates", self.candidates, 2)
        check_number("radius", self.radius)

    def check(self, ball: Ball) -> None:
        del ball
        needed("BoTorch()", "botorch")

    def plan(self, ball: Ball, draw: torch.Generator) -> Plan[None]:
        self.check(ball)
        jitter = optional("BoTorch()", "linear_operator.utils.warnings").NumericalWarning
        actions, best = ball.sphere(self.batch, draw), None
        rewards, fitted, state = (yield Batch(actions)), 0, None
        while True:
            with torch.enable_grad(), torch.random.fork_rng(devices=[]), warnings.catch_warnings():
                warnings.simplefilter("ignore", jitter)  # 1e-8 on a diagonal
                torch.manual_seed(_seed(draw))
                model = _model(actions, rewards, state)
                if state is None or len(actions) >= 1.5 * fitted:
                    state, fitted = _fitted(model), len(actions)
                near = self._near(ball, actions, model, best, draw)
                best = near[_mean(model, near).argmax()]
                drawn = _sampled(model, torch.cat([near, best[None]]), self.batch)
            heard = yield Batch(drawn, choice=best)
            actions, rewards = torch.cat([actions, drawn]), torch.cat([rewards, heard])

    def _near(
        self, ball: Ball, actions: Tensor, model: Any, best: Tensor | None, draw: torch.Generator
    ) -> Tensor:
        half = self.candidates // 2
        if best is None:
            best = actions[_mean(model, actions).argmax()]
        around = best + self.radius * ball.sphere(half, draw)
        return torch.cat([ball.sphere(self.candidates - half, draw), ball.normalised(around)])


def _seed(draw: torch.Generator) -> int:
    return int(torch.randint(2**31 - 1, (), generator=draw))


def _cube(actions: Tensor) -> Tensor:
    """Where BoTorch expects inputs."""
    return (actions.flatten(1) + 1) / 2


def _model(actions: Tensor, rewards: Tensor, state: dict[str, Tensor] | None) -> Any:
    models = optional("BoTorch()", "botorch.models")
    model = models.SingleTaskGP(_cube(actions), rewards)
    if state is not None:
        model.load_state_dict(state, strict=False)
        model.eval()
    return model


def _fitted(model: Any) -> dict[str, Tensor]:
    """The model's scales, without what it remembers of the rewards."""
    likelihoods = optional("BoTorch()", "gpytorch.mlls")
    likelihood = likelihoods.ExactMarginalLogLikelihood(model.likelihood, model)
    optional("BoTorch()", "botorch.fit").fit_gpytorch_mll(likelihood)
    return {k: v for k, v in model.state_dict().items() if "outcome_transform" not in k}


def _mean(model: Any, actions: Tensor) -> Tensor:
    with torch.no_grad():
        return model.posterior(_cube(actions)).mean[:, 0]


def _sampled(model: Any, actions: Tensor, count: int) -> Tensor:
    """For each of so many functions the action where it is largest."""
    generation = optional("BoTorch()", "botorch.generation")
    with torch.no_grad():
        points = _cube(actions)
        found = generation.MaxPosteriorSampling(model, replacement=True)(points, num_samples=count)
    return actions[torch.cdist(found, points).argmin(1)]
