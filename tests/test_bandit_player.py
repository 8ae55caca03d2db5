"""Ask and tell: rewards from anywhere, in any order, late, lost, wrong; killed and gone on."""

import json
import math
import random
import subprocess
import sys
import textwrap

import numpy as np
import pytest
import torch

from nongreedy import bandits
from nongreedy.bandits import Player, PlayerError, UnknownActionError, WaitingError
from nongreedy.errors import ReplayError
from nongreedy.protocols import generator

Q = bandits.QuadraticBandit.planted(4, [1.0, 0.4], seed=0, noise=0.2)
MATRICES = bandits.LowRankBandit.planted((3, 3), [1.0], seed=0, noise=0.2)
PRODUCTS = bandits.TensorBandit.planted(3, [1.0], order=3, seed=0, noise=0.2)
CUBIC = bandits.SymmetricTensorBandit.planted(4, [1.0, 0.9], 3, seed=0, noise=0.02)
CASES = [
    (bandits.NoisyPower(first=16), Q), (bandits.SubspaceIteration(rank=1, first=16), Q),
    (bandits.Moments(first=16), Q), (bandits.LinearUCB(count=20), Q),
    (bandits.LowRankThompson(batch=4), Q), (bandits.Uniform(), Q),
    (bandits.LowRankPower(first=16), MATRICES), (bandits.AlternatingSlots(first=16), PRODUCTS),
    (bandits.PhasedElimination(3, candidates=3, first=20), CUBIC),
    (bandits.PowerThenCommit(accuracy=0.5, plays=20, steps=3), Q),
]  # fmt: skip
EACH = pytest.mark.parametrize(
    ("policy", "problem"), CASES, ids=[type(policy).__name__ for policy, _ in CASES]
)


def reward(problem, action):
    """A function of the action alone, so that the order of telling does not matter."""
    noise = generator(int(abs(float(action.flatten()[0])) * 1e15))
    return float(problem.rewards(action[None], noise)[0])


