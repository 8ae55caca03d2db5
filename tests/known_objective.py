"""An objective whose optimum is known: a valley in decades, with offsets and slopes that differ by seed."""

import math
from types import SimpleNamespace

import torch

import nongreedy as ng
from nongreedy.schedules._hyperparameter import learned
from nongreedy.search import Budget

LN10 = math.log(10.0)


def _names(coefficients):
    return ng.SGD(
        ng.Linear(coefficients, bounds=(1e-9, 1e3)),
        momentum=ng.Constant(bounds=(0.0, 0.9999)),
        weight_decay=ng.Constant(bounds=(1e-9, 1.0)),
    )


class Valley:
    """What an outer rule asks of an :class:`Objective`, answered by a formula.

    Args:
        optimum: Of the learning rates, by knot.
        noise: Of values and slopes, by seed.
        cliff: A learning rate from which runs diverge.
        away: Decades by which the search starts off.
    """

    def __init__(
        self, optimum=(0.3, 0.3, 0.2, 0.1, 0.01), noise=0.0, budget=None, cliff=5.0, away=0.0
    ):
        optimizer = _names(len(optimum))
        hyperparameters = optimizer.hyperparameters(1000)
        initial = ng.Schedule.initial(hyperparameters).with_coefficients(
            {
                "learning_rate": 10**away * torch.tensor([0.1, 0.075, 0.05, 0.025, 0.002]).double(),
                "momentum": torch.tensor([0.9]).double(),
                "weight_decay": torch.tensor([5e-4]).double(),
            }
        )
        self.problem = SimpleNamespace(
            learned=learned(hyperparameters),
            moving=learned(hyperparameters),
            hyperparameters=hyperparameters,
            initial=initial,
            start=None,
        )
        self.problems, self.budget, self.evaluated = [self.problem], Budget(budget, 8.0), {}
        self.optimum = torch.tensor([math.log10(o) for o in optimum]).double()
        self.noise, self.cliff, self.swept, self.asked = noise, cliff, 0, []

    def seeds(self, stream, count):
        return [1000 * (stream + 2) + index for index in range(count)]

    def price(self, schedule):
        del schedule
        return 1.0

    def untrained(self, schedule, seed):
        del schedule, seed
        return math.inf

    def sweep_price(self, schedule):
        del schedule
        return 3.0

    def parts(self, schedule):
        """Decades from the optimum."""
        rate = schedule["learning_rate"].log10() - self.optimum
        momentum = -torch.log10(1 - schedule["momentum"]) - 1.2
        decay = torch.log10(schedule["weight_decay"]) + 3
        return rate, momentum, decay

    def loss(self, schedule, seed=None):
        rate, momentum, decay = self.parts(schedule)
        clean = 1 + 0.1 * rate.square().sum() + 0.15 * (rate.mean() + momentum).square().sum()
        clean = float(clean + 0.03 * decay.square().sum())
        if seed is None:
            return clean
        source = torch.Generator().manual_seed(seed)
        drawn = torch.randn(3, generator=source).double()
        return clean + self.noise * float(drawn[0] + drawn[1] * rate.mean() + drawn[2] * decay)

    def ahead(self, asked, likely=()):
        pass

    def rollout(self, schedule, seed, keep=False):
        del keep
        self.budget.check(1.0)
        if float(schedule["learning_rate"].max()) > self.cliff:
            self.budget.spend(0.2)
            raise ng.DivergedError("training loss", 3, 1000)
        self.budget.spend(1.0)
        self.asked.append((schedule, seed))
        outcome = SimpleNamespace(loss=self.loss(schedule, seed), accuracy=None, metrics={})
        entry = self.evaluated.setdefault(
            schedule.identity, SimpleNamespace(losses={}, accuracies={}, measured={})
        )
        entry.losses[seed], entry.accuracies[seed], entry.measured[seed] = outcome.loss, None, {}
        return SimpleNamespace(outcome=outcome, schedule=schedule, run=SimpleNamespace(seed=seed))

    def differentiate(self, rollout):
        self.budget.check(3.0)
        self.budget.spend(3.0)
        self.swept += 1
        leaves = {
            name: rollout.schedule[name].clone().requires_grad_() for name in self.problem.learned
        }
        rate = leaves["learning_rate"].log10() - self.optimum
        momentum = -torch.log10(1 - leaves["momentum"]) - 1.2
        decay = torch.log10(leaves["weight_decay"]) + 3
        source = torch.Generator().manual_seed(rollout.run.seed)
        drawn = torch.randn(3, generator=source).double()
        loss = 0.1 * rate.square().sum() + 0.15 * (rate.mean() + momentum).square().sum()
        loss = loss + 0.03 * decay.square().sum()
        loss = loss + self.noise * (drawn[1] * rate.mean() + (drawn[2] * decay).sum())
        loss.backward()
        return SimpleNamespace(gradients={name: leaf.grad for name, leaf in leaves.items()})

    def searched(self, rule, most=60):
        """Where a rule ends by itself or by the budget: its state, and its outcomes."""
        state, outcomes = rule.init(self.problem.hyperparameters, 1000), []
        while rule.done(state) is None and len(outcomes) < most:
            state, outcome = rule.step(state, self)
            outcomes.append(outcome)
        return state, outcomes
