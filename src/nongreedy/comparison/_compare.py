"""The fair comparison: many methods, one task, equal budgets, fresh trainings."""

import math
import os
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch

from ..engines import Engine, Problem
from ..errors import check_whole
from ..optimizers import Optimizer
from ..schedules import Schedule, identity
from ..search import Callback, Callbacks, Memory, Request, Status
from ..search._settings import versions
from ..search.rules._rungs import automatic
from ..studies import Study, remembering
from ..task import Task
from ..task._task import checked_task
from ._comparison import Comparison
from ._meter import Meter
from ._method import Method
from ._methods import settled
from ._piece import Piece, means, measured, measures

FRESH, _APART = 1_000_003, 1000  # seeds of fresh trainings: none of any search's own


def _ignore(_: object) -> None:
    """Tell nobody."""


def compare(
    task: Task,
    optimizer: Optimizer,
    *,
    budget: float,
    epochs: float | None = None,
    steps: int | None = None,
    methods: str | Iterable[str] | Mapping[str, Method] = "all",
    seeds: int = 3,
    retrain_seeds: int = 5,
    curve_seeds: int = 2,
    seed: int = 0,
    engine: str | Engine = "auto",
    dtype: torch.dtype = torch.float32,
    study: str | os.PathLike[str] | Study | None = None,
    shared: bool = False,
    name: str | None = None,
    callbacks: Iterable[Callback] = (),
    started: Callable[[str], object] = _ignore,
    finished: Callable[[Piece], object] = _ignore,
) -> Comparison:
    r"""Search for schedules by many methods with equal budgets, and judge them by fresh trainings.

    .. math:: r_m(c) = \operatorname{mean}_k J_{mk}(c) - \min_m \operatorname{mean}_k J_{mk}

    with :math:`J_{mk}(c)` the validation loss, in fresh trainings, of what method m would have returned
    at outer seed k for a cost of c plain runs (or another measure: :meth:`Comparison.regret`). Costs are
    gradient evaluations, counted whole: hypergradients, the tuning of peaks and of a baseline's own
    settings, runs that diverged (up to there) or were pruned (likewise), and the final of each search.
    Every search chooses on validation
    data; it does not have the test data. Its choice is then trained afresh by plain PyTorch on seeds
    that no search has used.

    The methods, by name:

    * ``default``, ``agreement``, ``paper``: :func:`tune` by this library's default rule, by
      :class:`AgreementSearch`, and by the paper's rule from zero;
    * ``recipe``: by the default rule, over what :mod:`nongreedy.recipe` adds as well: augmentation,
      label smoothing, noise, factors on rates, decays and first weights. No other method has these;
    * ``random``, ``tpe``, ``gp``: Optuna's samplers at its defaults, over the same coefficients, each in a
      positive range (SGD's learning rate 1e-4 to 3, others' 1e-5 to 0.1, momentum 0 to 0.99 in decades
      of one minus it, weight decay 1e-6 to 1e-2; `bounds` of a basis go before these);
    * ``tpe-hyperband``: TPE, and runs that Optuna's ``HyperbandPruner`` (eta 3) may cut after a 27th, a
      ninth or a third of their steps, by the validation loss there;
    * ``bohb``: the usual stand-in for it, the same two, where a trial trains anew at each of these
      budgets under its whole schedule, stretched to them;
    * these, but for ``gp``, with ``-paper-ranges``: learning rate in [-1, 1], momentum in [-1.5, 1.5],
      weight decay in [-4e-3, 4e-3], every value as likely, for SGD;
    * ``tpe``, ``gp``, ``bohb`` with ``-practice``: a fifth of the budget brackets the peak of a rate that
      falls to nothing; they then search a decade around it, and around the settings given below;
    * ``hypergradient-descent``: :func:`train_online` with :class:`Greedy`, two plain runs each, where
      TPE chooses initial values and outer learning rate;
    * ``cosine``, ``linear``, ``constant``, ``one-cycle``: the peak tuned over a grid in equal ratios
      (SGD's 1e-3 to 3), and nothing else; SGD's momentum 0.9 and weight decay 5e-4, AdamW's 0.01;
    * ``constant-average``, ``schedule-free``, ``prodigy``: likewise, a constant rate and the mean of the
      weights over the last quarter of the run; schedule-free SGD or AdamW; Prodigy under half a cosine,
      by its coefficient (0.1 to 10).

    At the end of each search its six best schedules, or as many as the budget allows, meet again on
    common fresh seeds, in rounds after which the worse half leaves.

    Args:
        task: Model, loss and data. Without test data the fresh trainings are judged on validation.
        optimizer: What is learned (bases: every search has the same coefficients) and what is fixed.
        budget: Plain training runs' worth of gradients, for each search.
        epochs: Length of one training run, or
        steps: its length in steps.
        methods: ``"all"`` that can take part, names of those above, or your own by name.
        seeds: Searches per method, the outer seeds; standard errors are over these.
        retrain_seeds: Fresh trainings of each search's choice.
        curve_seeds: Fresh trainings, no part of the budget, of each schedule that a search would have
            returned on the way, for the curve. With 0, the curve shows the best losses that searches
            saw; of the least of many noisy ones, a part is luck.
        seed: The first outer seed.
        engine: Of hypergradients.
        dtype: Of the runs of searches.
        study: Where the comparison is kept: a :class:`Study`, the path of an SQLite file or the URL of a
            database. A repeated call goes on there; a kill costs one run or sweep at most, and it ends as
            if there had been none. The study holds what is finished; each search has one of its own
            beside it (``nongreedy|default|0``: study, method, outer seed).
        shared: Whether other processes, on this machine or on others, may work on the same comparison: each
            of them makes this call, claims one search after the other, and returns when all are done.
            Of one that dies, another goes on with its search (:class:`Study`, `heartbeat`).
        name: Of the task, in titles; None is how it calls itself.
        callbacks: Who watches the runs; what they raise ends the comparison, and the study keeps it.
        started, finished: Told the name of each search that begins, and each piece that is done.

    Returns:
        Rows, files and the figure; ``print`` shows the table.

    Raises:
        ValueError: Bad settings (``Windows("auto")`` is one), unknown methods, a budget that is too
            small for one of them, or a method asked for by name that cannot take part.
        StudyError: The study cannot be read or written, is held by another process, or is of another
            comparison.

    Source: the comparison of arXiv:2007.07869, Figure 1, at equal cost; its ranges as far as known.

    Cannot: compare wall-clock times fairly on a busy machine.

    Example:
        >>> import torch, nongreedy as ng
        >>> x = torch.randn(64, 4); y = (x[:, 0] > 0).long()
        >>> task = ng.Task(lambda: torch.nn.Linear(4, 2), torch.nn.functional.cross_entropy,
        ...                (x, y), (x, y), batch_size=16)
        >>> compared = ng.compare(task, ng.SGD(), steps=8, budget=8, methods=["default", "cosine"],
        ...                       seeds=1, retrain_seeds=2)
        >>> sorted(row.method for row in compared.rows())
        ['cosine', 'default']
    """
    if checked_task(task).shards.many:
        raise ValueError(
            "A comparison shares whole searches, not the steps of a run: give the task as it was before "
            "parallel.sharded, and shared=True."
        )
    if task.choices:
        raise ValueError(
            f"A comparison is one of schedules, and {', '.join(task.choices)} of the task is searched "
            "without derivatives: fix it by a number."
        )
    whole = Problem.of(task, optimizer, epochs=epochs, steps=steps, dtype=dtype)
    problem = whole.without_test()
    _check(problem, seeds=seeds, retrain_seeds=retrain_seeds, curve_seeds=curve_seeds, seed=seed)
    chosen, skipped = settled(methods, problem, budget)
    settings = {
        **problem.fingerprint(), "engine": identity(engine), "budget": budget,
        "retrain_seeds": retrain_seeds, "curve_seeds": curve_seeds,
    }  # fmt: skip
    called = name or task.name
    watch, done = Callbacks(callbacks), dict[str, Piece]()
    searches = {
        f"{way}|{outer}": _Search(way, method, engine, whole, outer, settings, watch, called)
        for outer in range(seed, seed + seeds)
        for way, method in chosen.items()
    }
    with remembering(study, settings, problem, shared=shared) as memory:
        with closing(memory.pieces(searches)) as claimed:
            for key in claimed:
                if memory.noted(key) is not None:
                    continue
                started(f"{searches[key].name}, outer seed {searches[key].outer}")
                part = memory.part(key, {**settings, "search": key, **versions()})
                done[key] = searches[key].piece(part)
                memory.note(key, done[key].to_json())
                finished(done[key])
        pieces = [done.get(key) or Piece.from_json(memory.noted(key)) for key in searches]
    return Comparison(pieces, {**settings, "task": called}, skipped)


