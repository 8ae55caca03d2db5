"""The paper's outer rule: its sequences to the last digit, its ends, and how it survives divergence."""

import math
from dataclasses import dataclass, field
from types import SimpleNamespace

import pytest
import torch
from torch import nn

import nongreedy as ng
from nongreedy.engines import Hypergradient, Outcome
from nongreedy.task._data_plan import mix

from .helpers import tiny_task


def start(rule=None, **bases):
    """A rule and its first state, for SGD whose other settings are fixed."""
    rule = rule or ng.SignDescent()
    given = {"learning_rate": 0.1, "momentum": 0.0, "weight_decay": 0.0, **bases}
    return rule, rule.init(ng.SGD(**given).hyperparameters(100, rule.defaults), 100)


def plain(**settings):
    """One value in its own units: zero is an allowed bound."""
    return ng.Windows(1, transform=None, **settings)


def signs(text):
    return torch.tensor([{"-": -1.0, "+": 1.0, "0": 0.0}[c] for c in text], dtype=torch.float64)


def driven(name, text, basis):
    """Values before the first step and after each sign."""
    rule, state = start(**{name: basis})
    values = [state.schedule[name].item()]
    for sign in signs(text):
        # Magnitudes must not matter.
        state = rule.update(state, {name: sign[None] * 10 ** torch.randn(())})
        values.append(state.schedule[name].item())
    return values


# Section 12.8 of the specification. The first value is the first run's; each sign gives the next.
SEQUENCES = [
    (
        "momentum",
        ng.Windows(1, outer_step=0.3),
        "0-+--+-+-",
        [0, 0, 0.3, 0.15, 0.225, 0.3, 0.2625, 0.28125, 0.271875, 0.2765625],
    ),
    (
        "weight_decay",
        ng.Windows(1, outer_step=4e-4),
        "0--+-++--",
        [0, 0, 4e-4, 8e-4, 6e-4, 7e-4, 6.5e-4, 6e-4, 6.25e-4, 6.5e-4],
    ),
    (
        "learning_rate",
        ng.Windows(1, outer_step=0.1),
        "-----+--+",
        [0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.45, 0.475, 0.5, 0.4875],
    ),
]


@pytest.mark.parametrize(("name", "basis", "text", "expected"), SEQUENCES)
def test_sequences_of_the_paper(name, basis, text, expected):
    assert driven(name, text, basis) == pytest.approx(expected, rel=1e-12, abs=1e-15)


def test_coefficients_and_hyperparameters_move_independently():
    rule, state = start(learning_rate=ng.Windows(3), momentum=ng.Windows(1, outer_step=0.3))
    for lr, beta in (("-0-", "0"), ("+--", "-"), ("-0+", "+")):
        state = rule.update(state, {"learning_rate": signs(lr), "momentum": signs(beta)})
    # A zero forgets the sign before it: no flip, no move.
    torch.testing.assert_close(
        state.schedule["learning_rate"], torch.tensor([0.075, 0.1, 0.15]).double()
    )
    torch.testing.assert_close(
        state.steps["learning_rate"], torch.tensor([0.025, 0.1, 0.05]).double()
    )
    assert state.schedule["momentum"].item() == pytest.approx(0.15)


def test_paper_defaults():
    _, state = start(
        learning_rate=ng.Windows(2), momentum=ng.Windows(1), weight_decay=ng.Windows(1)
    )
    assert {n: v.tolist() for n, v in state.steps.items()} == {
        "learning_rate": [0.1, 0.1],
        "momentum": [0.1],
        "weight_decay": [3e-4],
    }
    assert all(state.schedule[name].abs().max() == 0 for name in state.steps)
    assert (
        start(learning_rate=ng.Windows(1, initial=0.2))[1].schedule["learning_rate"].item() == 0.2
    )


