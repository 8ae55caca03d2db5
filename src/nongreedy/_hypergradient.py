"""One hypergradient, without a search."""

import torch

from .engines import Engine, Hypergradient, Problem
from .optimizers import Optimizer
from .planning import settle
from .schedules import Schedule
from .schedules._given import checked_schedule
from .task import Task


def hypergradient(
    task: Task,
    optimizer: Optimizer,
    *,
    epochs: float | None = None,
    steps: int | None = None,
    schedule: Schedule | None = None,
    engine: str | Engine = "auto",
    seed: int = 0,
    dtype: torch.dtype = torch.float32,
) -> Hypergradient:
    r"""The exact gradient of the final validation loss through one whole training run.

    .. math:: G_j = \frac{d L_\mathrm{val}(\theta_T)}{d c_j}

    Args:
        task, optimizer, epochs, steps, engine, seed, dtype: As in :func:`tune`.
        schedule: Where to differentiate; what it leaves out, as None does everything, has the
            optimizer's initial values.

    Returns:
        Value, gradients by name and, from reverse engines, every per-step derivative.

    Raises:
        ValueError: Bad settings.
        DivergedError: A non-finite loss, state, tangent or adjoint.

    Source: arXiv:2007.07869, section 3.

    Cannot: say whether another seed would agree; compare a few.

    Example:
        >>> import torch, nongreedy as ng
        >>> x = torch.randn(64, 4); y = x.sum(1, keepdim=True)
        >>> task = ng.Task(lambda: torch.nn.Linear(4, 1), torch.nn.functional.mse_loss,
        ...                (x, y), (x, y), batch_size=16)
        >>> h = ng.hypergradient(task, ng.SGD(learning_rate=ng.Windows(2)), steps=10)
        >>> h.gradients["learning_rate"].shape, h.per_step["learning_rate"].shape
        (torch.Size([2]), torch.Size([10]))
    """
    if schedule is not None:
        checked_schedule("schedule", schedule)
    problem = Problem.of(task, optimizer, epochs=epochs, steps=steps, dtype=dtype, engine=engine)
    start, run = problem.at(schedule), problem.run(seed)
    chosen = settle(engine, problem, start, seed).engine
    return chosen.hypergradient(run, start, list(problem.learned))
