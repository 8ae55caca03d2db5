"""Strangers: each contract that may be subclassed, by public names only, in everything that uses it."""

import ast
import itertools
import json
import math
import pathlib
import subprocess
import sys
from dataclasses import dataclass, field, replace
from typing import ClassVar

import pytest
import torch

import nongreedy as ng
from nongreedy import comparison, engines, optimizers, schedules, search, testing
from nongreedy.search import rules

STEPS = 6

# ---- What a stranger brings -------------------------------------------------------------------------


@dataclass(frozen=True)
class Between(schedules.TimeBasis):
    """From one value to another, along a power of the relative time."""

    power: float = 2.0
    kind: ClassVar[str] = "between"

    def size(self, steps):
        return 2

    def taps(self, steps):
        late = (torch.arange(steps).double() / max(steps - 1, 1)) ** self.power
        return torch.tensor([[0, 1]]).expand(steps, 2), torch.stack([1 - late, late], 1)

    def positions(self, steps):
        return torch.tensor([0, steps - 1])


class Softly(torch.optim.Optimizer):
    """The torch twin of `Softened`."""

    def __init__(self, parameters):
        super().__init__(parameters, {"lr": 0.0, "softness": 0.1})

    @torch.no_grad()
    def step(self, closure=None):
        for group in self.param_groups:
            for parameter in group["params"]:
                length = (parameter.grad.square() + group["softness"]).sqrt()
                parameter.sub_(group["lr"] * parameter.grad / length)


@dataclass(frozen=True)
class Softened(optimizers.Optimizer):
    """Each coordinate moves by at most the learning rate."""

    learning_rate: schedules.Basis | float = field(default_factory=Between)
    softness: schedules.Basis | float = 0.1

    slots: ClassVar[int] = 1
    learnable: ClassVar = {
        "learning_rate": schedules.Default(1e-2, (1e-8, 1.0), "log", 0.5),
        "softness": schedules.Default(0.1, (1e-8, 1.0), "log", 0.5),
    }

    def update(self, state, gradient, values):
        slope = self.clip(gradient)
        move = slope / (slope.square() + values["softness"]).sqrt()
        return state - values["learning_rate"] * move

    def torch_optimizer(self, parameters):
        return Softly(parameters)


class Truncated(engines.Engine):
    """The reverse sweep in a few lines, which forgets what lies more than a window before the end."""

    def __init__(self, window=None):
        self.window = window
        self._swept = 0  # no setting: not told by `to_json`

    def trajectory(self, run):
        return engines.Device().trajectory(run)

    def inexact_because(self, run, schedule, learn):
        return None if self.window is None else f"it forgets all but the last {self.window} steps"

    def sweep_cost(self, run, schedule, learn):
        return 3.0

    def differentiate(self, rollout, learn, on_step=lambda step: None):
        run, learn, trajectory = rollout.run, list(learn), rollout.trajectory
        sums = engines.AdjointSums(rollout.schedule, learn, run.steps)
        with run.isolated():
            outcome, gradient = run.outer_gradient(rollout.last[0])
            adjoint = torch.zeros_like(rollout.last)
            adjoint[0] = gradient
            for t, state in trajectory.backwards(rollout.last, lambda state, t: None):
                if self.window is not None and run.steps - t > self.window:
                    break
                values = {name: value[t] for name, value in rollout.values.items()}
                adjoint, on_values = engines.pull_back(run, state, values, t, adjoint, learn)
                sums.add(on_values, t)
                on_step(t)
                self._swept += 1
            else:
                sums.add(run.pull_back_initial(adjoint[0], values, learn), 0)
        return engines.Hypergradient(
            outcome.loss, outcome.accuracy, sums.gradients(), sums.per_step
        )


class Downhill(rules.OuterRule):
    """Steps of one length along the hypergradient in each coordinate."""

    def __init__(self, length=0.2):
        self.length = length
        self._moving = {}

    def init(self, hyperparameters, steps):
        self._moving = {n: h for n, h in hyperparameters.items() if h.learned}
        return rules.OuterState(schedules.Schedule.initial(hyperparameters))

    def step(self, state, objective):
        (seed,) = objective.seeds(state.index, 1)
        rollout = objective.rollout(state.schedule, seed, keep=True)
        found, values = objective.differentiate(rollout), {}
        for name, hyper in self._moving.items():
            slope = hyper.gradient_in_coordinate(state.schedule[name], found.gradients[name])
            change = self.length * slope / slope.norm().clamp(min=1e-12)
            values[name] = hyper.to_value(hyper.to_coordinate(state.schedule[name]) - change)
        outcome = search.StepOutcome(
            state.schedule, found.value, found.accuracy,
            {n: "".join("-+"[int(g > 0)] for g in found.gradients[n]) for n in values}, True,
        )  # fmt: skip
        moved = state.schedule.with_coefficients(values)
        return replace(state, schedule=moved, index=state.index + 1), outcome


