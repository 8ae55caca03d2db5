"""``nongreedy prefer``: a few questions, and one of many results is recommended."""

from __future__ import annotations

import csv
import json
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from nongreedy._extras import needed

from ._exit import INTERRUPTED, Mistake, reported, uninterrupted

if TYPE_CHECKING:
    from nongreedy.preference import Attribute, Dialogue, Items, Question
    from nongreedy.search.progress._screen import Screen

EXAMPLE, DIALOGUE = "digits.json", "dialogue.json"


def prefer(
    source: Annotated[
        str | None,
        typer.Argument(
            help="An Optuna study with several objectives (SQLite file or URL), or a CSV file. Without: "
            "networks for handwritten digits, trained now."
        ),
    ] = None,
    smaller_: Annotated[
        str,
        typer.Option("--smaller", help="Columns that are better when smaller, joined by commas."),
    ] = "",
    larger_: Annotated[
        str, typer.Option("--larger", help="Columns that are better when larger, joined by commas.")
    ] = "",
    log: Annotated[
        str, typer.Option(help="Of these, those of which ratios count, such as latency and memory.")
    ] = "",
    name: Annotated[
        str | None,
        typer.Option(help="Of the study, where there are several; or the column of names."),
    ] = None,
    cost: Annotated[
        float,
        typer.Option(
            help="Of a question: what its answer must gain, where 1 is the best in everything."
        ),
    ] = 0.002,
    questions: Annotated[int, typer.Option(min=0, help="At most.")] = 20,
    answers: Annotated[
        str | None, typer.Option(help="For scripts: letters, such as 'a b a'; then it ends.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of all draws.")] = 0,
    out: Annotated[Path, typer.Option(help="Directory for the results.")] = Path("runs/prefer"),
) -> None:
    """Ask which results you prefer, as long as an answer is worth the trouble; then recommend one.

    Only results that no other beats in everything are asked about. Every answer is kept in
    --out/dialogue.json, and the same command goes on from there. Writes prefer.html and prefer.json.

    Example: nongreedy prefer results.csv --smaller loss,ms --log ms
    """
    with reported():
        import torch

        from nongreedy.preference import Dialogue
        from nongreedy.preference._files import save
        from nongreedy.search.progress._screen import Screen

        from . import _output

        torch.set_num_threads(1)
        _output.prepare(out)
        screen = Screen()
        items = _items(source, _attributes(smaller_, larger_, log), name, out, screen)
        screen.say(
            f"{len(items)} items to choose from, {items.left_out} left out: the same as one of these, or "
            "beaten in everything."
        )
        screen.say("\n".join(f"  {line}" for line in items.scaling()))
        dialogue = Dialogue(
            items, stopping=cost, questions=questions, file=out / DIALOGUE, seed=seed
        )
        if dialogue.answers:
            screen.say(f"Going on after {len(dialogue.answers)} answers, kept in {out / DIALOGUE}.")
        try:
            _ask(dialogue, answers, screen)
        except KeyboardInterrupt:
            screen.say("\nInterrupted: the same command goes on from here.")
            raise typer.Exit(INTERRUPTED) from None
        found = dialogue.recommend()
        with uninterrupted():
            files = save(dialogue, found, out)
        screen.say(f"\n{found}")
        screen.say("Written:\n" + "\n".join(f"  {p.as_posix()}" for p in (*files, out / DIALOGUE)))


def _ask(dialogue: Dialogue, answers: str | None, screen: Screen) -> None:
    from nongreedy.preference._elicit import asked_in_terminal

    given = None if answers is None else iter(answers.replace(",", " ").split())
    while (question := dialogue.ask()) is not None:
        choice = asked_in_terminal(question) if given is None else _read(given, question, screen)
        if choice is None:
            dialogue.reason = "It was ended before the next question."
            return
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            dialogue.tell(choice, question)
        for warning in caught:
            screen.say(f"warning: {warning.message}")


def _read(given: Iterator[str], question: Question, screen: Screen) -> int | None:
    """The next of the letters of a script; none is the end."""
    from nongreedy.preference._elicit import slot

    letter = next(given, "q")
    try:
        choice = slot(letter, question)
    except ValueError as error:
        raise Mistake(f"--answers, question {question.number}: {error}") from error
    if choice is not None:
        screen.say(f"Question {question.number}: {' | '.join(question.options)} -> {letter}")
    return choice


