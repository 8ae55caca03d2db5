"""What is believed of somebody's utilities: weighted samples, and every answer that they were given."""

from __future__ import annotations

import copy
from typing import Any, final

import torch
from torch import Tensor

from ..errors import check_whole
from ..protocols import generator, mix
from ..task._streams import FRESH, PRIOR, REJUVENATION
from ._noise import KnownNoise, Noise
from ._prior import Prior
from ._query import Answer, Query
from ._rejuvenation import rejuvenated
from ._response import Logistic, Response

SAMPLES = 512


class ContradictionError(ValueError):
    """An answer that no sample of a belief would have given."""


@final
class Belief:
    r"""A posterior over utilities, as samples with weights.

    .. math:: w_j \leftarrow w_j\, P(r \mid q, u_j, \tau_j) / \sum_i w_i\, P(r \mid q, u_i, \tau_i)

    All answers are kept. Where the effective sample size falls below half of the samples, they are drawn
    again by their weights and walk by Metropolis' rule on prior times likelihood of all answers.

    Args:
        prior: Of utilities, in units of utility per unit of a scaled attribute.
        response: How answers come about.
        noise: Their scale, a number of utility units or a :class:`Noise`.
        samples: m, even; at least four for each attribute.
        seed: Decides all draws; the same belief and answers give the same samples.

    Attributes:
        utilities: u_j, shape (m, d).
        scales: Noise tau_j of each sample, shape (m,).
        weights: w_j, shape (m,), of sum 1.
        answers: All of them, in order.

    Raises:
        ValueError: Settings that are none; a question of other attributes.
        ContradictionError: An answer that no sample would have given; the belief is as it was.

    Source: arXiv:1911.09153.

    Cannot: represent utilities that are not linear in the attributes.

    Example:
        >>> from nongreedy.preference import Belief, Gaussian, Query
        >>> belief = Belief(Gaussian.standard(2), noise=0.2)
        >>> bool(belief.updated(Query([[1.0, 0.0], [0.0, 0.0]]), 0).mean[0] > 0.4)
        True
    """

    def __init__(
        self,
        prior: Prior,
        response: Response | None = None,
        noise: Noise | float = 0.2,
        samples: int = SAMPLES,
        seed: int = 0,
    ):
        if not isinstance(prior, Prior):
            raise TypeError(f"`prior` must be a Prior such as Gaussian.standard(4), not {prior!r}.")
        self.prior, self.response = prior, Logistic() if response is None else response
        self.noise = noise if isinstance(noise, Noise) else KnownNoise(noise)
        check_whole("samples", samples, 4 * prior.attributes, " A sample of fewer is no belief.")
        if samples % 2:
            raise ValueError(f"`samples` must be even, each with its opposite, but got {samples}.")
        self.seed, self.answers = seed, tuple[Answer, ...]()
        source = generator(seed, PRIOR)
        points, self.weights = prior.draws(samples, source)
        self._place(torch.cat([points, self.noise.draws(samples, source)], 1))

    def _place(self, latents: Tensor) -> None:
        points, scale = latents.split([self.prior.attributes, self.noise.latents], 1)
        self.latents, self.scales = latents, self.noise.scales(scale)
        self.utilities = self.prior.utilities(points)

    def __repr__(self) -> str:
        return (
            f"Belief({len(self.weights)} samples of {self.attributes} attributes, {len(self.answers)} "
            f"answers, effective sample size {self.effective_samples:.0f})"
        )

    @property
    def attributes(self) -> int:
        """d: how many numbers a utility has."""
        return self.prior.attributes

    @property
    def mean(self) -> Tensor:
        """E[u], shape (d,)."""
        return self.weights @ self.utilities

    @property
    def effective_samples(self) -> float:
        """1 / sum of squared weights."""
        return float(1 / self.weights.square().sum())

    def probabilities(self, query: Query) -> Tensor:
        """Of each answer for each sample, shape (k, m)."""
        if query.points.shape[1] != self.attributes:
            raise ValueError(
                f"The question has {query.points.shape[1]} attributes, the belief {self.attributes}."
            )
        return self.response.probabilities(query.points @ self.utilities.T, self.scales)

    def expected(self, query: Query) -> Tensor:
        """The probability of each answer, shape (k,)."""
        return self.probabilities(query) @ self.weights

    def updated(self, query: Query, choice: int) -> Belief:
        """The belief after an answer: `choice` is the slot that was preferred."""
        answer = Answer(query, choice)
        weights = self.weights * self.probabilities(query)[choice]
        if not float(weights.sum()) > 0:
            raise ContradictionError(
                f"None of {len(weights)} samples would have preferred slot {choice} of "
                f"{query.points.tolist()!s:.100} after {len(self.answers)} answers. Answers with noise "
                "need a response such as Logistic(); rare ones more `samples`."
            )
        after = copy.copy(self)
        after.answers, after.weights = (*self.answers, answer), weights / weights.sum()
        if after.effective_samples < len(weights) / 2:
            after._rejuvenate()
        return after

    def twin(self, samples: int | None = None) -> Belief:
        """A second belief of the same answers, from draws of its own: what is judged on it was not chosen
        on it."""
        seed = mix(self.seed, FRESH, samples or 0)
        size = len(self.weights) if samples is None else samples
        twin = Belief(self.prior, self.response, self.noise, size, seed)
        for answer in self.answers:
            twin = twin.updated(answer.query, answer.choice)
        return twin

    def _rejuvenate(self) -> None:
        source = generator(self.seed, REJUVENATION, len(self.answers))
        self._place(rejuvenated(self.latents, self.weights, self.log_target, source))
        self.weights = torch.full_like(self.weights, 1 / len(self.weights))

    def log_target(self, latents: Tensor) -> Tensor:
        """Log of prior times likelihood of all answers at latent points, up to a constant: shape (m,)."""
        points, scale = latents.split([self.prior.attributes, self.noise.latents], 1)
        utilities, scales = self.prior.utilities(points), self.noise.scales(scale)
        total = self.prior.log_density(points) + self.noise.log_density(scale)
        for answer in self.answers:
            chances = self.response.probabilities(answer.query.points @ utilities.T, scales)
            total = total + chances[answer.choice].log()
        return total

    def covers(self, utility: Tensor, level: float = 0.9) -> bool:
        """Whether a utility lies in the region of that probability: as near to the mean, in Mahalanobis'
        distance, as that share of the samples."""
        centred = self.utilities - self.mean
        precision = torch.linalg.pinv((centred * self.weights[:, None]).T @ centred)
        distances = torch.einsum("md,de,me->m", centred, precision, centred)
        order = distances.argsort()
        inside = self.weights[order].cumsum(0) <= level
        bound = distances[order][min(int(inside.sum()), len(order) - 1)]
        gap = utility - self.mean
        return bool(gap @ precision @ gap <= bound)

    def to_json(self) -> dict[str, Any]:
        """What makes it this belief before its answers."""
        parts = {name: getattr(self, name).to_json() for name in ("prior", "response", "noise")}
        return {**parts, "samples": len(self.weights), "seed": self.seed}
