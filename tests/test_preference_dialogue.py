"""Dialogues: they end when asking does not pay, survive a kill at any question, and lose nothing."""

import json
import math
import warnings

import pytest
import torch

from benchmarks._preference_users import NOISES, STRATEGIES, User, dialogue, items_on_a_sphere
from nongreedy.errors import DataError
from nongreedy.preference import (
    Belief,
    ContradictionWarning,
    Dialogue,
    Gaussian,
    Items,
    KnownNoise,
    Noiseless,
    Query,
    Stopping,
    Tradeoffs,
    UncertainNoise,
    elicit,
    evoi,
    smaller,
)
from nongreedy.preference._elicit import asked_in_terminal
from nongreedy.preference._surprise import ALARM, surprise
from nongreedy.preference.strategies import Partial, Random

from .preference_cases import TABLE, items, person

WANTS = [0.6, 0.3, 0.1]


@pytest.mark.parametrize("wants", [[0.9, 0.05, 0.05], [0.05, 0.05, 0.9], [0.4, 0.3, 0.3]])
def test_who_knows_what_he_wants_gets_it(wants):
    made = items()
    found = elicit(made, person(wants), questions=12)
    worth = made.catalogue.points @ torch.tensor(wants).double()
    assert float(worth.max() - worth[found.member]) <= 0.02
    # Only as much is learned of weights as the decision needs, and that is true.
    for name, want in zip(found.weights, wants, strict=True):
        assert found.weights[name].low - 0.05 <= want <= found.weights[name].high + 0.05
    assert found.answers <= 12 and found.surprise < ALARM
    assert f"Recommended: {made.described(found.member)}" in str(found)


def test_it_asks_exactly_while_the_value_is_above_the_cost():
    values = []

    def answer(question):
        values.append(question.value)
        return person(WANTS)(question)

    patient = elicit(items(), answer, stopping=Stopping(0.003, patience=1))
    assert len(values) == patient.answers >= 1
    assert all(value.value - 0.003 > 1.64 * value.standard_error for value in values)
    dear = elicit(items(), answer, stopping=Stopping(0.5))
    assert dear.answers == 0 and "not clearly more than its cost, 0.5" in dear.reason
    assert elicit(items(), answer, questions=1).reason == "That was the last of 1 questions."
    assert elicit(items(), lambda question: None).reason.startswith("It was ended")


def test_where_no_answer_by_itself_pays_several_may():
    made = items()
    belief = Belief(made.prior(), noise=5.0)
    impatient = Dialogue(made, belief, stopping=Stopping(0.0, patience=1))
    assert impatient.ask() is None and "is worth 0" in impatient.reason
    query = Query(made.catalogue.points[[0, 5]], (0, 5))
    assert evoi(belief, query, made.catalogue).in_sample == 0
    assert evoi(belief, query, made.catalogue, repeats=64).in_sample > 0
    assert Dialogue(made, belief, stopping=Stopping(0.0, patience=512)).ask() is not None


def test_killed_at_any_question_it_goes_on_as_if_nothing_had_happened(tmp_path):
    settings = {"questions": 5, "seed": 3}
    whole = Dialogue(items(), **settings)
    asked = []
    while (question := whole.ask()) is not None:
        asked.append(question.query.to_json())
        whole.tell(person(WANTS)(question))
    assert len(asked) >= 3
    file = tmp_path / "dialogue.json"
    for query in asked:
        # Killed after it asked, and after it was told.
        Dialogue(items(), file=file, **settings).ask()
        again = Dialogue(items(), file=file, **settings)
        question = again.ask()
        assert question.query.to_json() == query
        again.tell(person(WANTS)(question))
    last = Dialogue(items(), file=file, **settings)
    assert last.ask() is None
    assert last.recommend() == whole.recommend()
    assert torch.equal(last.belief.utilities, whole.belief.utilities)


def test_a_failed_write_leaves_the_answers_of_before(tmp_path, monkeypatch):
    file = tmp_path / "dialogue.json"
    made = Dialogue(items(), file=file)
    made.tell(person(WANTS)(made.ask()))
    before = file.read_text()
    made.ask()
    kept = file.read_text()
    monkeypatch.setattr("os.replace", lambda *paths: (_ for _ in ()).throw(OSError("full")))
    with pytest.raises(OSError, match="full"):
        made.tell(0)
    monkeypatch.undo()
    assert file.read_text() == kept != before and json.loads(kept)["asked"] is not None
    assert len(Dialogue(items(), file=file).answers) == 1
    assert [p.name for p in tmp_path.iterdir()] == ["dialogue.json"]


