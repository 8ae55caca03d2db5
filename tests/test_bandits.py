"""Policies against planted problems: the specification's BD2 to BD8 in miniature, and what is refused."""

import itertools
import math
from dataclasses import dataclass

import pytest
import torch

from nongreedy import bandits
from nongreedy.bandits import zeroth
from nongreedy.bandits.policies._identify import identify
from nongreedy.errors import SolveError
from nongreedy.protocols import Estimate, FeasibleSet, generator

PROBLEMS = {
    "quadratic": bandits.QuadraticBandit.planted(5, [1.0, -0.7], seed=1),
    "low rank": bandits.LowRankBandit.planted((4, 3), [0.8, 0.6], seed=1),
    "symmetric, p=3": bandits.SymmetricTensorBandit.planted(5, [0.5, -0.9], 3, seed=1),
    "symmetric, p=4": bandits.SymmetricTensorBandit.planted(5, [0.5, -0.9], 4, seed=1),
    "tensor": bandits.TensorBandit.planted(4, [0.5, -0.9], order=3, seed=1),
    "polynomial": bandits.PolynomialBandit.planted(5, [2, 3], seed=1),
}


@pytest.mark.parametrize("problem", PROBLEMS.values(), ids=PROBLEMS)
def test_the_best_action_is_the_best(problem):
    value, action = problem.best()
    problem.ball.check(action[None])
    assert math.isclose(float(problem.mean(action[None])), value, abs_tol=1e-9)
    draw = generator(0)
    # Ascents from many points by small random steps, which know nothing of the structure.
    points = problem.ball.sphere(300, draw)
    for k in range(600):
        step = 0.3 * 0.985**k * torch.randn(points.shape, generator=draw, dtype=torch.float64)
        moved = problem.ball.project(points + step)
        better = problem.mean(moved) > problem.mean(points)
        points[better] = moved[better]
    reached = float(problem.mean(points).max())
    assert reached <= value + 1e-9 and reached > value - 2e-3
    assert float(problem.regret(points).min()) >= -1e-9


@pytest.mark.parametrize("problem", PROBLEMS.values(), ids=PROBLEMS)
def test_rewards_have_the_noise_that_they_say(problem):
    action = problem.ball.sphere(1, generator(2))
    heard = problem.rewards(action.expand(4000, *action.shape[1:]), generator(3))
    assert abs(float(heard.std()) - problem.noise) < 0.06 * problem.noise + 1e-12
    assert abs(float(heard.mean() - problem.mean(action))) < 4 * problem.noise / 4000**0.5 + 1e-12
    with pytest.raises(ValueError, match="norm at most 1"):
        problem.rewards(1.01 * action, generator(0))
    with pytest.raises(ValueError, match="must have shape"):
        problem.rewards(action[None], generator(0))


def test_balls_are_feasible_sets_whose_support_is_the_power_step():
    for ball in (bandits.Ball((3,)), bandits.Ball((2, 3)), bandits.Ball((2, 3), slots=2)):
        assert isinstance(ball, FeasibleSet)
        direction = torch.randn(ball.shape, dtype=torch.float64)
        value, member = ball.support(direction)
        assert math.isclose(float((member * direction).sum()), float(value))
        others = ball.sphere(500, generator(0))
        assert float((others * direction).flatten(1).sum(1).max()) <= float(value) + 1e-12
        assert torch.allclose(
            ball.norms(ball.project(5 * direction)), torch.ones(ball.slots).double()
        )


# ---- what policies reach -------------------------------------------------------------------------

