"""Optimizers of other packages: the same contract as any policy of ours."""

import pytest
import torch

from nongreedy import bandits
from nongreedy.errors import MissingExtraError

from .extras import needs

Q = bandits.QuadraticBandit.planted(4, [1.0], seed=9, noise=0.3)
MATRICES = bandits.LowRankBandit.planted((3, 2), [1.0], seed=0, noise=0.2)
PRODUCTS = bandits.TensorBandit.planted(3, [1.0], order=3, seed=0, noise=0.2)
RIVALS = [(bandits.Nevergrad(), 2000), (bandits.BoTorch(batch=16, candidates=200), 192)]
EACH = pytest.mark.parametrize(
    ("policy", "rounds"), RIVALS, ids=[type(policy).__name__ for policy, _ in RIVALS]
)


def needed(policy):
    needs(type(policy).__name__.lower())


@EACH
def test_it_finds_a_good_action_and_repeats_itself(policy, rounds):
    needed(policy)
    before = torch.get_rng_state()
    played = [bandits.play(Q, policy, rounds, seed) for seed in range(3)]
    assert sorted(each.final for each in played)[1] > 0.7
    assert float(played[0].regret[-1]) < 0.75 * rounds  # that of random actions
    assert torch.equal(bandits.play(Q, policy, rounds, 0).regret, played[0].regret)
    assert torch.equal(torch.get_rng_state(), before)


@EACH
@pytest.mark.parametrize("problem", [MATRICES, PRODUCTS], ids=["matrices", "products"])
def test_it_plays_matrices_and_products_on_their_spheres(policy, rounds, problem):
    del rounds
    needed(policy)
    plan = policy.plan(problem.ball, torch.Generator().manual_seed(0))
    batch = next(plan)
    for _ in range(3):
        assert batch.actions.shape[1:] == problem.ball.shape
        norms = problem.ball.norms(batch.actions)
        torch.testing.assert_close(norms, torch.ones_like(norms))
        batch = plan.send(problem.mean(batch.actions)[:, None])
    problem.ball.check(batch.choice[None])


@EACH
def test_a_player_goes_on_with_it_to_the_same_bits(policy, rounds, tmp_path):
    del rounds
    needed(policy)

    def asked(player, plays):
        found = []
        for _ in range(plays):
            found.append(player.ask())
            player.tell(found[-1], float(Q.mean(found[-1][None])[0]))
        return torch.stack(found)

    whole = asked(bandits.Player(policy, Q.ball, seed=3), 48)
    player = bandits.Player(policy, Q.ball, seed=3)
    first = asked(player, 24)
    player.save(tmp_path / "player")
    rest = asked(bandits.Player.load(tmp_path / "player", policy, Q.ball, seed=3), 24)
    assert torch.equal(torch.cat([first, rest]), whole)


@EACH
def test_what_is_missing_is_named_with_its_command(policy, rounds, monkeypatch):
    del rounds
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match=r"is not installed.*'nongreedy\[rivals\]'"):
        bandits.play(Q, policy, 100)


def test_an_unknown_optimizer_is_refused():
    needs("nevergrad")
    with pytest.raises(ValueError, match="no optimizer 'TBPSAA'"):
        bandits.play(Q, bandits.Nevergrad("TBPSAA"), 100)