# (signs, bounds, whether it may stop). First step 0.1, tolerance 0.05 of max(|value|, 0.1): five
# halvings make 0.003125.
ENDS = [
    ("-+-+-+", (-9.0, 9.0), True),
    ("-+-+-", (-9.0, 9.0), False),
    ("+-+-+-", (-9.0, 9.0), True),  # the same around negative values: the reference stops at once
    ("+", (-9.0, 9.0), False),
    ("+++", (-9.0, 9.0), False),
    ("000", (0.0, 9.0), False),  # at a bound, but not pushed
    ("+", (0.0, 9.0), True),  # rests on its bound, pushed outward
    ("-", (0.0, 9.0), False),
    ("--", (0.0, 0.15), True),  # and on the other
]


@pytest.mark.parametrize(("text", "bounds", "ends"), ENDS)
def test_convergence(text, bounds, ends):
    rule, state = start(learning_rate=plain(initial=0.0, bounds=bounds))
    for sign in signs(text):
        assert rule.done(state) is None
        state = rule.update(state, {"learning_rate": sign[None]})
    assert (rule.done(state) is ng.Status.converged) == ends


@pytest.mark.parametrize(
    ("text", "ends"), [("0", False), ("000", False), ("-", True), ("0-", True)]
)
def test_zero_gradient_so_far_is_not_convergence(text, ends):
    # Its step is small against its value from the start, but nobody knows yet whether it matters.
    rule, state = start(learning_rate=plain(initial=5.0, bounds=(0.0, 9.0)))
    for sign in signs(text):
        state = rule.update(state, {"learning_rate": sign[None]})
    assert (state.status is ng.Status.converged) == ends


def test_rejection_at_a_bound_returns_to_the_accepted_value():
    rule, state = start(learning_rate=plain(initial=0.1, bounds=(0.0, 0.15)))
    state = rule.reject(rule.update(state, {"learning_rate": signs("-")}))
    assert state.schedule["learning_rate"].item() == pytest.approx(0.15)  # 0.1 and half of 0.1
    assert rule.reject(state).schedule["learning_rate"].item() == pytest.approx(0.125)


def test_every_coefficient_must_converge():
    rule, state = start(learning_rate=ng.Windows(2))
    for lr in ("--", "++", "--", "++", "--", "+-"):
        state = rule.update(state, {"learning_rate": signs(lr)})
    assert state.status is None
    state = rule.update(state, {"learning_rate": signs("-+")})
    assert state.status is ng.Status.converged


@pytest.mark.parametrize("name", ["learning_rate", "momentum", "weight_decay"])
@pytest.mark.parametrize("text", ["+++", "-" * 30])
def test_projection_on_the_bounds(name, text):
    bounds = {"learning_rate": (0.0, 0.25), "momentum": (0.0, 0.999), "weight_decay": (0.0, 1e-3)}[
        name
    ]
    values = driven(name, text, plain(bounds=bounds if name != "momentum" else None))
    assert min(values) >= bounds[0] and max(values) <= bounds[1]
    assert values[-1] == (bounds[0] if text[0] == "+" else bounds[1])


def test_moves_in_the_coordinate_of_the_transform():
    rule, state = start(
        learning_rate=ng.Windows(
            1, initial=1e-3, bounds=(1e-8, 10.0), transform="log", outer_step=1.0
        ),
        momentum=ng.Windows(1, initial=0.9, transform="log1m", outer_step=1.0),
    )
    state = rule.update(state, {"learning_rate": signs("-"), "momentum": signs("-")})
    assert state.schedule["learning_rate"].item() == pytest.approx(1e-2)
    assert state.schedule["momentum"].item() == pytest.approx(0.99)


# ---- Divergence, with a scripted objective ------------------------------------------------------


@dataclass
class Script:
    """Answers a rule's questions from a list: signs, "nan" for a NaN gradient, "diverge"."""

    answers: list[str]
    asked: list[list[float]] = field(default_factory=list)
    steps: int = 100

    def seeds(self, stream, count):
        return [1000 * stream + index for index in range(count)]

    def ahead(self, asked, likely=()):
        pass

    def rollout(self, schedule, seed, keep=False):
        self.asked.append(schedule["learning_rate"].tolist())
        if self.answers[0] == "diverge":
            self.answers.pop(0)
            raise ng.DivergedError("training loss", 3, self.steps)
        return SimpleNamespace(outcome=Outcome(1.0, 0.5))

    def differentiate(self, rollout):
        answer = self.answers.pop(0)
        gradient = torch.full((1,), math.nan).double() if answer == "nan" else signs(answer)
        return Hypergradient(1.0, 0.5, {"learning_rate": gradient})


