"""Value iteration with a simulator, and values of other policies from logs."""

import math

import pytest
import torch

from nongreedy.bandits import Batch, logged, simulator
from nongreedy.protocols import generator

PROCESS = simulator.QuadraticProcess.planted(6, states=2, horizon=3, seed=1)


def test_every_bellman_image_is_the_quadratic_that_it_is_said_to_be():
    values = torch.tensor(
        [0.7, -0.4], dtype=torch.float64
    )  # any values, not only those of a policy
    features = PROCESS.ball.sphere(1, generator(0))
    rewards, reached = PROCESS.simulate(features.expand(200_000, 6), generator(1))
    heard = rewards + torch.cat([values, torch.zeros(1).double()])[reached]
    matrix = PROCESS.backed_up(values)
    error = float(heard.std()) / 200_000**0.5
    assert abs(float(heard.mean() - features[0] @ matrix @ features[0])) < 4 * error
    assert 0.01 < float((reached < 0).double().mean()) < 0.99  # so some end, and some go on


def test_solutions_are_those_of_a_search_over_actions():
    values, matrices = PROCESS.solve()
    later = values[1]
    for state in range(2):
        space = PROCESS.subspaces[state]
        draws = torch.randn(200_000, space.shape[1], generator=generator(2), dtype=torch.float64)
        features = torch.nn.functional.normalize(draws) @ space.T
        found = ((features @ PROCESS.backed_up(later)) * features).sum(1).max()
        assert float(values[0, state]) - 0.01 < float(found) <= float(values[0, state]) + 1e-9
    assert PROCESS.gap(matrices) == pytest.approx(0, abs=1e-12)
    assert torch.linalg.matrix_rank(matrices[0]) == 2


def test_a_gap_is_that_of_simulated_returns():
    wrong = torch.randn(3, 6, 6, generator=generator(3), dtype=torch.float64)
    wrong = wrong + wrong.mT
    draw, count, total = generator(4), 100_000, torch.zeros(100_000, dtype=torch.float64)
    first = PROCESS.best_value(wrong[0], None)[1]
    features = first.expand(count, 6)
    for h in range(3):
        rewards, reached = PROCESS.simulate(features, draw)
        # Nothing is gained in the last state: features 0, and no noise that matters.
        total += torch.where(features.any(1), rewards, 0)
        if h < 2:
            acts = torch.stack([*(PROCESS.best_value(wrong[h + 1], s)[1] for s in range(2)),
                                torch.zeros(6, dtype=torch.float64)])  # fmt: skip
            features = acts[reached]
    best = PROCESS.best_value(PROCESS.solve()[1][0], None)[0]
    error = float(total.std()) / count**0.5
    assert abs(best - float(total.mean()) - PROCESS.gap(wrong)) < 4 * error
    assert PROCESS.gap(wrong) > 0.1


@pytest.mark.parametrize(
    "regression", [simulator.LowRank(rank=2, steps=3), simulator.Lifted(), simulator.Lifted(rank=2)], ids=repr
)  # fmt: skip
def test_value_iteration_finds_a_good_policy_and_counts_its_calls(regression):
    told = [simulator.value_iteration(PROCESS, regression, n, seed=0) for n in (600, 40_000)]
    assert told[1].gap < 0.06 and told[1].gap <= told[0].gap
    assert 0.9 * 120_000 < told[1].samples <= 120_000 * 1.01
    calls = 0

    def answer(batch):
        nonlocal calls
        calls += batch.plays
        return torch.zeros(len(batch.actions), batch.repeats, dtype=torch.float64)

    regression.matrix(PROCESS.ball, answer, 40_000, generator(0))
    assert abs(calls - told[1].samples / 3) < 1 and isinstance(Batch(torch.zeros(1, 6)).plays, int)


def test_probabilities_that_are_none_are_refused():
    eye = torch.eye(3, dtype=torch.float64)
    for bad in (2 * eye, -eye):
        with pytest.raises(ValueError, match="must give probabilities"):
            simulator.QuadraticProcess(eye, bad[None], eye[None])


# ---- logged rounds -------------------------------------------------------------------------------


