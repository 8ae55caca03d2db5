"""One run by many ranks: batches or tangents in parts, and the hypergradient of one process to rounding."""

import pickle
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import nongreedy as ng
from nongreedy.engines import engine_from
from nongreedy.errors import ExplodedError, IrreversibleError
from nongreedy.parallel import Columns, Ranks, sharded
from nongreedy.parallel._sharded import RankShards

from . import plain_loop, ranks_gradient
from .ranks_gradient import CASES, COLUMNS, REFUSED, STEPS

SEARCH = "search convnet"
SCRIPT = Path(ranks_gradient.__file__)
TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node"]


def launched(folder, size, environment):
    cases = [*CASES, *COLUMNS, *REFUSED, SEARCH]
    done = subprocess.run(
        [*TORCHRUN, str(size), SCRIPT, folder, *cases], env=environment, capture_output=True,
        text=True, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return [torch.load(folder / f"rank{rank}of{size}.pt") for rank in range(size)]


@pytest.fixture(scope="module")
def found(tmp_path_factory, environment):
    """What three ranks come to, which have 5 examples of each batch."""
    return launched(tmp_path_factory.mktemp("ranks"), 3, environment)


@pytest.fixture(scope="module")
def alone():
    team = Ranks()
    return {case: ranks_gradient.gradient(case, team) for case in [*CASES, *COLUMNS]}


@pytest.mark.parametrize("case", [*CASES, "columns"])
def test_hypergradients_of_a_run_by_many_ranks_are_those_of_one_process(case, found, alone):
    value, gradients = alone[case]
    for rank in found:
        assert rank[case][0] == pytest.approx(value, rel=1e-13)
        for name, gradient in gradients.items():
            assert (rank[case][1][name] - gradient).norm() <= 1e-10 * gradient.norm(), name
    assert all(gradients[name].any() for name in gradients.keys() - {"initial"})


@pytest.mark.parametrize("case", ["convnet", "columns"])
def test_they_are_the_differences_of_a_plain_loop(case, found):
    values = {"learning_rate": [0.05, 0.05], "momentum": [0.8]}
    expected = plain_loop.slopes(ranks_gradient.made(case), ng.SGD, values, STEPS)
    off, doubt = plain_loop.error(found[0][case][1], expected)
    assert off <= plain_loop.TOLERANCE and doubt <= plain_loop.TOLERANCE


def test_all_ranks_have_the_same_bits(found):
    for case in [*CASES, SEARCH]:
        (value, first), *others = (rank[case] for rank in found)
        for other_value, other in others:
            assert other_value == value
            assert all(torch.equal(other[name], first[name]) for name in first)


def test_a_search_is_that_of_one_process(found):
    value, coefficients = ranks_gradient.searched("convnet", Ranks(), None)
    assert found[0][SEARCH][0] == pytest.approx(value, rel=1e-9)
    for name, row in coefficients.items():
        torch.testing.assert_close(found[0][SEARCH][1][name], row, rtol=1e-6, atol=0)


@pytest.mark.parametrize(
    ("case", "words"),
    [
        ("dropout", "spread over ranks, and the forward pass draws random numbers"),
        ("a sum as a mean", "a sum is told by parallel.sharded"),
        ("ignored late", "they average over unlike numbers of targets"),
        ("one coefficient", "1 coefficients are too few for 3 ranks"),
    ],
)
def test_what_comes_out_otherwise_in_parts_is_refused_on_all_ranks(case, words, found):
    assert all(words in rank[case] for rank in found)


# ---- without processes ---------------------------------------------------------------------------


def test_what_cannot_be_spread_is_said():
    task, two = ranks_gradient.made("convnet"), Ranks(0, 2)
    assert sharded(task, Ranks()) is task
    with pytest.raises(ValueError, match="batch_size=15 has no example for each of 16 ranks"):
        sharded(task, Ranks(0, 16))
    spread = sharded(task, two)
    assert not task.shards.many and spread.shards.many
    with pytest.raises(ValueError, match="pass ranks="):
        ng.tune(spread, ng.SGD(), steps=3)
    with pytest.raises(ValueError, match="the task as it was before"):
        ng.compare(spread, ng.SGD(), steps=3, budget=5)
    with pytest.raises(ValueError, match="pass ranks="):
        ng.tune(task, ng.SGD(), steps=3, engine=Columns(two))


@pytest.mark.parametrize("rank", range(4))
def test_parts_are_of_nearly_equal_size_and_make_up_the_batch(rank):
    shards, x = RankShards(Ranks(rank, 4), False), torch.arange(30.0).view(10, 3)
    (inputs, target), index, share = shards.part(({"x": x}, x[:, 0]), lambda: torch.arange(10) + 5)
    begin, end = [0, 2, 5, 7, 10][rank : rank + 2]
    assert torch.equal(inputs["x"], x[begin:end]) and torch.equal(target, x[begin:end, 0])
    assert index().tolist() == list(range(begin + 5, end + 5)) and share == (end - begin) / 10
    with pytest.raises(ValueError, match="holds 'a name', of which nobody knows"):
        shards.part((x, ["a name"]), lambda: torch.arange(10))
    with pytest.raises(ValueError, match=r"holds a tensor of shape \(3, 10\)"):
        shards.part((x, x.T), lambda: torch.arange(10))


@pytest.mark.parametrize(
    "error",
    [
        ng.DivergedError("training loss", 3, 10, swept=0.25),
        ExplodedError("adjoint", 3, 10, 1e9, "its start", "errors", 0.5),
        IrreversibleError("A momentum of 0 cannot be undone."),
    ],
)
def test_an_error_is_the_same_in_another_process(error):
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is type(error) and str(again) == str(error)
    assert vars(again) == vars(error) and again.share == error.share


def test_columns_by_one_rank_are_forward_mode(alone):
    value, gradients = alone["columns"]
    forward = ng.hypergradient(
        ranks_gradient.made("columns"), ranks_gradient.SGD, steps=STEPS, engine=ng.Forward(),
        dtype=torch.float64,
    )  # fmt: skip
    assert value == forward.value
    assert all(torch.equal(gradients[n], g) for n, g in forward.gradients.items())
    assert engine_from(Columns(Ranks(), 2)).together and Columns(Ranks(), 2).chunk == 2
