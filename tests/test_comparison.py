"""Many methods, one task, equal budgets: what each may spend, see and return."""

import importlib.util
import json
import math
import sqlite3
from dataclasses import dataclass, replace

import pytest
import torch
from torch import nn

import nongreedy as ng
from nongreedy.comparison import METHODS, Meter, Method, Piece, _from_practice, _methods
from nongreedy.comparison._black_box import run_trials, rungs
from nongreedy.comparison._peaks import bracketed, constant, grid, linear, one_cycle
from nongreedy.comparison._practice import by_hand
from nongreedy.comparison._ranges import Range, draw
from nongreedy.comparison._regret import reached, regrets
from nongreedy.comparison._table import alike
from nongreedy.engines import _readings
from nongreedy.search import Evaluated

from .extras import needs
from .helpers import classes
from .test_strangers import Between

STEPS, BUDGET = 12, 12.0
OPTIMIZER = ng.SGD(ng.Linear(2), ng.Windows(1), ng.Windows(1))
OPTIMIZER_4 = ng.SGD(ng.Windows(4), ng.Windows(1), ng.Windows(1))


def task(**changed):
    settings = {
        "model": lambda: nn.Sequential(nn.Linear(4, 6), nn.Tanh(), nn.Linear(6, 3)),
        "loss": nn.functional.cross_entropy,
        "train": classes(48, (4,), 0),
        "validation": classes(32, (4,), 1),
        "test": classes(32, (4,), 2),
        "batch_size": 16,
        **changed,
    }
    return ng.Task(**settings)


class Interrupted(ng.Callback):
    """The keyboard, after so many inner steps and starts of runs."""

    def __init__(self, count):
        self.left = count

    def on_inner_step(self, step, steps):
        self.left -= 1
        if self.left <= 0:
            raise KeyboardInterrupt

    def on_run_start(self, label, steps):
        self.on_inner_step(0, steps)


BLACK_BOXES = ["random", "tpe", "tpe-hyperband", "bohb", "gp", "bohb-practice"]
PLAINLY = ["constant-average", "schedule-free", "prodigy"]  # not by a pure update
PACKAGES = {"schedule-free": "schedulefree", "prodigy": "prodigyopt"}


def needs_package(name):
    if name in PACKAGES:
        needs(PACKAGES[name])


def compare(methods, given=None, **changed):
    settings = {"steps": STEPS, "budget": BUDGET, "seeds": 1, "retrain_seeds": 1, **changed}
    return ng.compare(given or task(), OPTIMIZER, methods=methods, **settings)


@dataclass
class Counter:
    """What is computed: gradients of the run, graphs of sweeps, looks at the validation loss."""

    gradient: int = 0  # looked at, as is the one that tells why a run diverged
    unread_gradient: int = 0
    linearize: int = 0
    unread_outer_gradient: int = 0

    def watch(self, monkeypatch):
        for name in ("gradient", "unread_gradient", "linearize", "unread_outer_gradient"):
            original = getattr(ng.Run, name)

            def counted(*given, name=name, original=original, **named):
                setattr(self, name, getattr(self, name) + 1)
                return original(*given, **named)

            monkeypatch.setattr(ng.Run, name, counted)
        return self


def searched(method, problem, budget=BUDGET, seed=0, store="device"):
    meter = Meter(problem, budget, seed, method.runner, ng.Reverse(store))
    return method.search(problem, meter), meter


@pytest.mark.parametrize("name", METHODS)
def test_spends_what_it_computes_and_no_more_than_the_budget(name, monkeypatch):
    needs_package(name)
    problem = ng.Problem.of(task(verify=False), OPTIMIZER, steps=STEPS)
    monkeypatch.setattr(_readings, "_MOST", 1)  # a divergence is found out at once
    count = Counter().watch(monkeypatch)
    found, meter = searched(METHODS[name], problem)
    spent = count.unread_gradient + 3 * count.linearize
    spent += count.unread_outer_gradient if name == "hypergradient-descent" else 0
    spent -= name == "recipe"  # one batch is looked at, for what applies to it, as in verification
    assert 0.4 * BUDGET < meter.cost <= BUDGET
    if name.endswith("-paper-ranges"):
        spent -= count.gradient
        # A run that diverges at step t of T has asked for t + 1 gradients; it is charged
        # (t + 1) / (T + 1), the validation loss being its last step.
        assert spent / (STEPS + 1) < meter.cost <= spent / STEPS + 1e-9
    else:
        assert meter.cost == pytest.approx(spent / STEPS, rel=1e-9)
    if name == "tpe-hyperband":
        assert meter.unfinished > 0  # some trials were cut
    assert math.isfinite(found.loss)
    costs, losses = zip(*meter.curve, strict=True)
    assert list(costs) == sorted(costs) and costs[-1] <= BUDGET
    assert list(losses) == sorted(losses, reverse=True)


