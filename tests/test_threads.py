"""Threads take turns at PyTorch's default generator: the same bits as one after the other."""

import sys
import threading

import optuna
import pytest
import torch
from torch import nn

import nongreedy as ng

from .helpers import classes


@pytest.fixture(autouse=True)
def _many_switches():
    """As many chances as there can be to come in between."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    yield
    sys.setswitchinterval(before)


class Attending(nn.Module):
    """Self-attention over the features, with dropout of its own."""

    def __init__(self):
        super().__init__()
        self.inward, self.outward = nn.Linear(1, 4), nn.Linear(4, 3)

    def forward(self, x):
        h = self.inward(x[..., None])
        h = nn.functional.scaled_dot_product_attention(h, h, h, dropout_p=0.2 * self.training)
        return self.outward(h.mean(1))


def normed():
    return nn.Sequential(
        nn.Linear(4, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.5), nn.Linear(8, 3)
    )


MODELS = {"batch_norm": normed, "attention": Attending}


def task(model=normed):
    return ng.Task(
        model, nn.functional.cross_entropy, classes(48, (4,), 0), classes(32, (4,), 1), batch_size=8
    )


def optimizer():
    return ng.SGD(ng.Windows(2, initial=0.1))


def one_after_the_other(functions):
    return [function() for function in functions]


def at_once(functions):
    """What each returns, all of them begun at the same moment, each in a thread."""
    results, start = [None] * len(functions), threading.Barrier(len(functions))

    def call(place, function):
        start.wait()
        results[place] = function()

    threads = [
        threading.Thread(target=call, args=pair, daemon=True) for pair in enumerate(functions)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=120)
        assert not thread.is_alive(), "a deadlock"
    return results


def gradients(model, seed, engine):
    def compute():
        found = ng.hypergradient(task(model), optimizer(), steps=40, seed=seed, engine=engine)
        return {"loss": found.value, **found.gradients}

    return compute


def tuned(seed):
    def compute():
        result = ng.tune(task(), optimizer(), steps=12, outer_steps=2, seed=seed)
        return {"loss": result.validation_loss, "rate": result.schedule["learning_rate"]}

    return compute


def retrained(seed):
    def compute():
        done = ng.retrain(task(), ng.cosine_schedule(0.1), steps=60, seed=seed)
        return {"loss": done.validation_loss, **done.model.state_dict()}

    return compute


WORK = {
    **{
        f"{model}, {type(engine).__name__}": [gradients(make, seed, engine) for seed in (0, 1)]
        for model, make in MODELS.items()
        for engine in (ng.Reverse(), ng.Forward())
    },
    "tune": [tuned(0), tuned(1)],
    "retrain": [retrained(0), retrained(1)],
    "tune beside retrain": [tuned(0), retrained(1)],
}


@pytest.mark.parametrize("work", WORK.values(), ids=WORK)
def test_same_bits_as_one_after_the_other(work):
    for alone, together in zip(one_after_the_other(work), at_once(work), strict=True):
        assert alone.keys() == together.keys()
        for name, value in alone.items():
            assert torch.equal(torch.as_tensor(value), torch.as_tensor(together[name])), name


def process_state():
    enabled = torch.backends.cuda
    kernels = (enabled.flash_sdp_enabled(), enabled.mem_efficient_sdp_enabled())
    return kernels, torch.random.get_rng_state().tolist()


def test_the_process_is_left_as_it_was():
    before = process_state()
    assert before[0] == (True, True)
    at_once([gradients(Attending, seed, ng.Reverse()) for seed in range(3)])
    assert process_state() == before


def test_identical_trials_in_two_threads_have_equal_values():
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    objective = ng.optuna_objective(lambda trial: (task(), optimizer()), steps=12, outer_steps=2)
    study.optimize(objective, n_trials=4, n_jobs=2)
    alone = ng.tune(task(), optimizer(), steps=12, outer_steps=2)
    assert [trial.value for trial in study.trials] == [alone.validation_loss] * 4


class Curious(ng.Callback):
    """Trains on the way: once after each outer step, and at the tenth step of each run."""

    def __init__(self):
        self.seen = []

    def look(self):
        found = ng.hypergradient(task(), optimizer(), steps=5, seed=7)
        self.seen.append(found.gradients["learning_rate"])

    def on_outer_step(self, row):
        self.look()

    def on_inner_step(self, step, steps):
        if step == 10:
            self.look()


def test_a_callback_that_trains_neither_waits_nor_changes_anything():
    watch = Curious()

    def watched():
        return ng.tune(task(), optimizer(), steps=12, outer_steps=2, callbacks=[watch])

    plain = ng.tune(task(), optimizer(), steps=12, outer_steps=2)
    (result,) = at_once([watched])
    rates = (found.schedule["learning_rate"] for found in (result, plain))
    assert torch.equal(*rates)
    assert result.validation_loss == plain.validation_loss
    once = ng.hypergradient(task(), optimizer(), steps=5, seed=7).gradients["learning_rate"]
    assert len(watch.seen) > 2 and all(torch.equal(once, found) for found in watch.seen)


def test_a_run_leaves_the_processs_kernels_as_they_were():
    from torch.backends import mha

    run = ng.Run(ng.testing.tiny_task("transformer"), ng.SGD(), 2)
    before = mha.get_fastpath_enabled()
    with run.isolated():
        assert not mha.get_fastpath_enabled()
    assert mha.get_fastpath_enabled() == before


def test_what_is_judged_is_what_is_differentiated():
    # PyTorch's encoder layer has a fused path that it takes where nothing is differentiated.
    run = ng.Run(ng.testing.tiny_task("transformer"), ng.SGD(), 2)
    theta, inputs = run.initial()[0], torch.randn(64, 2, 4)
    with run.isolated():
        differentiated = run.module(theta.requires_grad_(), inputs, False)
        with torch.no_grad():
            judged = run.module(theta, inputs, False)
        assert torch.equal(judged, differentiated)
        assert run.outer_loss(theta) == run.outer_gradient(theta)[0]
