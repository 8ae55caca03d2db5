"""EvoGrad: one-step hypergradients from a hypothetical evolutionary step. arXiv:2106.10575."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor

from ..errors import DivergedError, check_name, check_number, check_whole, nearest_name
from ..schedules import Schedule
from ._copies import EXECUTIONS
from ._engine import Hypergradient
from ._evolution import Evolution, evolve
from ._looks import Looks
from ._loss_only import refuse_initialization, refuse_settings
from ._online import OnlineEngine, look_along
from ._perturbation import NOISES, VALIDATION_GRADIENT, Drawn, Opposite, Perturbations
from ._progress import OnStep, ignore
from ._run import Outcome, Run, Values, at
from ._sensitivity import Sensitivity

_ADVICE = (
    "EvoGrad sees hyperparameters of the training loss and data only. Give a fixed number, or use "
    "ng.Reverse() or ng.Greedy()."
)
ORDERS = ("after", "before")


@final
@dataclass(frozen=True)
class EvoGrad(OnlineEngine):
    r"""Biased, noisy hypergradients of the training loss's own hyperparameters, without a Hessian.

    At each look K copies of the network are perturbed, weighed by their training losses, and the
    validation loss of their mean is differentiated:

    .. math:: w = \mathrm{softmax}(-l / \tau), \quad l_k = L_t(\theta + \epsilon_k, h), \quad
              \theta^* = \theta + \sum_k w_k \epsilon_k, \quad
              h_t = \frac{d L_\mathrm{val}(\theta^*)}{dh}
                  = \sum_k c_k \frac{d l_k}{d h}

    .. math:: c_k = -\frac{w_k}{\tau} \Big( s_k - \sum_j w_j s_j \Big), \qquad
              s_k = \langle \nabla L_\mathrm{val}(\theta^*), \epsilon_k \rangle

    The mean network is used for nothing else. For a small sigma this estimates
    :math:`\eta_\mathrm{eff} \cdot (-\nabla L_\mathrm{val}(\theta)^\top \partial_\theta \partial_h L_t)`,
    what one plain SGD step would do to the validation loss, with
    :math:`\eta_\mathrm{eff} = \sigma^2 (K - 1) / (K \tau)`, or :math:`\sigma^2 / \tau` for opposite
    noise.

    As an engine for a schedule, ``per_step[name][t]`` is :math:`h_t`, and ``gradients`` is its
    projection on the basis, as from ``Greedy(mu=0)``. Biased: a step is judged by the next one's
    loss. Noisy, but for the validation gradient's direction: the relative error of one random draw
    is about :math:`\sqrt{P / (K - 1)}` for P perturbed parameters. In :func:`train_online` it
    moves hyperparameters of any size while one network trains.

    The validation loss has no hyperparameters of its own in this library, so there is no direct term.

    Args:
        copies: K. Even for opposite noise; 2 along the validation gradient.
        noise: ``"validation_gradient"``, both ways along it: exact to second order in sigma, one more
            validation gradient; ``"rademacher"``, the paper's sigma * sign(normal); ``"gaussian"``.
        sigma: Size of the noise: of each entry if drawn (None: 1e-3), of the whole vector along the
            validation gradient (None: 1e-2).
        temperature: tau, in units of the training loss; or with
        relative: its ratio to the standard deviation of the copies' losses.
        antithetic: Draw in opposite pairs.
        rescale: Divide by :math:`\eta_\mathrm{eff}`, so that all settings estimate the same
            quantity: a step at unit learning rate. The paper does not.
        order: ``"after"`` looks at the state that the step led to, on the same batch; ``"before"``
            at the state before it, and an online run then takes the step with the moved values.
        execution: ``"streaming"`` runs each copy twice in the memory of one; ``"together"`` once,
            keeping the graphs behind the hyperparameters (next to nothing where those act on loss
            values); ``"vectorized"`` all in one ``torch.func.vmap``.
        every: Steps from one look to the next, counted back from the last step; None is the last.
        batch: Validation examples per look, a function of (seed, step); None looks at all.
        parameters: Names of parameters, or how they begin, to perturb; None is all.

    Raises:
        ValueError: Bad settings; a setting of the optimizer, or a hyperparameter that enters the
            initialization; a run in half precision, which does not resolve the perturbations.
        DivergedError: A non-finite loss or derivative.
        ReplayError: A copy's loss that differs between the two passes.

    Source: arXiv:2106.10575; the direction along the validation gradient, arXiv:1806.09055.

    .. code-block:: bibtex

        @inproceedings{bohdal2021evograd,
          author    = {Bohdal, Ondrej and Yang, Yongxin and Hospedales, Timothy},
          title     = {{EvoGrad}: Efficient Gradient-Based Meta-Learning and Hyperparameter Optimization},
          booktitle = {Advances in Neural Information Processing Systems},
          volume    = {34}, year = {2021}, eprint = {2106.10575}, archivePrefix = {arXiv}
        }

    .. code-block:: bibtex
        :caption: if noise == "validation_gradient"

        @inproceedings{liu2019darts,
          author    = {Liu, Hanxiao and Simonyan, Karen and Yang, Yiming},
          title     = {{DARTS}: Differentiable Architecture Search},
          booktitle = {International Conference on Learning Representations},
          year      = {2019}, eprint = {1806.09055}, archivePrefix = {arXiv}
        }

    Cannot: see the optimizer's settings, the initialization, or beyond one step; use anything but
    first derivatives, which is its virtue.

    Example:
        >>> EvoGrad(noise="rademacher", rescale=False).copies  # the paper's
        2
    """

    copies: int = 2
    noise: str = VALIDATION_GRADIENT
    sigma: float | None = None
    temperature: float = 0.05
    relative: bool = False
    antithetic: bool = False
    rescale: bool = True
    order: str = "after"
    execution: str = "streaming"
    every: int | None = 1
    batch: int | None = None
    parameters: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        check_name("noise", self.noise, NOISES)
        check_name("order", self.order, ORDERS)
        check_name("execution", self.execution, EXECUTIONS)
        check_whole("copies", self.copies, 2)
        check_number("temperature", self.temperature)
        check_number("sigma", self.width)
        for name in ("every", "batch"):
            if getattr(self, name) is not None:
                check_whole(name, getattr(self, name), also=" or None")
        self._check_copies()

    def _check_copies(self) -> None:
        if self.noise == VALIDATION_GRADIENT and (self.copies != 2 or self.antithetic):
            raise ValueError(
                "Along the validation gradient there are two copies, opposite by nature, but got "
                f"copies={self.copies}, antithetic={self.antithetic}. Leave both out, or use "
                'noise="rademacher".'
            )
        if self.antithetic and self.copies % 2:
            raise ValueError(
                f"Antithetic copies come in pairs, but got copies={self.copies}. "
                f"Use {self.copies + 1}, or antithetic=False."
            )

    @property
    def width(self) -> float:
        """sigma, settled."""
        default = 1e-2 if self.noise == VALIDATION_GRADIENT else 1e-3
        return default if self.sigma is None else self.sigma

    @property
    def looks_first(self) -> bool:
        """Whether a step is looked at before it is taken, and then has the values that moved."""
        return self.order == "before"

    def looks(self, run: Run) -> Looks:
        """When and on what this run's validation loss is looked at."""
        return Looks(run, self.every, self.batch)

    def sensitivity(self, run: Run, learn: Iterable[str]) -> Sensitivity:
        """What goes along with a run to be asked at each look."""
        return Evolutionary(self, run, learn)

    def inexact_because(self, run: Run, schedule: Schedule, learn: Iterable[str]) -> str:
        """It judges one step, from a few noisy copies."""
        del run, schedule, learn
        return f"{self.copies} noisy copies per look judge a step by the loss soon after it"

    def sweep_cost(self, run: Run, schedule: Schedule, learn: Iterable[str]) -> float:
        """The run again; per look a third of a gradient for each pass of a copy; validation."""
        looks = self.looks(run)
        per_copy = 1.0 if self.execution == "streaming" else 2 / 3  # forwards, and one backward
        sights = 2 if self.noise == VALIDATION_GRADIENT else 1
        return 1.0 + per_copy * self.copies * looks.count / run.steps + sights * looks.cost

    def hypergradient(
        self, run: Run, schedule: Schedule, learn: Iterable[str], on_step: OnStep = ignore
    ) -> Hypergradient:
        """Train once and take a hypothetical step at every look."""
        learn = list(learn)
        refuse_initialization(run, at(run.values(schedule), 0), learn, _ADVICE)
        return look_along(self, run, schedule, learn, on_step)


