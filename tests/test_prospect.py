"""What a search is expected to gain, where the answer is known."""

import math
import statistics

import pytest
import torch

import nongreedy as ng
from nongreedy.search.rules._model_state import prior_of
from nongreedy.search.rules._space import Space
from nongreedy.testing import tiny_task
from nongreedy.trust import Prospect, Smoothness
from nongreedy.trust._prospect import prospect_of

from .known_objective import Valley

LOSS = 0.8


class Known:
    """A quadratic whose curvature is the one that is expected, relative to a mean loss of 0.8."""

    def __init__(self, noise=0.0):
        self.valley, self.noise = Valley(), noise
        self.schedule = self.valley.problem.initial
        self.learned = self.valley.problem.learned
        self.space = Space(self.learned, self.schedule)
        self.hessian = prior_of(self.space).curvature * LOSS
        ones = {name: torch.ones_like(self.schedule[name]) for name in self.learned}
        self.per_outer_step = self.space.gradient(self.schedule, ones)

    def hypergradients(self, distance, seeds, draw=0):
        source = torch.Generator().manual_seed(draw)
        size = len(self.per_outer_step)
        for _ in range(seeds):
            away = torch.randn(size, generator=source).double() * self.noise
            slope = (self.hessian @ distance + away) / self.per_outer_step
            gradients = {name: slope[part] for name, part in self.space.slices.items()}
            yield ng.Hypergradient(LOSS, None, gradients, {})

    def prospect(self, *given, **named):
        found = prospect_of([*self.hypergradients(*given, **named)], self.schedule, self.learned)
        assert found is not None
        return found


@pytest.mark.parametrize("seeds", [2, 3, 8])
def test_without_noise_it_is_what_the_minimum_is_lower_by(seeds):
    known, distance = Known(), torch.tensor([0.5, 0.2, -0.1, 0.4, 0.3, -0.3, 1.0]).double()
    found = known.prospect(distance, seeds)
    exact = float(distance @ known.hessian @ distance) / 2
    assert found.gain == pytest.approx(exact) and found.loss == pytest.approx(LOSS)
    assert found.noise == 0
    assert math.isnan(found.error) if seeds == 2 else found.error == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("steeper", [0.5, 1.0, 3.0])
def test_where_the_loss_bends_more_down_the_slope_less_is_expected(steeper):
    """A quadratic with so many times the curvature, as two plain runs at 0.1 outer steps see it."""
    known, distance = Known(), torch.full((7,), 0.3).double()
    slope = known.hessian @ distance
    way = -slope / slope.abs().max()
    change = 0.1 * slope @ way + 0.1**2 / 2 * steeper * (way @ known.hessian @ way)
    smooth = Smoothness(1.0, float(change / (0.1 * slope @ way)), 0.1)
    sweeps = [*known.hypergradients(distance, 3)]
    found = prospect_of(sweeps, known.schedule, known.learned, smooth)
    assert found is not None
    exact = float(distance @ known.hessian @ distance) / 2
    assert found.gain == pytest.approx(exact / max(steeper, 1.0))
    lost = Smoothness(1.0, math.nan, 0.1)  # all runs diverged: nothing was learned of it
    unknown = prospect_of(sweeps, known.schedule, known.learned, lost)
    assert unknown is not None and unknown.gain == pytest.approx(exact)


def test_alone_a_coefficient_gives_its_slope_squared_over_twice_its_curvature():
    known = Known()
    part = known.space.slices["weight_decay"].start
    distance = torch.zeros(7).double()
    distance[part] = 0.7
    slope = (known.hessian @ distance)[part]
    exact = float(slope**2 / (2 * known.hessian[part, part]))
    assert known.prospect(distance, 4).gain == pytest.approx(exact)


@pytest.mark.parametrize("seeds", [2, 4])
@pytest.mark.parametrize("away", [0.0, 0.4])
def test_noise_adds_nothing_on_average(seeds, away):
    known, distance = Known(noise=0.1), torch.full((7,), away).double()
    found = [known.prospect(distance, seeds, draw=draw).gain for draw in range(400)]
    exact = float(distance @ known.hessian @ distance) / 2
    error = statistics.stdev(found) / 20
    assert abs(statistics.fmean(found) - exact) < 4 * error
    # The plain formula at the mean slope would promise this much more.
    promised = float(torch.linalg.inv(known.hessian).trace()) * known.noise**2 / (2 * seeds)
    assert promised > 8 * error


def test_the_standard_error_is_that_of_repetitions():
    known, distance = Known(noise=0.1), torch.full((7,), 0.4).double()
    found = [known.prospect(distance, 6, draw=draw) for draw in range(300)]
    spread = statistics.stdev(each.gain for each in found)
    assert statistics.fmean(each.error for each in found) == pytest.approx(spread, rel=0.35)


def test_at_the_minimum_a_gain_is_seldom_expected():
    known = Known(noise=0.1)
    found = [known.prospect(torch.zeros(7).double(), 4, draw=draw) for draw in range(200)]
    assert sum(each.expected for each in found) < 30


def test_in_the_valley_a_search_gains_about_as_much():
    """Curvatures there are not those that are expected: within a factor of four."""
    valley = Valley(away=0.3)
    start, seeds = valley.problem.initial, valley.seeds(0, 4)
    sweeps = [
        ng.Hypergradient(
            valley.loss(start, seed), None,
            valley.differentiate(valley.rollout(start, seed)).gradients, {},
        )
        for seed in seeds
    ]  # fmt: skip
    found = prospect_of(sweeps, start, valley.problem.learned)
    assert found is not None and found.expected
    state, _ = valley.searched(ng.ModelSearch(averaging=False))
    gained = valley.loss(start) - valley.loss(state.schedule)
    assert gained / 4 < found.gain < 4 * gained


@pytest.mark.parametrize(
    ("prospect", "said"),
    [
        (
            Prospect(0.02, 0.004, 0.01, 0.5),
            "gain about 0.02 (4%); the noise between seeds is 0.01.",
        ),
        (Prospect(0.02, 0.011, 0.01, 0.5), "No gain is to be expected from here"),
        (Prospect(-0.02, math.nan, 0.01, 0.5), "No gain is to be expected from here"),
        (Prospect(0.3, 0.01, 0.01, 0.5), "gain much, more than can be estimated"),
        (Prospect(0.02, math.nan, 0.01, 0.5), "gain about 0.02 (4%)"),
    ],
)
def test_words_that_noise_does_not_earn(prospect, said):
    assert said in prospect.words


def test_it_is_said_only_where_it_can_be_estimated():
    known = Known(noise=0.1)
    (one,) = known.hypergradients(torch.ones(7).double(), 1)
    assert prospect_of([one], known.schedule, known.learned) is None
    endless = ng.Hypergradient(math.inf, None, one.gradients, {})
    assert prospect_of([one, endless], known.schedule, known.learned) is None


def test_trust_says_it():
    optimizer = ng.SGD(ng.Linear(3, initial=1e-3), momentum=ng.Constant(), weight_decay=5e-4)
    report = ng.trust(tiny_task(), optimizer, steps=20, seeds=3)
    assert report.prospect is not None and report.prospect.words in str(report)
    assert report.prospect.gain > 0
    blind = ng.trust(tiny_task(), optimizer, steps=20, seeds=3, smoothness=None)
    assert blind.prospect is None
    wild = ng.trust(tiny_task(), ng.SGD(ng.Constant(initial=1e8, bounds=(1e-9, 1e9))), steps=20)
    assert wild.prospect is None and "gain" not in str(wild).lower().replace("again", "")
