"""A constant learning rate, and the mean of the weights over the end of the run."""

from typing import final

from ..optimizers import Optimizer
from ..schedules import Schedule, ScheduleLR
from ..task._plain import Begun, Named
from ._plain_runs import PlainRuns


@final
class TailAverageRuns(PlainRuns):
    """Runs by ``torch.optim`` under a schedule, judged at the mean of the weights over their end.

    Args:
        share: Of the run, over which is averaged.

    Source: arXiv:1803.05407 (:cite:`izmailov2018averaging`).
    """

    def __init__(self, share: float = 0.25):
        self.share = share

    def begin(self, named: Named, rule: Optimizer, schedule: Schedule, steps: int) -> Begun:
        optimizer = rule.torch_optimizer(rule.torch_groups(named))
        average = Schedule.of(average_share=self.share).curves
        averaging = Schedule({**schedule.curves, **average})
        scheduler = ScheduleLR(
            optimizer, averaging, steps, settings=rule.torch_settings, groups="same", judged=True
        )
        return Begun(optimizer, scheduler.step)
