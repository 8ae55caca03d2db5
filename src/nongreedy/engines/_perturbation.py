"""Perturbations: where the copies of an evolutionary step stand around the present parameters."""

import abc
import functools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import ClassVar, final

import torch
from torch import Tensor

from ..errors import DivergedError, check_number, check_whole
from ..schedules import Value
from ..task._data_plan import COPIES, generator
from ._probes import Probes
from ._run import Run


@dataclass(frozen=True)
class Perturbations:
    r"""The noise :math:`\epsilon_k`, shape (P,), of copy k: made anew at each call, never stored.

    Attributes:
        count: K.
        power: :math:`\eta_\mathrm{eff} \tau`: what the one-step hypergradient at unit learning rate
            is multiplied by, times the temperature.
        of: The noise of copy k.
        level: Whether the validation loss is, so that every derivative is zero; shape (), not read.
    """

    count: int
    power: float
    of: Callable[[int], Tensor]
    level: Tensor | None = None

    def mean(self, weights: Tensor) -> Tensor:
        r""":math:`\sum_k w_k \epsilon_k`, one copy after the other."""
        noise = self.of(0)
        first, *others = weights.to(noise)
        total = first * noise
        for k, weight in enumerate(others, 1):
            total.addcmul_(self.of(k), weight)
        return total


class Noise(Value, abc.ABC):
    """How the copies of :class:`EvoGrad` are perturbed: settings alone.

    Attributes:
        sigma: Size of the noise.
        copies: K.

    Class attributes:
        gradients: Of the validation loss, which each probe takes to draw the copies.
    """

    sigma: float
    copies: int
    gradients: ClassVar[int] = 0

    @abc.abstractmethod
    def around(
        self, run: Run, parameters: Tensor, step: int, probes: Probes, mask: Tensor | None
    ) -> Perturbations:
        """The copies' noise at these parameters, shape (P,).

        Args:
            probes: Whose readings look at what must be finite.
            mask: Ones where parameters are perturbed, shape (P,), or None for all.
        """


@final
@dataclass(frozen=True)
class Opposite(Noise):
    r"""Both ways along the validation gradient: :math:`\epsilon = \pm \sigma\, g / |g|`.

    The two copies see exactly what the one-step hypergradient asks for: DARTS' central difference in
    evolutionary form, exact to second order in sigma.

    Args:
        sigma: Length of the whole vector.

    Raises:
        ValueError: A sigma that is not a positive finite number.

    Source: arXiv:1806.09055.

    .. code-block:: bibtex

        @inproceedings{liu2019darts,
          author    = {Liu, Hanxiao and Simonyan, Karen and Yang, Yiming},
          title     = {{DARTS}: Differentiable Architecture Search},
          booktitle = {International Conference on Learning Representations},
          year      = {2019}, eprint = {1806.09055}, archivePrefix = {arXiv}
        }

    Cannot: do without a second validation gradient per probe.

    Example:
        >>> Opposite(sigma=0.1)
        Opposite(sigma=0.1)
    """

    sigma: float = 1e-2
    copies: int = field(default=2, init=False, repr=False, compare=False)

    gradients: ClassVar[int] = 1

    def __post_init__(self) -> None:
        check_number("sigma", self.sigma)

    def around(
        self, run: Run, parameters: Tensor, step: int, probes: Probes, mask: Tensor | None
    ) -> Perturbations:
        _, direction = probes.unread_gradient(parameters, step)
        direction = direction if mask is None else direction * mask
        length = direction.norm()

        def judge(step: int, numbers: Sequence[float]) -> None:
            if not math.isfinite(numbers[0]):
                raise DivergedError("validation gradient", step, run.steps)

        probes.readings.add(step, [length], judge)
        level = length == 0
        noise = direction * (self.sigma / torch.where(level, 1.0, length))
        return Perturbations(2, self.sigma**2, lambda k: -noise if k else noise.clone(), level)


@dataclass(frozen=True)
class Drawn(Noise):
    r"""Random noise, a function of (seed, step, k).

    .. math:: E[h] = \frac{\sigma^2 (K - 1)}{K \tau} h_\mathrm{T1T2}, \qquad
              \frac{\sigma^2}{\tau} h_\mathrm{T1T2} \text{ for antithetic pairs}

    Args:
        sigma: Size of each entry.
        copies: K, at least 2.
        antithetic: Copies come in pairs of opposite noise, so that their mean is zero exactly.

    Raises:
        ValueError: A sigma that is not a positive finite number; fewer than two copies; an odd number of
            antithetic ones.

    Source: arXiv:2106.10575.
    """

    sigma: float = 1e-3
    copies: int = 2
    antithetic: bool = False

    def __post_init__(self) -> None:
        check_number("sigma", self.sigma)
        check_whole("copies", self.copies, 2)
        if self.antithetic and self.copies % 2:
            raise ValueError(
                f"Antithetic copies come in pairs, but got copies={self.copies}. "
                f"Use {self.copies + 1}, or antithetic=False."
            )

    def around(
        self, run: Run, parameters: Tensor, step: int, probes: Probes, mask: Tensor | None
    ) -> Perturbations:
        @functools.lru_cache(maxsize=2)  # that is asked for again and again while a look lasts
        def drawn(number: int) -> Tensor:
            source, size = generator(run.seed, COPIES, step, number), sum(run.module.sizes)
            normal = self.draw(torch.randn(size, generator=source, dtype=run.dtype))
            normal = normal.to(run.task.device)
            return normal if mask is None else normal * mask

        def noise(k: int) -> Tensor:
            number, opposite = divmod(k, 2) if self.antithetic else (k, 0)
            return drawn(number) * (-self.sigma if opposite else self.sigma)

        share = 1.0 if self.antithetic else (self.copies - 1) / self.copies
        return Perturbations(self.copies, self.sigma**2 * share, noise)

    @abc.abstractmethod
    def draw(self, normal: Tensor) -> Tensor:
        """Entries of size one, from standard normal ones."""


@final
@dataclass(frozen=True)
class Rademacher(Drawn):
    """Signs, as in the paper: sigma * sign(normal). Settings as in :class:`Drawn`."""

    def draw(self, normal: Tensor) -> Tensor:
        return torch.sign(normal)


@final
@dataclass(frozen=True)
class Gaussian(Drawn):
    """Normal numbers: sigma * normal. Settings as in :class:`Drawn`."""

    def draw(self, normal: Tensor) -> Tensor:
        return normal


NOISES: dict[str, type[Noise]] = {
    "validation_gradient": Opposite,
    "rademacher": Rademacher,
    "gaussian": Gaussian,
}