def test_bad_answers_lose_nothing(tmp_path):
    file = tmp_path / "dialogue.json"
    made = Dialogue(items(), file=file)
    with pytest.raises(ValueError, match="No question is open"):
        made.tell(0)
    first = made.ask()
    for wrong, said in [
        (2, "from 0 to 1, but got 2"),
        (-1, "whole number"),
        ("a", "'a'"),
        (True, "True"),
    ]:
        with pytest.raises(ValueError, match=said):
            made.tell(wrong)
    made.tell(0, first)
    second = made.ask()
    with pytest.raises(ValueError, match="answers question 1, but number 2 is open"):
        made.tell(0, first)
    with pytest.raises(ValueError, match=r"items 0 to 5, but not \[9\]"):
        made.learn([0, 9], 0)
    with pytest.raises(ValueError, match="identical"):
        made.learn([1, 1], 0)
    assert len(made.answers) == 1 and made.ask().query is second.query
    assert len(Dialogue(items(), file=file).answers) == 1
    made.learn([0, 5], 0)
    assert len(Dialogue(items(), file=file).answers) == 2


def test_an_impossible_answer_leaves_the_dialogue_as_it_was():
    made = Dialogue(items(), Belief(Tradeoffs(3), Noiseless(), samples=200))
    question = made.ask()
    sure = Query([[1.0, 1.0, 1.0], [0.0, 0.0, 0.0]])
    with pytest.raises(ValueError, match="None of 200 samples"):
        made.learn(sure, 1)
    assert made.answers == made.fresh.answers == () and made.predicted == []
    made.tell(0, question)
    assert len(made.answers) == 1


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("not json", "no dialogue that can be read"),
        ("{}", "no dialogue that can be read"),
        ('{"format": "nongreedy.dialogue", "version": 9}', "version 9"),
        (None, "about other items"),
    ],
)
def test_a_file_that_is_none_is_refused_and_left_alone(tmp_path, content, said):
    file = tmp_path / "dialogue.json"
    if content is None:
        other = [[row[0] + 1, *row[1:]] for row in TABLE]
        Dialogue(Items.of(other, items().attributes), file=file).ask()
        content = file.read_text()
    file.write_text(content)
    with pytest.raises(DataError, match=said):
        Dialogue(items(), file=file)
    assert file.read_text() == content


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"slots": 7}, "`slots` is 7, but there are 6 items"),
        ({"slots": 1}, "at least 2"),
        ({"questions": -1}, "at least 0"),
        ({"stopping": -0.1}, "units of utility"),
        ({"belief": Belief(Gaussian.standard(4))}, "4 attributes, the items 3"),
    ],
)
def test_settings_that_are_none_are_refused(settings, said):
    with pytest.raises(ValueError, match=said):
        Dialogue(items(), **settings)


def test_slates_of_three_and_partial_questions_are_asked_and_kept(tmp_path):
    three = elicit(items(), person(WANTS), slots=3, questions=2)
    assert three.answers == 2
    file = tmp_path / "dialogue.json"
    made = Dialogue(items(), strategy=Partial(2), file=file, questions=3)
    question = made.ask()
    assert all(option.endswith("all else alike") for option in question.options)
    made.tell(person(WANTS)(question))
    again = Dialogue(items(), strategy=Partial(2), file=file)
    assert again.answers[0].query.attributes == question.query.attributes
    assert torch.equal(again.belief.utilities, made.belief.utilities)


def test_in_a_terminal_it_asks_again_until_it_understands(monkeypatch, capsys):
    typed = iter(["x", "", "ab", "B"])
    monkeypatch.setattr("builtins.input", lambda prompt: next(typed))
    question = Dialogue(items()).ask()
    assert asked_in_terminal(question) == 1
    said = capsys.readouterr().out
    assert said.count("Type one of a, b, or q") == 3 and question.options[1] in said
    monkeypatch.setattr("builtins.input", lambda prompt: "q")
    assert asked_in_terminal(question) is None
    monkeypatch.setattr("builtins.input", lambda prompt: (_ for _ in ()).throw(EOFError))
    assert asked_in_terminal(question) is None