def made_log(rounds, seed):
    """Rewards of rank one in 3 features and 5 items, logged by a policy that is not uniform."""
    draw = generator(seed)
    contexts = torch.randn(rounds, 3, generator=draw, dtype=torch.float64)
    matrix = torch.outer(torch.tensor([1.0, -0.5, 0.0]), torch.linspace(-1, 1, 5)).double()
    chances = torch.tensor([0.1, 0.3, 0.2, 0.3, 0.1]).double()
    items = torch.multinomial(chances, rounds, replacement=True, generator=draw)
    noise = 0.3 * torch.randn(rounds, generator=draw, dtype=torch.float64)
    rewards = (contexts @ matrix)[torch.arange(rounds), items] + noise
    return logged.Log(contexts, items, rewards, chances[items], 5), matrix


def wanted(contexts):
    """Another policy."""
    return (2 * contexts @ torch.linspace(-1, 1, 15).reshape(3, 5).double()).softmax(1)


@pytest.mark.parametrize("estimate", ["ipw", "snips", "dr", "dr with a bad model"])
def test_estimates_and_their_errors_are_those_of_many_logs(estimate):
    values, errors, truths = [], [], []
    for seed in range(150):
        log, matrix = made_log(400, seed)
        chances = wanted(log.contexts)
        truths.append(float((chances * (log.contexts @ matrix)).sum(1).mean()))
        told = {
            "ipw": lambda log=log, c=chances: logged.inverse_propensity(log, c),
            "snips": lambda log=log, c=chances: logged.self_normalised(log, c),
            "dr": lambda log=log, c=chances, m=matrix: logged.doubly_robust(
                log, c, log.contexts @ m
            ),
            "dr with a bad model": lambda log=log, c=chances: logged.doubly_robust(
                log, c, torch.ones(400, 5)
            ),
        }[estimate]()
        values.append(told.value)
        errors.append(told.standard_error)
    # The truth of a single log's contexts differs from log to log: so errors hold it, too.
    spread = torch.tensor(values).std()
    miss = abs(sum(values) / 150 - sum(truths) / 150)
    assert miss < 4 * float(spread) / 150**0.5
    assert float(spread) == pytest.approx(sum(errors) / 150, rel=0.25)


def test_a_low_rank_model_beats_a_linear_one_where_the_rank_is_low():
    log, matrix = made_log(3000, 0)
    low = logged.low_rank_model(log, rank=1, ridge=0.1)
    linear, inverses = logged.linear_model(log, ridge=0.1)
    assert torch.linalg.matrix_rank(low) == 1 and tuple(inverses.shape) == (5, 3, 3)
    assert float((low - matrix).norm()) < 0.2 * float(matrix.norm())
    assert float((linear - matrix).norm()) < 0.1 * float(matrix.norm())
    item = 2
    x, y = log.contexts[log.items == item], log.rewards[log.items == item]
    expected = torch.linalg.solve(x.T @ x + 0.1 * torch.eye(3).double(), x.T @ y)
    torch.testing.assert_close(linear[:, item], expected)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"items": torch.tensor([0, 5])}, "`items` of round 1 is 5"),
        ({"propensities": torch.tensor([0.0, 0.5])}, "`propensities` of round 0"),
        ({"propensities": torch.tensor([0.5, 1.5])}, "`propensities` of round 1"),
        ({"rewards": torch.tensor([0.0, math.nan])}, "`rewards` of round 1"),
        ({"contexts": torch.full((2, 1), math.inf)}, "`contexts` of round 0"),
        ({"rewards": torch.zeros(3)}, "Shapes must be"),
    ],
)
def test_logs_that_cannot_be_are_refused(change, said):
    parts = {
        "contexts": torch.ones(2, 1), "items": torch.tensor([0, 1]), "rewards": torch.zeros(2),
        "propensities": torch.full((2,), 0.5), "count": 2,
    }  # fmt: skip
    with pytest.raises(ValueError, match=said):
        logged.Log(**{**parts, **change})
    log = logged.Log(**parts)
    for bad in (torch.ones(2, 2), torch.ones(3, 2) / 2, torch.tensor([[1.5, -0.5]] * 2)):
        with pytest.raises(ValueError, match="`probabilities` must"):
            logged.inverse_propensity(log, bad)
