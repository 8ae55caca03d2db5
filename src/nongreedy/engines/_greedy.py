"""Greedy hypergradients: short horizons, on purpose. The baseline of every other engine.

Aliases: hypergradient descent (arXiv:1703.04782), real-time hyperparameter optimization
(arXiv:1703.01785), MARTHE's discounted transport (arXiv:1910.08525).
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor

from ..schedules import Schedule
from ._directions import Axes
from ._engine import Hypergradient
from ._forward import Forward
from ._leaf import check_counts
from ._online import OnlineEngine, probed_along
from ._probes import Probes
from ._progress import OnStep, ignore
from ._readings import Readings
from ._run import Run
from ._sensitivity import OneStep, Sensitivity, Transported, is_direct


@final
@dataclass(frozen=True)
class Greedy(OnlineEngine):
    r"""Biased hypergradients that judge a step by the validation loss soon after it.

    With :math:`A_t, B_t` the Jacobians of step t by state and by hyperparameters, and K the set of
    states whose validation loss is probed:

    .. math:: Z_{t+1} = \mu A_t Z_t + B_t \partial_c h_t, \qquad
              G = \sum_{k \in K} \nabla L_\mathrm{val}(\theta_k) Z_k
                = \sum_{k \in K} \sum_{t < k} \mu^{k-1-t}\,
                  \nabla L_\mathrm{val}(\theta_k)\, A_{k-1} \cdots A_{t+1} B_t\, \partial_c h_t

    * ``mu=0``, one step: ``per_step[name][t]`` is
      :math:`d L_\mathrm{val}(\theta_{t+1}) / d h_t` if that state is probed, else 0, and
      ``gradients`` is its projection on the basis. For an optimizer's hyperparameters it costs one
      validation gradient per probe and no Hessian; for the task's own, of any size, one
      Hessian-vector product more (T1-T2).
    * ``0 < mu < 1``, discounted: a probe that comes d steps after a step's own counts
      :math:`\mu^d`. The bias falls and the variance grows with mu. Costs as `Forward`.
    * ``mu=1``: every probe is differentiated through the whole run so far. With ``every=None`` this
      is :class:`Forward`, exactly.

    A probe judges what would be kept if the run ended there: of averaged weights, their average so far.
    `value` is the loss on all validation data at the end of the run, whatever was probed.

    Args:
        mu: Discount of the transport, in [0, 1].
        every: Steps from one probe to the next, counted back from the last step, which always is
            probed; None probes the last step only.
        batch: Validation examples per probe, a function of (seed, step); None is all.
        chunk: As in :class:`Forward`.

    Raises:
        ValueError: mu outside [0, 1]; `every`, `batch` or `chunk` below 1.
        DataError: A batch larger than the validation data.
        DivergedError: A non-finite loss, tangent or derivative.

    Source: arXiv:1703.04782 (one step; there the next training batch is probed),
    arXiv:1703.01785 (mu = 1), arXiv:1910.08525 (mu between).

    .. code-block:: bibtex
        :caption: if mu == 0

        @inproceedings{baydin2018online,
          author    = {Baydin, At{\i}l{\i}m G{\"u}ne{\c{s}} and Cornish, Robert
                       and Mart{\'i}nez Rubio, David and Schmidt, Mark and Wood, Frank},
          title     = {Online Learning Rate Adaptation with Hypergradient Descent},
          booktitle = {International Conference on Learning Representations},
          year      = {2018}, eprint = {1703.04782}, archivePrefix = {arXiv}
        }

    .. code-block:: bibtex
        :caption: if 0 < mu < 1

        @misc{donini2019marthe,
          author    = {Donini, Michele and Franceschi, Luca and Pontil, Massimiliano
                       and Majumder, Orchid and Frasconi, Paolo},
          title     = {{MARTHE}: Scheduling the Learning Rate Via Online Hypergradients},
          year      = {2019}, eprint = {1910.08525}, archivePrefix = {arXiv}
        }

    .. code-block:: bibtex
        :caption: if mu == 1

        @inproceedings{franceschi2017forward,
          author    = {Franceschi, Luca and Donini, Michele and Frasconi, Paolo and Pontil, Massimiliano},
          title     = {Forward and Reverse Gradient-Based Hyperparameter Optimization},
          booktitle = {Proceedings of the 34th International Conference on Machine Learning},
          year      = {2017}, eprint = {1703.01785}, archivePrefix = {arXiv}
        }

    Cannot: be right about the end of training: a rate that is best for the next step is too small
    for the whole run (arXiv:1803.02021). Nor give per-step hypergradients for mu > 0.

    Example:
        >>> Greedy(mu=0.9, batch=64)
        Greedy(mu=0.9, batch=64)
    """

    mu: float = 0.0
    every: int | None = 1
    batch: int | None = None
    chunk: int | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.mu, (int, float)) or not 0 <= self.mu <= 1:
            raise ValueError(
                f"`mu` must be in [0, 1], but got {self.mu!r}. Use 0 for one step, 1 for the whole "
                "run so far."
            )
        check_counts(self, "every", "batch", "chunk")

    def probes(self, run: Run) -> Probes:
        return Probes(run, self.every, self.batch)

    def sensitivity(self, run: Run, learn: Iterable[str]) -> Sensitivity:
        if self.mu == 0:
            return OneStep(run, learn)
        return Transported(run, learn, self.mu, self.chunk)

    def inexact_because(self, run: Run, schedule: Schedule, learn: Iterable[str]) -> str | None:
        """Exact only with mu = 1 and one probe, at the end of the run."""
        if self.mu == 1 and (self.every is None or self.every >= run.steps) and self.batch is None:
            return None
        if self.mu == 0:
            return "greedy: each step is judged by the validation loss right after it"
        return f"greedy: discounted by mu = {self.mu}, or probed before the end of the run"

    def sweep_cost(self, run: Run, schedule: Schedule, learn: Iterable[str]) -> float:
        """The run again, with its probes; and with tangents, if mu is not 0."""
        learn, probes = list(learn), self.probes(run)
        if not self._steps_alone(run, learn):
            return Forward(self.chunk).sweep_cost(run, schedule, learn) + probes.cost
        # Through the raw gradient: once more, with its graph, and its derivative, worth two.
        curved = 0.0 if is_direct(run, learn) else 3.0 * probes.count / run.steps
        return 1.0 + curved + probes.cost

    def hypergradient(
        self, run: Run, schedule: Schedule, learn: Iterable[str], on_step: OnStep = ignore
    ) -> Hypergradient:
        """Train once and probe ahead at every step."""
        learn = list(learn)
        if self._steps_alone(run, learn):
            return probed_along(self, run, schedule, learn, on_step)
        return self._transported(run, schedule, learn, on_step)

    def _steps_alone(self, run: Run, learn: Iterable[str]) -> bool:
        """Whether nothing is carried from step to step, nor into the first one."""
        return self.mu == 0 and (run.task.initialize is None or is_direct(run, learn))

    def _transported(
        self, run: Run, schedule: Schedule, learn: list[str], on_step: OnStep
    ) -> Hypergradient:
        probes, axes = self.probes(run), Axes(schedule, learn, run.steps)
        products = list[Tensor]()

        def probe(t: int, state: Tensor, tangents: Tensor, readings: Readings) -> None:
            probes.readings = readings
            if probes.after(t):
                _, gradient = probes.unread_gradient(run.optimizer.answer(state), t)
                products.append(run.optimizer.answer(tangents) @ gradient)
            # A step is linear in its tangents: discounting them before it discounts its Jacobian.
            tangents.mul_(self.mu)

        outcome, _ = Forward(self.chunk).push(
            run, schedule, axes.directions, axes.starts, on_step, probe
        )
        total = torch.zeros(len(axes.starts), dtype=torch.float64)
        for product in torch.stack(products).cpu().double():
            total += product
        return Hypergradient(outcome.loss, outcome.accuracy, axes.by_name(total))