def go_on(player, problem, plays, order=None):
    """Play so many, up to 7 out at once, told in a shuffled order if there is a random generator."""
    actions, out = [], []
    while len(actions) < plays:
        try:
            while len(out) < 7 and len(actions) < plays:
                out.append(player.ask())
                actions.append(out[-1])
        except WaitingError:
            assert out
        if order is not None:
            order.shuffle(out)
        for action in out[: len(out) // 2 + 1]:
            player.tell(action, reward(problem, action))
        del out[: len(out) // 2 + 1]
    for action in out:
        player.tell(action, reward(problem, action))
    return torch.stack(actions)


@EACH
def test_the_order_of_telling_does_not_matter(policy, problem):
    one = go_on(Player(policy, problem.ball, seed=1), problem, 200)
    other = go_on(Player(policy, problem.ball, seed=1), problem, 200, random.Random(0))
    assert torch.equal(one, other)
    assert not torch.equal(one, go_on(Player(policy, problem.ball, seed=2), problem, 200))


@EACH
def test_a_player_that_is_loaded_goes_on_to_the_same_bits(policy, problem, tmp_path):
    whole = go_on(Player(policy, problem.ball, seed=1), problem, 260)
    player = Player(policy, problem.ball, seed=1)
    parts = []
    for plays in (3, 70, 7, 120, 60):
        parts.append(go_on(player, problem, plays))
        player.save(tmp_path)
        told = player.told
        player = Player.load(tmp_path, policy, problem.ball, seed=1)
        assert player.told == told and player.out == 0
    assert torch.equal(torch.cat(parts), whole)
    assert len(list(tmp_path.iterdir())) == 2


def test_what_is_out_when_it_is_saved_may_be_told_after_it_is_loaded(tmp_path):
    player = Player(bandits.NoisyPower(first=16), Q.ball)
    actions = [player.ask() for _ in range(5)]
    player.tell(actions[3], 0.5)
    player.save(tmp_path)
    loaded = Player.load(tmp_path, bandits.NoisyPower(first=16), Q.ball)
    assert loaded.out == 4
    for each in (player, loaded):
        for k in (4, 0, 2, 1):
            each.tell(actions[k], 0.1 * k)
    assert torch.equal(player.ask(), loaded.ask())


KILLED = """
import sys, os, torch
from nongreedy import bandits
problem = bandits.QuadraticBandit.planted(4, [1.0, 0.4], seed=0, noise=0.0)
policy, folder, kill = bandits.NoisyPower(first=16), sys.argv[1], int(sys.argv[2])
try:
    player = bandits.Player.load(folder, policy, problem.ball)
except FileNotFoundError:
    player = bandits.Player(policy, problem.ball)
while player.told < 300:
    action = player.ask()
    player.tell(action, float(problem.mean(action[None])))
    if player.told % 20 == 0:
        player.save(folder)
    if player.told == kill:
        os.kill(os.getpid(), 9)
print(player.ask().numpy().tobytes().hex())
"""


def test_a_killed_run_goes_on_to_the_same_bits(tmp_path, environment):
    def run(folder, kill):
        command = [sys.executable, "-c", textwrap.dedent(KILLED), str(tmp_path / folder), str(kill)]
        return subprocess.run(command, env=environment, capture_output=True, text=True)

    assert run("killed", 133).returncode == -9
    done, whole = run("killed", 0), run("whole", 0)
    assert done.returncode == whole.returncode == 0, done.stderr
    assert done.stdout == whole.stdout and len(done.stdout) > 32


def test_actions_may_pass_through_json_and_numpy():
    player = Player(bandits.NoisyPower(), Q.ball)
    player.tell(json.loads(json.dumps(player.ask().tolist())), 0.1)
    player.tell(player.ask().numpy(), np.float32(0.2))
    assert (player.told, player.out) == (2, 0)


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_a_reward_that_is_not_finite_changes_nothing(bad):
    player = Player(bandits.NoisyPower(), Q.ball)
    action = player.ask()
    with pytest.raises(ValueError, match="must be finite"):
        player.tell(action, bad)
    assert (player.told, player.out) == (0, 1)
    player.tell(action, 0.5)


def test_actions_that_are_not_out_are_refused():
    player = Player(bandits.NoisyPower(), Q.ball)
    action = player.ask()
    for wrong, error in (
        (action + 1e-9, UnknownActionError), (torch.zeros(4), UnknownActionError),
        (torch.zeros(3), ValueError), (torch.zeros(4, 1), ValueError),
    ):  # fmt: skip
        with pytest.raises(error):
            player.tell(wrong, 0.1)
        with pytest.raises(error):
            player.lost(wrong)
    player.tell(action, 0.1)
    with pytest.raises(UnknownActionError, match="has been told"):
        player.tell(action, 0.1)
    assert (player.told, player.out) == (1, 0)


def test_a_lost_action_is_asked_for_again():
    player = Player(bandits.NoisyPower(first=16), Q.ball)
    actions = []
    with pytest.raises(WaitingError, match=r"13 rewards are missing"):
        while True:
            actions.append(player.ask())
            if len(actions) == 1:
                player.tell(actions[0], 0.0)
    player.lost(actions[7])
    player.lost(actions[3])
    assert torch.equal(player.ask(), actions[3]) and torch.equal(player.ask(), actions[7])
    with pytest.raises(WaitingError):
        player.ask()


def test_while_something_is_exploited_nothing_waits_and_late_rewards_are_welcome():
    policy = bandits.PowerThenCommit(accuracy=0.5, plays=10, steps=2)
    player = Player(policy, Q.ball)
    for _ in range(20):
        action = player.ask()
        player.tell(action, reward(Q, action))
    committed = [player.ask() for _ in range(100)]
    assert all(torch.equal(each, committed[0]) for each in committed)
    assert torch.equal(player.choice, committed[0]) and player.out == 100
    player.tell(committed[0], 0.3)
    assert player.out == 99


@pytest.mark.parametrize(
    ("change", "error", "said"),
    [
        (lambda s: s.update(seed=5), PlayerError, "another seed"),
        (lambda s: s["policy"].update(first=17), PlayerError, "another policy"),
        (lambda s: s.update(actions="0" * 64), ReplayError, "asks for other actions"),
        (lambda s: s.update(format="x"), PlayerError, "its format is x"),
        (lambda s: s.pop("format"), PlayerError, "cannot be read"),
        (lambda s: s.update(arrays="nowhere.npz"), PlayerError, "cannot be read"),
    ],
)
def test_files_of_another_player_are_refused(change, error, said, tmp_path):
    policy = bandits.NoisyPower(first=16)
    player = Player(policy, Q.ball)
    player.tell(player.ask(), 0.1)
    player.save(tmp_path)
    state = json.loads((tmp_path / "player.json").read_text())
    change(state)
    (tmp_path / "player.json").write_text(json.dumps(state))
    with pytest.raises(error, match=said):
        Player.load(tmp_path, policy, Q.ball)


@pytest.mark.parametrize("cut", [0, 10, -1])
def test_damaged_arrays_are_refused(cut, tmp_path):
    policy = bandits.NoisyPower(first=16)
    Player(policy, Q.ball).save(tmp_path)
    (arrays,) = tmp_path.glob("player-*.npz")
    arrays.write_bytes(arrays.read_bytes()[:cut])
    with pytest.raises(PlayerError, match="damaged"):
        Player.load(tmp_path, policy, Q.ball)
    with pytest.raises(FileNotFoundError, match="nothing was saved"):
        Player.load(tmp_path / "elsewhere", policy, Q.ball)
