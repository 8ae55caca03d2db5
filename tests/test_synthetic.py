"""The synthetic benchmark: slopes are those of its losses, and the rule gains on it."""

import pytest
import torch

import nongreedy as ng
from benchmarks.search.synthetic import CASES, Case, Valley, searched

RULE = ng.ModelSearch(averaging=False)


def below(valley):
    """A schedule near the optimum, where the cliff is far."""
    best = torch.from_numpy(valley.best) - 0.1
    rates, momentum, decay = 10 ** best[:5], 1 - 10 ** (-1 - best[5:6]), 5e-4 * 10 ** best[6:]
    values = {"learning_rate": rates, "momentum": momentum, "weight_decay": decay}
    return valley.problem.initial.with_coefficients(values)


@pytest.mark.parametrize("case", ["plain", "noisy", "relative"])
@pytest.mark.parametrize("name", ["learning_rate", "momentum", "weight_decay"])
def test_slopes_are_those_of_the_losses(case, name):
    valley = Valley(3, 100, CASES[case])
    begun = below(valley)
    found = valley.differentiate(valley.rollout(begun, 1)).gradients[name]
    for index in range(len(found)):
        step = torch.zeros_like(found)
        step[index] = 1e-6 * float(begun[name][index])
        sides = [
            valley.told(begun.with_coefficients({name: begun[name] + sign * step}), 1)[0]
            for sign in (1, -1)
        ]
        slope = (sides[0] - sides[1]) / (2 * float(step[index]))
        assert float(found[index]) == pytest.approx(slope, rel=1e-4)


def test_the_rule_comes_nearer_to_the_optimum_than_its_start():
    ends, starts = zip(
        *(searched(Valley(draw, 40, Case()), RULE) for draw in range(3)), strict=True
    )
    assert sum(ends) < 0.5 * sum(starts)


def test_a_slope_of_chaos_says_nothing():
    calm, chaotic = (Valley(0, 9, Case(chaos=share)) for share in (0.0, 1.0))
    rows = [
        v.differentiate(v.rollout(v.problem.initial, 1)).gradients["momentum"]
        for v in (calm, chaotic)
    ]
    assert float(rows[0]) != float(rows[1])
