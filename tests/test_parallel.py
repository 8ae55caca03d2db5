"""Many processes on one search: the bits of one, and an end by name where one of them is lost."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from nongreedy.parallel import Ranks, ranks
from nongreedy.search import Budget
from nongreedy.search.rules._bracket import Bracket

SCRIPT = Path(__file__).with_name("ranks_search.py")
TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node"]
RULES = ["auto", "paper", "agreement"]


def launched(folder, size, rules, environment, study=None, **variables):
    """Run the searches by so many processes; who wrote what, by rank."""
    start = [*TORCHRUN, str(size)] if size > 1 else [sys.executable]
    command = [*start, SCRIPT, folder, ",".join(rules), *([study] if study else [])]
    env = {**environment, **variables, "OMP_NUM_THREADS": "1"}
    return subprocess.run(command, env=env, capture_output=True, text=True, timeout=300)


def said(folder, size):
    files = [folder / f"rank{rank}of{size}.json" for rank in range(size)]
    return [json.loads(file.read_text()) for file in files]


@pytest.fixture(scope="module")
def alone(tmp_path_factory, environment):
    """What one process comes to, by rule."""
    folder = tmp_path_factory.mktemp("alone")
    done = launched(folder, 1, RULES, environment)
    assert done.returncode == 0, done.stderr
    return said(folder, 1)[0]


@pytest.mark.parametrize("size", [2, 4])
def test_ranks_have_the_bits_of_one_process(size, alone, tmp_path, environment):
    done = launched(tmp_path, size, RULES, environment)
    assert done.returncode == 0, done.stderr
    assert said(tmp_path, size) == [alone] * size
    assert all(len(alone[rule]["history"]) >= 2 for rule in RULES)


TROUBLES = {
    "fails": ("1 fails 250", "ZeroDivisionError: a loss of somebody's own", 3),
    "dies": ("0 dies 300", "rank      : 0", 1),
    "hangs": ("1 hangs 250", "Rank 1 (process", 2),
    "stops": ("1 stops 300", "Rank 1 (process", 1),
}


@pytest.mark.parametrize("kind", TROUBLES)
def test_a_lost_rank_ends_the_others_by_name_and_the_study_goes_on(
    kind, alone, tmp_path, environment
):
    trouble, named, size_then = TROUBLES[kind]
    study, begin = str(tmp_path / "study.db"), time.monotonic()
    lost = launched(tmp_path, 2, ["auto"], environment, study, TROUBLE=trouble, PATIENCE="5")
    assert lost.returncode != 0 and named in lost.stderr, lost.stderr
    assert time.monotonic() - begin < 120  # torchrun itself waits 30 seconds for a stopped process
    assert (tmp_path / "trouble").read_text() == kind
    again = launched(tmp_path, size_then, ["auto"], environment, study, TROUBLE=trouble)
    assert again.returncode == 0, again.stderr
    assert said(tmp_path, size_then) == [{"auto": alone["auto"]}] * size_then


def test_a_limit_of_time_ends_all_ranks_at_the_same_place(tmp_path, environment):
    done = launched(tmp_path, 2, ["late"], environment)
    assert done.returncode == 0, done.stderr
    first, second = said(tmp_path, 2)
    assert first == second and 1 < len(first["late"]["history"]) < 1000


def test_a_rank_that_hangs_in_the_middle_of_a_step_is_named(tmp_path, environment):
    lost = launched(tmp_path, 2, ["spread"], environment, TROUBLE="1 hangs 200", PATIENCE="5")
    assert lost.returncode != 0 and "Rank 1 (process" in lost.stderr, lost.stderr
    assert (tmp_path / "trouble").read_text() == "hangs"


def test_a_study_that_cannot_be_opened_is_told_by_all_ranks(tmp_path, environment):
    (tmp_path / "no.db").write_text("not a database")
    done = launched(tmp_path, 2, ["paper"], environment, str(tmp_path / "no.db"))
    assert done.returncode != 0
    assert "Rank 0 failed: StudyError: Cannot open" in done.stderr


# ---- without processes ---------------------------------------------------------------------------


@pytest.mark.parametrize("best", [-3.1, -0.6, 0.0, 0.2, 1.4, 5.0])
@pytest.mark.parametrize("hot", [0.3, 2.0, 9.0])
def test_a_bracket_asks_next_for_one_of_the_places_that_it_thought_likely(best, hot):
    told, ran = [], []

    def run(place):
        ran.append(place)
        return float("inf") if place > best + hot else (place - best) ** 2

    Bracket(run, 12, ahead=lambda place, likely: told.append((place, likely))).find()
    assert [place for place, _ in told] == ran
    assert len(ran) > 3
    assert all(after in likely for (_, likely), after in zip(told, ran[1:], strict=False))
    assert max(len(likely) for _, likely in told) <= 3


def test_the_time_of_a_budget_is_that_of_its_clock():
    now = [100.0]
    budget = Budget(seconds=40, clock=lambda: now[0])
    now[0] = 129.0
    assert not budget.late and budget.seconds_left == 11.0
    now[0] = 131.0
    assert budget.late


def test_one_process_alone_is_the_first_rank_and_waits_for_nobody():
    with ranks() as alone:
        assert (alone.rank, alone.size, alone.first) == (0, 1, True)
        assert alone.tell("x") == "x" and alone.gather(3) == [3]
    with pytest.raises(ValueError, match=r"positive finite number, but got 0"), ranks(patience=0):
        pass
    assert Ranks().callbacks == [] and os.environ.get("WORLD_SIZE") is None