def test_answers_that_contradict_the_belief_are_warned_of_and_true_ones_are_not():
    made = Dialogue(items(), Belief(Tradeoffs(3), noise=KnownNoise(0.02)))
    with pytest.warns(ContradictionWarning, match="standard deviations less likely"):
        for choice in (0, 1, 0, 1):
            made.learn([0, 5], choice)
    assert made.recommend().surprise > ALARM


def test_where_warnings_are_errors_the_answer_is_kept(tmp_path):
    file, belief = tmp_path / "dialogue.json", Belief(Tradeoffs(3), noise=KnownNoise(0.02))
    made = Dialogue(items(), belief, file=file)
    for choice in (0, 1, 0):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            made.learn([0, 5], choice)
    made.asked = Query(items().catalogue.points[[0, 5]], (0, 5))
    with pytest.raises(ContradictionWarning):
        made.tell(1)
    assert made.asked is None and len(Dialogue(items(), belief, file=file).answers) == 4


def test_surprise_is_a_martingale_under_the_belief():
    """Answers drawn from the predictions themselves."""
    source, found = torch.Generator().manual_seed(0), []
    for _ in range(400):
        chances = torch.softmax(torch.randn(8, 2, generator=source).double(), 1)
        choices = torch.multinomial(chances, 1, generator=source)[:, 0]
        found.append(surprise(list(zip(chances, choices.tolist(), strict=True))))
    scores = torch.tensor(found)
    assert abs(float(scores.mean())) < 0.15 and float(scores.std()) == pytest.approx(1, abs=0.12)
    assert float((scores > ALARM).double().mean()) < 0.02


def test_with_a_prior_on_noise_a_wrong_scale_costs_little():
    """In miniature; benchmarks.preference --what noise has a hundred users."""
    made, regrets = items_on_a_sphere(60, 3), dict[str, float]()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ContradictionWarning)
        for name in (
            "right",
            "prior around three times too large",
            "prior around three times too small",
        ):
            rows = [
                dialogue(User.drawn(k, 3), made, Random(), NOISES[name], 10, k) for k in range(20)
            ]
            regrets[name] = sum(row["regrets"][-1] for row in rows) / 20
            # The benchmark judges by its expectation, of the same mean and of less scatter.
            gaps = torch.tensor([row["expected"] - row["regrets"][-1] for row in rows])
            assert abs(float(gaps.mean())) < 3 * float(gaps.std()) / math.sqrt(20)
            assert torch.tensor([row["expected"] for row in rows]).std() < gaps.std()
    assert max(regrets.values()) <= 1.5 * regrets["right"]
    belief = Belief(Gaussian.standard(3), noise=UncertainNoise(0.6))
    user, source = User.drawn(0, 3), torch.Generator().manual_seed(0)
    for question in range(40):
        query = Query(made.points[torch.randperm(60, generator=source)[:2]])
        belief = belief.updated(query, user.answers(query.points, question))
    assert float(belief.weights @ belief.scales) < 0.6


def test_five_questions_of_ours_are_worth_more_than_five_random_ones():
    """EV5 in miniature; benchmarks.preference --what dialogue has two hundred items and a hundred users."""
    made, means, covered = items_on_a_sphere(60, 3), dict[str, float](), 0
    for name in ("relaxed", "random"):
        rows = [
            dialogue(User.drawn(k, 3), made, STRATEGIES[name], NOISES["right"], 5, k)
            for k in range(20)
        ]
        means[name] = sum(row["regrets"][-1] for row in rows) / 20
        covered += sum(row["covered"] for row in rows)
    assert means["relaxed"] < 0.8 * means["random"]
    assert 0.8 <= covered / 40 <= 0.98  # of the region of 90 %: two standard deviations


def test_identical_and_single_items_have_no_dialogue():
    for table in ([[0.1, 9.0]], [[0.1, 9.0]] * 3):
        with pytest.raises(ValueError, match="nothing to choose"):
            elicit(Items.of(table, [smaller("loss"), smaller("ms")]), lambda question: 0)
