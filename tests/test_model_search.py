"""The default rule: starts from practice, models all that it sees, keeps a fallback."""

import gc
import math
import re
from dataclasses import replace

import pytest
import torch

import nongreedy as ng
from nongreedy.engines import Problem
from nongreedy.engines._trajectory import Trajectory
from nongreedy.search import Memory, Objective
from nongreedy.search._gain import Gain
from nongreedy.search.progress._lines import still
from nongreedy.search.rules import started
from nongreedy.search.rules._blocks import descent
from nongreedy.search.rules._bracket import Bracket
from nongreedy.search.rules._model_state import ModelState
from nongreedy.search.rules._model_steps import tried
from nongreedy.search.rules._observation import Observation, relative
from nongreedy.search.rules._practice import practised
from nongreedy.search.rules._proposal import noise, proposed
from nongreedy.search.rules._quadratic import Prior, Quadratic
from nongreedy.search.rules._space import MOST, Space

from .helpers import tiny_task
from .known_objective import Valley

PLAIN = ng.ModelSearch(averaging=False)


# ---- the scale --------------------------------------------------------------------------------


@pytest.mark.parametrize("optimum", [0.0, 0.3, -0.6, 2.0, -2.0, 5.1])
def test_a_bracket_finds_the_scale_to_a_quarter_of_a_decade(optimum):
    bracket = Bracket(lambda k: (k - optimum) ** 2 if k < optimum + 0.6 else math.inf, 20)
    assert abs(bracket.find() - optimum) <= 0.126
    assert len(bracket.losses) <= 7 + 1.5 * abs(optimum)  # one on the other side


def test_a_bracket_spends_no_more_than_it_may():
    calls = []
    Bracket(lambda k: calls.append(k) or (k - 7) ** 2, 4).find()
    assert len(calls) == len(set(calls)) == 4


@pytest.mark.parametrize("start", [-2.0, 0.0, 1.0])
def test_a_bracket_leaves_what_is_cold_or_dead_or_learned_by_heart(start):
    def loss(place):
        rate = place + start
        if rate > 0.8:
            return math.inf if rate > 1.8 else 2.29  # dead
        return 2.3 - 10**rate if rate < -1 else 2.1 + (rate + 1) ** 2 / 2

    bracket = Bracket(loss, 12, trained=2.277)
    assert abs(bracket.find() + start + 1) <= 0.26


@pytest.mark.parametrize("better", [-1.25, -1.0, -0.8])
def test_a_bracket_looks_on_the_other_side_of_what_is_learned_by_heart(better):
    # As on few images: 1.8 a decade or more below the first rate, 2.5 about it, 2.05 above.
    def loss(place):
        if place > -0.5:
            return 2.5 - 0.9 * place if place <= 0.5 else math.inf
        return 1.8 + abs(place - better)

    bracket = Bracket(loss, 12, trained=2.28)
    assert abs(bracket.find() - better) <= 0.26
    # Few runs are for what is nearest.
    assert Bracket(loss, 5, trained=2.28).find() > 0


def test_the_other_side_costs_one_run_where_it_is_no_better():
    bracket = Bracket(lambda k: (k - 0.8) ** 2, 12)
    assert abs(bracket.find() - 0.8) <= 0.126 and min(bracket.losses) == -1.0


def test_a_bracket_goes_below_by_three_decades_where_nothing_trains():
    tried = []
    Bracket(lambda place: tried.append(place) or 2.3 + abs(place) / 100, 12, trained=2.2).find()
    assert tried[:3] == [0.0, 0.5, -0.5] and min(tried) == -3.5


def test_a_bracket_leaves_what_diverges_by_decades():
    bracket = Bracket(lambda k: math.inf if k > -3.2 else (k + 4) ** 2, 12)
    assert abs(bracket.find() + 4) <= 0.25
    assert max(bracket.losses) == 0.0  # nothing hotter was tried


def problem(optimizer, steps=40):
    return Problem(tiny_task(), optimizer, steps)


