"""The way of training that averages its weights, as an alternative."""

from ...engines import Engine, Problem


def averaged(problem: Problem, engine: Engine) -> list[Problem]:
    """The same with an average, where the optimizer has none and the engine can differentiate it."""
    del problem, engine
    return []
