"""The conformance table: every cell exact or skipped with a reason, and red where code is wrong."""

import dataclasses
import inspect
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
import torch

import nongreedy as ng
from nongreedy import testing
from nongreedy.engines._named import _NAMED
from nongreedy.testing import HYPERPARAMETERS, Grade, Table

from .helpers import BASES, assert_same, at

EXACT = ["forward", "reverse", "reverse:host", "reverse:disk", "reverse:checkpoint"]
NEVER = {"greedy", "finite_difference"}  # inexact on purpose, whatever the run


TABLES = [
    pytest.param(Table(optimizers={name: optimizer}, models=[model]), id=f"{name}-{model}")
    for model in (*testing.MODELS, "stop_gradient")
    for name, optimizer in testing.OPTIMIZERS.items()
    if model in testing.MODELS or name in ("sgd", "adamw", "muon")
]


@pytest.fixture(scope="module", params=TABLES)
def table(request):
    """One after the other, each through all of its tests: they share what it has computed."""
    return request.param


def test_every_cell_is_exact_or_skipped_with_a_reason(table):
    assert len(table.cells()) >= len(testing.ENGINES) * (3 + len(HYPERPARAMETERS))
    for finding in table:
        cell, task = finding.cell, finding.cell.hyperparameter in HYPERPARAMETERS
        assert finding.passed, str(finding)
        if cell.engine in EXACT:
            assert finding.grade is Grade.exact and finding.error <= testing.TOLERANCE
            # Else rounding, not the engine, would decide the cell.
            slopes = table.exam(cell).slopes(cell.hyperparameter)
            assert slopes.resolved or not slopes.scale, str(finding)
        elif cell.engine in NEVER or (cell.engine == "random_directions" and task):
            assert finding.grade is Grade.skipped and len(finding.reason) > 20
        elif cell.engine == "random_directions":
            assert finding.grade is Grade.estimated and finding.error < 5


def test_exact_engines_agree_far_more_closely(table):
    for exam in {table.exam(cell) for cell in table.cells()}:
        reverse = exam.answer(testing.ENGINES["reverse"])
        for name in EXACT:
            found = exam.answer(testing.ENGINES[name])
            assert found.value == pytest.approx(exam.outcome.loss, rel=1e-12)
            assert found.accuracy == exam.outcome.accuracy
            assert_same(found.gradients, reverse.gradients, 1e-10)
            if name != "forward":
                # Where the states were kept cannot change a bit of what is computed from them.
                assert all(
                    torch.equal(found.per_step[n], reverse.per_step[n]) for n in found.per_step
                )
                assert torch.equal(found.initial, reverse.initial)


# A sign passes no derivative on: of what acts through the gradient, Lion's is exactly zero.
THROUGH_A_SIGN = {"beta1", "beta2", *HYPERPARAMETERS} - {"initial_scales"}


def test_every_hyperparameter_matters(table):
    # Guards the table: what is never used would agree with its differences, at zero.
    for cell in table.cells():
        scale = table.exam(cell).slopes(cell.hyperparameter).scale
        silent = cell.optimizer == "lion" and cell.hyperparameter in THROUGH_A_SIGN
        assert (scale == 0) if silent else (scale > 1e-5), (cell, scale)


@pytest.mark.parametrize("owner", testing.OWNERS)
@pytest.mark.parametrize("model", testing.MODELS)
def test_clipping_is_active_and_off_the_kink(model, owner):
    # Guards the row of the clipped optimizer, which else might be that of the plain one.
    optimizer = testing.OPTIMIZERS["dampened_clipped"]
    exam = testing.Exam(optimizer, model, owner)
    run, values, norms = exam.run, exam.run.values(exam.schedule), []
    state = run.initial(at(values, 0))
    with run.isolated():
        for t in range(testing.STEPS):
            norms.append(run.gradient(state[0], t, at(values, t))[1].norm().item())
            state, _ = run.step(state, at(values, t), t)
    assert max(norms) > optimizer.clip_norm
    assert min(abs(norm - optimizer.clip_norm) for norm in norms) > 1e-3, norms


def test_nothing_public_is_left_out():
    def leaves(base):
        public = (getattr(ng, name) for name in dir(ng))
        return {c for c in public if inspect.isclass(c) and issubclass(c, base) and c is not base}

    assert {type(engine) for engine in testing.ENGINES.values()} >= leaves(ng.Engine)
    assert set(_NAMED) <= set(testing.ENGINES)
    assert {type(o) for o in testing.OPTIMIZERS.values()} == leaves(ng.Optimizer)
    for optimizer in testing.OPTIMIZERS.values():
        assert all(not isinstance(given, float) for given in optimizer.given().values())