@dataclass(frozen=True)
class Doubled(comparison.Method):
    """The first rate, doubled for as long as that helps."""

    def search(self, problem, meter):
        schedule, best = problem.initial, math.inf
        for _ in range(3):
            try:
                loss = meter.train(schedule).loss
            except (ng.DivergedError, search.BudgetSpentError):
                break
            if loss >= best:
                break
            best = loss
            rate = {"learning_rate": 2 * schedule["learning_rate"]}
            schedule = schedule.with_coefficients(rate)
        return meter.choose()


RATE = Between(3.0, initial=(0.02, 0.01))
LEARNED = Softened(RATE, ng.Constant(initial=0.2))


def tuned(engine, rule=None, **settings):
    given = {"steps": STEPS, "outer_steps": 3, "outer": rule or Downhill(), **settings}
    return ng.tune(testing.tiny_task(), LEARNED, engine=engine, **given)


def told(result):
    rows = [{k: v for k, v in row.to_json().items() if k != "seconds"} for row in result.history]
    return json.dumps([result.schedule.to_json(), rows, result.validation_loss, result.cost])


class KillAt(ng.Callback):
    """As a kill does, it passes every handler."""

    def __init__(self, steps):
        self.left = steps

    def on_inner_step(self, step, steps):
        self.left -= 1
        if self.left < 0:
            raise SystemExit


# ---- Each in everything that uses it ------------------------------------------------------------------


class TestStrangersEngine(testing.EngineConformance):
    engine = Truncated()
    optimizers: ClassVar = {
        "mine": LEARNED,
        "sgd": ng.SGD(
            ng.Windows(2, initial=0.3), ng.Constant(initial=0.5), ng.Constant(initial=0.01)
        ),
    }
    models = ("mlp",)


class TestStrangersOptimizerOnTheirBasis(testing.OptimizerConformance):
    optimizer = LEARNED
    engines: ClassVar = {"forward": ng.Forward(), "checkpoint": ng.Reverse("checkpoint")}
    models = ("mlp",)


def test_nothing_of_it_is_skipped():
    for table in (TestStrangersEngine.table(), TestStrangersOptimizerOnTheirBasis.table()):
        verdicts = [finding.grade.name for finding in table]
        assert len(verdicts) >= 20 and set(verdicts) == {"exact"}


def test_a_hypergradient_equals_ours():
    settings = {"steps": STEPS, "dtype": torch.float64}
    mine, ours = (
        ng.hypergradient(testing.tiny_task(), LEARNED, engine=engine, **settings)
        for engine in (Truncated(), ng.Reverse())
    )
    testing.assert_same(mine.gradients, ours.gradients, 1e-12)
    short = ng.hypergradient(testing.tiny_task(), LEARNED, engine=Truncated(2), **settings)
    assert not short.per_step["softness"][: STEPS - 2].any() and short.per_step["softness"][-1]


def test_all_of_them_in_a_search():
    result = tuned(Truncated(), Downhill(0.5), outer_steps=5)
    assert result.status is ng.Status.completed and len(result.history) == 5
    assert result.validation_loss < 0.95 * result.history[0].validation_loss
    assert result.settings["engine"] == {"class": f"{__name__}.Truncated", "window": None}
    assert result.settings["outer"]["length"] == 0.5
    assert result.settings["optimizer"]["learning_rate"]["power"] == 3.0
    retrained = ng.retrain(testing.tiny_task(), result.schedule, steps=STEPS, optimizer=LEARNED)
    assert math.isfinite(retrained.validation_loss)


@pytest.mark.parametrize("rule", ["default", "paper"])
def test_the_librarys_rules_take_them(rule):
    result = tuned(Truncated(), rule, budget=30.0)
    assert len(result.history) >= 1 and result.validation_loss < 2.0


@pytest.mark.parametrize("stride", [15, 40])
def test_killed_they_go_on_to_the_same_bits(tmp_path, stride):
    expected = told(tuned(Truncated()))
    study = ng.Study(tmp_path / "s.db", savepoint_seconds=0.0)
    for kills in itertools.count():  # noqa: B007
        try:
            result = tuned(Truncated(), study=study, callbacks=[KillAt(stride)])
            break
        except SystemExit:
            pass
    assert kills > 1 and told(result) == expected
    assert told(tuned(Truncated(), study=study)) == expected  # finished: told again


