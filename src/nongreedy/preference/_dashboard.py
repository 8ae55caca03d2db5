"""Questions asked by optuna-dashboard: a preferential study in which only our question is open."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, final

from .._extras import needed
from ..errors import StudyError
from ._attribute import Attribute
from ._dialogue import Dialogue, Question
from ._items import Items
from ._query import Answer, Query

_ITEM, _NUMBER, _ITEMS = "nongreedy:item", "nongreedy:question", "nongreedy:items"


def ask(
    trials: Iterable[Any],
    attributes: Sequence[Attribute],
    *,
    storage: Any,
    name: str = "preferences",
    **settings: Any,
) -> DashboardDialogue:
    """Ask in optuna-dashboard which of some trials is preferred.

    Call :meth:`DashboardDialogue.update` now and then, or :meth:`DashboardDialogue.recommend`.

    Args:
        trials: Of a study with several objectives, such as ``study.best_trials``.
        attributes: Of their values, in order: ``[smaller("loss"), smaller("ms", log=True)]``.
        storage: URL or storage of Optuna's that the dashboard shows, for example ``"sqlite:///study.db"``.
        name: Of the preferential study, which is made, or gone on with.
        settings: Of :class:`Dialogue`.

    Raises:
        NoTradeoffError: One trial is best in everything.
        StudyError: A study of that name is about other items, or not preferential.
    """
    trials = list(trials)
    return DashboardDialogue(Items.of_trials(trials, attributes), storage, name, trials, **settings)


@final
class DashboardDialogue:
    """A dialogue whose answers are clicks in optuna-dashboard.

    Each question is two fresh trials, copies of items with a note that describes them; when it is
    answered, both are skipped, so that only the next question is shown. Answers are read from
    the study alone, and one that is taken back there is taken back here.

    Args:
        items: To choose from.
        storage: Where the preferential study lives.
        name: Of the study.
        trials: Whose parameters the copies have, by their names among the items.
        settings: Of :class:`Dialogue`, without `file`: the study is what is kept.
    """

    def __init__(
        self,
        items: Items,
        storage: Any,
        name: str = "preferences",
        trials: Sequence[Any] = (),
        **settings: Any,
    ):
        if "file" in settings:
            raise ValueError("`file` is not taken here: the study keeps the answers.")
        if settings.get("slots", 2) != 2:
            raise ValueError(
                f"`slots` must be 2, not {settings['slots']}: the dashboard asks for the worst, which is the "
                "same as the best of the others in pairs alone."
            )
        self.items, self.settings = items, settings
        self.trials = {f"trial {trial.number}": trial for trial in trials}
        self.study = _opened(storage, name, items.fingerprint())
        self.dialogue = Dialogue(items, **self.settings)
        self.update()

    def update(self) -> Question | None:
        """Read answers, and open the next question where none is open; None when asking no longer pays."""
        asked = self._asked()
        given = {
            number: slot for number, pair in asked.items() if (slot := self._slot(pair)) is not None
        }
        answers = [Answer(self._query(asked[number]), slot) for number, slot in given.items()]
        if [a.to_json() for a in answers] != [a.to_json() for a in self.dialogue.answers]:
            self.dialogue = Dialogue(self.items, **self.settings)
            for answer in answers:
                self.dialogue.learn(answer.query, answer.choice)
        last = max(asked, default=0)
        if last and last not in given:
            self.dialogue.asked = self._query(asked[last])
            return self.dialogue.ask()
        self.dialogue.asked = None
        question = self.dialogue.ask()
        if question is not None:
            self._show(question, last + 1, asked.get(last, []))
        return question

    def recommend(self) -> Any:
        """After all answers that were given by now."""
        self.update()
        return self.dialogue.recommend()

    def _asked(self) -> dict[int, list[Any]]:
        """Number of a question -> its two trials, in the order of slots; a half-written one is none."""
        asked = dict[int, list[Any]]()
        for trial in self.study.get_trials(deepcopy=False):
            if _NUMBER in trial.user_attrs:
                asked.setdefault(trial.user_attrs[_NUMBER], []).append(trial)
        return {number: pair for number, pair in sorted(asked.items()) if len(pair) == 2}

    def _slot(self, pair: Sequence[Any]) -> int | None:
        """The slot that was preferred, by the last click."""
        numbers, found = [trial.number for trial in pair], None
        for better, worse in self.study.get_preferences(deepcopy=False):
            if {better.number, worse.number} == set(numbers):
                found = numbers.index(better.number)
        return found

    def _query(self, pair: Sequence[Any]) -> Query:
        members = tuple(trial.user_attrs[_ITEM] for trial in pair)
        return Query(self.items.catalogue.points[list(members)], members)

    def _show(self, question: Question, number: int, before: Sequence[Any]) -> None:
        from optuna_dashboard import save_note
        from optuna_dashboard.preferential._system_attrs import report_skip

        # The dashboard shows every trial that was neither clicked nor skipped.
        study = self.study._study
        for trial in before:
            report_skip(study._study_id, trial._trial_id, study._storage)
        for member, line in zip(question.query.members or (), question.options, strict=True):
            source = self.trials.get(self.items.names[member])
            if source is not None:
                self.study.enqueue_trial(source.params)
            trial = self.study.ask(source.distributions if source else None)
            save_note(trial, line)
            trial.set_user_attr(_ITEM, member)
            trial.set_user_attr(
                _NUMBER, number
            )  # last: without it the trial is no part of a question


def _opened(storage: Any, name: str, fingerprint: str) -> Any:
    needed("Asking in Optuna's dashboard", "optuna", "optuna_dashboard")
    import optuna
    from optuna_dashboard import preferential

    sampler = optuna.samplers.RandomSampler(seed=0)  # never asked for a value: items have theirs
    try:
        study = preferential.create_study(
            n_generate=2, storage=storage, study_name=name, sampler=sampler, load_if_exists=True
        )
    except ValueError as error:
        raise StudyError(f"Study {name!r} is not preferential: name another one.") from error
    kept = study.user_attrs.get(_ITEMS)
    if kept is None and not study.get_trials(deepcopy=False):
        study.set_user_attr(_ITEMS, fingerprint)
    elif kept != fingerprint:
        raise StudyError(f"Study {name!r} is about other items: name another one.")
    return study
