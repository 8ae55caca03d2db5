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

CAMPAIGNS = ("all", "men", "women")


FEATURES = ("position", *(f"user_feature_{k}" for k in range(4)))


def table(folder: Path, behaviour: str, campaign: str, file: str) -> list[dict[str, str]]:
    """Rows of one of the wheel's files."""
    place = folder / "obp" / "dataset" / "obd" / behaviour / campaign / f"{file}.csv"
    with place.open(newline="") as stream:
        return list(csv.DictReader(stream))


def read(folder: Path, behaviour: str, campaign: str) -> logged.Log:
    """One log of the wheel: a constant, positions and user features as ones and zeros for contexts."""
    rows = table(folder, behaviour, campaign, campaign)
    items = len(table(folder, behaviour, campaign, "item_context"))
    both = [*table(folder, "bts", campaign, campaign), *table(folder, "random", campaign, campaign)]
    columns = [torch.ones(len(rows), 1)]
    for name in FEATURES:
        kinds = {kind: k for k, kind in enumerate(sorted({row[name] for row in both}))}
        numbers = torch.tensor([kinds[row[name]] for row in rows])
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
KINDS = ("low rank 2", "LinUCB", "linear")


def evaluated(learned: logged.Log, judged: logged.Log, kind: str, choose: str) -> list[list[float]]:
    """Value and error by the three estimators: one log learned from, the other one judges."""
    chances = POLICIES[choose](scored(learned, judged.contexts, kind))
    predicted = scored(learned, judged.contexts, "linear")
    told = [
        logged.inverse_propensity(judged, chances), logged.self_normalised(judged, chances),
        logged.doubly_robust(judged, chances, predicted),
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
        learned, judged = (read(folder, kind, campaign) for kind in ("bts", "random"))
        for log, name in (
            (learned, "logged Thompson, own log"),
            (judged, "logged random, own log"),
        ):
            mean, error = float(log.rewards.mean()), float(log.rewards.std()) / len(log) ** 0.5
            rows.append([name, f"{100 * mean:.2f} ± {100 * error:.2f}", "", "", len(log)])
        for choose in POLICIES:
            for kind in KINDS:
                told = cells.get(
                    f"logs/{campaign}/{kind}/{choose}",
                    lambda a=learned, b=judged, k=kind, c=choose: evaluated(a, b, k, c),
                )
                shown = [f"{100 * value:.2f} ± {100 * error:.2f}" for value, error, _ in told]
                rows.append([f"{kind}, {choose}", *shown, f"{told[0][2]:.0f}"])
        print(f"Campaign {campaign!r}: learned from {len(learned)} rounds of the logged Thompson policy, "
              f"{int(learned.rewards.sum())} clicks; judged on {len(judged)} random rounds, "
              f"{int(judged.rewards.sum())} clicks; {judged.count} items. Clicks per hundred rounds ± "
              "standard error.")  # fmt: skip
        show(["policy", "IPW", "SNIPS", "DR", "rounds' worth"], rows)
