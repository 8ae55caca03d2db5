"""The outer loop."""

import os
from collections.abc import Iterable

import torch

from .engines import Engine, Problem
from .errors import DivergedError, check_seed, check_whole
from .optimizers import Optimizer
from .parallel import Ranks
from .parallel._ranks import checked_ranks
from .recipe import extend
from .schedules import GradientFree, Schedule, identity
from .search import (
    Budget,
    BudgetSpentError,
    Callback,
    Callbacks,
    Memory,
    Objective,
    OuterStep,
    Result,
    Status,
)
from .search._beginning import check_start
from .search._finalists import select
from .search._settings import LIMITS, most_outer_steps, outlook_of, settings_of, settled, verified
from .search._threads import check_threads, threaded
from .search.progress import shown
from .search.rules import OuterRule, outer_from, searchable, started
from .studies import Study, remembering
from .task import Task
from .task._task import checked_task


def tune(
    task: Task,
    optimizer: Optimizer,
    *,
    epochs: float | GradientFree | None = None,
    steps: int | None = None,
    outer_steps: int | None = None,
    engine: str | Engine = "auto",
    outer: str | OuterRule = "auto",
    seeds: int | None = None,
    seed: int = 0,
    budget: float | None = None,
    timeout: float | None = None,
    start: str | Schedule | Result | None = None,
    learn: str | Iterable[str] | None = None,
    study: str | os.PathLike[str] | Study | Memory | None = None,
    dtype: torch.dtype = torch.float32,
    callbacks: Iterable[Callback] = (),
    progress: bool | None = None,
    ranks: Ranks | None = None,
    threads: int | str | None = None,
) -> Result:
    r"""Find the schedule of a whole training run that minimizes the final validation loss.

    .. math:: \min_c \; L_\mathrm{val}(\theta_T(c)), \qquad h_t = (B c)_t

    Args:
        task: Model, loss and data.
        optimizer: Which hyperparameters are learned (bases) and which are fixed (numbers).
        epochs: Length of one training run, searched where it is a :class:`GradientFree`, or
        steps: its length in steps.
        outer_steps: Most improvements to make. None is 10, or as many as `budget` or `timeout` pay for.
        engine: How hypergradients are computed: an engine or its name. ``"auto"`` is the planner's
            choice (:class:`Plan`), by the memory that is free now: mostly `Reverse`, whose result does
            not depend on where it keeps its states. Callbacks and `settings` of the result name it.
        outer: How they are used: ``"auto"`` (:class:`ModelSearch`), ``"agreement"``
            (:class:`AgreementSearch`), ``"paper"`` (:class:`SignDescent`) or a rule.
        seeds: Runs per hypergradient; None is the rule's own number.
        seed: Decides everything: the same seed on the same machine gives the same result.
        budget: Most plain training runs' worth of gradients to spend, the final comparison
            included; None is no limit.
        timeout: Most seconds to take, of which the last quarter is for the final comparison; what was
            begun is finished.
        start: Where it begins. ``"practice"``: a learning rate that falls to nothing from its usual
            peak, momentum 0.9 and the like, as far as bases have no `initial` of their own.
            ``"zero"``: the first values of the optimizer, as in the paper. A schedule, or the result of
            a search, but for what is fixed here. None is the rule's own: practice for the default one,
            zero for the others.
        learn: What is learned besides: ``"recipe"``, or words of :data:`nongreedy.recipe.PARTS`, such as
            ``["augmentation", "label_smoothing"]`` (:func:`nongreedy.recipe.extend`). `task` and
            `optimizer` of the result have it, for :func:`retrain`.
        study: Where the search is kept: a :class:`Study`, the path of an SQLite file or the URL of a
            database. A search of the same settings that was begun there goes on, to the same bits;
            a finished one is told again, or goes on where `outer_steps`, `budget` or `timeout` allow
            for more than before. None keeps nothing. (A comparison
            gives a memory of its own, ``nongreedy.search.Memory``.)
        dtype: Of the training runs.
        callbacks: Who watches.
        progress: None shows a table and a bar in a terminal, and elsewhere says each outer step at level
            INFO of the logger ``nongreedy`` (on standard error where nobody configured logging). True
            shows the table wherever standard error leads; False says nothing.
        ranks: The processes that share the work (:func:`nongreedy.parallel.ranks`): runs of several seeds,
            of several scales and of the final are made side by side, with the bits of one process.
            `study`, `callbacks` and `progress` are those of the first rank.
        threads: Of the runs: so many, or ``"auto"``: the number with which a step is fastest, of those that
            no other process uses, measured within three seconds and kept by `study`, because bits
            depend on it. None leaves PyTorch's number as it is.

    Returns:
        The best evaluated schedule, judged on validation data only, with the history, and its
        :class:`Gain` over the best schedule that needed no derivative, which is returned unless it is
        beaten. An interruption by the keyboard returns what was found so far.

    Raises:
        ValueError: Bad settings; the message says which.
        TypeError: An engine, rule or optimizer of your own holds what JSON cannot say.
        DivergedError: The very first run diverges and no smaller learning rate rescues it.
        RankError: Another rank has failed, died or hangs.
        StudyError: The study cannot be read or written, is held by another process, or was made with
            other settings.
        KeyboardInterrupt: Interrupted before any run was finished.

    Source: arXiv:2007.07869.

    Cannot: choose discrete settings; promise a global optimum.

    Example:
        >>> import torch, nongreedy as ng
        >>> x = torch.randn(64, 4); y = (x[:, 0] > 0).long()
        >>> task = ng.Task(lambda: torch.nn.Linear(4, 2), torch.nn.functional.cross_entropy,
        ...                (x, y), (x, y), batch_size=16)
        >>> result = ng.tune(task, ng.SGD(), steps=8, outer_steps=2)
        >>> result.schedule["learning_rate"].item() > 1e-3
        True
    """
    if outer_steps is not None:
        check_whole("outer_steps", outer_steps)
    check_seed(seed)
    check_threads(threads)
    together = checked_task(task).shards.many or getattr(engine, "together", False)
    if together and ranks is None:
        raise ValueError("What is spread over ranks needs them in a search, too: pass ranks=.")
    rule = outer_from(outer).with_seeds(seeds)
    if learn is not None:
        first = epochs.value if isinstance(epochs, GradientFree) else epochs
        length = task.steps_for(first, steps)
        task, optimizer = extend(task, optimizer, learn, steps=length)
    problem = Problem.of(
        task, optimizer, epochs=epochs, steps=steps, dtype=dtype, defaults=rule.defaults, engine=engine
    )  # fmt: skip
    rule = rule.suited(problem)
    problem = started(problem, rule.start if start is None else start)
    check_start(problem)
    problem = searchable(problem, rule)
    ranks = checked_ranks(ranks)
    ranks.gather(None)  # from here all count the time of the first one's clock
    purse, history = Budget(budget, rule.final, timeout, ranks.clock), list[OuterStep]()
    settings = settings_of(problem, engine, rule, outer_steps, seed, budget, threads)
    seen = [shown(progress), callbacks] if ranks.first else []
    watchers = Callbacks(*seen, ranks.callbacks)
    held = ranks.sharing(remembering(study, settings, problem, LIMITS), together)
    with held as memory, watchers as callback, threaded(threads, problem, seed, memory):
        most = most_outer_steps({**settings, "timeout": timeout})
        if outer_steps is None:  # a call without the timeout of an earlier one cuts nothing off
            most = max(most, memory.steps)
        callback.on_begin(outlook_of(problem, rule, most, purse))
        choice = settled(engine, problem, seed, memory)
        callback.on_engine(choice.engine, choice.reason)
        objective = Objective(
            problem, choice.engine, seed=seed, budget=purse, callback=callback, memory=memory,
            alternatives=verified(rule.alternatives(problem, choice.engine), choice.engine),
        )  # fmt: skip
        state = rule.init(problem.hyperparameters, problem.steps)
        try:
            while rule.done(state) is None and len(history) < most:
                state, outcome = rule.step(state, objective)
                history.append(objective.settle(outcome))
                callback.on_schedule(outcome.schedule)
                callback.on_outer_step(history[-1])
            rule.close(state, objective)
            status = rule.done(state) or Status.completed
        except (BudgetSpentError, DivergedError, KeyboardInterrupt) as end:
            status = _ended(end, objective, history)
        best, status, gain = select(rule, state, objective, status)
        memory.finish(best.schedule, best.loss, status, objective.cost, gain)
        used = {"engine": identity(choice.engine), "verification": problem.verification.summary}
        still = rule.unmoved(state, best.schedule)
        result = objective.result(best, status, gain, history, {**settings, **used}, still)
        callback.on_result(result)
    return result


def _ended(end: BaseException, objective: Objective, history: list[OuterStep]) -> Status:
    """Why the search is over, where something that was done stands; else `end` goes on."""
    diverged = isinstance(end, DivergedError)
    if not (history if diverged else objective.evaluated):
        raise end
    if diverged:
        return Status.rejected
    return Status.budget_spent if isinstance(end, BudgetSpentError) else Status.interrupted