def _attributes(small: str, large: str, log: str) -> list[Attribute]:
    """In the order in which they were named."""
    from nongreedy.preference import larger, smaller

    split = lambda text: [part.strip() for part in text.split(",") if part.strip()]  # noqa: E731
    ratios = split(log)
    named = [(smaller, each) for each in split(small)] + [(larger, each) for each in split(large)]
    if unknown := [each for each in ratios if each not in [column for _, column in named]]:
        raise Mistake(f"--log names {unknown}, which neither --smaller nor --larger names.")
    return [make(column, log=column in ratios) for make, column in named]


def _items(
    source: str | None, attributes: list[Attribute], name: str | None, out: Path, screen: Screen
) -> Items:
    if source is None:
        if attributes:
            raise Mistake("--smaller and --larger name columns of a file or study: give one.")
        return _example(out, screen)
    if source.lower().endswith((".csv", ".tsv")):
        return _of_csv(Path(source), attributes, name)
    return _of_study(source, attributes, name)


def _example(out: Path, screen: Screen) -> Items:
    """Trained once; what a dialogue began with is what it goes on with."""
    from nongreedy.preference import Items
    from nongreedy.preference._digits import ATTRIBUTES, EPOCHS, WIDTHS, configurations
    from nongreedy.schedules._files import read_json, replace_file

    file = out / EXAMPLE
    if file.exists():
        rows = read_json(file)
    else:
        screen.say("Training networks for handwritten digits to choose from.")
        with screen.bar(len(WIDTHS) * len(EPOCHS)) as started:
            rows = configurations(started)
        replace_file(file, json.dumps(rows, indent=1) + "\n")
    return Items.of(rows, ATTRIBUTES, [str(row["name"]) for row in rows], only_front=True)


def _of_csv(file: Path, attributes: list[Attribute], name: str | None) -> Items:
    from nongreedy.preference import Items

    rows = _rows(file)
    if not attributes:
        raise Mistake(
            f"Say with --smaller and --larger which columns of {str(file)!r} are better which way; it has "
            f"{', '.join(rows[0])}."
        )
    if name is not None and name not in rows[0]:
        raise Mistake(f"{str(file)!r} has no column {name!r}; it has {', '.join(rows[0])}.")
    names = None if name is None else [row[name] for row in rows]
    return Items.of(rows, attributes, names, only_front=True)


def _rows(file: Path) -> list[dict[str, str]]:
    """Of a table, by the names of its columns."""
    if not file.is_file():
        raise Mistake(f"No file {str(file)!r}. Give a CSV file, or a study of Optuna's.")
    delimiter = "\t" if file.suffix.lower() == ".tsv" else ","
    try:
        with file.open(encoding="utf-8-sig", newline="") as stream:
            rows = list(csv.DictReader(stream, delimiter=delimiter))
    except UnicodeDecodeError as error:
        raise Mistake(f"{str(file)!r} is no text in UTF-8 ({error}).") from error
    if not rows:
        raise Mistake(f"{str(file)!r} has no rows.")
    if len(rows[0]) == 1:
        raise Mistake(
            f"{str(file)!r} has a single column, {next(iter(rows[0]))!r}. Columns are separated by commas, "
            "in a .tsv file by tabs."
        )
    return rows


def _of_study(source: str, attributes: list[Attribute], name: str | None) -> Items:
    needed("A study", "optuna")
    import optuna

    from nongreedy.preference import Items
    from nongreedy.studies._address import Address
    from nongreedy.studies._storage import explained, names

    address = Address.of(source, None)
    if address.path is not None and not address.path.is_file():
        raise Mistake(f"No file {source!r}. Give a study of Optuna's, or a CSV file.")
    known = names(address)
    if name is None and len(known) != 1:
        raise Mistake(
            f"{source!r} has {len(known)} studies: {', '.join(known)}. Choose with --name."
        )
    if name is not None and name not in known:
        raise Mistake(f"{source!r} has no study {name!r}, but {', '.join(known)}.")
    with explained("read", address):
        study: Any = optuna.load_study(study_name=name or known[0], storage=address.url)
        plain = Items.of_study(study)
    if not attributes:
        return plain
    asked = {attribute.name: attribute for attribute in attributes}
    own = [asked.pop(each.name, each) for each in plain.attributes]
    if asked:
        raise Mistake(f"The study has no objective {list(asked)}, but {[a.name for a in own]}.")
    return Items.of_trials(study.best_trials, own)