def test_practice_falls_to_nothing():
    table = problem(ng.SGD(ng.Linear(5), momentum=ng.Constant(), weight_decay=ng.Constant()), 400)
    start = practised(table)
    rate = start["learning_rate"].tolist()
    assert rate == pytest.approx([0.1, 0.075, 0.05, 0.025, 0.002], rel=0.01)
    assert start["momentum"].item() == 0.9 and start["weight_decay"].item() == 5e-4
    falls = practised(problem(ng.AdamW(ng.Windows(4))))["learning_rate"]
    assert falls.tolist() == pytest.approx([2.63e-3, 1.87e-3, 1.1e-3, 3.5e-4], rel=0.1)


def test_what_a_user_gives_stays():
    optimizer = ng.SGD(ng.Linear(3, initial=(0.3, 0.4, 0.1)), momentum=ng.Constant(initial=0.5))
    start = practised(problem(optimizer))
    assert start["learning_rate"].tolist() == [0.3, 0.4, 0.1] and start["momentum"].item() == 0.5
    peak = practised(problem(ng.SGD(ng.Linear(3, initial=2.0))))["learning_rate"]
    assert peak.tolist() == pytest.approx([2.0, 1.0, 0.04], rel=0.03)
    assert practised(problem(ng.SGD(ng.Constant(), momentum=0.3)))["momentum"].item() == 0.3


# ---- the model ---------------------------------------------------------------------------------

WIDTHS = Prior(torch.ones(3).double(), torch.tensor([1.0, 1.0, 0.0]).double())
HESSIAN = torch.tensor([[0.6, 0.2, 0.0], [0.2, 0.5, 0.0], [0.0, 0.0, 0.3]]).double()
OPTIMUM = torch.tensor([0.4, -0.3, 0.35]).double()


def observed(place, seed, offset=0.0, slope=True):
    e = torch.as_tensor(place).double() - OPTIMUM
    value = 1 + float(e @ HESSIAN @ e) / 2 + offset
    return Observation(e + OPTIMUM, seed, value, HESSIAN @ e if slope else None)


def fitted(observations, radius=0.5):
    return Quadratic(observations, torch.zeros(3).double(), radius, WIDTHS)


def corners(size):
    return torch.full((3,), -size).double(), torch.full((3,), size).double()


def test_the_model_finds_the_minimum_of_a_quadratic():
    source = torch.Generator().manual_seed(0)
    places = 0.2 * torch.randn(8, 3, generator=source).double()
    rows = [observed(p, seed, offset=0.02 * seed) for seed, p in enumerate(places)]
    model = fitted([observed([0, 0, 0], 9), *rows])
    found = model.best(*corners(0.5))
    least = -float(OPTIMUM @ HESSIAN @ OPTIMUM) / 2
    true = observed(found, 0).loss - observed([0, 0, 0], 0).loss
    assert true < 0.5 * least  # what the prior leaves of it
    change, spread = model.change(found)
    assert change == pytest.approx(true, rel=0.25) and 0 < spread < abs(change)


def test_a_seed_s_own_level_is_no_slope():
    """Farther places have seeds with higher losses: common offsets must not look like curvature."""
    pairs = [([0.3, 0, 0], 1), ([-0.3, 0, 0], 2), ([0, 0.3, 0], 3)]
    same = [observed([0, 0, 0], s, 0.1 * s, slope=False) for s in range(1, 4)]
    there = [observed(p, s, 0.1 * s, slope=False) for p, s in pairs]
    model = fitted([observed([0, 0, 0], 0), *same, *there])
    shifted = fitted([observed([0, 0, 0], 0), *(observed(o.place, 0, slope=False) for o in there)])
    place = torch.tensor([0.2, -0.2, 0.0]).double()
    assert model.change(place)[0] == pytest.approx(shifted.change(place)[0], abs=5e-3)


def test_values_alone_teach_it_too_but_less_surely():
    with_slopes = fitted([observed([0, 0, 0], 0), observed([0.3, 0.1, 0], 0)])
    without = fitted([observed([0, 0, 0], 0, slope=False), observed([0.3, 0.1, 0], 0, slope=False)])
    place = torch.tensor([0.2, -0.3, 0.15]).double()
    assert with_slopes.change(place)[1] < without.change(place)[1]