def _check(problem: Problem, **counts: int) -> None:
    for name, hyper in problem.learned.items():
        if automatic(hyper.basis):
            raise ValueError(
                f"{name} is Windows('auto'), but every search must choose the same number of values. "
                "Give a number of windows, such as Windows(4)."
            )
    for name, count in counts.items():
        check_whole(name, count, least=0 if name in ("seed", "curve_seeds") else 1)


@dataclass(frozen=True)
class _Search:
    """One search, and fresh trainings of its choice."""

    name: str
    method: Method
    engine: str | Engine
    problem: Problem
    outer: int
    settings: Mapping[str, Any]
    callback: Callback
    called: str

    def piece(self, memory: Memory) -> Piece:
        """All of it, but for what the memory knows."""
        without = self.problem.without_test()
        meter = Meter(
            without, self.settings["budget"], self.outer, self.method.runner, self.engine,
            memory, self.callback,
        )  # fmt: skip
        begin = time.perf_counter()
        best = self.method.search(without, meter)
        seconds = meter.once("seconds", lambda: time.perf_counter() - begin)
        if best is not None:
            memory.finish(best.schedule, best.loss, Status.completed, meter.cost)
        judged: list[tuple[float, Mapping[str, float]]] = [
            (cost, means(self._fresh(meter, schedule, "curve_seeds")))
            for cost, schedule in meter.incumbents
            if self.settings["curve_seeds"]
        ]
        fresh = {} if best is None else self._fresh(meter, best.schedule, "retrain_seeds")
        if judged and fresh:
            judged.append((meter.cost, means(fresh)))
        return Piece(
            self.name, self.outer, meter.cost, math.inf if best is None else best.loss, fresh,
            None if best is None else best.schedule.to_json(), meter.curve, judged,
            meter.runs, meter.unfinished, seconds, {**self.settings, "task": self.called},
        )  # fmt: skip

    def _fresh(self, meter: Meter, schedule: Schedule, seeds: str) -> dict[str, list[float]]:
        """Measures of fresh trainings, as many as the settings say."""
        first, steps = FRESH + _APART * self.outer, self.problem.steps

        def trained(seed: int) -> dict[str, float | None]:
            self.callback.on_run_start("fresh training", steps)
            return measures(self.method.retrain(self.problem, schedule, seed))

        return measured(
            [
                meter.once(Request("fresh", schedule, seed, steps).key, partial(trained, seed))
                for seed in range(first, first + self.settings[seeds])
            ]
        )
