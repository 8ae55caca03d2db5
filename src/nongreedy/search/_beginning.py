"""Where a search begins: what of a schedule it can begin at."""

import warnings

import torch

from ..engines import Problem


def check_start(problem: Problem) -> None:
    """Look at the schedule that a search is to begin at.

    Raises:
        ValueError: It sets what neither the optimizer nor the task has.

    Warns:
        UserWarning: It sets what is fixed here, at another value.
    """
    start = problem.at(problem.start)
    for name, hyper in problem.hyperparameters.items():
        values, fixed = start.curves[name].coefficients.double(), hyper.initial.double()
        if hyper.learned or torch.isclose(values, fixed).all():
            continue
        ends = f"{float(values[0]):g}" + (f" to {float(values[-1]):g}" if len(values) > 1 else "")
        warnings.warn(
            f"`start` has {name} at {ends}, but it is fixed at {float(fixed[0]):g} here and stays there. "
            f"Learn it ({name}=ng.Constant()), or fix it at the value of the start.",
            stacklevel=3,
        )
