"""The default outer rule on losses known in closed form: no training, only the rule's decisions."""

import dataclasses
import math
from types import SimpleNamespace

import pytest
import torch

import nongreedy as ng
from nongreedy.engines import Hypergradient, Outcome
from nongreedy.schedules import Schedule
from nongreedy.search import Budget
from nongreedy.search.rules import _agreement as agreement
from nongreedy.search.rules import _evidence as evidence
from nongreedy.statistics import block_variance

STEPS = 64


class Analytic:
    """An objective whose loss is a bowl in decades around a best schedule, plus what seeds add.

    Diverges where any learning rate exceeds `ceiling`.
    """

    def __init__(self, best, tilt=0.0, noise=0.0, ceiling=math.inf, budget=None):
        self.best = torch.as_tensor(best, dtype=torch.float64)
        self.tilt, self.noise, self.ceiling = tilt, noise, ceiling
        self.steps, self.runs, self.sweeps = STEPS, [], 0
        self.budget = Budget(None if budget is None else budget - 10)  # kept for the end

    def seeds(self, stream, count):
        return [1000 * stream + index for index in range(count)]

    def target(self):
        """Best log10 learning rate at each step."""
        fall = torch.linspace(0.5, -0.5, STEPS, dtype=torch.float64) * self.tilt
        return self.best.log10() + fall

    def ahead(self, asked, likely=()):
        pass

    def rollout(self, schedule, seed, keep=False):
        rates = schedule.values(STEPS)["learning_rate"]
        self.runs.append((schedule, seed))
        self.budget.spend(1.0)
        if float(rates.max()) > self.ceiling:
            raise ng.DivergedError("training loss", 3, STEPS)
        loss = 1.0 + float((rates.log10() - self.target()).square().mean())
        outcome = Outcome(loss, None)
        return SimpleNamespace(schedule=schedule, outcome=outcome, seed=seed)

    def differentiate(self, rollout):
        self.sweeps += 1
        self.budget.spend(3.0)
        rates = rollout.schedule.values(STEPS)["learning_rate"]
        slope = 2 * (rates.log10() - self.target()) / STEPS
        draw = torch.Generator().manual_seed(rollout.seed)
        slope = slope + self.noise * torch.randn(STEPS, generator=draw).double()
        per_step = {"learning_rate": slope / (rates * math.log(10))}
        gradients = {
            name: curve.basis.project(per_step[name], STEPS)
            for name, curve in rollout.schedule.curves.items()
            if name in per_step
        }
        return Hypergradient(rollout.outcome.loss, None, gradients, per_step)


def search(objective, start, windows=4, rule=None, outer_steps=12):
    """Run the rule; every state it went through."""
    rule = rule or ng.AgreementSearch()
    optimizer = ng.SGD(ng.Windows(windows, initial=start))
    states = [rule.init(optimizer.hyperparameters(STEPS), STEPS)]
    reports = []
    while rule.done(states[-1]) is None and len(reports) < outer_steps:
        state, report = rule.step(states[-1], objective)
        states.append(state)
        reports.append(report)
    return states, reports


@pytest.mark.parametrize("start", [1e-6, 1e-3, 1e-1, 5.0])
@pytest.mark.parametrize("tilt", [0.0, 1.5], ids=["flat", "falling"])
def test_finds_the_best_schedule_from_any_start(start, tilt):
    objective = Analytic(0.03, tilt)
    _, reports = search(objective, start)
    # A flat schedule at the best scale leaves tilt^2 / 12 above 1; four windows can do far better.
    assert min(report.loss for report in reports) < 1.0 + 0.02 + 0.25 * tilt**2 / 12


