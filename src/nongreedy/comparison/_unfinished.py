"""A search of a comparison that survives a kill: what it was told so far, kept beside the log."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import quote

import torch

from ..engines._watch import Watch
from ..search import Answer, Memory, Ran, Request
from ..studies import Study
from ._piece import Log


@contextmanager
def remembered(log: Log | None, key: str, settings: Mapping[str, Any]) -> Iterator[Memory]:
    """The memory of one search: an Optuna study in a folder of its own, or none without a log."""
    if log is None:
        yield Memory()
        return
    asked = {
        **settings, "search": key,
        "torch": str(torch.__version__), "threads": torch.get_num_threads(),
    }  # fmt: skip
    with Study(_folder(log, key) / "study.db").session(asked, {}, settings["steps"]) as memory:
        yield memory


def forget(log: Log, key: str) -> None:
    """The search is finished and in the log."""
    folder = _folder(log, key)
    shutil.rmtree(folder, ignore_errors=True)
    with suppress(OSError):  # others are not finished
        folder.parent.rmdir()


def _folder(log: Log, key: str) -> Path:
    return log.path.with_suffix(".unfinished") / quote(key.replace("|", "-"), safe="")


@dataclass
class Count:
    """How many runs were begun, and how many took all of their steps."""

    runs: int = 0
    finished: int = 0


class Counted(Memory):
    """Another memory, and a count of the runs that it is told of or knows.

    Outer steps are none of its business: of a search that is part of a comparison, only the choice is.

    Args:
        steps: Of its runs, where they are shorter than those that the memory is of.
    """

    def __init__(self, memory: Memory, count: Count, steps: int | None = None):
        self.memory, self.count, self.steps = memory, count, steps

    def recall(self, request: Request) -> Answer | None:
        answer = self.memory.recall(self._named(request))
        self._count(request, answer)
        return answer

    def remember(self, request: Request, answer: Answer) -> None:
        self.memory.remember(self._named(request), answer)
        self._count(request, answer)

    def watch(self, request: Request, watch: Watch) -> Watch:
        return self.memory.watch(self._named(request), watch)

    def noted(self, name: str) -> Any:
        return self.memory.noted(name)

    def note(self, name: str, value: Any) -> None:
        self.memory.note(name, value)

    def _named(self, request: Request) -> Request:
        if self.steps is None:
            return request
        return replace(request, kind=f"{request.kind} of {self.steps} steps")

    def _count(self, request: Request, answer: Answer | None) -> None:
        if request.kind == "run" and answer is not None:
            self.count.runs += 1
            self.count.finished += isinstance(answer, Ran)