@final
class Evolutionary(Sensitivity):
    """EvoGrad's look at any state: it needs nothing from the steps that led there."""

    def __init__(self, engine: EvoGrad, run: Run, learn: Iterable[str]):
        self._engine, self._run, self._learn = engine, run, list(learn)
        refuse_settings(run, self._learn, _ADVICE)
        if torch.finfo(run.dtype).bits < 32:
            raise ValueError(
                f"{run.dtype} does not resolve perturbations of {engine.width:g}. Use "
                "dtype=torch.float32."
            )
        self._mask = None if engine.parameters is None else _mask(run, engine.parameters)

    def advance(self, state: Tensor, values: Values, step: int) -> Tensor:
        return self._run.step(state, values, step)[0]

    def look(
        self, looks: Looks, state: Tensor, values: Values, step: int
    ) -> tuple[Outcome, dict[str, Tensor]]:
        noise = self._noise(looks, state[0], step)
        if isinstance(noise, Outcome):  # the validation loss is level: every derivative is zero
            return noise, {n: torch.zeros_like(values[n]).double() for n in self._learn}
        found = self._evolve(looks, state[0], values, step, noise)
        power = noise.power / found.temperature if self._engine.rescale else 1.0
        gradients = {name: slope / power for name, slope in found.gradients.items()}
        for name, slope in gradients.items():
            if not bool(slope.isfinite().all()):
                raise DivergedError(f"EvoGrad hypergradient (of {name})", step, self._run.steps)
        return found.outcome, gradients

    def _evolve(
        self, looks: Looks, parameters: Tensor, values: Values, step: int, noise: Perturbations
    ) -> Evolution:
        engine = self._engine
        kind = EXECUTIONS[engine.execution]
        copies = kind(self._run, parameters, values, step, self._learn, noise)
        return evolve(copies, parameters, looks, step, engine.temperature, engine.relative)

    def _noise(self, looks: Looks, parameters: Tensor, step: int) -> Perturbations | Outcome:
        """The copies' noise; where its direction vanishes, the outcome there."""
        engine = self._engine
        if engine.noise != VALIDATION_GRADIENT:
            return Drawn(
                self._run, step, engine.noise, engine.copies, engine.width,
                self._mask, engine.antithetic,
            )  # fmt: skip
        outcome, direction = looks.gradient(parameters, step)
        direction = direction if self._mask is None else direction * self._mask
        length = direction.norm().item()
        if not math.isfinite(length):
            raise DivergedError("validation gradient", step, self._run.steps)
        return Opposite(direction, engine.width) if length > 0 else outcome


def _mask(run: Run, beginnings: tuple[str, ...]) -> Tensor:
    """Ones for the parameters whose names begin so, shape (P,)."""
    module = run.module
    for beginning in beginnings:
        if not any(name.startswith(beginning) for name in module.names):
            raise ValueError(
                f"No parameter's name begins with {beginning!r}."
                + nearest_name(beginning, module.names)
            )
    chosen = [float(name.startswith(tuple(beginnings))) for name in module.names]
    sizes = torch.tensor(module.sizes)
    return torch.tensor(chosen, dtype=run.dtype).repeat_interleave(sizes).to(run.task.device)