@pytest.mark.parametrize("name", METHODS)
def test_one_seed_one_result_and_no_look_at_test_data(name):
    needs_package(name)
    first, other = (
        compare([name], task(test=classes(32, (4,), seed))).pieces[0] for seed in (2, 3)
    )
    assert first.schedule == other.schedule and first.curve == other.curve
    assert first.validation_loss == other.validation_loss
    assert first.fresh["validation_loss"] == other.fresh["validation_loss"]
    assert first.fresh["test_loss"] != other.fresh["test_loss"]
    assert compare([name], seed=1).pieces[0].curve != first.curve


def test_a_search_has_no_test_data():
    given = task()
    assert ng.Problem.of(given, OPTIMIZER, steps=STEPS).without_test().task.test is None
    assert given.test is not None  # the caller's task is left as it was


def test_fresh_trainings_are_plain_trainings_of_the_choice():
    piece = compare(["random"], retrain_seeds=2).pieces[0]
    schedule = ng.Schedule.from_json(piece.schedule)
    trained = [ng.retrain(task(), schedule, steps=STEPS, seed=1_000_003 + k) for k in range(2)]
    assert piece.fresh["test_accuracy"] == [each.test_accuracy for each in trained]
    assert piece.fresh["test_loss"] == [each.test_loss for each in trained]


def rows(comparison):
    return [{**vars(row), "seconds": 0} for row in comparison.rows()]


def test_a_killed_comparison_goes_on_to_the_same_table(tmp_path):
    methods, study = ["random", "cosine", "default"], tmp_path / "compare.db"
    whole = compare(methods, seeds=2)
    begun = []

    def kill(piece):
        if len(begun) == 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        compare(methods, seeds=2, study=study, started=begun.append, finished=kill)
    assert len(ng.Comparison.load(study).pieces) == 4
    resumed = compare(methods, seeds=2, study=study, started=begun.append)
    assert len(begun) == 6 and begun[4:] == ["cosine, outer seed 1", "default, outer seed 1"]
    assert rows(resumed) == rows(whole)
    assert rows(ng.Comparison.load(study)) == rows(whole)
    assert ng.Comparison.load(study).pieces == sorted(resumed.pieces, key=lambda p: p.key)
    # More seeds go on from there; another comparison does not.
    more = compare(methods[:1], seeds=3, study=study, started=begun.append)
    assert begun[6:] == ["random, outer seed 2"] and len(more.pieces) == 3
    with pytest.raises(ng.StudyError, match=r"budget: 12\.0 in the study, 13 now"):
        compare(methods, budget=13, study=study)
    with pytest.raises(ng.StudyError, match=r"made with other settings .*data: "):
        compare(methods[:1], task(validation=classes(32, (4,), 9)), seeds=9, study=study)


BAD = [
    ({"methods": ["randm"]}, "Unknown method 'randm'. Did you mean 'random'"),
    ({"methods": "cosin"}, "'cosine'"),
    ({"methods": []}, "No method to compare"),
    ({"budget": 5}, "too small for: default (8)"),
    ({"budget": float("nan")}, "positive finite number, but got nan"),
    ({"seeds": 0}, "`seeds` must be a whole number of at least 1"),
    ({"retrain_seeds": 1.5}, "`retrain_seeds` must be"),
    ({"seed": -1}, "`seed` must be a whole number of at least 0"),
    ({"epochs": 1}, "Give either `epochs` or `steps`"),
]


@pytest.mark.parametrize(("changed", "said"), BAD, ids=str)
def test_bad_input_is_refused_before_anything_runs(changed, said):
    def begun(name):
        pytest.fail(f"{name} was begun")

    with pytest.raises(ValueError) as caught:
        compare(**{"methods": ["default", "random"], "started": begun, **changed})
    assert said in str(caught.value)


CANNOT = [
    (ng.AdamW(ng.Windows(2)), "random-paper-ranges", "not for AdamW"),
    (ng.NAdam(ng.Windows(2)), "schedule-free", "not for NAdam"),
    (ng.Grouped(ng.SGD(), {"vectors": {"weight_decay": 0.0}}), "gp-practice", "per group"),
    (ng.SGD(ng.PerStep()), "tpe", "200 coefficients are too many"),
    (ng.Grouped(ng.SGD(), {"vectors": {"weight_decay": 0.0}}), "cosine", "per group"),
]


@pytest.mark.parametrize(("optimizer", "name", "said"), CANNOT, ids=str)
def test_what_cannot_take_part_is_refused_by_name_and_skipped_otherwise(optimizer, name, said):
    needs_package(name)
    with pytest.raises(ValueError, match=said):
        ng.compare(task(), optimizer, steps=200, budget=BUDGET, methods=[name])
    problem = ng.Problem.of(task(), optimizer, steps=200)
    taking, skipped = _methods.settled("all", problem, BUDGET)
    assert said in skipped[name] and name not in taking and "default" in taking


