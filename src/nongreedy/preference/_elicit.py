"""The whole dialogue in one call, and its questions in a terminal."""

from __future__ import annotations

from collections.abc import Callable
from string import ascii_lowercase
from typing import Any

from ._dialogue import Dialogue, Question
from ._items import Items
from ._recommendation import Recommendation

Answering = Callable[[Question], int | None]


def elicit(items: Items, answer: Answering | None = None, **settings: Any) -> Recommendation:
    """Ask which items are preferred, as long as it pays; then recommend one.

    Args:
        items: To choose from.
        answer: Question -> the preferred slot from 0, or None to end; default asks in the terminal.
        settings: Of :class:`Dialogue`; with a `file` it goes on where it was ended.

    Returns:
        The item of largest expected utility, with what was learned of the trade-offs.

    Source: arXiv:1911.09153.

    Example:
        >>> from nongreedy.preference import Items, elicit, smaller
        >>> table = [[0.1, 9.0], [0.2, 3.0], [0.4, 1.0]]
        >>> items = Items.of(table, [smaller("loss"), smaller("ms", log=True)])
        >>> elicit(items, lambda question: int(question.query.points[:, 0].argmax())).name
        'item 0'
    """
    dialogue = Dialogue(items, **settings)
    while (question := dialogue.ask()) is not None:
        choice = (answer or asked_in_terminal)(question)
        if choice is None:
            dialogue.reason = "It was ended before the next question."
            break
        dialogue.tell(choice, question)
    return dialogue.recommend()


def asked_in_terminal(question: Question) -> int | None:
    """Print a question and read a letter; None for q or the end of input."""
    print(f"\nQuestion {question.number}. Which would you rather have?")
    for letter, option in zip(ascii_lowercase, question.options, strict=False):
        print(f"  {letter}) {option}")
    while True:
        try:
            choice = slot(input("Letter, or q to stop: "), question)
        except EOFError:
            return None
        except ValueError as error:
            print(error)
            continue
        return choice


def slot(typed: str, question: Question) -> int | None:
    """The slot of a letter; None for q.

    Raises:
        ValueError: Any other text.
    """
    letters = ascii_lowercase[: len(question.options)]
    typed = typed.strip().lower()
    if typed == "q":
        return None
    if len(typed) != 1 or typed not in letters:
        raise ValueError(f"Type one of {', '.join(letters)}, or q, but not {typed!r}.")
    return letters.index(typed)