def test_what_diverged_or_is_far_away_says_nothing_of_the_valley():
    near = [observed([0, 0, 0], 0), observed([0.3, 0.1, 0], 0)]
    far = [Observation(torch.ones(3).double(), 0, math.inf), observed([5.0, 0, 0], 0)]
    place = torch.tensor([0.2, 0.1, 0.0]).double()
    assert fitted(near).change(place) == fitted([*near, *far]).change(place)


def test_noise_is_estimated_from_what_is_left_over():
    source = torch.Generator().manual_seed(1)

    def noisy(size):
        rows = []
        for seed in range(8):
            row = observed(0.1 * torch.randn(3, generator=source), seed)
            error = size * torch.randn(3, generator=source).double()
            rows.append(Observation(row.place, seed, row.loss, row.slope + error))
        return fitted(rows).slope_noise

    assert noisy(0.0) < 0.025 < 0.1 < noisy(0.2)


def test_one_wild_sweep_yields_to_values_and_other_sweeps():
    """As from a chaotic run: uphill is where it says downhill."""
    wild = Observation(torch.zeros(3).double(), 5, 1.2, torch.tensor([8.0, -8.0, 8.0]).double())
    calm = [observed([0, 0, 0], 0), observed([0.1, 0.0, 0.0], 1), observed([0.0, 0.1, 0.0], 2)]
    true = fitted(calm).best(*corners(0.5))
    found = fitted([*calm, wild]).best(*corners(0.5))
    assert (found - true).abs().max() < 0.1


def test_what_is_far_uphill_still_bends_the_model():
    here, place = observed([0, 0, 0], 0), torch.tensor([0.4, 0.0, 0.0]).double()
    wall = Observation(place, 0, here.loss + 3.0)
    assert fitted([here, wall]).change(place)[0] > fitted([here]).change(place)[0] + 0.1


def test_noise_that_grows_with_the_loss_is_alike_in_its_logarithm():
    slope = torch.tensor([0.2]).double()
    rows = [Observation(torch.zeros(1).double(), 0, loss, loss * slope) for loss in (0.1, 10.0)]
    low, high = relative(rows, 0.1)
    assert high.loss - low.loss == pytest.approx(math.log(100))
    assert low.slope.item() == pytest.approx(0.2) and high.slope.item() == pytest.approx(0.2)
    below = relative([replace(rows[0], loss=-2.0), replace(rows[1], loss=math.inf)], 2.0)
    assert below[0].loss == -1.0 and below[1].loss == math.inf
    assert below[0].slope.item() == pytest.approx(0.01)


@pytest.mark.parametrize(
    ("told", "here", "unit", "halved"),
    [((2.0, 4.0), 4.0, 4.0, -2.0), ((-2.0, 1.0), 0.0, 2.0, -1.386)],
)
def test_a_change_in_the_model_s_units_is_one_of_the_loss(told, here, unit, halved):
    rows = tuple(Observation(torch.zeros(1).double(), 0, loss) for loss in told)
    schedule = ng.Schedule.of(learning_rate=0.1)
    state = ModelState(schedule=schedule, observations=rows, losses=(here,))
    assert state.unit == unit
    assert state.absolute(-math.log(2)) == pytest.approx(halved, abs=1e-3)


# ---- long hyperparameters ----------------------------------------------------------------------


def test_long_hyperparameters_follow_what_seeds_agree_on():
    source = torch.Generator().manual_seed(0)
    signal = torch.randn(200, generator=source).double()
    places, here = torch.arange(200), torch.zeros(200).double()

    def seen(noise, count):
        return [
            Observation(here, s, 1.0, signal + noise * torch.randn(200, generator=source).double())
            for s in range(count)
        ]

    clean, noise = descent(seen(0.1, 3), places, here), descent(seen(30.0, 3), places, here)
    assert clean.trusted > 0.95 and noise.trusted < 0.35
    assert float(torch.sign(clean.step) @ torch.sign(-signal)) >= 188 and clean.change < 0
    assert clean.step.abs().max() <= 1.0
    assert descent([], places, here).change == 0.0