def scripted(answers, rule=None):
    script = Script(answers)
    rule, state = start(rule, learning_rate=ng.Windows(1))
    reports = []
    while script.answers and rule.done(state) is None:
        state, report = rule.step(state, script)
        reports.append(report)
    return script, state, reports


@pytest.mark.parametrize("failure", ["diverge", "nan"])
def test_rejected_run_halves_the_step_and_keeps_the_sign(failure):
    script, state, reports = scripted(["-", "-", failure, "-", "+"])
    # 0.2 fails; from the accepted 0.1 half as far; then on with that step; "+" is a flip, which it
    # could not be had the failure erased the sign.
    assert [v for (v,) in script.asked] == pytest.approx([0.0, 0.1, 0.2, 0.15, 0.2])
    assert [r.accepted for r in reports] == [True, True, False, True, True]
    assert math.isinf(reports[2].loss) and "rejected" in reports[2].note
    assert "non-finite" in reports[2].note
    assert state.schedule["learning_rate"].item() == pytest.approx(0.175)
    assert state.rejections == 0


def test_repeated_rejections_go_on_halving_then_give_up():
    script, state, _ = scripted(["-", *["diverge"] * 9], ng.SignDescent(rejections=3))
    assert [v for (v,) in script.asked] == pytest.approx([0.0, 0.1, 0.05, 0.025])
    assert state.status is ng.Status.rejected
    assert state.status.value  # the status is a help text


def test_an_accepted_run_resets_the_count_of_rejections():
    _, state, _ = scripted(
        ["-", "diverge", "diverge", "-", "diverge", "diverge", "-"], ng.SignDescent(rejections=3)
    )
    assert state.status is None and state.rejections == 0


def test_only_what_moved_is_halved():
    rule, state = start(learning_rate=ng.Windows(2), momentum=ng.Windows(1))
    state = rule.update(state, {"learning_rate": signs("-0"), "momentum": signs("+")})
    state = rule.reject(state)
    assert state.steps["learning_rate"].tolist() == [0.05, 0.1]
    assert state.steps["momentum"].tolist() == [0.1]  # it rested on its bound
    assert state.schedule["learning_rate"].tolist() == [0.05, 0.0]


@pytest.mark.parametrize("failure", ["diverge", "nan"])
def test_divergence_of_the_very_first_run_is_raised(failure):
    with pytest.raises(ng.DivergedError):
        scripted([failure, "-"])


def test_seeds_are_averaged():
    class Two(Script):
        def differentiate(self, rollout):
            return Hypergradient(1.0, None, {"learning_rate": torch.tensor([self.answers.pop(0)])})

    rule, state = start(ng.SignDescent(seeds=2), learning_rate=ng.Windows(1))
    state, report = rule.step(state, Two([-1.0, 0.25]))
    assert report.signs == {"learning_rate": "-"} and report.accuracy is None
    state, _ = rule.step(state, Two([-0.25, 1.0]))
    assert state.schedule["learning_rate"].item() == pytest.approx(0.05)


# ---- Through tune -------------------------------------------------------------------------------


