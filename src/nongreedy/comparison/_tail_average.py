"""A constant learning rate, and the mean of the weights over the end of the run."""

from typing import final

import torch

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
        scheduler = ScheduleLR(
            optimizer, schedule, steps, settings=rule.torch_settings, groups="same", judged=True
        )
        before, done = steps - max(1, round(self.share * steps)), 0
        parameters = [p for _, p in named]
        means = [torch.zeros_like(p) for p in parameters]

        def after_step() -> None:
            nonlocal done
            scheduler.step()
            done += 1
            for mean, parameter in zip(means, parameters, strict=True) if done > before else ():
                mean.lerp_(parameter.detach(), 1 / (done - before))

        @torch.no_grad()
        def at_end() -> None:
            for parameter, mean in zip(parameters, means, strict=True):
                parameter.copy_(mean)

        return Begun(optimizer, after_step, at_end)