def test_greedy_is_exact_where_it_says_so():
    engines = {
        "whole": ng.Greedy(mu=1.0, every=None),
        "late": ng.Greedy(mu=1.0, every=testing.STEPS),
        "early": ng.Greedy(mu=1.0),
        "some": ng.Greedy(mu=1.0, every=None, batch=4),
        "discounted": ng.Greedy(mu=0.9, every=None),
    }
    table = Table(engines, {"sgd": testing.OPTIMIZERS["sgd"]}, ["mlp"])
    exact = {name: {f.grade for f in table if f.cell.engine == name} for name in engines}
    assert exact["whole"] == exact["late"] == {Grade.exact}
    assert exact["early"] == exact["some"] == exact["discounted"] == {Grade.skipped}


# ---- Broken on purpose: the table must turn red -------------------------------------------------


class WithoutDecay(ng.SGD):
    """SGD whose sweep forgets what the decay term passes back to the parameters."""

    def pull_back(self, state, gradient, values, adjoint, learn):
        on_state, on_gradient, found = super().pull_back(state, gradient, values, adjoint, learn)
        on_state[0] -= values["weight_decay"] * on_gradient  # nothing is clipped here
        return on_state, on_gradient, found


class ForgetsDecay(ng.Reverse):
    """The same mistake, made by an engine."""

    def differentiate(self, rollout, learn, on_step=lambda step: None):
        run, given = rollout.run, rollout.run.optimizer
        run.optimizer = WithoutDecay(given.learning_rate, given.momentum, given.weight_decay)
        try:
            return super().differentiate(rollout, learn, on_step)
        finally:
            run.optimizer = given


@dataclasses.dataclass(frozen=True)
class Scaled(ng.Engine):
    """Reverse, with one name's hypergradient changed by a factor, or one entry of it by itself."""

    name: str
    factor: float = 1.0
    entry: float = 1.0
    value: float = 1.0

    def sweep_cost(self, run, schedule, learn):
        return 3.0

    def differentiate(self, rollout, learn, on_step=lambda step: None):
        raise NotImplementedError

    def hypergradient(self, run, schedule, learn, on_step=lambda step: None):
        found = ng.Reverse("device").hypergradient(run, schedule, learn)
        if self.name in found.gradients:
            found.gradients[self.name] *= self.factor
            largest = found.gradients[self.name].abs().argmax()
            found.gradients[self.name][largest] *= self.entry
        return dataclasses.replace(found, value=found.value * self.value)


def red(engine, optimizer="sgd", model="mlp"):
    table = Table({"broken": engine}, {optimizer: testing.OPTIMIZERS[optimizer]}, [model])
    return {f.cell.hyperparameter for f in table if f.grade is Grade.wrong}


@pytest.mark.parametrize("name", ["momentum", *HYPERPARAMETERS])
def test_one_wrong_name_is_red_and_no_other(name):
    assert red(Scaled(name)) == set()
    assert red(Scaled(name, factor=1 + 1e-4)) == {name}
    assert red(Scaled(name, factor=-1.0)) == {name}
    assert red(Scaled(name, factor=float("nan"))) == {name}
    assert red(Scaled(name, entry=1.01)) == {name}  # also of those that are judged along directions


def test_forgetting_the_decay_term_is_red():
    for model in testing.MODELS:
        wrong = red(ForgetsDecay("device"), model=model)
        assert {"learning_rate", "momentum", "weight_decay"} <= wrong, model


def test_an_optimizer_with_a_wrong_derivative_is_red():
    engines = {name: testing.ENGINES[name] for name in ("forward", "reverse")}
    table = Table(engines, {"broken": WithoutDecay(**BASES["windows"])}, ["mlp"])
    wrong = {(f.cell.engine, f.cell.hyperparameter) for f in table if not f.passed}
    # Forward differentiates `update` itself, which is right.
    assert ("reverse", "learning_rate") in wrong and "forward" not in {e for e, _ in wrong}


@pytest.mark.parametrize("shift", [0.0, 8.0])
def test_an_estimate_is_held_to_its_standard_error(shift):
    class Shifted(ng.RandomDirections):
        def hypergradient(self, run, schedule, learn, on_step=lambda step: None):
            found = super().hypergradient(run, schedule, learn)
            for name, error in found.standard_error.items():
                found.gradients[name] += shift * error
            return found

    wrong = red(Shifted(32))
    assert wrong == (set(ng.SGD.learnable) if shift else set())


