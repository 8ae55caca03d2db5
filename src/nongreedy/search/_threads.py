"""The threads of a search's runs: as they are, so many, or measured once and kept: bits depend on them."""

import contextlib
from collections.abc import Iterator

import torch

from ..engines import Problem
from ..errors import is_whole
from ..planning import fastest_threads
from ._memory import Memory

AUTO, _NOTE = "auto", "threads"


def check_threads(threads: int | str | None) -> None:
    """Raise ValueError for what is neither a number of threads nor ``"auto"`` nor None."""
    if not (threads in (None, AUTO) or is_whole(threads)):
        raise ValueError(
            f"`threads` must be a whole number of at least 1, 'auto' or None, but got {threads!r}."
        )


@contextlib.contextmanager
def threaded(
    threads: int | str | None, problem: Problem, seed: int, memory: Memory
) -> Iterator[None]:
    """Within this block runs have so many; afterwards it is as it was."""
    if threads is None:
        yield
        return
    number = threads
    if threads == AUTO:
        number = memory.noted(_NOTE) or fastest_threads(problem, seed)
        memory.note(_NOTE, number)
        number = memory.noted(_NOTE) or number  # of many processes one decides
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(int(number))
        yield
    finally:
        torch.set_num_threads(before)
