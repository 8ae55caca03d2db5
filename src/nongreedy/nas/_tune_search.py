"""The search's own settings, by hypergradients through the search."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch

from .._tune import tune
from ..errors import check_number, check_whole
from ..search import Result
from ..search.rules import OuterRule
from ._checks import check_asked, check_examples, check_target
from ._data import Data
from ._gates import ScaleFreeGate
from ._levels import Level, Validated
from ._relaxed import PRICE, RATE, STRIDE, TEMPERATURE, search_task
from ._supernet import SuperNet
from ._table import CostTable
from ._training import Recipe


@dataclass(frozen=True)
class Tuned:
    """Settings for :func:`search`.

    Attributes:
        recipe: With the learning rate of weights.
        level: With the rate of thresholds, and the price of latency that it begins with.
        gate: With its temperatures: pass it where the network is made.
        result: Of :func:`nongreedy.tune`: the schedule, its gain over the settings at first, the cost.
    """

    recipe: Recipe
    level: Validated
    gate: ScaleFreeGate
    result: Result

    def __str__(self) -> str:
        rate = float(self.result.schedule[RATE])
        return (
            f"learning rate {rate:.3g}, rate of thresholds {self.level.threshold_rate:.3g}, first price "
            f"{self.level.first_price:.3g}, temperature {self.gate.first:.3g} to {self.gate.last:.3g}\n"
            f"{self.result.gain.verdict if self.result.gain else ''}"
        ).rstrip()


def tune_search(
    network: SuperNet,
    train_data: Any,
    validation_data: Any,
    *,
    target: float,
    table: CostTable,
    steps: int = 100,
    recipe: Recipe | None = None,
    level: Level | None = None,
    first_price: float = 0.3,
    penalty: float = 10.0,
    budget: float = 40.0,
    outer: str | OuterRule = "agreement",
    seed: int = 0,
    dtype: torch.dtype = torch.float32,
    **settings: Any,
) -> Tuned:
    r"""Tune the settings of a search by exact hypergradients through a short one.

    .. math:: \min_{\alpha, \beta, \nu, \tau} \; L_\mathrm{val}(w_T, s_T)
        + \kappa \max(0, \ln R(s_T) / R_\mathrm{target})^2

    alpha is the peak of the weights' learning rate, beta the rate of thresholds, nu the price of latency,
    tau a factor on the gate's temperatures. The run is the loop of :class:`Validated`, warm-up and random
    architectures included, at a fixed price, and with sigmoids of what the gate says in place of steps. A
    step has no derivative to follow: between two flips of a gate the loss does not depend on its threshold.

    Args:
        network: The super-network that will be searched; a copy is trained.
        train_data, validation_data, target: As in :func:`search`.
        table: Of costs.
        steps: T, of each run. Memory grows with it.
        recipe: Of the search, of which all but the learning rate stays; its optimizer must be AdamW.
        level: Of the search; warm-up and exploration stay.
        first_price: nu where tuning begins, in loss per unit of the logarithm of the cost.
        penalty: kappa, in loss; an excess of e costs `penalty` times e squared.
        budget: Plain runs' worth of gradients to spend. A step of the run takes two gradients.
        outer: The rule, as in :func:`nongreedy.tune`. By default one that begins with the settings of
            `recipe` and `level`; that of `tune` would first scale both learning rates by powers of ten.
        seed: Of every draw.
        dtype: Of the runs.
        settings: More of what :func:`nongreedy.tune` takes: `engine`, `seeds`, `study`, `progress`.

    Returns:
        What :func:`search` takes. The rate of thresholds is scaled from T to the steps of the recipe: so
        they can travel as far.

    Raises:
        ValueError: A gate without a temperature, a level with hard gates, another optimizer, a target
            below the cheapest network.
        DataError, TypeError: As of :func:`search`.
        DivergedError: The first run diverges.

    Source: the question is that of arXiv:1907.00959; its code was never released. Hypergradients:
    arXiv:2007.07869.

    Cannot: tune what counts steps or draws architectures (warm-up, exploration): :func:`optuna_objective`
    does. Nor see what hard gates and the readout make of these settings: judge searches by them on other
    examples. With ReLU the loss has small jumps, over which gradients do not look.

    Example:
        >>> from nongreedy import nas
        >>> x = torch.randn(96, 1, 8, 8); y = (x.mean((1, 2, 3)) > 0).long()
        >>> net = nas.search_space(classes=2, in_channels=1, resolution=8, width=0.25, head=8,
        ...                        depth=(2, 0, 0, 0, 0))
        >>> examples = {"train_data": (x[:64], y[:64]), "validation_data": (x[64:], y[64:])}
        >>> goal = {"target": 8e3, "table": nas.parameters(net)}
        >>> tuned = nas.tune_search(net, **examples, **goal, steps=6, recipe=nas.Recipe(8, 16), budget=12,
        ...                         progress=False)
        >>> net.gating.gate = tuned.gate
        >>> found = nas.search(net, **examples, **goal, recipe=tuned.recipe, level=tuned.level)
        >>> found.predicted <= 8e3
        True
    """
    check_asked(network, table=table, recipe=recipe, level=level)
    recipe, level, gate = recipe or Recipe(), level or Validated(), network.gating.gate
    check_whole("steps", steps, 2)
    check_number("first_price", first_price)
    check_number("penalty", penalty)
    if not isinstance(level, Validated):
        raise ValueError(
            f"{type(level).__name__} cannot be tuned by hypergradients: its gates are steps, between whose "
            "flips the loss does not depend on thresholds. Tune Validated, or use nas.optuna_objective."
        )
    if not isinstance(gate, ScaleFreeGate):
        raise ValueError(
            f"{type(gate).__name__} has no temperature, by which a gate opens by degrees. Make the network "
            "with gate=nas.ScaleFreeGate()."
        )
    table.check(network)
    check_target(table, target)
    learn, held = Data.of(train_data, "train_data"), Data.of(validation_data, "validation_data")
    check_examples(network, recipe, train_data=learn, validation_data=held)
    task, optimizer = search_task(
        copy.deepcopy(network), learn, held, table, target, recipe, level, steps, first_price, penalty
    )  # fmt: skip
    result = tune(
        task, optimizer, steps=steps, budget=budget, outer=outer, seed=seed, dtype=dtype, **settings
    )
    rate, stride, price, factor = (
        float(result.schedule[name]) for name in (RATE, STRIDE, PRICE, TEMPERATURE)
    )
    return Tuned(
        replace(recipe, optimizer=_with_rate(recipe, network, rate)),
        replace(level, threshold_rate=stride * steps / recipe.steps, first_price=price),
        replace(gate, first=factor * gate.first, last=factor * gate.last),
        result,
    )


def _with_rate(
    recipe: Recipe, network: SuperNet, rate: float
) -> Callable[..., torch.optim.Optimizer]:
    kept = recipe.adamw(network.weights())
    names = ("betas", "eps", "weight_decay")
    return partial(torch.optim.AdamW, lr=rate, **{name: kept[name] for name in names})