@pytest.mark.parametrize("name", PACKAGES)
def test_without_its_package_a_method_says_how_to_get_it(name, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ValueError, match=r"pip install 'nongreedy\[compare\]'"):
        compare([name])


@pytest.mark.parametrize("optimizer", [ng.AdamW(ng.Windows(2), beta1=ng.Windows(1))], ids=repr)
@pytest.mark.parametrize(
    "name",
    [
        "default",
        "paper",
        "bohb",
        "gp-practice",
        "hypergradient-descent",
        "cosine",
        "constant-average",
        "schedule-free",
        "prodigy",
    ],
)
def test_other_optimizers(name, optimizer):
    needs_package(name)
    problem = ng.Problem.of(task(), optimizer, steps=STEPS)
    found, meter = searched(METHODS[name], problem)
    assert meter.cost <= BUDGET and set(found.schedule.curves) == set(optimizer.learnable)


def test_the_paper_starts_from_zero_and_ours_where_the_optimizer_does():
    started = ng.SGD(ng.Linear(2, initial=0.5, bounds=(0.1, 1.0)), 0.9)
    problem = ng.Problem.of(task(), started, steps=STEPS)
    rates, without = {}, ng.ModelSearch(averaging=False)  # an average takes the place of momentum
    methods = {**METHODS, "default": replace(METHODS["default"], rule=without)}
    for name in ("default", "paper"):
        found, _ = searched(methods[name], problem)
        rates[name] = found.schedule["learning_rate"]
        assert found.schedule["momentum"].tolist() == [0.9]
    assert (rates["default"] >= 0.1).all()  # within its bounds
    multiples = rates["paper"] / 0.1 * 64  # sums of 0.1 halved a few times, from 0
    torch.testing.assert_close(multiples, multiples.round())


@dataclass(frozen=True)
class Fails(Method):
    """Spends, and finds nothing."""

    def search(self, problem, meter):
        meter.charge(3.0)


def test_a_method_of_ones_own_and_one_that_finds_nothing(tmp_path):
    found = compare({"cosine": METHODS["cosine"], "mine": Fails("fails")}, seeds=2)
    last = found.rows()[-1]
    assert last.method == "mine" and last.failures == 2 and last.cost == 3.0
    assert "| mine | nothing found | nothing found |" in found.markdown()
    table, figure, page = found.save(tmp_path)
    assert figure.read_bytes().startswith(b"\x89PNG")
    assert "nothing found" in page.read_text("utf-8")
    content = json.loads(table.read_text())
    assert [row["method"] for row in content["rows"]] == ["cosine", "mine"]
    assert content["pieces"][1]["validation_loss"] == "inf"
    assert list(found.regret()) == ["cosine"]


@pytest.mark.parametrize("name", ["default", "paper", "random", "cosine", "hypergradient-descent"])
def test_the_curve_is_what_would_have_been_returned_judged_afresh(name):
    problem = ng.Problem.of(task(), OPTIMIZER, steps=STEPS)
    found, meter = searched(METHODS[name], problem, store="graphs")  # which the planner takes
    piece = compare([name], retrain_seeds=3, curve_seeds=2).pieces[0]

    def fresh(schedule, count):
        runs = (METHODS[name].retrain(problem, schedule, 1_000_003 + k) for k in range(count))
        every = list(runs)
        return {
            name: pytest.approx(sum(getattr(run, name) for run in every) / count)
            for name in ("test_accuracy", "validation_accuracy", "test_loss", "validation_loss")
        }

    on_the_way = [(cost, fresh(schedule, 2)) for cost, schedule in meter.incumbents]
    assert piece.judged == [*on_the_way, (meter.cost, fresh(found.schedule, 3))]
    if name != "default":  # which keeps to its own judgement of which schedule is better
        assert [cost for cost, _ in meter.incumbents] == [cost for cost, _ in meter.curve]
    assert compare([name], curve_seeds=0).pieces[0].judged == []


@pytest.mark.parametrize(
    ("optimizer", "counts"),
    [(ng.SGD(ng.Linear(5), ng.Windows(4)), {1, 2, 3}), (ng.SGD(Between(), ng.Windows(4)), {2})],
    ids=["ours", "a_strangers"],
)
def test_the_schedule_of_an_outer_step_is_the_one_that_was_run(optimizer, counts):
    rows = []

    class Rows(ng.Callback):
        def on_schedule(self, schedule):
            self.schedule = schedule

        def on_outer_step(self, row):
            rows.append((row, self.schedule))

    problem = ng.Problem.of(task(), optimizer, steps=STEPS)
    ng.tune(
        problem.task, optimizer, steps=STEPS, outer_steps=4, outer="agreement", callbacks=[Rows()]
    )
    assert {len(row.values["learning_rate"]) for row, _ in rows} >= counts
    objective = Meter(problem, BUDGET, seed=0).objective
    objective.budget.limit = math.inf
    for row, schedule in rows:
        seeds = objective.seeds(row.index, 1 if row.note.startswith("scale") else 2)
        losses = [objective.rollout(schedule, s).outcome.loss for s in seeds]
        assert sum(losses) / len(losses) == pytest.approx(row.validation_loss, rel=1e-6)


