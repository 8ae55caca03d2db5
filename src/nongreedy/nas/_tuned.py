"""The search's own settings, chosen by an Optuna sampler outside."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import torch

from ..errors import DivergedError
from ._levels import Validated
from ._search import search
from ._supernet import SuperNet
from ._table import CostTable
from ._training import Recipe

if TYPE_CHECKING:
    from optuna.trial import Trial


def optuna_objective(
    make: Callable[[], SuperNet],
    train_data: Any,
    validation_data: Any,
    *,
    target: float,
    table: CostTable,
    recipe: Recipe | None = None,
    seed: int = 0,
    **settings: Any,
) -> Callable[[Trial], float]:
    r"""An objective for ``optuna.Study.optimize`` over the settings of a search itself.

    .. math:: \min_z L_\mathrm{val}(w^*, a(z)), \qquad
        z = (\text{learning rate, warm-up, exploration, rates of thresholds and of the price})

    Each trial is a whole :func:`search` from a fresh super-network and the training of what it found, at the
    same seed. It keeps as user attributes ``architecture``, ``predicted``, ``validation_accuracy``, ``cost``
    (gradient steps) and ``seconds``. A trial that diverges is pruned.

    Args:
        make: Returns a super-network with fresh weights, the same at each call.
        train_data, validation_data, target, table, recipe, seed: As in :func:`search`.
        settings: More of what :func:`search` takes, but `level`.

    Returns:
        A function of a trial: the validation loss of the trained network.

    Source: the question is that of arXiv:1907.00959; its code was never released.

    Cannot: judge without the validation examples that the search has used already: judge the winner on
    others. It differentiates nothing; each trial costs a search.

    Example:
        >>> import optuna
        >>> from nongreedy import nas
        >>> optuna.logging.set_verbosity(optuna.logging.WARNING)
        >>> x = torch.randn(32, 1, 8, 8); y = (x.mean((1, 2, 3)) > 0).long()
        >>> make = lambda: nas.search_space(classes=2, in_channels=1, resolution=8, width=0.25, head=8,
        ...                                 depth=(2, 0, 0, 0, 0))
        >>> table = nas.parameters(make())
        >>> study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
        >>> study.optimize(nas.optuna_objective(make, (x, y), (x, y), target=8e3, table=table,
        ...                                     recipe=nas.Recipe(8, 16)), n_trials=2)
        >>> study.best_trial.user_attrs["predicted"] <= 8e3
        True
    """
    recipe = recipe or Recipe()

    def objective(trial: Trial) -> float:
        from optuna import TrialPruned

        rate = trial.suggest_float("learning_rate", 5e-4, 2e-2, log=True)
        level = Validated(
            warm_up=trial.suggest_float("warm_up", 0.2, 0.8),
            explore=trial.suggest_float("explore", 0.0, 1.0),
            threshold_rate=trial.suggest_float("threshold_rate", 1e-3, 0.3, log=True),
            price_rate=trial.suggest_float("price_rate", 1e-3, 0.3, log=True),
        )
        weights = partial(torch.optim.AdamW, lr=rate, weight_decay=0.02)
        begin = time.perf_counter()
        try:
            found = search(
                make(), train_data, validation_data, target=target, table=table, level=level,
                recipe=replace(recipe, optimizer=weights), final=recipe, seed=seed, **settings,
            )  # fmt: skip
        except DivergedError as error:
            trial.set_user_attr("diverged", str(error))
            raise TrialPruned(str(error)) from error
        finally:
            trial.set_user_attr("seconds", round(time.perf_counter() - begin, 3))
        trial.set_user_attr("architecture", found.architecture.to_json())
        trial.set_user_attr("predicted", found.predicted)
        trial.set_user_attr("validation_accuracy", found.validation_accuracy)
        trial.set_user_attr("cost", found.search_cost + found.final_cost)
        return found.validation_loss

    return objective