def test_a_chaotic_sweep_and_a_dead_one_leave_the_others_their_say():
    source = torch.Generator().manual_seed(1)
    signal = torch.randn(300, generator=source).double()
    places, here = torch.arange(300), torch.zeros(300).double()

    def seen(seed, size=1.0, signal=signal):
        noise = torch.randn(300, generator=source).double()
        return Observation(here, seed, 1.0, size * (signal + noise))

    calm = [seen(seed) for seed in range(4)]
    right = float((descent(calm, places, here).step * signal < 0).double().mean())
    dead = Observation(here, 8, 1.0, torch.zeros(300).double())
    disturbed = descent([*calm, seen(7, 30.0, 0 * signal), dead], places, here)
    assert right > 0.8
    assert float((disturbed.step * signal < 0).double().mean()) > right - 0.03
    assert disturbed.trusted > 0.5
    assert descent([dead], places, here).change == 0.0


def test_short_hyperparameters_are_modelled_and_long_ones_followed():
    task = tiny_task()
    optimizer = ng.SGD(ng.Windows(20), momentum=ng.Constant(), weight_decay=ng.Windows(3))
    table = Problem(task, optimizer, 40)
    space = Space(table.learned, table.initial)
    assert list(space.followed) == ["learning_rate"] and len(space.modelled) == 4 <= MOST
    there = space.vector(table.initial)
    assert space.schedule(there).identity == table.initial.identity or torch.allclose(
        space.schedule(there)["learning_rate"], table.initial["learning_rate"]
    )


# ---- the search --------------------------------------------------------------------------------


def test_it_comes_close_to_the_optimum_for_forty_runs():
    valley = Valley(noise=0.004, budget=40)
    state, outcomes = valley.searched(PLAIN)
    assert valley.loss(state.schedule) < 1.012 < valley.loss(PLAIN.fallback(state))
    assert valley.budget.spent <= 40 and outcomes[0].note.startswith("the best of")


@pytest.mark.parametrize("away", [-2.0, 2.0])
def test_where_it_starts_does_not_matter(away):
    ends = [valley.loss(valley.searched(PLAIN)[0].schedule)
            for valley in (Valley(noise=0.004, budget=60, away=a) for a in (0.0, away))]  # fmt: skip
    assert ends[1] < ends[0] + 0.01


def test_it_stops_early_where_nothing_is_to_be_gained():
    best = (0.1, 0.075, 0.05, 0.025, 0.002)
    valley = Valley(optimum=best, noise=0.03, budget=200)
    state, outcomes = valley.searched(PLAIN)
    assert state.status is ng.Status.stalled and valley.budget.spent < 80
    assert "nothing better is expected" in " ".join(o.note for o in outcomes)


class Misled(Valley):
    """Whose next runs are worse than they are, by so much."""

    worse = 0.0

    def loss(self, schedule, seed=None):
        return super().loss(schedule, seed) + self.worse


@pytest.mark.parametrize(
    ("share", "kept", "factor"), [(-9.0, True, 1.4), (0.5, False, 0.8), (50.0, False, 0.5)]
)
def test_a_loss_that_noise_explains_shrinks_the_region_by_less(share, kept, factor):
    valley = Misled(noise=0.004, budget=200)
    state = PLAIN.init(valley.problem.hyperparameters, 1000)
    state, _ = PLAIN.step(state, valley)
    move, by_chance = proposed(state), noise(state)
    clean = valley.loss(move.schedule, state.seeds[0]) - state.loss
    valley.worse = share * by_chance - clean  # so that this share of the noise is found
    after = tried(state, move, valley, [])
    assert (after.schedule == move.schedule) is kept and move.change < -by_chance < 0
    assert after.reach[0] == pytest.approx(factor * state.reach[0])


def test_it_evaluates_before_it_differentiates():
    valley = Valley(noise=0.004, budget=40)
    valley.searched(PLAIN)
    assert valley.swept < len(valley.asked) / 2


