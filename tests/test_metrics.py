"""Metrics of the user's own: of the whole set, told and kept beside the loss."""

import functools
import math

import pytest
import torch

import nongreedy as ng

from .judged_tasks import COUNT, SCHEDULE, Pairs, drawn, made, run_of


def share(output, target):
    """Of the greatest class; not the mean of such shares."""
    return (output.argmax(1) == target).double().square().mean() ** 3


class Counter:
    """A metric as TorchMetrics has them: it keeps what it sees until it is reset."""

    def __init__(self):
        self.seen = []

    def __call__(self, output, target):
        self.seen.append(len(output))
        return {"seen": sum(self.seen), "first": output[0, 0]}

    def reset(self):
        self.seen = []


def weighed(output, target):
    from sklearn.metrics import f1_score

    return f1_score(target, output.argmax(1), average="macro")


METRICS = {"cube": share, "counter": Counter(), "f1": weighed}


@pytest.mark.parametrize("loss", ["mean", "by hand"])
def test_metrics_see_the_whole_set_in_its_order(loss):
    from sklearn.metrics import f1_score

    seen = []
    task = made(loss, metric={**METRICS, "seen": lambda o, y: seen.append((o, y)) or 0})
    run = run_of(task)
    theta, (inputs, targets) = run.initial()[0], task.validation.source
    output = run.module(theta, inputs, False)
    metrics = run.outer_loss(theta).metrics
    torch.testing.assert_close(seen[0], (output, targets))
    assert not seen[0][0].requires_grad
    assert metrics == pytest.approx({
        "cube": share(output, targets).item(), "counter/seen": COUNT, "seen": 0,
        "counter/first": output[0, 0].item(),
        "f1": f1_score(targets, output.argmax(1), average="macro"),
    }, rel=1e-9)  # fmt: skip
    assert run.outer_loss(theta).metrics == metrics  # the counter was reset
    assert run.outer_gradient(theta)[0].metrics == {}


def test_metrics_of_a_retrained_network():
    task = made("mean", metric=METRICS, test=(drawn(9, 4, seed=7), torch.arange(9) % 3))
    done = ng.retrain(task, SCHEDULE, steps=3)
    for examples, found in ((task.validation, done.validation_metrics),
                            (task.test, done.test_metrics)):  # fmt: skip
        inputs, targets = examples.source
        output = done.model(inputs.float()).detach()
        assert found["cube"] == pytest.approx(share(output, targets).item(), rel=1e-6)
    without = ng.retrain(made("mean", metric=METRICS, test=None), SCHEDULE, steps=3)
    assert without.test_metrics == {} and without.validation_metrics == done.validation_metrics


def test_names_of_metrics():
    names = {
        share: "share", Counter(): "Counter", functools.partial(share): "share",
        (lambda output, target: 0.0): "metric",
    }  # fmt: skip
    assert [next(iter(made("mean", metric=m).metrics)) for m in names] == [*names.values()]
    for wrong in (0.5, {"f1": "macro"}, {3: share}):
        with pytest.raises(TypeError, match="`metric` must be a function"):
            made("mean", metric=wrong)
    task = made("mean", metric={"many": lambda output, target: output})
    with pytest.raises(TypeError, match="The metric 'many' must return a number, but returned"):
        ng.retrain(task, SCHEDULE, steps=1)
    task = made("a dictionary", model=lambda: Pairs(odd=True), metric=share)
    with pytest.raises(
        ValueError, match=r"not tensors with a row .* evaluation_batch_size= to .* 61"
    ):
        ng.retrain(task, SCHEDULE, steps=1)


def test_a_diverged_network_has_no_metrics():
    task = made("squares", metric={"error": lambda o, y: (o - y).abs().mean()})
    done = ng.retrain(task, ng.Schedule.of(learning_rate=1e30), steps=9)
    assert done.validation_loss == math.inf and math.isnan(done.validation_metrics["error"])


@pytest.mark.parametrize("outer", ["auto", "paper"])
def test_searches_record_metrics_and_studies_keep_them(tmp_path, outer):
    def search(study, **settings):
        metric = {"cube": share, "undefined": lambda output, target: math.nan}
        return ng.tune(
            made("mean", metric=metric), ng.SGD(ng.Windows(2)), steps=4, outer_steps=2,
            outer=outer, study=study, **settings,
        )  # fmt: skip

    class Stop(ng.Callback):
        def on_outer_step(self, row):
            raise RuntimeError("killed")

    whole = search(None)
    assert all(0 < row.validation_metrics["cube"] < 1 for row in whole.history)
    assert 0 < whole.validation_metrics["cube"] < 1
    file = tmp_path / "study.db"
    with pytest.raises(RuntimeError, match="killed"):
        search(file, callbacks=[Stop()])
    resumed = search(file)
    for row, other in zip(resumed.history, whole.history, strict=True):
        assert row.validation_metrics == pytest.approx(other.validation_metrics, nan_ok=True)
        again = ng.OuterStep.from_json(row.to_json())
        assert again.to_json() == row.to_json() and math.isnan(
            again.validation_metrics["undefined"]
        )
    assert resumed.validation_metrics == pytest.approx(whole.validation_metrics, nan_ok=True)
    if outer == "auto":
        return
    page = ng.report(file, tmp_path / "report").read_text("utf-8")
    assert ">cube<" in page and f">{whole.history[0].validation_metrics['cube']:.3g}<" in page


def test_answers_of_earlier_studies_have_no_metrics():
    from nongreedy.engines import Outcome
    from nongreedy.search import Ran
    from nongreedy.studies._answers import decoded, encoded

    kept = encoded(Ran(Outcome(0.5, 0.25, {"cube": 0.125}), (1.0,)))
    assert decoded(kept).outcome == Outcome(0.5, 0.25, {"cube": 0.125})
    del kept["metrics"]
    assert decoded(kept).outcome == Outcome(0.5, 0.25)
