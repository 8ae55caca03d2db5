"""The optimizer and the engine that docs/conformance.md shows are whole: its code runs and passes."""

import sys

import pytest

import nongreedy as ng
from nongreedy.testing import EDGE_MODELS, Grade, Table

from .helpers import assert_equals_twin, tiny_task
from .pages import execute

EXACT = {"forward": ng.Forward(chunk=2), "reverse": ng.Reverse("device")}


@pytest.fixture(scope="module")
def page():
    """What the page's code defines, as a module of that code."""
    yield execute("docs/conformance.md")
    del sys.modules["page"]


@pytest.mark.parametrize("model", ["mlp", "conv_net", *EDGE_MODELS])
def test_the_optimizer_passes_the_table(page, model):
    table = Table(EXACT, page.TestNormed.optimizers, [model])
    assert {finding.grade for finding in table} == {Grade.exact}


def groups(optimizer):
    own = {"learning_rate": ng.Constant(initial=0.2), "memory": ng.Constant(initial=0.3)}
    return ng.Grouped(optimizer, {"*bias": own})


@pytest.mark.parametrize("change", [lambda o: o, groups], ids=["plain", "grouped"])
def test_the_optimizer_equals_its_twin(page, change):
    optimizer = change(page.TestNormed.optimizer)
    assert_equals_twin(optimizer, ng.Schedule.initial(optimizer.hyperparameters(50)), 1e-11)


def test_the_optimizer_is_tuned_and_retrained(page):
    optimizer = page.TestNormed.optimizer
    result = ng.tune(tiny_task(), optimizer, steps=12, outer_steps=2)
    again = ng.retrain(tiny_task(), result.schedule, steps=12, optimizer=optimizer)
    assert again.validation_loss < 2.0


def test_the_engine_passes_the_table(page):
    rows = {name: ng.testing.OPTIMIZERS[name] for name in ("sgd", "lion")}
    for finding in Table(page.TestSixthOrder.engines, rows, page.TestSixthOrder.models):
        lion = finding.cell.optimizer == "lion"
        assert finding.grade is (Grade.skipped if lion else Grade.exact), str(finding)


def test_both_are_values(page):
    optimizer, engine = page.TestNormed.optimizer, page.TestSixthOrder.engine
    assert optimizer == page.Normed(**optimizer.given()) != page.Normed()
    assert optimizer.to_json()["class"] == "page.Normed"
    assert engine == page.SixthOrder() and hash(engine) == hash(page.SixthOrder())