def test_runs_that_diverge_on_the_way_are_no_end():
    valley = Valley(optimum=(2.0, 2.0, 2.0, 1.0, 0.1), cliff=2.2, budget=60)
    state, _ = valley.searched(PLAIN)
    assert valley.loss(state.schedule) < valley.loss(PLAIN.fallback(state))


class Overfitting(Valley):
    """Rates from 0.003 on learn by heart, and end worse than they began; from 0.3 on units die."""

    def untrained(self, schedule, seed):
        del schedule, seed
        return 2.3

    def loss(self, schedule, seed=None):
        peak = float(schedule["learning_rate"].max())
        if peak >= 0.003:
            return 2.3 if peak >= 0.3 else 2.6
        return super().loss(schedule, seed)


def test_where_the_best_run_has_not_trained_lower_rates_are_tried():
    valley = Overfitting(optimum=(1e-3, 1e-3, 1e-3, 1e-4, 1e-5), noise=0.004, budget=40)
    state, _ = valley.searched(PLAIN)
    assert valley.loss(PLAIN.fallback(state)) < 1.5 and len(valley.asked) < 40


def test_the_first_weights_are_judged_without_a_run():
    objective = Objective(Problem(tiny_task(), ng.SGD(ng.Windows(1)), 5), ng.Reverse())
    schedule = objective.problem.initial
    told = objective.untrained(schedule, 3)
    least = schedule.with_coefficients({"learning_rate": torch.tensor([1e-8]).double()})
    assert told == pytest.approx(objective.rollout(least, 3).outcome.loss, rel=1e-5)
    assert objective.cost == 1.0


def test_if_everything_diverges_it_says_so():
    with pytest.raises(ng.DivergedError):
        Valley(cliff=1e-9).searched(PLAIN)


# ---- through tune ------------------------------------------------------------------------------

LEARNED = ng.SGD(ng.Linear(3), momentum=ng.Constant(), weight_decay=ng.Constant())


def tuned(optimizer=LEARNED, **settings):
    return ng.tune(tiny_task(), optimizer, **{"steps": 12, "budget": 30, **settings})


def test_a_result_names_its_gain_and_its_optimizer():
    result = tuned()
    gain = result.gain
    assert gain is not None and gain.loss >= 0 and result.optimizer is not None
    again = ng.retrain(tiny_task(), result.schedule, steps=12, optimizer=result.optimizer)
    plain = ng.retrain(tiny_task(), result.schedule, steps=12, optimizer=ng.SGD())
    assert again.validation_loss == pytest.approx(plain.validation_loss, rel=1e-5)
    assert result.cost <= 30


@pytest.mark.parametrize("budget", [1, 6, 7])
def test_a_budget_too_small_for_a_comparison_has_a_gain_that_says_so(budget):
    result = tuned(budget=budget)
    assert result.cost <= budget and len(result.history) > 0
    said = "The start is returned" if budget < 6 else "one fresh seed|Nothing was gained"
    assert re.search(said, result.gain.verdict)


def test_a_rule_that_keeps_no_start_says_that_no_gain_is_known():
    gain = tuned(outer="paper", outer_steps=1).gain
    assert math.isnan(gain.loss) and not gain.clear and gain.verdict.startswith("No gain is known")
    assert Gain.from_json(gain.to_json()).verdict == gain.verdict


def test_an_average_is_tried_and_its_schedule_says_so():
    notes = {
        averaging: tuned(outer=ng.ModelSearch(averaging=averaging)).history[0].note
        for averaging in (True, False)
    }
    counts = {averaging: int(note.split()[3]) for averaging, note in notes.items()}
    assert counts[True] > counts[False]
    given = ng.SGD(ng.Linear(3), average=ng.TailAverage(0.5))
    assert "average_interpolation" not in tuned(given).schedule.curves


@pytest.mark.parametrize(("budget", "starts"), [(8, 5), (16, 9)])
def test_sixteen_runs_pay_for_both_ways_of_training(budget, starts):
    note = tuned(budget=budget, outer_steps=1).history[0].note
    assert note.startswith(f"the best of {starts} starts")