Q, S = bandits.QuadraticBandit.planted, bandits.SymmetricTensorBandit.planted
REACHED = [
    ("power", Q(8, [1.0], 0), bandits.NoisyPower(), 60_000, 0.95),
    ("power, kappa 2", Q(8, [1.0, 0.5], 1), bandits.NoisyPower(), 60_000, 0.93),
    ("power, little noise", Q(8, [1.0, 0.5], 1, 0.01), bandits.NoisyPower(), 5000, 0.96),
    ("power, orthonormal", Q(6, [1.0], 2, 0.1),
     bandits.NoisyPower(estimator=zeroth.Orthonormal()), 5000, 0.98),
    ("power, printed estimator", Q(6, [1.0], 2),
     bandits.NoisyPower(estimator=zeroth.OnePoint()), 200_000, 0.9),
    ("power, negative dominant", Q(8, [0.5, -1.0], 3), bandits.NoisyPower(), 300_000, 0.9),
    ("power, two negative", Q(6, [0.8, -1.0, -0.5], 3), bandits.NoisyPower(), 300_000, 0.9),
    ("BD4: no gap", Q(8, [1.0, 1.0], 4), bandits.SubspaceIteration(rank=2), 150_000, 0.9),
    ("no gap, power", Q(8, [1.0, 1.0], 4), bandits.NoisyPower(), 60_000, 0.9),
    ("moments", Q(6, [1.0], 5), bandits.Moments(), 40_000, 0.9),
    ("low rank", bandits.LowRankBandit.planted((6, 4), [0.8, 0.6], 6),
     bandits.LowRankPower(rank=2), 150_000, 0.9),
    ("elimination", S(6, [1.0, 0.6], 3, 7), bandits.PhasedElimination(3), 400_000, 0.9),
    ("elimination, p=4", S(5, [1.0, 0.6], 4, 7, 0.2), bandits.PhasedElimination(4), 300_000, 0.9),
    ("elimination, printed estimator", S(5, [1.0], 3, 7, 0.2),
     bandits.PhasedElimination(3, estimator=zeroth.TwoPoint(3)), 1_000_000, 0.8),
    ("slots", bandits.TensorBandit.planted(5, [1.0, 0.6], 3, 8),
     bandits.AlternatingSlots(), 400_000, 0.9),
    ("thompson", Q(5, [1.0], 9), bandits.LowRankThompson(), 3000, 0.9),
    ("thompson, matrices", bandits.LowRankBandit.planted((4, 3), [1.0], 9),
     bandits.LowRankThompson(), 3000, 0.8),
    ("linear UCB", Q(4, [1.0], 9), bandits.LinearUCB(count=500), 2000, 0.75),
]  # fmt: skip


@pytest.mark.parametrize(
    ("problem", "policy", "rounds", "share"),
    [row[1:] for row in REACHED],
    ids=[row[0] for row in REACHED],
)
def test_policies_find_the_best_action(problem, policy, rounds, share):
    played = [bandits.play(problem, policy, rounds, seed) for seed in range(3)]
    assert sorted(each.final for each in played)[1] > share
    for each in played:
        assert int(each.plays[-1]) == rounds and bool((each.regret.diff() >= -1e-6).all())
        # Less regret than that of playing at random all the time.
        assert float(each.regret[-1]) < rounds * problem.optimum * 1.2


def test_where_nothing_is_positive_the_power_method_ends_with_doing_nothing():
    problem = Q(6, [-1.0, -0.5], 0)
    played = bandits.play(problem, bandits.NoisyPower(), 200_000)
    assert problem.optimum == 0.0 and float(played.chosen[-1]) == 0.0
    assert float(played.regret[-1]) < 0.05 * 200_000


def test_without_a_gap_the_reward_is_good_though_the_vector_is_not_identified():
    problem = Q(8, [1.0, 1.0], 4)
    choices = [
        bandits.play(problem, bandits.SubspaceIteration(rank=2), 150_000, seed).choice
        for seed in range(4)
    ]
    rewards = problem.mean(torch.stack(choices))
    assert float(rewards.min()) > 0.9
    closeness = (torch.stack(choices) @ torch.stack(choices).T).abs()
    assert float(closeness.min()) < 0.8  # so they are not all one vector


def test_a_regret_curve_is_that_of_a_plain_loop():
    problem = Q(3, [1.0, -0.5], 0, noise=0.3)
    policy = bandits.NoisyPower(first=10)
    played = bandits.play(problem, policy, rounds=700, seed=5)
    # The same plan by hand, one play after the other.
    noise, plan = generator(5, 65), policy.plan(problem.ball, generator(5, 64))
    batch, regrets = next(plan), []
    while len(regrets) < 700:
        for action in batch.actions:
            regrets += [float(problem.regret(action[None]))] * batch.repeats
        means = problem.mean(batch.actions)[:, None]
        draws = torch.randn(len(means), batch.repeats, generator=noise, dtype=torch.float64) \
            if batch.heard else torch.zeros(1)  # fmt: skip
        batch = plan.send(means + 0.3 * draws)
    summed = torch.tensor(regrets, dtype=torch.float64).cumsum(0)
    torch.testing.assert_close(played.regret, summed[played.plays - 1], rtol=1e-10, atol=1e-10)


# ---- the specification's tests, in miniature; in full: python -m benchmarks.bandits ---------------


def test_bd3_the_regret_of_explore_then_commit_grows_with_the_root_of_the_horizon():
    regrets, within = [], []
    accuracies = (0.4, 0.2, 0.1)
    horizons = [round(14 * 6**2 / accuracy**4) for accuracy in accuracies]
    for accuracy, horizon in zip(accuracies, horizons, strict=True):
        policy = bandits.PowerThenCommit(accuracy=accuracy, constant=4.0)
        plays = [bandits.play(Q(6, [1.0], seed), policy, horizon, seed) for seed in range(10)]
        regrets.append(sum(float(each.regret[-1]) for each in plays) / 10)
        within += [1 - each.final <= 2 * accuracy**2 for each in plays]
    slope = math.log(regrets[-1] / regrets[0]) / math.log(horizons[-1] / horizons[0])
    assert 0.45 < slope < 0.6
    assert sum(within) >= 0.8 * len(within)


