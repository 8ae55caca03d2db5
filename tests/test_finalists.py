"""The final comparison: rounds on common fresh seeds, after which the worse half leaves."""

import itertools
from types import SimpleNamespace

import pytest

import nongreedy as ng
from nongreedy.engines import Outcome
from nongreedy.schedules import Schedule
from nongreedy.search import Budget, Evaluated
from nongreedy.search._finalists import _against, rematch
from nongreedy.search._gain import Gain


class Scores:
    """An objective whose loss is read off a table: learning rate -> loss, or None to diverge."""

    def __init__(self, table, budget=None, late=None):
        self.table, self.budget, self.late = table, Budget(budget), late or {}
        self.runs = []

    def seeds(self, stream, count):
        return [1000 * stream - index for index in range(count)]

    def ahead(self, asked, likely=()):
        pass

    def rollout(self, schedule, seed):
        rate = schedule["learning_rate"].item()
        again = seed <= -1002  # beyond the first round of two
        self.runs.append((rate, seed))
        self.budget.spend(1.0)
        loss = self.late.get(rate, self.table[rate]) if again else self.table[rate]
        if loss is None:
            raise ng.DivergedError("training loss", 3, 10)
        return SimpleNamespace(outcome=Outcome(loss, None))


def meet(objective, finalists=6, finalist_seeds=2):
    """The winner's learning rate; entries are ranked in the order of the table."""
    ranked = [Evaluated(Schedule.of(learning_rate=[rate]), {0: 1.0}) for rate in objective.table]
    rule = ng.AgreementSearch(finalists=finalists, finalist_seeds=finalist_seeds)
    winner = rematch(rule, objective, ranked)
    return winner.schedule["learning_rate"].item()


def test_the_better_half_stays_and_every_round_has_fresh_seeds():
    objective = Scores({float(k): 1 - 0.1 * k for k in range(1, 9)})
    assert meet(objective) == 6.0  # the best of the six that were let in
    by_rate = {
        r: len(list(g)) for r, g in itertools.groupby(sorted(objective.runs), lambda x: x[0])
    }
    assert by_rate == {1.0: 2, 2.0: 2, 3.0: 2, 4.0: 4, 5.0: 6, 6.0: 6}
    assert len(set(objective.runs)) == len(objective.runs)


@pytest.mark.parametrize(("later", "winner"), [(0.55, 2.0), (0.65, 1.0)])
def test_the_losses_of_all_rounds_count(later, winner):
    # 1.0 has 0.5 throughout; 2.0 has 0.4 in the first round, so its mean is 0.475 or 0.525.
    objective = Scores({1.0: 0.5, 2.0: 0.4, 3.0: 0.8, 4.0: 0.9}, late={2.0: later})
    assert meet(objective) == winner


@pytest.mark.parametrize(("budget", "runs"), [(3, 0), (5, 4), (12, 12), (17, 12), (18, 18)])
def test_the_budget_is_never_exceeded_and_whole_rounds_are_played(budget, runs):
    objective = Scores({float(k): 1 - 0.1 * k for k in range(1, 9)}, budget=budget)
    winner = meet(objective)
    assert len(objective.runs) == runs <= budget
    assert winner == {0: 1.0, 4: 2.0}.get(runs, 6.0)


def test_a_finalist_that_diverges_is_out():
    assert meet(Scores({1.0: 0.5, 2.0: None, 3.0: 0.4})) == 3.0


def test_where_every_finalist_diverges_the_search_decides():
    assert meet(Scores({1.0: None, 2.0: None})) == 1.0


# ---- against a fallback ------------------------------------------------------------------------


def against(losses, budget=None, contenders=(2.0,)):
    """The winner's learning rate and gain, where 1.0 is the fallback; losses[rate][k] of the k-th seed."""

    class Told(Scores):
        def ahead(self, asked, likely=()):
            pass

        def price(self, schedule):
            del schedule
            return 1.0

        def rollout(self, schedule, seed):
            rate = schedule["learning_rate"].item()
            self.budget.spend(1.0)
            loss = losses[rate][-1000 - seed]
            if loss is None:
                raise ng.DivergedError("training loss", 3, 10)
            return SimpleNamespace(outcome=Outcome(loss, None))

    objective = Told({}, budget)
    start, *others = (Schedule.of(learning_rate=[rate]) for rate in (1.0, *contenders))
    objective.evaluated = {start.identity: Evaluated(start, {0: 1.0})}
    rule = ng.ModelSearch()
    best, _, gain = _against(start, others, rule, objective, ng.Status.completed)
    return best.schedule["learning_rate"].item(), best.loss, gain


def test_a_start_that_diverges_on_a_fresh_seed_is_not_returned():
    winner, loss, gain = against({1.0: [1.0, None] + [1.0] * 6, 2.0: [1.2] * 8})
    assert winner == 2.0 and loss == pytest.approx(1.2)
    assert gain.diverged == 1 and "diverged on 1 of 8 fresh seeds" in gain.verdict
    assert Gain.from_json(gain.to_json()).verdict == gain.verdict


@pytest.mark.parametrize(("other", "winner"), [(0.5, 2.0), (1.5, 1.0)])
def test_seeds_on_which_everything_diverges_decide_nothing_and_are_told(other, winner):
    rows = {1.0: [1.0, None] * 4, 2.0: [other, None] * 4}
    found, loss, gain = against(rows)
    assert found == winner and loss == min(1.0, other)
    assert gain.seeds == gain.hopeless == 4
    assert "On 4 further fresh seeds every run diverged" in gain.verdict


def test_where_nothing_could_be_compared_nothing_is_claimed():
    winner, loss, gain = against({1.0: [1.0] * 8, 2.0: [0.5] * 8}, budget=1)
    assert (winner, loss) == (1.0, 1.0)
    assert "no other schedule met it" in gain.verdict and "gained" not in gain.verdict