def test_groups_and_adam_have_averaged_ways_too():
    grouped = ng.Grouped(ng.AdamW(ng.Linear(3)), {"vectors": {"weight_decay": 0.0}})
    rule = ng.ModelSearch()
    ways = rule.alternatives(problem(grouped, 12), ng.Reverse())
    assert [w.optimizer.base.beta1 for w in ways] == [0.0]
    assert "average_interpolation" in ways[0].learned
    assert ng.tune(tiny_task(), grouped, steps=12, budget=20).cost <= 20


def test_from_zero_averages_begin_at_zero_too():
    table = problem(ng.SGD(ng.Linear(3), momentum=ng.Constant()), 12)
    ways = {start: ng.ModelSearch().alternatives(started(table, start), ng.Reverse())
            for start in ("zero", "practice")}  # fmt: skip
    rates = {start: way.initial["learning_rate"].tolist() for start, (way,) in ways.items()}
    assert rates["zero"] == table.initial["learning_rate"].tolist() == [1e-3] * 3
    assert rates["practice"] == pytest.approx([1.0] * 3)


def test_automatic_windows_are_split_by_the_rule_that_can():
    result = tuned(ng.SGD(ng.Windows("auto")), budget=12)
    assert "AgreementSearch" in str(result.settings["outer"])


def test_starts():
    begun = ng.Schedule.of(learning_rate=[0.4, 0.2, 0.1], momentum=0.5, weight_decay=1e-3)
    once = tuned(start=begun, outer_steps=1, budget=None, outer="paper")
    moved = once.history[0].values["learning_rate"]  # by a decade at most, in the first outer step
    assert all(b / 10.001 < m < 10.001 * b for b, m in zip((0.4, 0.2, 0.1), moved, strict=True))
    zero = tuned(start="zero", outer="paper", outer_steps=1, budget=None)
    practice = tuned(start="practice", outer="paper", outer_steps=1, budget=None)
    assert zero.history[0].values != practice.history[0].values
    further = tuned(start=once, outer_steps=1, budget=None)
    assert further.cost > 0
    with pytest.raises(ValueError, match="practise"):
        tuned(start="practise")
    with pytest.raises(TypeError, match="3"):
        tuned(start=3)


def test_a_start_of_averaged_weights_brings_its_average_along():
    averaged = ng.SGD(ng.Linear(3), momentum=0.0, average=ng.ScheduleFreeAverage(ng.Constant()))
    tail = ng.SGD(ng.Linear(3), momentum=0.9, average=ng.TailAverage(ng.Constant(initial=0.4)))
    for optimizer, name in ((averaged, "average_interpolation"), (tail, "average_share")):
        first = ng.Schedule.initial(optimizer.hyperparameters(12))
        result = tuned(ng.SGD(ng.Linear(3), momentum=0.9), start=first, outer_steps=1)
        assert name in result.schedule.curves and result.optimizer.average is not None
        again = tuned(optimizer, start=first, outer_steps=1)
        assert again.schedule[name].tolist() == result.schedule[name].tolist()
        assert again.validation_loss == result.validation_loss
    with pytest.raises(ValueError, match=r"average_interpolation.*result\.optimizer"):
        tuned(tail, start=ng.Schedule.initial(averaged.hyperparameters(12)))


def test_no_average_is_tried_that_torch_would_train_otherwise():
    dampened = ng.SGD(ng.Linear(3), momentum=0.9, dampening=0.5)
    assert ng.ModelSearch().alternatives(problem(dampened, 12), ng.Reverse()) == []
    assert tuned(dampened, budget=8).cost <= 8


def test_an_average_begins_at_the_least_momentum_that_bounds_allow():
    bounded = ng.Constant(initial=0.9, bounds=(0.5, 0.99))
    for name, optimizer in (
        ("momentum", ng.SGD(ng.Linear(3), momentum=bounded)),
        ("beta1", ng.AdamW(ng.Linear(3), beta1=bounded)),
    ):
        (way,) = ng.ModelSearch().alternatives(problem(optimizer, 12), ng.Reverse())
        assert way.initial[name].item() == pytest.approx(0.5)
        assert tuned(optimizer, budget=8).cost <= 8