def test_goes_coarse_to_fine_and_draws_fresh_seeds_for_every_outer_step():
    objective = Analytic(0.03, tilt=1.0)
    states, _ = search(objective, 1e-3)
    sizes = [len(state.schedule["learning_rate"]) for state in states]
    assert sizes[0] == 1 and sizes[-1] == 4 and sizes == sorted(sizes)
    streams = [seed // 1000 for _, seed in objective.runs]
    assert streams == sorted(streams) and len(set(streams)) == len(states) - 1


def test_a_start_that_diverges_is_lowered_until_it_runs():
    objective = Analytic(0.01, ceiling=0.1)
    states, reports = search(objective, 9.0)
    assert reports[0].loss < math.inf
    assert states[-1].schedule["learning_rate"].max() <= 0.1


def test_a_start_that_always_diverges_raises():
    with pytest.raises(ng.DivergedError):
        search(Analytic(0.01, ceiling=1e-30), 1.0)


class Chaotic(Analytic):
    """Plain runs end well everywhere, but sweeps explode where a learning rate exceeds `calm`."""

    def __init__(self, best, calm, **settings):
        super().__init__(best, **settings)
        self.calm = calm

    def differentiate(self, rollout):
        if float(rollout.schedule["learning_rate"].max()) > self.calm:
            raise ng.DivergedError("adjoint", 5, STEPS)
        return super().differentiate(rollout)


@pytest.mark.parametrize("windows", [4, "auto"])
def test_where_sweeps_explode_plain_runs_cool_the_schedule(windows):
    objective = Chaotic(0.03, calm=0.1, tilt=1.0)
    states, reports = search(objective, 5.0, windows=windows)
    assert "no derivative (adjoint, step 5): cooled by" in reports[0].note and reports[0].accepted
    assert states[1].scaling and states[1].schedule["learning_rate"].item() < 1.0
    assert min(report.loss for report in reports) < 1.0 + 0.3 * 1.0 / 12


@pytest.mark.parametrize("windows", [4, "auto"])
def test_a_best_schedule_without_derivatives_ends_the_search_without_an_error(windows):
    objective = Chaotic(0.3, calm=0.1)
    states, reports = search(objective, 1e-3, windows=windows)
    assert "no cooler schedule was better" in reports[-1].note
    assert states[-1].status is ng.Status.stalled
    assert min(report.loss for report in reports) < 1.01


def test_an_explosion_without_a_learned_learning_rate_leaves_the_schedule():
    objective = Chaotic(0.3, calm=0.1)
    rule, optimizer = ng.AgreementSearch(), ng.SGD(0.3, ng.Windows(1, initial=0.5))
    state = rule.init(optimizer.hyperparameters(STEPS), STEPS)
    after, report = rule.step(state, objective)
    assert not report.accepted and after.schedule == state.schedule


def test_proposals_are_judged_on_the_seeds_of_their_base_and_nothing_else_is_differentiated():
    objective = Analytic(0.03)
    rule = ng.AgreementSearch()
    state = rule.init(ng.SGD(ng.Windows(1)).hyperparameters(STEPS), STEPS)
    rule.step(state, objective)
    assert objective.sweeps == 1  # one seed while the scale is sought
    assert len({seed for _, seed in objective.runs}) == 1
    assert len(objective.runs) > 2


def one_step(objective, scaling, **changed):
    """One outer step of the rule from two windows at 0.03, and its report."""
    rule = ng.AgreementSearch(**changed)
    hyperparameters = ng.SGD(ng.Windows(2, initial=0.03)).hyperparameters(STEPS)
    state = rule.init(hyperparameters, STEPS).on_level(0 if scaling else 1, STEPS)
    return rule.step(dataclasses.replace(state, scaling=scaling), objective)


def shaped(budget, seeds=None):
    """The state once the scale is found, the outer step after it, and what that asked for."""
    objective = Analytic(0.03, tilt=2.0, budget=budget)
    rule = ng.AgreementSearch(seeds=seeds)
    state = rule.init(ng.SGD(ng.Linear(5), 0.0, 0.0).hyperparameters(STEPS), STEPS)
    while state.scaling:
        state, _ = rule.step(state, objective)
    runs, sweeps = len(objective.runs), objective.sweeps
    after, report = rule.step(state, objective)
    seen = {seed for _, seed in objective.runs[runs:]}
    return state, after, report, len(seen), objective.sweeps - sweeps


def test_a_small_budget_buys_hypergradients_of_one_seed_on_the_finest_rungs():
    for budget, level in ((20, 3), (40, 2), (48, 1)):
        state, after, report, seeds, sweeps = shaped(budget)
        assert state.hurried and state.level == level, budget
        assert (seeds, sweeps) == (1, 1)
        assert report.note.startswith(f"rung {level}, 1 seed: step length")
        assert after.level == min(level + 1, 3)


def test_a_large_budget_changes_nothing():
    found = [shaped(budget)[1] for budget in (100, None)]
    assert found[0].schedule.identity == found[1].schedule.identity
    state, _, _, seeds, _ = shaped(100)
    assert (state.hurried, state.level, seeds) == (False, 1, 2)


@pytest.mark.parametrize(
    ("optimizer", "hurried", "level"),
    [
        (ng.AdamW(ng.Linear(5)), True, 2),
        (ng.AdamW(ng.Linear(5), beta1=ng.Windows(1)), False, 1),
        (ng.SGD(ng.Windows("auto"), ng.Windows(8)), False, 1),
    ],
    ids=["fixed beta1", "learned beta1", "automatic windows"],
)
def test_who_hurries_not_leaves_no_rung_out(optimizer, hurried, level):
    rule = ng.AgreementSearch()
    state = rule.init(optimizer.hyperparameters(STEPS), STEPS)
    found = rule._shaping(state, Analytic(0.03, budget=36))
    assert (found.hurried, found.level) == (hurried, level)


def test_seeds_that_were_asked_for_are_drawn_in_a_hurry_too():
    state, _, _, seeds, sweeps = shaped(40, seeds=2)
    assert state.hurried and (seeds, sweeps) == (2, 2) and state.level == 3


def test_in_a_hurry_other_moves_come_where_hypergradients_do_not_help():
    objective = Analytic(0.03, budget=40)
    rule = ng.AgreementSearch()
    state = rule.init(ng.SGD(ng.Linear(5), 0.0, 0.0).hyperparameters(STEPS), STEPS)
    state = dataclasses.replace(state, scaling=False, hurried=True).on_level(3, STEPS)
    state = dataclasses.replace(
        state,
        schedule=state.schedule.with_coefficients(
            {"learning_rate": torch.full((5,), 0.03).double()}
        ),
    )  # the best one
    state, report = rule.step(state, objective)
    assert state.failures == 1 and not report.accepted
    runs = len(objective.runs)
    rule.step(state, objective)
    first = next(s for s, _ in objective.runs[runs:] if s.identity != state.schedule.identity)
    assert bool((first["learning_rate"].diff() < 0).all())  # the ramp


def test_a_longer_step_is_not_taken_unless_it_pays():
    # From 0.03 towards 0.3: one decade is best, a quarter and a half gain less.
    taken = {
        margin: one_step(Analytic([0.3] * STEPS), False, margin=margin)[0] for margin in (0.0, 0.5)
    }
    lengths = {m: float((s.schedule["learning_rate"][0] / 0.03).log10()) for m, s in taken.items()}
    assert lengths[0.0] == pytest.approx(1.0)
    assert lengths[0.5] == pytest.approx(0.25)


def test_a_longer_step_must_add_a_tenth_of_what_the_shorter_gained():
    # The best lies between a half and one decade: one gains 2 % more of the bowl than a half.
    state, _ = one_step(Analytic([0.03 * 10**0.755] * STEPS), False, margin=0.0)
    assert float((state.schedule["learning_rate"][0] / 0.03).log10()) == pytest.approx(0.5)


def test_a_doubling_that_jumps_over_the_best_is_looked_at_from_both_sides():
    # Three decades away: lengths 1, 2 and 4 leave a decade, 1.5 times 2 leaves none.
    objective = Analytic(0.03)
    rule = ng.AgreementSearch()
    state = rule.init(ng.SGD(ng.Windows(1, initial=3e-5)).hyperparameters(STEPS), STEPS)
    state, report = rule.step(state, objective)
    assert state.schedule["learning_rate"].item() == pytest.approx(0.03)
    assert report.loss == pytest.approx(1.0)


def test_a_proposal_clearly_worse_on_its_first_seed_is_not_run_on_the_others():
    objective = Analytic(0.03)
    one_step(objective, False)  # starts at the best: every proposal is worse
    clearly = [s for s, _ in objective.runs if abs(s["learning_rate"][-1].log10() + 1.52) > 0.3]
    assert clearly and len({tuple(s["learning_rate"].tolist()) for s in clearly}) == len(clearly)


def test_where_the_ramp_helps_nothing_is_differentiated():
    objective = Analytic(0.03 / 10**0.4, tilt=1.5)
    state, report = one_step(objective, False)
    assert objective.sweeps == 0 and report.accepted and "cooled" in report.note
    first, last = state.schedule["learning_rate"].tolist()
    assert first == pytest.approx(0.03) and last < 0.03


class Valley(Analytic):
    """A bowl around an effective learning rate of 0.1 and a momentum of 0.9, flat in derivatives."""

    def ahead(self, asked, likely=()):
        pass

    def rollout(self, schedule, seed, keep=False):
        self.runs.append((schedule, seed))
        rate, slack = schedule["learning_rate"], 1 - schedule["momentum"]
        loss = 1 + float((rate / slack / 0.1).log10().square().mean() + (slack.log10() + 1) ** 2)
        outcome = Outcome(loss, None)
        return SimpleNamespace(schedule=schedule, outcome=outcome, seed=seed)

    def differentiate(self, rollout):
        self.sweeps += 1
        zeros = {n: torch.zeros(STEPS).double() for n in ("learning_rate", "momentum")}
        gradients = {n: torch.zeros_like(rollout.schedule[n]) for n in zeros}
        return Hypergradient(rollout.outcome.loss, None, gradients, zeros)


def on_two_windows(rule, rate, momentum):
    """The rule's state where the shape search begins."""
    optimizer = ng.SGD(ng.Windows(2, initial=rate), ng.Windows(1, initial=momentum))
    state = rule.init(optimizer.hyperparameters(STEPS), STEPS).on_level(1, STEPS)
    return dataclasses.replace(state, scaling=False)


@pytest.mark.parametrize(("rate", "momentum"), [(0.1, 0.0), (0.001, 0.99)], ids=["low", "high"])
def test_momentum_is_exchanged_for_learning_rate_where_that_pays(rate, momentum):
    objective, rule = Valley(0.1), ng.AgreementSearch()
    state, report = rule.step(on_two_windows(rule, rate, momentum), objective)
    assert state.schedule["momentum"].item() == pytest.approx(0.9)
    assert state.schedule["learning_rate"].tolist() == pytest.approx([0.01, 0.01])
    assert report.accepted and "momentum" in report.note and objective.sweeps == 0
    runs = len(objective.runs)
    state, report = rule.step(state, objective)  # not tried again from where it led
    assert len(objective.runs) == runs + 2 and objective.sweeps == 2


def test_an_exchange_that_gains_less_than_the_margin_is_not_made():
    # From a loss of 2, half a decade gains 0.75.
    made = []
    for margin in (0.4, 0.9):
        rule = ng.AgreementSearch(margin=margin)
        made.append(rule.step(on_two_windows(rule, 0.1, 0.0), Valley(0.1))[1].accepted)
    assert not any(made)
    rule = ng.AgreementSearch(margin=0.3)
    assert rule.step(on_two_windows(rule, 0.1, 0.0), Valley(0.1))[1].accepted


def test_hypergradients_are_pooled_until_the_schedule_moves(monkeypatch):
    pooled, weigh = [], agreement.weigh

    def watched(found, schedule, *rest):
        pooled.append((len(found), len(schedule["learning_rate"])))
        return weigh(found, schedule, *rest)

    monkeypatch.setattr(agreement, "weigh", watched)
    search(Analytic(0.03), 0.03)  # the best already: nothing is ever accepted
    assert pooled == [(1, 1), (3, 2), (5, 4), (7, 4)]
    pooled.clear()
    states, reports = search(Analytic(0.03, tilt=1.0), 1e-3)
    assert len(reports) > 3
    for state, report in zip(states[1:], reports, strict=True):
        assert not (report.accepted and state.sweeps)


class WithoutSteps(Analytic):
    """As an engine that knows no per-step derivatives, such as forward mode."""

    def differentiate(self, rollout):
        return dataclasses.replace(super().differentiate(rollout), per_step={})


def test_what_cannot_be_projected_on_a_finer_rung_is_not_pooled(monkeypatch):
    pooled, weigh = [], agreement.weigh

    def watched(found, schedule, *rest):
        pooled.append((len(found), len(schedule["learning_rate"])))
        return weigh(found, schedule, *rest)

    monkeypatch.setattr(agreement, "weigh", watched)
    search(WithoutSteps(0.03), 0.03)
    assert pooled == [(1, 1), (2, 2), (2, 4), (4, 4)]


def test_stops_when_nothing_improves():
    objective = Analytic(0.03)
    states, reports = search(objective, 0.03, windows=1)
    assert states[-1].status is ng.Status.stalled
    assert not any(report.accepted for report in reports)


def test_a_schedule_given_value_by_value_is_not_made_coarser():
    optimizer = ng.SGD(ng.Windows(4, initial=[0.1, 0.2, 0.1, 0.05]))
    state = ng.AgreementSearch().init(optimizer.hyperparameters(STEPS), STEPS)
    assert state.schedule["learning_rate"].tolist() == [0.1, 0.2, 0.1, 0.05]


@pytest.mark.parametrize("basis", [ng.Windows(7), ng.Linear(5), ng.PerStep(), ng.Constant()])
def test_every_basis_climbs_to_itself_and_keeps_its_curve(basis):
    hyperparameters = ng.SGD(basis).hyperparameters(STEPS)
    state = ng.AgreementSearch().init(hyperparameters, STEPS)
    for level in range(state.rungs):
        state = state.on_level(level, STEPS)
        assert torch.allclose(
            state.schedule.values(STEPS)["learning_rate"], torch.tensor(1e-3).double()
        )
    assert state.schedule.curves["learning_rate"].basis.size(STEPS) == basis.size(STEPS)


def weighed(gradients, per_step=None, values=(0.1, 0.1)):
    """Evidence for two windows of a learning rate from a list of gradients, one per seed."""
    hyperparameters = ng.SGD(ng.Windows(2, initial=list(values))).hyperparameters(STEPS)
    learned = {"learning_rate": hyperparameters["learning_rate"]}
    schedule = Schedule.of(learning_rate=list(values))
    found = [
        Hypergradient(1.0, None, {"learning_rate": torch.tensor(g).double()},
                      {} if per_step is None else {"learning_rate": per_step[k]})
        for k, g in enumerate(gradients)
    ]  # fmt: skip
    return evidence.weigh(found, schedule, learned, STEPS), schedule, learned


def test_a_coefficient_whose_seeds_disagree_does_not_move():
    found, schedule, learned = weighed([[1.0, -1.0], [1.0, 2.0]])
    direction = found.direction(schedule, learned)["learning_rate"]
    assert direction[0] < 0 and direction[1] == 0
    assert found.signs() == {"learning_rate": "+0"}


def test_two_seeds_agree_where_their_signs_do():
    draw = torch.randn(200, 2, 2, generator=torch.Generator().manual_seed(0)).tolist()
    for first, second in draw:
        found, *_ = weighed([first, second])
        expected = [a * b > 0 for a, b in zip(first, second, strict=True)]
        assert found.agreed["learning_rate"].tolist() == expected


def test_evidence_of_a_coarse_rung_is_projected_on_a_finer_one():
    halves = torch.cat([torch.full((32,), 1.0), torch.full((32,), -0.25)]).double()
    coarse = Hypergradient(
        1.0, None, {"learning_rate": torch.tensor([24.0]).double()}, {"learning_rate": halves}
    )
    hyper = {"learning_rate": ng.SGD(ng.Windows(2)).hyperparameters(STEPS)["learning_rate"]}
    schedule = Schedule.of(learning_rate=[1.0, 1.0])
    found = evidence.weigh([coarse], schedule, hyper, STEPS)
    expected = [32 * math.log(10), -8 * math.log(10)]
    assert found.mean["learning_rate"].tolist() == pytest.approx(expected)


def test_certain_and_weighty_coefficients_move_most():
    found, schedule, learned = weighed([[4.0, 1.0], [4.1, 1.1]])
    direction = found.direction(schedule, learned)["learning_rate"]
    assert direction[0] == -1.0
    assert direction[1].item() == pytest.approx(-math.sqrt(1.05 / 4.05), rel=1e-6)


@pytest.mark.parametrize(("bound", "slope"), [(10.0, -1.0), (1e-8, 1.0)], ids=["upper", "lower"])
def test_a_value_at_its_bound_is_not_pushed_further(bound, slope):
    found, schedule, learned = weighed([[slope, slope]], values=(bound, 0.1))
    direction = found.direction(schedule, learned)["learning_rate"]
    assert direction[0] == 0 and direction[1] * slope < 0


def test_scatter_inside_one_run_lowers_the_score_of_one_seed():
    quiet = torch.full((STEPS,), 1.0).double()
    draw = torch.Generator().manual_seed(0)
    noise = 20 * torch.randn(2, STEPS // 2, generator=draw).double()
    noisy = quiet + (noise - noise.mean(1, keepdim=True)).flatten()  # each window still sums to 32
    scores = [
        weighed([[32.0, 32.0]], per_step=[series])[0].score["learning_rate"]
        for series in (quiet, noisy)
    ]
    assert scores[0].min() > 1e3
    # 32 steps of standard deviation 20 sum to a standard error of 113: a score of about 0.28.
    assert scores[1].abs().max() < 0.5


def test_an_estimating_engines_error_lowers_the_score_of_one_seed():
    schedule = Schedule.of(learning_rate=[0.1, 0.1])
    hyper = {"learning_rate": ng.SGD(ng.Windows(2)).hyperparameters(STEPS)["learning_rate"]}
    gradients = {"learning_rate": torch.tensor([3.0, 3.0]).double()}
    errors = {"learning_rate": torch.tensor([1.0, 6.0]).double()}
    estimate = Hypergradient(1.0, None, gradients, standard_error=errors)
    score = evidence.weigh([estimate], schedule, hyper, STEPS).score["learning_rate"]
    assert score.tolist() == pytest.approx([3.0, 0.5])


def test_standard_error_within_a_run_matches_theory():
    draw = torch.Generator().manual_seed(1)
    estimates = []
    for _ in range(200):
        series = torch.randn(STEPS, generator=draw).double()
        estimates.append(block_variance(series, ng.Windows(2), STEPS))
    # A window sums 32 independent steps of variance 1.
    assert torch.stack(estimates).mean(0).tolist() == pytest.approx([32.0, 32.0], rel=0.1)
