"""Random directions: unbiased, with a standard error that means what it says."""

import pytest
import torch

import nongreedy as ng

from .helpers import BASES, STEPS, tiny_task

SETTINGS = {"steps": STEPS, "seed": 6, "dtype": torch.float64}


def flat(table):
    return torch.cat(list(table.values()))


@pytest.fixture(scope="module", params=["mlp", "conv_net"])
def draws(request):
    """(exact hypergradient, 20 estimates of 8 directions)."""
    task, optimizer = tiny_task(request.param), ng.SGD(**BASES["windows"])
    exact = ng.hypergradient(task, optimizer, **SETTINGS)
    estimates = [
        ng.hypergradient(task, optimizer, engine=ng.RandomDirections(8, draw=k), **SETTINGS)
        for k in range(20)
    ]
    return exact, estimates


def test_the_mean_over_draws_is_the_exact_hypergradient_within_its_standard_error(draws):
    exact, estimates = draws
    values = torch.stack([flat(e.gradients) for e in estimates])
    errors = torch.stack([flat(e.standard_error) for e in estimates])
    combined = errors.square().sum(0).sqrt() / len(estimates)
    scores = (values.mean(0) - flat(exact.gradients)) / combined
    assert scores.abs().max() < 3.5  # nine coefficients
    assert scores.square().mean() < 2.5


def test_the_standard_error_is_the_scatter_over_draws(draws):
    _, estimates = draws
    values = torch.stack([flat(e.gradients) for e in estimates])
    claimed = torch.stack([flat(e.standard_error) for e in estimates]).square().mean(0).sqrt()
    ratio = values.std(0) / claimed
    assert ratio.min() > 0.5 and ratio.max() < 1.7  # 20 draws know it to a sixth
    assert ratio.mean() == pytest.approx(1.0, abs=0.2)


def test_the_variance_is_that_of_the_other_coefficients(draws):
    exact, estimates = draws
    scale = torch.cat(
        [torch.tensor(b.initial).double().abs().clamp(min=0.01) for b in BASES["windows"].values()]
    )
    weighted = (scale * flat(exact.gradients)).square()
    expected = (weighted.sum() - weighted).sqrt() / scale / 8**0.5
    claimed = torch.stack([flat(e.standard_error) for e in estimates]).square().mean(0).sqrt()
    torch.testing.assert_close(claimed, expected, rtol=0.3, atol=0)


def test_one_coefficient_is_exact_with_any_direction():
    optimizer = ng.SGD(ng.Constant(initial=0.3))
    exact = ng.hypergradient(tiny_task(), optimizer, **SETTINGS)
    found = ng.hypergradient(tiny_task(), optimizer, engine=ng.RandomDirections(2), **SETTINGS)
    torch.testing.assert_close(found.gradients, exact.gradients, rtol=1e-10, atol=0)
    assert found.standard_error["learning_rate"].item() < 1e-10
    assert found.value == pytest.approx(exact.value, rel=1e-12)


def test_draws_differ_by_number_and_by_seed_and_repeat():
    def found(draw, seed):
        engine, settings = ng.RandomDirections(2, draw=draw), {**SETTINGS, "seed": seed}
        optimizer = ng.SGD(**BASES["windows"])
        return flat(ng.hypergradient(tiny_task(), optimizer, engine=engine, **settings).gradients)

    assert torch.equal(found(0, 0), found(0, 0))
    assert not torch.allclose(found(0, 0), found(1, 0))
    assert not torch.allclose(found(0, 0), found(0, 1))


@pytest.mark.parametrize(
    ("settings", "words"),
    [({"n": 1}, "at least 2"), ({"floor": 0.0}, "`floor` must be"), ({"chunk": 0}, "`chunk`")],
    ids=["n", "floor", "chunk"],
)
def test_bad_settings(settings, words):
    with pytest.raises(ValueError, match=words):
        ng.RandomDirections(**settings)


def test_by_name():
    task, optimizer = tiny_task(), ng.SGD(ng.Windows(2, initial=0.1))
    result = ng.tune(task, optimizer, steps=STEPS, outer_steps=1, engine="random_directions")
    assert result.cost > 17
