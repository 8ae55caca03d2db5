"""What an outer rule may ask for: plain runs and hypergradients, each counted and remembered."""

import itertools
import math
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar

from ..engines import Engine, Hypergradient, Problem, Rollout, Runner
from ..engines._progress import OnState, Progress
from ..engines._replay import same_outcome
from ..engines._run import at
from ..errors import DivergedError, ReplayError
from ..schedules import Schedule, identity
from ..task._data_plan import mix
from ._budget import Budget
from ._callback import Callback
from ._evaluated import Ask, Evaluated
from ._gain import Gain
from ._memory import Answer, Job, Memory, Ran, Request
from ._outer_step import OuterStep, StepOutcome
from ._result import Result, Status

A = TypeVar("A", Ran, Hypergradient)


class Objective:
    """Runs and differentiates schedules of one problem; counts the cost; remembers what was run.

    Args:
        problem: What is trained.
        alternatives: Other ways to train it, whose schedules set other hyperparameters.
        runner: How a schedule is run; an :class:`Engine` also differentiates.
        seed: Decides the seeds of all runs.
        budget: What may be spent; None is no limit.
        callback: Who watches.
        memory: Of what was answered before.

    Attributes:
        problems: The problem and its alternatives.
        evaluated: Every schedule that finished at least one run, by its identity.
        runs, finished: Plain runs that were begun, and those that took all of their steps.
    """

    def __init__(
        self,
        problem: Problem,
        runner: Runner,
        *,
        seed: int = 0,
        budget: Budget | None = None,
        callback: Callback | None = None,
        memory: Memory | None = None,
        alternatives: Iterable[Problem] = (),
    ):
        self.problem, self.runner, self.seed = problem, runner, seed
        self.problems = [problem, *alternatives]
        self.budget, self.memory = budget or Budget(), memory or Memory()
        self.callback = callback or Callback()
        self.evaluated: dict[tuple[object, ...], Evaluated] = {}
        self.runs, self.finished = 0, 0
        self._rows, self._clock = 0, time.perf_counter()
        self._chosen = dict[tuple[object, ...], Problem]()

    @property
    def steps(self) -> int:
        """T, the length of a run."""
        return self.problem.steps

    @property
    def cost(self) -> float:
        """Plain training runs' worth of gradients spent so far."""
        return self.budget.spent

    def seeds(self, stream: int, count: int) -> list[int]:
        """Fresh run seeds, the same for every schedule that is compared under `stream`."""
        return [mix(self.seed, stream, index) for index in range(count)]

    def problem_of(self, schedule: Schedule) -> Problem:
        """Which way of training a schedule is of: that whose hyperparameters it sets."""
        for problem in self.problems:
            if problem.hyperparameters.keys() == schedule.curves.keys():
                return self._at(problem, schedule)
        return self.problem

    def _at(self, problem: Problem, schedule: Schedule) -> Problem:
        """At the schedule's values of what no gradient reaches, verified there."""
        if not problem.task.choices:
            return problem
        values = (float(schedule[name]) for name in problem.task.choices)
        key = (self.problems.index(problem), *values)
        if key not in self._chosen:
            self._chosen[key] = chosen = problem.chosen(schedule)
            chosen.verified(isinstance(self.runner, Engine) and self.runner.differentiates)
        return self._chosen[key]

    def price(self, schedule: Schedule) -> float:
        """What a run of the schedule costs, in plain runs of the problem: other batches and epochs are
        another number of gradients."""
        return self.problem_of(schedule).examples / self.problem.examples

    def untrained(self, schedule: Schedule, seed: int) -> float:
        """The validation loss of the first weights, for which nothing is paid; infinite if it is not
        finite."""
        run = self.problem_of(schedule).run(seed)
        with run.isolated():
            state = run.initial(at(schedule.values(run.steps), 0))
            try:
                return run.outer_loss(run.optimizer.answer(state)).loss
            except DivergedError:
                return math.inf

    def sweep_price(self, schedule: Schedule) -> float:
        """What a hypergradient costs, in plain runs."""
        problem = self.problem_of(schedule)
        cost = self._engine().sweep_cost(problem.run(self.seed), schedule, list(problem.learned))
        return cost * self.price(schedule)

    def _engine(self) -> Engine:
        if not isinstance(self.runner, Engine):
            raise TypeError(f"{self.runner!r} trains and has no hypergradient. Use an engine.")
        return self.runner

    def ahead(self, asked: Iterable[Ask], likely: Iterable[Ask] = ()) -> None:
        """Say what will be asked next, so that several processes may answer it side by side; and what may
        be asked after it, most likely first. It costs what it costs when it is asked."""
        if self.memory.width > 1:
            self.memory.ahead([self._job(one) for one in asked], [self._job(one) for one in likely])

    def rollout(
        self, schedule: Schedule, seed: int, keep: bool = False, on_state: OnState | None = None
    ) -> Rollout:
        """Train once; raises DivergedError, BudgetSpentError, or what `on_state` raises to stop it.

        A run that is remembered is not repeated, and its rollout has no states: `differentiate`
        repeats it then, unless the sweep is remembered, too. It costs the same, so that a search
        that goes on after a kill spends what an undisturbed one spends.
        """
        price = self.price(schedule)
        self.budget.check(price)
        self.runs += 1
        request, run = self._run_request(schedule, seed), self.problem_of(schedule).run(seed)
        trained: list[Rollout] = []

        def train() -> Ran:
            follow = self._progress("plain run", request)
            trained.append(
                self.runner.rollout(run, schedule, keep=keep, on_step=follow, on_state=on_state)
            )
            return Ran(trained[0].outcome, tuple(trained[0].losses))

        try:
            ran = self._answered(request, Ran, train)
        except DivergedError as error:
            self.budget.spend(price * error.share)
            raise
        self.finished += 1
        self.budget.spend(price)
        self.evaluated.setdefault(schedule.identity, Evaluated(schedule)).add(seed, ran.outcome)
        return trained[0] if trained else Rollout(run, schedule, {}, ran.outcome, list(ran.losses))

    def differentiate(self, rollout: Rollout) -> Hypergradient:
        """The hypergradient at a kept rollout; raises DivergedError or BudgetSpentError."""
        engine, run, schedule = self._engine(), rollout.run, rollout.schedule
        request = self._sweep_request(schedule, run.seed)
        price = engine.sweep_cost(run, schedule, list(request.learn)) * self.price(schedule)
        self.budget.check(price)

        def sweep() -> Hypergradient:
            complete = rollout.final is not None or not engine.needs_states
            states = rollout if complete else self._repeated(engine, rollout)
            follow = self._progress("hypergradient", request)
            return engine.differentiate(states, list(request.learn), follow)

        try:
            hypergradient = self._answered(request, Hypergradient, sweep)
        except DivergedError as error:  # only what was swept was spent
            self.budget.spend(price * error.swept)
            raise
        self.budget.spend(price)
        return hypergradient

    def _answered(self, request: Request, kind: type[A], compute: Callable[[], A]) -> A:
        """The remembered answer, or one that is computed and remembered; a divergence is one, too."""
        answer = self.memory.recall(request)
        if not isinstance(answer, (kind, DivergedError)):
            try:
                answer = compute()
            except DivergedError as error:
                answer = error
            except BaseException as error:
                self.memory.failed(error)
                raise
            self.memory.remember(request, answer)
        if isinstance(answer, DivergedError):
            raise answer
        return answer

    def _run_request(self, schedule: Schedule, seed: int) -> Request:
        return Request("run", schedule, seed, self.problem_of(schedule).steps)

    def _sweep_request(self, schedule: Schedule, seed: int) -> Request:
        problem = self.problem_of(schedule)
        return Request("sweep", schedule, seed, problem.steps, tuple(problem.learned))

    def _job(self, asked: Ask) -> Job:
        """The same run, and its sweep, uncounted."""
        schedule, seed, sweep = asked
        requests = [self._run_request(schedule, seed)]
        if sweep:
            requests.append(self._sweep_request(schedule, seed))

        def answers() -> list[tuple[Request, Answer]]:
            run, answered = self.problem_of(schedule).run(seed), list[tuple[Request, Answer]]()
            try:
                follow = self._progress("plain run", requests[0])
                rollout = self.runner.rollout(run, schedule, keep=sweep, on_step=follow)
                answered.append((requests[0], Ran(rollout.outcome, tuple(rollout.losses))))
                for request in requests[1:]:
                    follow = self._progress("hypergradient", request)
                    learn = list(request.learn)
                    found = self._engine().differentiate(rollout, learn, follow)
                    answered.append((request, found))
            except DivergedError as error:
                answered.append((requests[len(answered)], error))
            return answered

        return Job(tuple(requests), answers)

    def _repeated(self, engine: Engine, rollout: Rollout) -> Rollout:
        """A remembered run once more, for its states; another outcome would make all that follows
        another search."""
        request = self._run_request(rollout.schedule, rollout.run.seed)
        progress = self._shown("plain run, for its states", request.steps)
        again = engine.rollout(rollout.run, rollout.schedule, keep=True, on_step=progress)
        now, before = again.outcome.loss, rollout.outcome.loss  # metrics may be NaN, or new
        if not same_outcome(now, before, again.run.task.device, again.run.dtype):
            raise ReplayError(
                f"A run of this study came to a validation loss of {before!r} before "
                f"and to {now!r} now, with the same seed and schedule. Go on where it "
                "began: on that machine, with the same data, versions and number of threads."
            )
        return again

    def settle(self, outcome: StepOutcome) -> OuterStep:
        """The row of an outer step that is finished, remembered."""
        seconds, self._clock = time.perf_counter() - self._clock, time.perf_counter()
        learn = self.problem_of(outcome.schedule).moving
        row = outcome.row(self._rows, seconds, self.cost, learn)
        self._rows += 1
        return self.memory.settle(row, outcome.schedule)

    def result(
        self,
        best: Evaluated,
        status: Status,
        gain: Gain | None,
        history: list[OuterStep],
        settings: Mapping[str, Any],
        unmoved: Mapping[str, str] | None = None,
    ) -> Result:
        """What the search returns."""
        problem = self.problem_of(best.schedule)
        optimizer, length = problem.optimizer, {"steps": problem.steps}
        settings = {**settings, **length, "batch_size": problem.task.batch_size}
        settings = {**settings, "cost": round(self.cost, 3), "status": status.name}
        settings["optimizer"] = identity(optimizer)  # with the average that was chosen, if any
        if gain is not None:
            settings["gain"] = gain.to_json()
        return Result(
            best.schedule.with_settings(settings), best.loss, best.accuracy, history, status,
            self.cost, settings, runs=self.runs, unfinished=self.runs - self.finished,
            validation_metrics=best.metrics, gain=gain,
            unmoved=unmoved or {}, task=problem.task, optimizer=optimizer,
        )  # fmt: skip

    def _progress(self, label: str, request: Request) -> Progress:
        return self.memory.follow(request, self._shown(label, request.steps))

    def _shown(self, label: str, steps: int) -> Progress:
        self.callback.on_run_start(label, steps)
        count = itertools.count()
        return Progress(lambda _: self.callback.on_inner_step(next(count) % steps, steps))