def test_a_study_goes_on_in_another_process(tmp_path, environment):
    with pytest.raises(SystemExit):
        tuned(Truncated(), study=tmp_path / "s.db", callbacks=[KillAt(20)])
    code = (
        "import sys; from tests import test_strangers as t\n"
        "print(t.told(t.tuned(t.Truncated(), study=sys.argv[1])))"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "s.db")]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    assert done.stdout.strip() == told(tuned(Truncated()))


def test_other_settings_are_another_search(tmp_path):
    tuned(Truncated(), study=tmp_path / "s.db")
    for engine, rule, word in (
        (Truncated(4), Downhill(), r"Truncated\(window=None\) in the study, Truncated\(window=4\)"),
        (Truncated(), Downhill(0.1), r"Downhill\(length=0.2\) in the study"),
        (ng.Reverse(), Downhill(), r"Reverse\(store=Auto\(\)"),
    ):
        with pytest.raises(ng.StudyError, match=word):
            tuned(engine, rule, study=tmp_path / "s.db")
    changed = replace(LEARNED, learning_rate=replace(RATE, power=2.0))
    with pytest.raises(ng.StudyError, match=r"Between\(.*power=3.0\).*Between\(.*power=2.0\)"):
        ng.tune(
            testing.tiny_task(), changed, engine=Truncated(), outer=Downhill(),
            steps=STEPS, outer_steps=3, study=tmp_path / "s.db",
        )  # fmt: skip


def test_what_has_no_identity_is_refused_before_anything_is_spent():
    class Speechless(Truncated):
        def __init__(self):
            super().__init__()
            self.choose = lambda: None

    with pytest.raises(TypeError, match=r"Speechless\.choose .*to_json.*underscore"):
        tuned(Speechless(), callbacks=[KillAt(0)])


def compared(study=None, engine=None, **settings):
    return ng.compare(
        testing.tiny_task(), LEARNED, steps=STEPS, budget=14.0, seeds=1, retrain_seeds=2,
        methods={"doubled": Doubled("doubled"), "downhill": OURS}, study=study,
        engine=engine or Truncated(), **settings,
    )  # fmt: skip


@dataclass(frozen=True)
class Searched(comparison.Method):
    """The outer rule as a method."""

    rule: rules.OuterRule

    def search(self, problem, meter):
        result = ng.tune(
            problem.task, problem.optimizer, steps=problem.steps, outer_steps=3, engine=meter.engine,
            outer=self.rule, seed=meter.objective.seed, budget=meter.limit, study=meter.memory,
            callbacks=[meter.callback],
        )  # fmt: skip
        meter.charge(result.cost, result.runs, result.unfinished)
        seed, loss = meter.seed, result.validation_loss
        return search.Evaluated(result.schedule, {seed: loss}, {seed: result.validation_accuracy})


OURS = Searched("downhill", Downhill())


def test_all_of_them_in_a_comparison(tmp_path):
    def measured(found):
        return [(p.method, p.cost, p.validation_loss, p.fresh) for p in found.pieces]

    whole = compared()
    assert {row.method for row in whole.rows()} == {"doubled", "downhill"}
    assert all(0 < piece.cost <= 14.0 for piece in whole.pieces)
    study = tmp_path / "compare.db"
    with pytest.raises(SystemExit):
        compared(study, callbacks=[KillAt(40)])
    again = compared(study)
    assert measured(again) == measured(whole)
    with pytest.raises(ValueError, match=r"other settings .*engine"):
        compared(study, Truncated(4))


def test_they_are_planned():
    plan = ng.plan(
        testing.tiny_task(), LEARNED, steps=40, engines=[Truncated(), ng.Reverse("device")]
    )
    mine, ours = plan.forecasts
    assert mine.engine == Truncated() and not mine.refused and not ours.refused
    assert mine.seconds > 0 and ours.seconds > 0 and mine.bytes > 0


# ---- By public names only -----------------------------------------------------------------------------


def test_no_private_name_of_the_library_is_used():
    tree = ast.parse(pathlib.Path(__file__).read_text(encoding="utf-8"))
    imported = []
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            imported += [f"{node.module}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Import):
            imported += [alias.name for alias in node.names]
        elif isinstance(node, ast.Attribute) and node.attr.startswith("_"):
            own = isinstance(node.value, ast.Name) and node.value.id == "self"
            assert own or node.attr.startswith("__"), ast.unparse(node)
    ours = [name for name in imported if name.split(".")[0] in ("nongreedy", "", "tests")]
    assert len(ours) >= 7
    assert not [name for name in ours if any(part.startswith("_") for part in name.split("."))]