def test_standard_error_is_over_outer_seeds():
    pieces = [
        Piece("a", seed, 1.0, 0.5, {"test_accuracy": values}, None, [(1.0, 0.5)], [], 1, 0, 0.0)
        for seed, values in enumerate([[0.5, 0.7], [0.8, 0.8], [0.7, 0.7]])
    ]
    row = ng.Comparison(pieces).rows()[0]
    assert row.scores == pytest.approx([0.6, 0.8, 0.7]) and row.mean == pytest.approx(0.7)
    assert row.standard_error == pytest.approx(0.1 / 3**0.5)


def page_of(comparison, folder):
    """What its page says."""
    return comparison.save(folder)[2].read_text("utf-8")


def test_methods_within_two_standard_errors_are_not_told_apart(tmp_path):
    def pieces(name, *scores):
        return [
            Piece(name, k, 1.0, 0.5, {"test_accuracy": [v]}, None, [(1.0, 0.5)], [], 1, 0, 0.0)
            for k, v in enumerate(scores)
        ]

    close = ng.Comparison([*pieces("a", 0.9, 0.8), *pieces("b", 0.8, 0.7), *pieces("c", 0.1, 0.1)])
    assert [row.method for row in alike(close.rows())] == ["a", "b"]
    assert "2 of 3" in page_of(close, tmp_path)
    single = ng.Comparison([*pieces("a", 0.9), *pieces("b", 0.8)])
    assert "says nothing of its scatter" in page_of(single, tmp_path)


def test_what_methods_are_called_is_no_code(tmp_path):
    hostile = "</script><img src=x onerror=alert(1)>"
    piece = Piece(hostile, 0, 1.0, 0.5, {"test_loss": [1.0]}, None, [(1.0, 0.5)], [], 1, 0, 0.0)
    written = page_of(ng.Comparison([piece], {"net": hostile}, {hostile: hostile}), tmp_path)
    assert "<img" not in written
    assert written.count("</script>") == 4  # ours


def test_regret_is_the_mean_over_seeds_above_the_best_method():
    def piece(method, seed, *curve):
        return Piece(method, seed, 9.0, 0.0, {}, None, list(curve), [], 1, 0, 0.0)

    found = regrets(
        [
            piece("a", 0, (1.0, 3.0), (4.0, 1.0)),
            piece("a", 1, (2.0, 5.0), (3.0, 2.0)),
            piece("b", 0, (1.0, 2.5)),
            piece("b", 1, (1.0, 2.5)),
            piece("c", 0),
        ]
    )
    assert found == {"a": [(2.0, 2.5), (3.0, 1.0), (4.0, 0.0)], "b": [(1.0, 1.0)]}
    assert reached(found["a"], 1.0) == 3.0 and reached(found["b"], 0.5) is None
    assert reached([(1.0, 0.2), (2.0, 0.9), (3.0, 0.1)], 0.5) == 3.0  # it did not stay there


def test_regret_of_an_accuracy_is_the_other_way_round():
    def piece(method, *judged):
        course = [(cost, {"test_accuracy": value}) for cost, value in judged]
        return Piece(method, 0, 9.0, 0.0, {}, None, [(1.0, 0.5)], course, 1, 0, 0.0)

    found = ng.Comparison([piece("a", (1.0, 0.5), (4.0, 0.75)), piece("b", (2.0, 0.5))])
    assert found.regret("test_accuracy") == {"a": [(1.0, 0.25), (4.0, 0.0)], "b": [(2.0, 0.25)]}
    assert found.cost_to_reach(0.1, "test_accuracy") == {"a": 4.0, "b": None}


def test_a_reporting_run_tells_what_the_run_had_reached():
    problem = ng.Problem.of(task(), OPTIMIZER, steps=STEPS)
    schedule, told = ng.Schedule.of(learning_rate=0.3, momentum=0.5, weight_decay=0.0), {}

    def report(done, loss):
        told[done] = loss
        return done == 9

    meter = Meter(problem, BUDGET, seed=0)
    assert meter.train_reporting(schedule, [3, 9, 11], report) is None
    assert meter.cost == pytest.approx(9 / STEPS) and not meter.tried
    for steps, loss in told.items():  # the same schedule, being constant, on a run that ends there
        run = ng.Run(problem.task, OPTIMIZER, steps, meter.seed)
        assert ng.Reverse().rollout(run, schedule).outcome.loss == loss
    assert list(told) == [3, 9]


