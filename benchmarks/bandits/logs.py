"""Open Bandit's logged rounds: low rank against LinUCB and against the Thompson policy that was logged.

    pip download --no-deps obp && unzip obp-*.whl -d obp_wheel
    python -m benchmarks.bandits logs --data obp_wheel

The wheel's files are read, none of its code: its estimators need packages that we do not, so the
estimators are ours (nongreedy.bandits.logged), with the same formulas.
"""

from __future__ import annotations

import csv
from pathlib import Path

import torch
from torch import Tensor

from nongreedy.bandits import logged

from ._cells import Cells, show

CAMPAIGNS, FOLDS = ("all", "men", "women"), 5


def read(folder: Path, behaviour: str, campaign: str) -> logged.Log:
    """One log of the wheel: user features as ones and zeros, positions and a constant for contexts."""
    place = folder / "obp" / "dataset" / "obd" / behaviour / campaign
    with (place / f"{campaign}.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    with (place / "item_context.csv").open(newline="") as stream:
        items = sum(1 for _ in csv.DictReader(stream))
    columns = [torch.ones(len(rows), 1)]
    for name in ["position", *(f"user_feature_{k}" for k in range(4))]:
        values = [row[name] for row in rows]
        kinds = sorted(set(values))
        numbers = torch.tensor([kinds.index(value) for value in values])
        # One of the kinds is left out: the constant stands for it.
        columns.append(torch.nn.functional.one_hot(numbers, len(kinds))[:, 1:])
    number = lambda name: torch.tensor([float(row[name]) for row in rows])  # noqa: E731
    return logged.Log(
        torch.cat(columns, 1), number("item_id"), number("click"), number("propensity_score"), items
    )


def greedy(scores: Tensor) -> Tensor:
    """The best item of each round, for certain."""
    return torch.nn.functional.one_hot(scores.argmax(1), scores.shape[1]).double()


def soft(scores: Tensor) -> Tensor:
    """Items by their scores' softmax, so that the best has about ten times an even share: less to gain,
    and far less noise in what is estimated."""
    spread = (scores - scores.mean(1, keepdim=True)) / scores.std(1, keepdim=True).clamp(min=1e-12)
    return spread.softmax(1)


def scored(log: logged.Log, contexts: Tensor, kind: str) -> Tensor:
    """Predicted rewards of all items, for held-out contexts."""
    if kind.startswith("low rank"):
        return contexts @ logged.low_rank_model(log, rank=int(kind.split()[-1]), ridge=20.0)
    coefficients, inverses = logged.linear_model(log, ridge=20.0)
    scores = contexts @ coefficients
    if kind == "LinUCB":
        widths = torch.einsum("ni,kij,nj->nk", contexts, inverses, contexts).clamp(min=0).sqrt()
        scores = scores + 0.1 * widths
    return scores


POLICIES = {"greedy": greedy, "softmax": soft}
KINDS = ("low rank 1", "low rank 2", "LinUCB", "linear")


def evaluated(log: logged.Log, kind: str, choose: str) -> list[list[float]]:
    """Value and error by the three estimators, each round judged by a model that has not seen it."""
    fold = torch.arange(len(log)) % FOLDS
    chances, predicted = (torch.zeros(len(log), log.count, dtype=torch.float64) for _ in range(2))
    for k in range(FOLDS):
        seen, held = log.part(fold != k), fold == k
        chances[held] = POLICIES[choose](scored(seen, log.contexts[held], kind))
        predicted[held] = scored(seen, log.contexts[held], "linear")
    told = [
        logged.inverse_propensity(log, chances), logged.self_normalised(log, chances),
        logged.doubly_robust(log, chances, predicted),
    ]  # fmt: skip
    return [[each.value, each.standard_error, each.effective] for each in told]


def main(cells: Cells, folder: Path | None) -> None:
    if folder is None:
        print(
            "logs: give --data, the unpacked wheel of obp (see the head of benchmarks/bandits/logs.py)."
        )
        return
    for campaign in CAMPAIGNS:
        rows: list[list[object]] = []
        for behaviour, name in (
            ("bts", "logged Thompson, own log"),
            ("random", "logged random, own log"),
        ):
            log = read(folder, behaviour, campaign)
            mean, error = float(log.rewards.mean()), float(log.rewards.std()) / len(log) ** 0.5
            rows.append([name, f"{100 * mean:.3f} ± {100 * error:.3f}", "", "", len(log)])
        log = read(folder, "random", campaign)
        for choose in POLICIES:
            for kind in KINDS:
                told = cells.get(f"logs/{campaign}/{kind}/{choose}",
                                 lambda k=kind, c=choose, lg=log: evaluated(lg, k, c))  # fmt: skip
                shown = [f"{100 * value:.3f} ± {100 * error:.3f}" for value, error, _ in told]
                rows.append([f"{kind}, {choose}", *shown, f"{told[0][2]:.0f}"])
        print(f"Campaign {campaign!r}: {len(log)} random rounds, {int(log.rewards.sum())} clicks, "
              f"{log.count} items. Clicks per hundred rounds ± standard error.")  # fmt: skip
        show(["policy", "IPW", "SNIPS", "DR", "rounds' worth"], rows)
