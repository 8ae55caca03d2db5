"""Trust of a schedule's hypergradients, which are computed for it."""

import torch

from ..engines import Engine, Problem
from ..errors import DivergedError, IrreversibleError, check_whole
from ..optimizers import Optimizer
from ..planning import settle
from ..schedules import Schedule
from ..schedules._given import checked_schedule
from ..search import Objective
from ..task import Task
from ._prospect import prospect_of
from ._report import Trust
from ._smoothness import smoothness_of


def trust(
    task: Task,
    optimizer: Optimizer,
    *,
    epochs: float | None = None,
    steps: int | None = None,
    schedule: Schedule | None = None,
    seeds: int = 4,
    engine: str | Engine = "auto",
    smoothness: float | None = 0.1,
    seed: int = 0,
    dtype: torch.dtype = torch.float32,
) -> Trust:
    r"""Whether the hypergradient of a schedule is worth following, and how wide its windows should be.

    Hypergradients of several seeds are compared: signal to noise and agreement of signs of each
    coefficient (:class:`Signal`); the theorem on sharing, from their per-step derivatives
    (:class:`Sharing`),

    .. math:: \mathrm{MSE}_W \le \frac{1 + c (W - 1)}{W} \mathrm{MSE}_1 + \frac{L^2 (W^2 - 1)}{12},
              \qquad W^* = \left( \frac{6 (1 - c) \mathrm{MSE}_1}{L^2} \right)^{1/3};

    growth of the adjoints from the end of the run to its beginning (:class:`Growth`); and, by two
    plain runs more of each seed, whether the derivative holds a finite step away
    (:class:`Smoothness`), and what a search from there is expected to gain (:class:`Prospect`).

    Args:
        task, optimizer, epochs, steps, engine, dtype: As in :func:`tune`.
        schedule: Where to differentiate; what it leaves out, as None does everything, has the
            optimizer's initial values.
        seeds: Hypergradients to compare, at least two.
        smoothness: Share of an outer step to look ahead; None makes no runs for it.
        seed: Decides the seeds of the runs.

    Returns:
        A report to print. Runs and sweeps that diverge do not raise: they are reported, as chaotic.

    Raises:
        ValueError: Bad settings.

    Source: arXiv:2007.07869 (theorem 4.1), arXiv:2503.13751 (metasmoothness).

    Cannot: tell a hypergradient that is zero, at the best schedule, from one that is lost in noise.

    Example:
        >>> import torch, nongreedy as ng
        >>> x = torch.randn(256, 4); y = x.sum(1, keepdim=True)
        >>> task = ng.Task(lambda: torch.nn.Linear(4, 1), torch.nn.functional.mse_loss,
        ...                (x, y), (x, y), batch_size=16)
        >>> ng.trust(task, ng.SGD(ng.Windows(2)), steps=20).verdict.name
        'trustworthy'
    """
    check_whole("seeds", seeds, 2, " Of one seed alone the noise between seeds is not known.")
    if smoothness is not None and not smoothness > 0:
        raise ValueError(f"`smoothness` must be a positive step or None, but got {smoothness!r}.")
    if schedule is not None:
        checked_schedule("schedule", schedule)
    problem = Problem.of(task, optimizer, epochs=epochs, steps=steps, dtype=dtype, engine=engine)
    start = problem.at(schedule)
    objective = Objective(problem, settle(engine, problem, start, seed).engine, seed=seed)
    rollouts, hypergradients, failures = [], [], []
    for run_seed in objective.seeds(0, seeds):
        try:
            rollout = objective.rollout(start, run_seed, keep=True)
            hypergradients.append(objective.differentiate(rollout))
            rollouts.append(rollout)
        except IrreversibleError:
            raise
        except DivergedError as error:
            failures.append(str(error))
    smooth = prospect = None
    if smoothness is not None and rollouts:
        smooth = smoothness_of(
            objective, start, problem.learned, rollouts, hypergradients, smoothness
        )
    if smooth is not None and not failures:
        prospect = prospect_of(hypergradients, start, problem.learned, smooth)
    return Trust.of(
        hypergradients, start, problem.steps,
        smoothness=smooth, failures=failures, cost=objective.cost,
        verification=problem.verification.summary,
        prospect=prospect,
    )  # fmt: skip