def test_a_run_that_diverges_is_paid_for_up_to_there():
    meter = Meter(ng.Problem.of(task(), OPTIMIZER, steps=STEPS), BUDGET, seed=0)
    hot = ng.Schedule.of(learning_rate=[0.1, 3e38], momentum=0.9, weight_decay=0.0)
    with pytest.raises(ng.DivergedError) as caught:
        meter.train(hot)
    assert STEPS / 2 < caught.value.step < STEPS
    computed = caught.value.step + 1 + caught.value.late
    assert computed <= STEPS and meter.cost == pytest.approx(computed / (STEPS + 1))
    assert (meter.runs, meter.unfinished, meter.tried) == (1, 1, [])
    with pytest.raises(ng.DivergedError) as caught:
        meter.train_short(hot, 6)
    assert (meter.runs, meter.unfinished) == (2, 2) and meter.cost < 1.5


def test_trials_that_diverge_are_told_as_pruned_and_the_budget_ends_them():
    meter = Meter(ng.Problem.of(task(), OPTIMIZER, steps=STEPS), BUDGET, seed=0)
    left = [ng.DivergedError("training loss", 1, 9), None, None]

    def evaluate(trial):
        trial.suggest_float("x", 0.0, 1.0)
        if (error := left.pop(0)) is not None:
            raise error
        if not left:
            meter.charge(BUDGET)
        return 1.0

    study = run_trials(evaluate, meter)
    assert [trial.state.name for trial in study.trials] == ["PRUNED", "COMPLETE", "COMPLETE"]


# One of each kind: what they have in common need not be waited for again.
@pytest.mark.parametrize(
    "name",
    [
        "default",
        "paper",
        "random",
        "tpe",
        "tpe-hyperband",
        "bohb",
        "gp",
        "bohb-practice",
        "hypergradient-descent",
        "cosine",
        "schedule-free",
    ],
)
def test_a_search_that_is_stopped_again_and_again_ends_as_if_it_had_not_been(name, tmp_path):
    needs_package(name)
    study, stops = tmp_path / "compare.db", 0
    while True:
        try:
            found = compare([name], curve_seeds=1, study=study, callbacks=[Interrupted(3 * STEPS)])
            break
        except KeyboardInterrupt:
            stops += 1
            assert stops < 100, "it does not get on"
    (stopped,), (whole,) = found.pieces, compare([name], curve_seeds=1).pieces
    assert stops >= 2
    assert replace(stopped, seconds=0.0) == replace(whole, seconds=0.0)
    assert not list(tmp_path.rglob("savepoint*"))  # nothing is left of what was unfinished
    assert ng.Study(study, f"nongreedy|{name}|0").finished


def test_a_reporting_run_that_is_told_again_stops_where_it_did(tmp_path):
    problem = ng.Problem.of(task(), OPTIMIZER, steps=STEPS)
    schedule = ng.Schedule.of(learning_rate=0.3, momentum=0.5, weight_decay=0.0)
    told = []

    def report(done, loss):
        told.append((done, loss))
        return done == 9

    for _ in range(2):
        with ng.Study(tmp_path / "study.db").session({}, {}, STEPS) as memory:
            meter = Meter(problem, BUDGET, 0, memory=memory)
            assert meter.train_reporting(schedule, [3, 9], report) is None
            assert (meter.cost, meter.runs, meter.unfinished) == (9 / STEPS, 1, 1)
    assert told[:2] == told[2:] and [done for done, _ in told] == [3, 9, 3, 9]
    with ng.Study(tmp_path / "study.db").session({}, {}, STEPS) as memory:
        meter = Meter(problem, BUDGET, 0, memory=memory)  # no one stops it now: it is run
        outcome = meter.train_reporting(schedule, [3, 9], lambda *_: False)
        assert outcome == meter.train(schedule) and (meter.runs, meter.unfinished) == (2, 0)


def test_fresh_trainings_that_diverge_are_remembered(tmp_path):
    @dataclass(frozen=True)
    class Hot(Method):
        def search(self, problem, meter):
            found = meter.train(ng.Schedule.of(learning_rate=0.1, momentum=0.0, weight_decay=0.0))
            hot = ng.Schedule.of(learning_rate=3e38, momentum=0.9, weight_decay=0.0)
            return Evaluated(hot, {0: found.loss}, {0: found.accuracy})

    given = {"methods": {"hot": Hot("too hot")}, "study": tmp_path / "s.db", "retrain_seeds": 2}
    with pytest.raises(KeyboardInterrupt):
        compare(callbacks=[Interrupted(STEPS + 3)], **given)
    found = compare(**given)
    assert found.pieces[0].fresh["validation_loss"] == [math.inf, math.inf]


