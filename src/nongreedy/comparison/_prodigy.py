"""Prodigy, which estimates its own learning rate, from the package of its authors."""

from typing import ClassVar, final

from ..engines import Problem
from ..optimizers import AdamW, Optimizer
from ..schedules import Schedule
from ..task._plain import Begun, Named
from ._plain_runs import PlainRuns
from ._practice import PRACTICE
from ._ranges import Range

_COEFFICIENTS = Range(0.1, 10.0, "log")  # "values such as 0.5 and 2.0 typically work as well"


@final
class ProdigyRuns(PlainRuns):
    """Runs by the package ``prodigyopt``, in place of whatever optimizer the problem has.

    A schedule's first learning rate is the coefficient of its estimate, ``d_coef``, by which its
    authors tune it; the rest of the schedule, relative to it, is its learning rate. Betas 0.9 and 0.999
    with correction of their bias, decoupled weight decay 0.01, as people set AdamW.

    Source: arXiv:2306.06101.

    .. code-block:: bibtex

        @inproceedings{mishchenko2024prodigy,
          author    = {Mishchenko, Konstantin and Defazio, Aaron},
          title     = {Prodigy: An Expeditiously Adaptive Parameter-Free Learner},
          booktitle = {International Conference on Machine Learning},
          year      = {2024}, eprint = {2306.06101}, archivePrefix = {arXiv}
        }
    """

    package: ClassVar[str | None] = "prodigyopt"

    def begin(self, named: Named, rule: Optimizer, schedule: Schedule, steps: int) -> Begun:
        from prodigyopt import Prodigy

        del rule
        rates = schedule.values(steps)["learning_rate"].tolist()
        parameters = [p for _, p in named]
        optimizer = Prodigy(parameters, d_coef=rates[0], use_bias_correction=True)
        (group,) = optimizer.param_groups
        group["weight_decay"] = PRACTICE[AdamW][
            "weight_decay"
        ]  # to the constructor it prints a line
        done = 0

        def after_step() -> None:
            nonlocal done
            done += 1
            group["lr"] = rates[min(done, steps - 1)] / rates[0]

        return Begun(optimizer, after_step)

    def peaks(self, problem: Problem) -> Range:
        del problem
        return _COEFFICIENTS