def test_what_finite_differences_cannot_resolve_is_skipped_not_passed():
    faint = ng.SGD(0.3, momentum=0.5, weight_decay=ng.Constant(initial=1e-3))
    faint = dataclasses.replace(faint, learning_rate=ng.Constant(initial=1e-7))
    table = Table({"reverse": ng.Reverse("device")}, {"faint": faint}, ["mlp"])
    found = {f.cell.hyperparameter: f for f in table}
    assert "too small for finite differences" in found["weight_decay"].reason
    assert "momentum is fixed at 0.5" in found["momentum"].reason
    assert found["learning_rate"].grade is Grade.exact
    # Rounding excuses what is small, not what is wrong.
    broken = Table({"broken": Scaled("weight_decay", factor=1e6)}, {"faint": faint}, ["mlp"])
    assert {f.cell.hyperparameter for f in broken if not f.passed} == {"weight_decay"}


# ---- How a stranger joins ----------------------------------------------------------------------

STRANGER = """
    import dataclasses
    import nongreedy as ng

    class MyEngine(ng.Engine):
        def sweep_cost(self, run, schedule, learn):
            return 3.0

        def trajectory(self, run):
            return ng.Reverse("device").trajectory(run)

        def inexact_because(self, run, schedule, learn):
            return "no Lion" if isinstance(run.optimizer, ng.Lion) else None

        def differentiate(self, rollout, learn, on_step=lambda step: None):
            return ng.Reverse("device").differentiate(rollout, learn, on_step)

    class Broken(MyEngine):
        def differentiate(self, rollout, learn, on_step=lambda step: None):
            found = super().differentiate(rollout, learn, on_step)
            return dataclasses.replace(found, gradients={})

    class TestMyEngine(ng.testing.EngineConformance):
        engine = MyEngine()
        models = ("mlp",)
        optimizers = {name: ng.testing.OPTIMIZERS[name] for name in ("sgd", "lion")}

    class TestBroken(ng.testing.EngineConformance):
        engine = Broken()
        models = ("mlp",)
        optimizers = {"sgd": ng.testing.OPTIMIZERS["sgd"]}

    class TestMyOptimizer(ng.testing.OptimizerConformance):
        optimizer = ng.SGD(learning_rate=ng.Windows(2, initial=0.2), momentum=0.5)
        engines = {"reverse": ng.Reverse()}
        models = ("mlp",)
"""


def test_strangers_join_by_subclassing(tmp_path):
    path = tmp_path / "test_mine.py"
    path.write_text(textwrap.dedent(STRANGER))
    said = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-rs", "-p", "no:cacheprovider", str(path)],
        env=environment(), capture_output=True, text=True, cwd=tmp_path,
    ).stdout  # fmt: skip
    cells = 3 + len(HYPERPARAMETERS)
    passed, skipped = cells + cells - 2, 4 + len(HYPERPARAMETERS) + 2
    assert f"{cells} failed, {passed} passed, {skipped} skipped" in said, said
    assert "no Lion" in said and "momentum is fixed at 0.5" in said
    assert "Broken, sgd, momentum, mlp: wrong" in said


def environment():
    source = str(Path(ng.__file__).parents[1])
    return {**os.environ, "PYTHONPATH": source, "OMP_NUM_THREADS": "1"}


@pytest.mark.parametrize(
    ("base", "body", "words"),
    [
        (testing.EngineConformance, {}, "engine must be a nongreedy.Engine, but is None"),
        (testing.EngineConformance, {"engine": ng.Reverse}, r"Write `engine = MyEngine\(\)`"),
        (testing.OptimizerConformance, {"optimizer": 3}, "must be a nongreedy.Optimizer, but is 3"),
    ],
)
def test_a_class_that_names_nothing_is_refused(base, body, words):
    with pytest.raises(TypeError, match=words):
        type("TestMine", (base,), body)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Table(engines={}), "at least one engine"),
        (lambda: Table(models=["mpl"]), "Did you mean 'mlp'"),
        (lambda: testing.tiny_task("transfomer"), "Did you mean 'transformer'"),
        (lambda: testing.tiny_task(learn=["smoothing"]), "Did you mean 'label_smoothing'"),
    ],
    ids=["empty", "table", "model", "hyperparameter"],
)
def test_bad_tables_and_tasks_are_refused(make, words):
    with pytest.raises(ValueError, match=words):
        make()


def test_pytest_is_not_needed_to_import_or_to_check():
    code = """
import sys
sys.modules["pytest"] = None  # an import of it raises ImportError
import nongreedy as ng
engines = {"reverse": ng.Reverse()}
optimizers = {"sgd": ng.testing.OPTIMIZERS["sgd"]}
print(all(f.passed for f in ng.testing.Table(engines, optimizers, ["mlp"])))
"""
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment(),
        capture_output=True, text=True,
    )  # fmt: skip
    assert done.stdout == "True\n", done.stderr


def test_a_wrong_loss_is_red_everywhere():
    assert red(Scaled("momentum", value=1.001)) == {*ng.SGD.learnable, *HYPERPARAMETERS}