def test_a_search_does_not_go_on_with_another_budget(tmp_path):
    study = tmp_path / "compare.db"
    with pytest.raises(KeyboardInterrupt):
        compare(["random"], study=study, callbacks=[Interrupted(30)])
    assert not ng.Comparison.load(study).pieces
    with pytest.raises(ng.StudyError, match=r"budget: 12\.0 in the study, 16\.0 now"):
        compare(["random"], study=study, budget=16.0)


@pytest.mark.parametrize(
    ("steps", "rate", "expected"),
    [
        (270, ng.Linear(2), {1: 10, 3: 30, 9: 90}),
        (80, ng.PerStep(), {1: 3, 3: 9, 9: 27}),
        (80, ng.Linear(5), {1: 9, 3: 27}),  # three steps would not tell five coefficients apart
        (12, ng.Windows(2), {1: 4}),
        (5, ng.Windows(2), {}),
    ],
)
def test_rungs(steps, rate, expected):
    assert rungs(ng.Problem.of(task(), ng.SGD(rate), steps=steps)) == expected


def test_bohb_takes_no_run_that_is_too_short_for_the_schedule():
    problem = ng.Problem.of(task(), ng.SGD(ng.Linear(5)), steps=60)  # a 27th of which are 2 steps
    found, meter = searched(METHODS["bohb"], problem)
    assert found is not None and meter.cost <= BUDGET


def test_one_cycle_is_that_of_torch():
    steps = 200
    sgd = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=1.0, momentum=0.9)
    cycle = torch.optim.lr_scheduler.OneCycleLR(sgd, 0.5, total_steps=steps, cycle_momentum=False)
    theirs = []
    for _ in range(steps):
        theirs.append(sgd.param_groups[0]["lr"])
        sgd.step()
        cycle.step()
    ours = one_cycle(0.5).values(steps)
    torch.testing.assert_close(ours, torch.tensor(theirs).double(), rtol=0, atol=0.5 * 0.02)


def test_grid_goes_coarse_to_fine_and_leaves_half_of_the_budget_for_the_final():
    assert grid(1e-4, 1.0, 10) == pytest.approx([1e-4, 1.0, 1e-2, 1e-3, 1e-1])
    assert len(grid(1e-4, 1.0, 1000)) == 19 and len(grid(1e-4, 1.0, 4)) == 3


ADAMW = ng.AdamW(ng.Windows(1), beta1=ng.Windows(1))
PLAIN = [
    *(
        ("schedule-free", OPTIMIZER, 2.0),
        ("schedule-free", ADAMW, 0.1),
        ("prodigy", OPTIMIZER, 1.0),
    ),
    *(("constant-average", OPTIMIZER, 0.5), ("constant-average", ADAMW, 0.1)),
]


@pytest.mark.parametrize(("name", "optimizer", "peak"), PLAIN, ids=str)
def test_a_search_by_another_optimizer_and_its_retraining_are_the_same_run(name, optimizer, peak):
    needs_package(name)
    problem, method = ng.Problem.of(task(), optimizer, steps=STEPS), METHODS[name]
    schedule = by_hand(problem, method.shape(peak))
    ours = method.runner.rollout(problem.run(4), schedule).outcome
    plain = method.retrain(problem, schedule, seed=4)
    assert plain.validation_loss == pytest.approx(ours.loss, rel=1e-4)
    other = ng.retrain(task(), schedule, steps=STEPS, seed=4, optimizer=optimizer)
    assert other.validation_loss != pytest.approx(ours.loss, rel=3e-3)  # it is not the twin


def plainly(make, schedule=lambda optimizer, step: None, count=STEPS):
    """A loop as anyone writes it, from the same weights on the same batches: visited weights."""
    given, seed = task(), 4
    model = given.network(seed)
    visited, optimizer = [], make(model.parameters())
    for step in range(count):
        schedule(optimizer, step)
        inputs, targets = given.plan.batch(seed, step, "cpu", torch.float32)
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(inputs), targets).backward()
        optimizer.step()
        visited.append([p.detach().clone() for p in model.parameters()])
    return model, optimizer, visited


def found_by(name, optimizer, peak):
    problem, method = ng.Problem.of(task(), optimizer, steps=STEPS), METHODS[name]
    return method.retrain(problem, by_hand(problem, method.shape(peak)), seed=4).model


def same(model, expected):
    for ours, theirs in zip(model.parameters(), expected, strict=True):
        torch.testing.assert_close(ours.detach(), theirs, rtol=1e-5, atol=1e-6)