def test_where_no_learning_rate_is_learned_there_is_no_peak():
    note = tuned(ng.SGD(0.1, momentum=ng.Constant()), outer_steps=1).history[0].note
    assert note.startswith("the best of") and "peak" not in note


class Treacherous(Valley):
    """Fresh seeds of outer steps after the first diverge wherever the search has come to by then."""

    def ahead(self, asked, likely=()):
        pass

    def rollout(self, schedule, seed, keep=False):
        kept = len(self.evaluated) > 1 and keep and seed in self.fatal
        if kept and schedule.identity != self.first:
            raise ng.DivergedError("training loss", 3, 1000)
        return super().rollout(schedule, seed, keep)


def test_a_search_whose_schedule_diverges_on_another_seed_goes_back_and_calls_it_no_improvement():
    valley = Treacherous(noise=0.004, budget=40)
    valley.fatal, valley.first = set(), None
    state = PLAIN.init(valley.problem.hyperparameters, 1000)
    state, _ = PLAIN.step(state, valley)
    while len(state.contenders) < 2:
        state, _ = PLAIN.step(state, valley)
    valley.first, valley.fatal = state.contenders[0].identity, set(valley.seeds(0, 50))
    before = state.contenders[-2]
    state, outcome = PLAIN.step(state, valley)
    assert "diverged on another seed" in outcome.note
    known = valley.evaluated[state.schedule.identity].losses
    assert state.losses == tuple(known[seed] for seed in state.seeds)
    assert outcome.accepted == (state.schedule.identity != before.identity)
    assert outcome.loss == pytest.approx(sum(state.losses) / len(state.losses))


@pytest.mark.parametrize(
    "bad",
    [{"seeds": -1}, {"seeds": 2.5}, {"proposals": 0}, {"patience": "x"}, {"finalists": 1},
     {"finalist_seeds": 0}],
)  # fmt: skip
def test_bad_settings_are_refused_where_they_are_given(bad):
    (name, value), *_ = bad.items()
    with pytest.raises(ValueError, match=f"{name}.*{value}"):
        ng.ModelSearch(**bad)


class Asked(Memory):
    """Remembers nothing but what was asked."""

    def __init__(self):
        self.runs = []

    def recall(self, request):
        self.runs.append((request.schedule["learning_rate"].tolist(), request.seed))


def test_what_a_search_begins_with_stands_in_the_final():
    """One seed may prefer other scales; common fresh seeds decide."""
    given, asked = [1e-4, 1e-4, 1e-5], Asked()
    start = ng.Schedule.of(learning_rate=given, momentum=0.9, weight_decay=5e-4)
    result = tuned(start=start, outer_steps=1, outer=PLAIN, study=asked)
    assert result.history[0].values["learning_rate"] != given
    seeds = {seed for rate, seed in asked.runs if rate == pytest.approx(given)}
    assert len(seeds) > 1  # one of the bracket, and those of the final


class Holding(ng.Callback):
    """The most trajectories that are alive at once, those of the run that is going on included."""

    most = 0

    def on_inner_step(self, step, steps):
        del step, steps
        alive = sum(issubclass(type(x), Trajectory) for x in gc.get_objects())
        self.most = max(self.most, alive)


def test_states_of_one_run_are_held_beside_those_of_the_next():
    holding = Holding()
    tuned(outer_steps=1, callbacks=[holding], steps=3, engine="reverse:device")
    assert holding.most == 2


def test_an_averaged_way_that_is_not_verified_is_left_out(monkeypatch):
    verified = Problem.verified

    def refusing(self, derivatives=True):
        if self.optimizer.average is not None:
            raise ng.VerificationError("planted")
        return verified(self, derivatives)

    monkeypatch.setattr(Problem, "verified", refusing)
    with pytest.warns(UserWarning, match="Not tried: ScheduleFreeAverage.*planted"):
        result = tuned(outer_steps=1)
    assert "average_interpolation" not in result.schedule.curves