def parabola():
    """Full-batch descent on one weight: deterministic whatever the seed, diverges beyond a rate of 2."""

    class Weight(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(torch.ones(1))

        def forward(self, inputs):
            return self.weight * inputs

    def loss(output, target):
        return 0.5 * (output - target).square().mean()

    data = torch.ones(2, 1), torch.zeros(2, 1)
    return ng.Task(Weight, loss, data, data, batch_size=2)


def test_best_evaluated_schedule_is_returned_not_the_last():
    # Steps of 0.7: 0, 0.7, 1.4 (worse), then back by half a step to 1.05, next to the optimum 1.
    optimizer = ng.SGD(learning_rate=plain(outer_step=0.7, bounds=(0.0, 100.0)))
    result = ng.tune(parabola(), optimizer, steps=9, outer_steps=3, outer="paper")
    rows = [(row.values["learning_rate"][0], row.validation_loss) for row in result.history]
    assert [value for value, _ in rows] == pytest.approx([0.0, 0.7, 1.4])
    assert result.schedule["learning_rate"].item() == pytest.approx(1.05)  # proposed last, then run
    assert result.validation_loss == pytest.approx(0.5 * 0.05**18, rel=1e-3)
    shorter = ng.tune(parabola(), optimizer, steps=9, outer_steps=2, outer="paper")
    assert shorter.schedule["learning_rate"].item() == pytest.approx(0.7)  # 1.4 was run, and lost


def test_search_recovers_from_a_diverged_run():
    optimizer = ng.SGD(learning_rate=plain(outer_step=64.0, bounds=(0.0, 1e3)))
    result = ng.tune(parabola(), optimizer, steps=60, outer_steps=9, outer="paper")
    rows = result.history
    assert [row.values["learning_rate"][0] for row in rows[:5]] == [0.0, 64.0, 32.0, 16.0, 8.0]
    assert [row.accepted for row in rows[:5]] == [True, False, False, False, False]
    assert rows[1].to_json()["validation_loss"] is None  # JSON knows no infinity
    assert result.status is ng.Status.rejected and len(rows) == 6
    assert result.schedule["learning_rate"].item() in (0.0, 2.0)


def test_finalist_that_diverges_on_fresh_seeds_is_out(monkeypatch):
    # 0.7 loses the search to 1.05, which then fails on the first seed of the final comparison.
    final, failed, original = mix(0, -1, 0), [], ng.Run.outer_loss

    def outer_loss(run, parameters, chosen=None):
        if run.seed == final and not failed:
            failed.append(run.seed)
            raise ng.DivergedError("validation loss", 9, 9)
        return original(run, parameters, chosen)

    monkeypatch.setattr(ng.Run, "outer_loss", outer_loss)
    optimizer = ng.SGD(learning_rate=plain(outer_step=0.7, bounds=(0.0, 100.0)))
    result = ng.tune(parabola(), optimizer, steps=9, outer_steps=3, outer="paper")
    assert failed and result.schedule["learning_rate"].item() == pytest.approx(0.7)


def test_a_bound_of_zero_suits_the_rule_though_not_the_optimizers_own_coordinate():
    optimizer = ng.SGD(ng.Windows(2, bounds=(0.0, 0.5)))
    rate = optimizer.hyperparameters(10, ng.SignDescent.defaults)["learning_rate"]
    assert rate.transform is None and rate.initial.tolist() == [0.0, 0.0]


@pytest.mark.parametrize("name", ["learning_rate", "weight_decay"])
def test_a_start_at_zero_is_for_the_paper_to_use_and_for_others_to_refuse(name):
    rates = {"learning_rate": ng.Windows(1)} | {name: ng.Windows(1, initial=0.0)}
    settings = {"steps": 6, "outer_steps": 3}
    said = ng.tune(tiny_task(), ng.SGD(**rates), outer="paper", **settings)
    assert said.history[0].values[name] == [0.0] != said.history[2].values[name]
    by_default = ng.SGD(**(rates | {name: ng.Windows(1)}))
    unsaid = ng.tune(tiny_task(), by_default, outer="paper", **settings)
    assert said.schedule == unsaid.schedule
    for ask in (ng.tune, ng.hypergradient):
        with pytest.raises(ValueError, match=rf"{name} starts at 0, .*'log'.*outer='paper'"):
            ask(tiny_task(), ng.SGD(**rates), steps=6)
    # What no rule moves there is refused at birth.
    with pytest.raises(ValueError, match=f"{name} starts at 0, .*'log'"):
        ng.SGD(**{name: ng.Windows(1, initial=0.0, transform="log")})
    with pytest.raises(ValueError, match=f"{name} starts at -1, outside"):
        ng.SGD(**{name: ng.Windows(1, initial=-1.0)})