def test_constant_average_is_the_mean_of_the_last_quarter():
    def sgd(parameters):
        return torch.optim.SGD(parameters, lr=0.5, momentum=0.9, weight_decay=5e-4)

    _, _, visited = plainly(sgd)
    last = visited[-STEPS // 4 :]
    means = [torch.stack(weights).mean(0) for weights in zip(*last, strict=True)]
    same(found_by("constant-average", OPTIMIZER, 0.5), means)


def test_schedule_free_adamw_is_that_of_its_package():
    schedulefree = pytest.importorskip("schedulefree")

    def adamw(parameters):
        made = schedulefree.AdamWScheduleFree(
            parameters, lr=0.1, betas=(0.9, 0.999), weight_decay=0.01, warmup_steps=0
        )
        made.train()
        return made

    model, optimizer, _ = plainly(adamw)
    optimizer.eval()
    same(found_by("schedule-free", ADAMW, 0.1), [p.detach() for p in model.parameters()])


def test_prodigy_is_that_of_its_package():
    prodigyopt = pytest.importorskip("prodigyopt")

    def prodigy(parameters):
        return prodigyopt.Prodigy(
            parameters, d_coef=2.0, weight_decay=0.01, use_bias_correction=True
        )

    def cosine(optimizer, step):
        optimizer.param_groups[0]["lr"] = (1 + math.cos(math.pi * step / STEPS)) / 2

    model, _, _ = plainly(prodigy, cosine)
    same(found_by("prodigy", OPTIMIZER, 2.0), [p.detach() for p in model.parameters()])


def test_linear_falls_to_nothing_in_a_straight_line():
    expected = [0.5 * (1 - step / 200) for step in range(200)]
    assert linear(0.5).values(200).tolist() == pytest.approx(expected, abs=1e-3)


PEAKS = [
    (ng.SGD(), "cosine", (1e-3, 3.0)),
    (ng.SGD(ng.Windows(2, bounds=(1e-4, 0.5))), "cosine", (1e-4, 0.5)),
    (ng.AdamW(), "cosine", (1e-5, 0.1)),
    (ng.SGD(), "schedule-free", (1e-2, 30.0)),
    (ng.AdamW(), "schedule-free", (3e-5, 0.3)),
    (ng.AdamW(), "prodigy", (0.1, 10.0)),
]


@pytest.mark.parametrize(("optimizer", "name", "limits"), PEAKS, ids=str)
def test_peaks_are_looked_for_where_they_make_sense(optimizer, name, limits, monkeypatch):
    problem, method, tried = ng.Problem.of(task(), optimizer, steps=STEPS), METHODS[name], []
    meter = Meter(problem, 40.0, seed=0)

    def train(schedule):
        tried.append(schedule.values(1000)["learning_rate"].max().item())
        raise ng.DivergedError("training loss", 1, STEPS)

    monkeypatch.setattr(meter, "train", train)
    assert method.search(problem, meter) is None and len(tried) == 19
    assert (min(tried), max(tried)) == pytest.approx(limits, rel=1e-3)


def test_a_decade_around_a_value_stays_within_the_range():
    rates = Range(1e-4, 3.0, "log")
    value, part = rates.around(0.1)
    assert (value, part.low, part.high) == pytest.approx((0.1, 0.1 / 10**0.5, 0.1 * 10**0.5))
    value, part = rates.around(5.0)
    assert (value, part.low, part.high) == pytest.approx((3.0, 3 / 10**0.5, 3.0))
    value, part = Range(0.0, 0.99, "log1m").around(0.9)
    assert (part.low, part.high) == pytest.approx((1 - 0.1 * 10**0.5, 1 - 0.1 / 10**0.5))
    assert Range(-1.0, 1.0).around(0.5) == (0.5, Range(-1.0, 1.0))


class Valley:
    """A meter whose losses have their least at a peak, and which counts the runs."""

    def __init__(self, best, hot=math.inf):
        self.best, self.hot, self.peaks = best, hot, []

    def train(self, schedule):
        self.peaks.append(schedule.values(STEPS)["learning_rate"][0].item())
        if self.peaks[-1] > self.hot:
            raise ng.DivergedError("training loss", 1, STEPS)
        loss = abs(math.log(self.peaks[-1] / self.best))
        return Evaluated(schedule, {0: loss}, {0: None})


@pytest.mark.parametrize("best", [1e-3, 0.004, 0.1, 2.9])
def test_a_bracket_closes_in_on_the_best_peak(best):
    problem = ng.Problem.of(task(), OPTIMIZER, steps=STEPS)
    limits, meter = Range(1e-3, 3.0, "log"), Valley(best, hot=best * 3)
    found = bracketed(problem, meter, constant, limits, runs=16)
    assert len(meter.peaks) <= 16 and len(set(meter.peaks)) == len(meter.peaks)
    assert all(limits.low <= peak <= limits.high for peak in meter.peaks)
    assert abs(math.log2(found / best)) <= 0.25 and found in meter.peaks
    few = Valley(best)
    bracketed(problem, few, constant, limits, runs=3)
    assert len(few.peaks) == 3


def tried_from_practice(optimizer, monkeypatch):
    """The schedules that TPE tries around a peak of 0.4."""
    monkeypatch.setattr(_from_practice, "bracketed", lambda *_: 0.4)
    problem, tried = ng.Problem.of(task(), optimizer, steps=STEPS), []
    meter = Meter(problem, BUDGET, seed=0)
    space, first = METHODS["tpe-practice"].space(problem, meter)

    def evaluate(trial):
        tried.append(draw(trial, problem, space))
        meter.charge(1.0)
        return 1.0

    run_trials(evaluate, meter, first=first)
    return tried


def test_black_boxes_from_practice_begin_with_it_and_stay_within_a_decade(monkeypatch):
    first, *others = tried_from_practice(OPTIMIZER_4, monkeypatch)
    expected = {
        "learning_rate": [0.4 * part for part in (11 / 12, 8 / 12, 5 / 12, 2 / 12)],
        "momentum": [0.9],
        "weight_decay": [5e-4],
    }
    assert len(others) >= 4
    for name, values in expected.items():
        assert first[name].tolist() == pytest.approx(values, rel=0.01)
        for schedule in others:
            ratio = schedule[name] / first[name]
            if name == "momentum":
                ratio = (1 - schedule[name]) / (1 - first[name])
            assert (ratio.log10().abs() <= 0.5 + 1e-6).all() and (ratio != 1).all()


def test_practice_keeps_to_the_range_of_the_optimizer(monkeypatch):
    optimizer = ng.AdamW(ng.Windows(4), beta1=ng.Windows(1), weight_decay=ng.Windows(1))
    first, *others = tried_from_practice(optimizer, monkeypatch)
    assert first["learning_rate"].tolist() == pytest.approx([0.1, 0.1, 0.1, 0.8 / 12], rel=0.01)
    assert first["beta1"].tolist() == pytest.approx([0.9])
    assert first["weight_decay"].tolist() == pytest.approx([0.01])
    assert all((schedule["learning_rate"] <= 0.1).all() for schedule in others)


def test_a_gaussian_process_is_told_of_runs_that_diverge():
    meter = Meter(ng.Problem.of(task(), OPTIMIZER, steps=STEPS), 40.0, seed=0)
    tried = []

    def evaluate(trial):
        tried.append(trial.suggest_float("x", 0.0, 1.0))
        meter.charge(1.5)
        if tried[-1] > 0.5:
            raise ng.DivergedError("training loss", 1, 9)
        return (tried[-1] - 0.4) ** 2

    study = run_trials(evaluate, meter, "GPSampler")
    assert {trial.state.name for trial in study.trials} == {"COMPLETE"}
    assert any(trial.value == math.inf for trial in study.trials)
    assert abs(study.best_params["x"] - 0.4) < 0.05
    assert sum(x > 0.5 for x in tried[-6:]) <= 2  # it keeps away from there


def test_a_piece_reads_back_what_it_wrote(tmp_path):
    piece = Piece(
        "a", 0, 2.5, math.inf, {}, None, [(1.0, 0.5)], [(1.0, {"test_loss": 0.7})], 3, 3, 0.1,
        {"budget": 4.0},
    )  # fmt: skip
    study = ng.Study(tmp_path / "deep" / "s.db")
    assert ng.Comparison.load(study).pieces == []
    for _ in range(2):
        study.note(piece.key, piece.to_json())
    assert ng.Comparison.load(study).pieces == [piece]
    study.note("a|1", {"method": "a"})
    with pytest.raises(ValueError, match=r"\{'method': 'a'\} is no search of a comparison"):
        ng.Comparison.load(study)


TABLE = "study_system_attributes"


def test_a_damaged_piece_is_computed_again_from_what_its_search_was_told(tmp_path):
    study, none = tmp_path / "s.db", Interrupted(1)
    first = compare(["random", "default"], study=study)
    with sqlite3.connect(study) as connection:
        where = "WHERE key = 'nongreedy:note:random|0'"
        (text,) = connection.execute(f"SELECT value_json FROM {TABLE} {where}").fetchone()
        damaged = text.replace("0", "1", 40)
        connection.execute(f"UPDATE {TABLE} SET value_json = ? {where}", (damaged,))
    with pytest.warns(UserWarning, match=r"'note:random\|0' .* cannot be used .*computed again"):
        assert compare(["random", "default"], study=study, callbacks=[none]).pieces == first.pieces
    assert none.left == 1  # not one run was needed
    assert compare(["random", "default"], study=study).pieces == first.pieces
