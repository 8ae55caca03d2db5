"""The dialogue: ask while it pays, then recommend."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

import torch

from ..errors import DataError, check_whole
from ..protocols import mix
from . import _file
from ._belief import SAMPLES, Belief
from ._items import Items
from ._noise import UncertainNoise
from ._query import Answer, Query
from ._recommendation import Recommendation, recommended
from ._stopping import Stopping
from ._surprise import surprise, warn_of
from ._value import Value, evoi
from .strategies import Relaxed, Strategy


@dataclass(frozen=True)
class Question:
    """A question that was asked.

    Attributes:
        number: Counting from 1.
        query: Its items.
        options: A line for each slot.
        value: What the answer is expected to gain.
    """

    number: int
    query: Query
    options: Sequence[str]
    value: Value


@final
class Dialogue:
    """Asks the question that is expected to improve the decision most, until none pays.

    Args:
        items: To choose from.
        belief: Before the first answer; default the items' own prior, with noise of unknown scale.
        strategy: How questions are found.
        slots: Items of a question.
        stopping: When asking no longer pays; a number is the cost of a question in units of utility.
        questions: At most.
        file: Where every answer is kept as it is given. If it exists, the dialogue goes on from there.
        seed: Of all draws.

    Raises:
        ValueError: Settings that are none; an answer that is no slot, or to a question not asked. What was
            answered before is kept.
        DataError: The file is none, or is about other items.

    Example:
        >>> from nongreedy.preference import Dialogue, Items, smaller
        >>> table = [[0.1, 9.0], [0.2, 3.0], [0.4, 1.0]]
        >>> dialogue = Dialogue(Items.of(table, [smaller("loss"), smaller("ms", log=True)]))
        >>> question = dialogue.ask()
        >>> dialogue.tell(0)
        >>> dialogue.recommend().answers
        1
    """

    def __init__(
        self,
        items: Items,
        belief: Belief | None = None,
        *,
        strategy: Strategy | None = None,
        slots: int = 2,
        stopping: Stopping | float = 0.0,
        questions: int | None = None,
        file: str | os.PathLike[str] | None = None,
        seed: int = 0,
    ):
        check_whole("slots", slots, 2)
        if slots > len(items):
            raise ValueError(f"`slots` is {slots}, but there are {len(items)} items.")
        if questions is not None:
            check_whole("questions", questions, 0)
        self.items, self.slots, self.questions, self.seed = items, slots, questions, seed
        self.strategy = strategy or Relaxed()
        self.stopping = stopping if isinstance(stopping, Stopping) else Stopping(stopping)
        self.belief = belief or usual_belief(items, seed)
        if self.belief.attributes != len(items.attributes):
            raise ValueError(
                f"The belief has {self.belief.attributes} attributes, the items {len(items.attributes)}."
            )
        self.fresh = self.belief.twin()
        self.predicted = list[tuple[torch.Tensor, int]]()
        self.file, self.asked, self.reason = None if file is None else Path(file), None, ""
        self._resume()

    def _resume(self) -> None:
        if self.file is None:
            return
        kept = _file.read(self.file, self.items.fingerprint())
        try:
            for said in kept["answers"]:
                self._learn(Answer.from_json(said))
            if kept["asked"] is not None:
                self.asked = Query.from_json(kept["asked"])
        except (ArithmeticError, LookupError, RuntimeError, TypeError, ValueError) as error:
            raise DataError(
                f"{str(self.file)!r} holds an answer that is none ({error}). Move it away, or name another "
                "file."
            ) from error

    @property
    def answers(self) -> tuple[Answer, ...]:
        """All that were given."""
        return self.belief.answers

    def ask(self) -> Question | None:
        """The next question; the same one until it is answered. None where asking no longer pays, and
        :attr:`reason` says why."""
        if self.asked is not None:
            again = evoi(self.belief, self.asked, self.items.catalogue, self.fresh)
            return self._question(self.asked, again)
        if self.questions is not None and len(self.answers) >= self.questions:
            self.reason = f"That was the last of {self.questions} questions."
            return None
        seed = mix(self.seed, len(self.answers))
        query = self.strategy.choose(self.belief, self.items.catalogue, self.slots, seed)
        pays, value = self.stopping.judged(self.belief, self.fresh, query, self.items.catalogue)
        if not pays:
            self.reason = (
                f"The best question is worth {value.value:.2g} ± {value.standard_error:.1g} of utility, "
                f"not clearly more than its cost, {self.stopping.cost:g}."
            )
            return None
        self.asked, self.reason = query, ""
        self._keep()
        return self._question(query, value)

    def _question(self, query: Query, value: Value) -> Question:
        return Question(len(self.answers) + 1, query, self.options(query), value)

    def tell(self, choice: int, question: Question | None = None) -> None:
        """The answer to the question that was asked.

        Args:
            choice: The slot that is preferred, from 0.
            question: For programs that want it checked: which question this answers.
        """
        if self.asked is None:
            raise ValueError(
                "No question is open. ask() asks one; learn() takes answers to questions of your own."
            )
        if question is not None and question.query.to_json() != self.asked.to_json():
            raise ValueError(
                f"This answers question {question.number}, but number {len(self.answers) + 1} is open: "
                f"{list(self.options(self.asked))}."
            )
        self._learn(Answer(self.asked, choice))
        self.asked = None
        self._keep()
        warn_of(self.surprise)  # last: where warnings are errors, the answer is kept

    def learn(self, query: Query | Sequence[int], choice: int) -> None:
        """An answer to a question that we did not ask, about items by number or about any points.

        An open question stays open.
        """
        if not isinstance(query, Query):
            members = tuple(query)
            if unknown := [m for m in members if m not in range(len(self.items))]:
                raise ValueError(f"There are items 0 to {len(self.items) - 1}, but not {unknown}.")
            query = Query(self.items.catalogue.points[list(members)], members)
        self._learn(Answer(query, choice))
        self._keep()
        warn_of(self.surprise)

    def _learn(self, answer: Answer) -> None:
        expected = self.belief.expected(answer.query)
        after = self.belief.updated(answer.query, answer.choice)
        # Both or none: a refused answer leaves everything as it was.
        self.fresh = self.fresh.updated(answer.query, answer.choice)
        self.belief = after
        self.predicted.append((expected, answer.choice))

    @property
    def surprise(self) -> float:
        """Standard deviations by which answers were less likely than expected."""
        return surprise(self.predicted)

    def recommend(self) -> Recommendation:
        """What to choose after the answers so far."""
        return recommended(self.belief, self.items, self.surprise, self.reason)

    def options(self, query: Query) -> list[str]:
        """A line for each slot of a question."""
        if query.members is not None:
            return [self.items.described(member) for member in query.members]
        return [self.items.hypothetical(point, query.attributes) for point in query.points]

    def _keep(self) -> None:
        if self.file is not None:
            asked: Any = None if self.asked is None else self.asked.to_json()
            said = [answer.to_json() for answer in self.answers]
            _file.write(self.file, self.items.fingerprint(), said, asked)


def usual_belief(items: Items, seed: int = 0) -> Belief:
    """The items' own prior, and noise of a fifth of the scatter of utilities over items, give or take a
    factor of three."""
    samples = max(SAMPLES, 4 * len(items.attributes))
    first = Belief(items.prior(), samples=samples, seed=seed)
    some = items.catalogue.points[:: max(1, len(items) // 1000)]
    scatter = float((some @ first.utilities.T).std(0).mean())
    return Belief(items.prior(), noise=UncertainNoise(scatter / 5), samples=samples, seed=seed)