def test_bd5_subspace_iteration_recovers_the_matrix():
    problem = bandits.LowRankBandit.planted((10, 10), [0.8, 0.6], seed=0, noise=0.3)
    _, best = problem.best()
    for seed in range(3):
        played = bandits.play(problem, bandits.LowRankPower(rank=2), 1_000_000, seed)
        assert float((played.choice - best).norm()) <= 0.2


@pytest.mark.parametrize(
    ("dimension", "units", "degree", "lifted"),
    [(10, 2, 2, 55), (10, 2, 3, 220), (20, 2, 3, 1540), (10, 3, 3, 220)],
)
def test_bd7_networks_are_recovered_from_few_plays(dimension, units, degree, lifted):
    degrees = (degree,) * units
    policy = bandits.PolynomialIdentification(degrees)
    for seed in range(2):
        problem = bandits.PolynomialBandit.planted(dimension, degrees, seed)
        played = bandits.play(problem, policy, 1000, seed)
        samples = 2 * dimension * units + 1
        assert int(played.chosen_at[0]) == samples <= max(lifted, 61)
        assert played.final > 1 - 1e-9
        bound = samples * (problem.optimum + float(problem.values.abs().sum()))
        assert float(played.regret[-1]) < bound
        actions = problem.ball.sphere(samples, generator(seed, 1))
        network = identify(actions, problem.mean(actions), degrees, generator(seed, 2))
        fresh = problem.ball.sphere(50, generator(seed, 3))
        torch.testing.assert_close(network.mean(fresh), problem.mean(fresh), rtol=0, atol=1e-6)
    # What linear regression on all monomials of this degree would need.
    assert math.comb(dimension + degree - 1, degree) == lifted


def trap(dimension, degree):
    """Rewards that are products of `degree` coordinates, and the vertices that optimism plays."""
    subsets = list(itertools.combinations(range(dimension), degree))
    vertices = torch.zeros(len(subsets), dimension, dtype=torch.float64)
    for row, subset in enumerate(subsets):
        vertices[row, list(subset)] = 1 / math.sqrt(degree)
    return subsets, vertices


@pytest.mark.parametrize(("dimension", "degree", "plays"), [(12, 2, 65), (10, 3, 119)])
def test_bd8_optimism_plays_every_vertex_and_a_generic_action_tells_at_once(
    dimension, degree, plays
):
    subsets, vertices = trap(dimension, degree)
    table = torch.stack([vertices[:, list(s)].prod(1) for s in subsets])  # functions, actions
    policy = bandits.EluderUCB(table, vertices)
    plan = policy.plan(bandits.Ball((dimension,)), generator(0))
    batch, missed = next(plan), []
    # The worst case: whatever is played, it was another subset, while there is one left.
    while len(missed) < len(subsets) - 1:
        missed.append(int((vertices - batch.actions[0]).abs().sum(1).argmin()))
        batch = plan.send(torch.zeros(1, 1, dtype=torch.float64))
    assert len(set(missed)) == len(missed) == plays == math.comb(dimension, degree) - 1
    assert batch.choice is not None

    generic = bandits.Ball((dimension,)).sphere(1, generator(1))[0]
    rewards = torch.stack([generic[list(s)].prod() for s in subsets])
    assert len(rewards.unique()) == len(subsets)  # one play tells which


# ---- what is refused -----------------------------------------------------------------------------

VECTOR, MATRIX, SLOTS = bandits.Ball((4,)), bandits.Ball((4, 3)), bandits.Ball((3, 4), slots=3)


