"""EvoGrad: one-step hypergradients from a hypothetical evolutionary step. arXiv:2106.10575."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor

from ..errors import check_name, check_number, nearest_name
from ..schedules import Schedule
from ._copies import EXECUTIONS, Copies, Execution, Streaming, evolve
from ._engine import Hypergradient
from ._leaf import Leaf, check_counts
from ._loss_only import refuse_initialization, refuse_settings
from ._online import OnlineEngine, probed_along
from ._perturbation import NOISES, Noise, Opposite, Perturbations
from ._probes import Probes
from ._progress import OnStep, ignore
from ._run import Run, Values, at
from ._sensitivity import Looked, Sensitivity, checked

_ADVICE = (
    "EvoGrad sees hyperparameters of the training loss and data only. Give a fixed number, or use "
    "ng.Reverse() or ng.Greedy()."
)
ORDERS = ("after", "before")


@final
@dataclass(frozen=True)
class EvoGrad(OnlineEngine):
    r"""Biased, noisy hypergradients of the training loss's own hyperparameters, without a Hessian.

    At each probe K copies of the network are perturbed, weighed by their training losses, and the
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

    Copies are made where gradients are taken: of an averaged run around the present weights, not their
    average.

    The validation loss has no hyperparameters of its own in this library, so there is no direct term.

    Args:
        noise: `Opposite(sigma)`, both ways along the validation gradient: exact to second order in
            sigma, one more validation gradient; `Rademacher(sigma, copies, antithetic)`, the paper's
            sigma * sign(normal); `Gaussian(sigma, copies, antithetic)`. Or a short name:
            ``"validation_gradient"``, ``"rademacher"``, ``"gaussian"``.
        temperature: tau, in units of the training loss; or with
        relative: its ratio to the standard deviation of the copies' losses.
        rescale: Divide by :math:`\eta_\mathrm{eff}`, so that all settings estimate the same
            quantity: a step at unit learning rate. The paper does not.
        order: ``"after"`` probes the state that the step led to, on the same batch; ``"before"``
            the state before it, and an online run then takes the step with the moved values.
        execution: `Streaming()` runs each copy twice in the memory of one; `Together()` once,
            keeping the graphs behind the hyperparameters (next to nothing where those act on loss
            values); `Vectorized()` all in one ``torch.func.vmap``. Or a short name: ``"streaming"``,
            ``"together"``, ``"vectorized"``.
        every: Steps from one probe to the next, counted back from the last step; None is the last.
        batch: Validation examples per probe, a function of (seed, step); None is all.
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

    Cannot: see the optimizer's settings, the initialization, or beyond one step; use anything but
    first derivatives, which is its virtue.

    Example:
        >>> EvoGrad("rademacher", rescale=False).every  # the paper's
        1
    """

    noise: Leaf[Noise] = Leaf(Opposite, Noise, NOISES)
    temperature: float = 0.05
    relative: bool = False
    rescale: bool = True
    order: str = "after"
    execution: Leaf[Execution] = Leaf(Streaming, Execution, EXECUTIONS)
    every: int | None = 1
    batch: int | None = None
    parameters: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        check_name("order", self.order, ORDERS)
        check_number("temperature", self.temperature)
        check_counts(self, "every", "batch")

    @property
    def probes_before(self) -> bool:
        return self.order == "before"

    def probes(self, run: Run) -> Probes:
        return Probes(run, self.every, self.batch)

    def sensitivity(self, run: Run, learn: Iterable[str]) -> Sensitivity:
        return Evolutionary(self, run, learn)

    def inexact_because(self, run: Run, schedule: Schedule, learn: Iterable[str]) -> str:
        """It judges one step, from a few noisy copies."""
        return f"{self.noise.copies} noisy copies per probe judge a step by the loss soon after it"

    def sweep_cost(self, run: Run, schedule: Schedule, learn: Iterable[str]) -> float:
        """The run again; at each probe the passes of the copies and validation gradients."""
        probes, noise = self.probes(run), self.noise
        copies = self.execution.copy_cost * noise.copies * probes.count / run.steps
        return 1.0 + copies + (1 + noise.gradients) * probes.cost

    def hypergradient(
        self, run: Run, schedule: Schedule, learn: Iterable[str], on_step: OnStep = ignore
    ) -> Hypergradient:
        """Train once and take a hypothetical step at every probe."""
        learn = list(learn)
        refuse_initialization(run, at(run.values(schedule), 0), learn, _ADVICE)
        return probed_along(self, run, schedule, learn, on_step)


@final
class Evolutionary(Sensitivity):
    """EvoGrad's probe of any state: it needs nothing from the steps that led there."""

    def __init__(self, engine: EvoGrad, run: Run, learn: Iterable[str]):
        self._engine, self._run, self._learn = engine, run, list(learn)
        refuse_settings(run, self._learn, _ADVICE)
        if torch.finfo(run.dtype).bits < 32:
            raise ValueError(
                f"{run.dtype} does not resolve perturbations of {engine.noise.sigma:g}. Use "
                "dtype=torch.float32."
            )
        self._mask = None if engine.parameters is None else _mask(run, engine.parameters)

    def advance(self, state: Tensor, values: Values, step: int) -> Tensor:
        return self._run.step(state, values, step)[0]

    def look(self, probes: Probes, state: Tensor, values: Values, step: int) -> Looked:
        noise, readings = self.noise(probes, state[0], step), probes.readings
        copies = Copies(self._run, state[0], values, step, self._learn, noise, readings)
        engine = self._engine
        evolution = evolve(copies, engine.execution, probes, engine.temperature, engine.relative)
        gradients = dict(evolution.gradients)
        if engine.rescale:
            power = torch.tensor(noise.power, dtype=torch.float64) / evolution.temperature
            gradients = {name: slope / power for name, slope in gradients.items()}
        if noise.level is not None:
            level = noise.level
            gradients = {n: g.where(~level.to(g.device), 0.0) for n, g in gradients.items()}
        return evolution.told, checked(gradients, "EvoGrad", step, self._run.steps, readings)

    def noise(self, probes: Probes, parameters: Tensor, step: int) -> Perturbations:
        """The copies' noise."""
        return self._engine.noise.around(self._run, parameters, step, probes, self._mask)


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