def test_scales_beyond_a_bound_are_one_schedule_which_meets_itself_in_no_final():
    bounded = ng.Linear(3, bounds=(1e-8, 0.2))
    result = tuned(ng.SGD(bounded, momentum=0.9), outer_steps=1, outer=PLAIN, budget=None)
    # Peaks of 0.1, then 0.2 for all that is higher: the other contender is the smaller one.
    assert result.schedule["learning_rate"].max() <= 0.2
    assert result.gain.seeds == 0 or result.gain.standard_error > 0


def test_a_timeout_ends_the_search_with_what_it_has():
    result = ng.tune(tiny_task(), LEARNED, steps=400, outer_steps=10**6, timeout=1.5)
    assert result.status is ng.Status.budget_spent
    with pytest.raises(ValueError, match="timeout"):
        tuned(timeout=0)
    for name in ("timeout", "budget"):
        with pytest.raises(TypeError, match=f"{name}.*'3'"):
            tuned(**{name: "3"})


# ---- verdicts ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("gain", "word"),
    [
        (Gain(0.05, 0.01, 6, 1.0), "Lower than its start by 0.05 ± 0.01 (5.0%)"),
        (Gain(0.05, 0.04, 6, 1.0), "within the noise"),
        (Gain(0.05, 0.01, 2, 1.0), "within the noise"),  # of two seeds, a scatter is luck, too
        (Gain(0.05, 0.01, 3, 1.0), "on 3 common fresh seeds."),
        (Gain(0.05, math.nan, 1, 1.0), "may be luck"),
        (Gain(0.0, 0.02, 6, 1.0), "Nothing was gained"),
    ],
)
def test_noise_earns_no_praise(gain, word):
    assert word in gain.verdict
    assert Gain.from_json(gain.to_json()).verdict == gain.verdict


def test_averaged_weights_are_tried_where_momentum_may_not_be_zero():
    optimizer = ng.SGD(ng.Linear(3), momentum=ng.Windows(1, initial=0.5, bounds=(0.1, 0.9)))
    (other,) = ng.ModelSearch().alternatives(problem(optimizer), ng.Reverse())
    assert other.initial["momentum"].item() == pytest.approx(0.1)


def test_where_there_is_nothing_to_gain_a_verdict_seldom_claims_it():
    source, claimed = torch.Generator().manual_seed(0), 0
    for _ in range(400):
        for seeds in (2, 3, 8):
            drawn = torch.randn(seeds, generator=source).double()
            error = float(drawn.std()) / seeds**0.5
            claimed += Gain(float(drawn.mean()), error, seeds, 1.0).clear
    assert 10 <= claimed <= 55  # 2.5 % of 1200 are 30; twice the standard error would claim 110


# ---- what did not move -------------------------------------------------------------------------


def test_what_did_not_move_is_told_in_a_sentence_for_each_reason():
    groups = [f"learning_rate_factor[{k}.Weight]" for k in range(64)]
    why = {**dict.fromkeys(["momentum", *groups], "A"), "learning_rate[0.Norm]": "B"}
    told = still(replace(tuned(budget=8), unmoved=why))
    assert told == [
        "Momentum, learning rate factor of 64 groups did not move: A.",
        "Learning rate[0.Norm] did not move: B.",
    ]


def test_what_moved_in_the_search_and_not_on_fresh_seeds_says_so():
    valley = Valley(noise=0.004, budget=40)
    state, _ = valley.searched(PLAIN)
    assert len(state.contenders) > 1
    start = PLAIN.fallback(state)
    reasons = set(PLAIN.unmoved(state, start).values())
    assert reasons == {"what lowered the loss in the search did not on fresh seeds"}


def test_no_schedule_runs_twice_on_a_seed():
    class Cliff(Valley):
        """A loss that jumps beside the start: the model leaves out what is so much worse."""

        def loss(self, schedule, seed=None):
            near = (schedule["learning_rate"] - self.start["learning_rate"]).abs().max() < 1e-9
            return 1.0 if self.start is schedule or near else 5.0

    valley = Cliff(budget=60)
    valley.start = valley.problem.initial
    valley.searched(PLAIN)
    rows = [(schedule.identity, seed) for schedule, seed in valley.asked]
    assert len(rows) == len(set(rows))