@pytest.mark.parametrize(
    ("policy", "ball", "said"),
    [
        (bandits.NoisyPower(), MATRIX, "plays vectors"),
        (bandits.NoisyPower(), SLOTS, "plays vectors"),
        (bandits.SubspaceIteration(), MATRIX, "plays vectors"),
        (bandits.LowRankPower(), VECTOR, "plays matrices"),
        (bandits.AlternatingSlots(), VECTOR, "plays p vectors"),
        (bandits.LinearUCB(), SLOTS, "plays vectors or matrices"),
        (bandits.LinearUCB(actions=torch.ones(2, 4)), VECTOR, "norm at most 1"),
        (bandits.NoisyPower(estimator=zeroth.TangentSphere(3)), VECTOR, "degree 2"),
        (bandits.PolynomialIdentification((2, 2), samples=9), VECTOR, "at least as many"),
    ],
)
def test_a_policy_that_does_not_fit_the_actions_is_refused(policy, ball, said):
    with pytest.raises(ValueError, match=said):
        bandits.Player(policy, ball)
    with pytest.raises(ValueError, match=said):
        next(policy.plan(ball, generator(0))) if policy.check(ball) is None else None


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: bandits.QuadraticBandit(torch.tensor([[0.0, 1.0], [0.0, 0.0]])), "symmetric"),
        (lambda: bandits.QuadraticBandit(torch.tensor([[math.nan]])), "finite"),
        (lambda: bandits.QuadraticBandit(torch.eye(2), noise=-1.0), "`noise`"),
        (lambda: bandits.LowRankBandit(torch.zeros(2, 2)), "other than zero"),
        (lambda: bandits.SymmetricTensorBandit(torch.ones(2), torch.ones(3, 2)), "orthonormal"),
        (lambda: bandits.SymmetricTensorBandit(torch.ones(1), torch.eye(3)[:, :1], 2), "`order`"),
        (lambda: bandits.TensorBandit(torch.ones(2), torch.ones(3, 2)), "shapes"),
        (lambda: bandits.Ball((3,), slots=2), "divide"),
        (lambda: bandits.Known(leading=1.0, gap=2.0), "cannot exceed"),
        (lambda: bandits.PowerThenCommit(accuracy=0.0), "`accuracy`"),
        (lambda: bandits.NoisyPower(first=0), "`first`"),
        (lambda: zeroth.OnePoint(spread=0.5), "at least 1"),
        (lambda: zeroth.TangentSphere(degree=1), "`degree`"),
    ],
)
def test_bad_settings_are_refused(make, said):
    with pytest.raises(ValueError, match=said):
        make()


def test_noise_in_rewards_that_should_have_none_is_an_error_and_not_an_answer():
    problem = bandits.PolynomialBandit.planted(4, [2], seed=0, noise=0.01)
    with pytest.raises(SolveError, match="must have no noise"):
        bandits.play(problem, bandits.PolynomialIdentification((2,)), 100)


# ---- strangers, by public names alone ------------------------------------------------------------


@dataclass(frozen=True)
class Corner(bandits.Bandit):
    """Rewards of the first coordinate alone."""

    dimension: int = 3
    noise: float = 0.1

    @property
    def ball(self):
        return bandits.Ball((self.dimension,))

    def mean(self, actions):
        return actions[:, 0]

    def best(self):
        return 1.0, torch.eye(self.dimension, dtype=torch.float64)[0]


@dataclass(frozen=True)
class Stranger(bandits.Policy):
    """Tries a few random actions and stays with the one that was best."""

    tried: int = 20

    def plan(self, ball, draw):
        actions = ball.sphere(self.tried, draw)
        heard = yield bandits.Batch(actions, repeats=5)
        best = actions[heard.mean(1).argmax()]
        while True:
            yield bandits.Batch(best[None], heard=False, choice=best)


@dataclass(frozen=True)
class Coordinates(zeroth.Estimator):
    """Central differences along the axes; its standard error is a guess."""

    def least(self, size):
        return 2 * size

    def plan(self, point, plays, draw):
        size = len(point)
        repeats = plays // (2 * size)
        steps = 0.3 * torch.eye(size, dtype=torch.float64)
        heard = yield bandits.Batch(0.7 * point + torch.cat([steps, -steps]), repeats)
        up, down = heard.mean(1).split(size)
        error = heard.std(1).split(size)[0] / repeats**0.5 / 0.42
        return Estimate(heard.mean(), (up - down) / 0.42, error, float(2 * size * repeats))


def test_strangers_join_by_subclassing(tmp_path):
    played = bandits.play(Corner(), Stranger(), 300, seed=0)
    assert played.final > 0.5 and float(played.regret[-1]) < 300
    player = bandits.Player(Stranger(tried=2), Corner().ball)
    for _ in range(12):
        action = player.ask()
        player.tell(action, float(action[0]))
    player.save(tmp_path)
    assert torch.equal(
        bandits.Player.load(tmp_path, Stranger(tried=2), Corner().ball).ask(), action
    )
    problem = Q(5, [1.0], 0, noise=0.1)
    policy = bandits.NoisyPower(estimator=Coordinates())
    assert bandits.play(problem, policy, 20_000).final > 0.9
    told = zeroth.FromRewards(problem.rewards, Coordinates()).estimate(problem.best()[1], 0, 1000)
    torch.testing.assert_close(told.gradient, 2 * problem.best()[1], rtol=0, atol=0.1)
