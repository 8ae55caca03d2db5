"""BD3: explore, then commit, as the theorem has it: regret against the horizon, gap against epsilon."""

from __future__ import annotations

import torch

from nongreedy import bandits

from ._cells import Cells, show

CONSTANT, LONG, D = 4.0, 14.0, 6  # C; T in units of kappa d^2 / (Delta^2 eps^4)
CASES = {"kappa 1": ([1.0], 1.0), "kappa 2 (second 0.5)": ([1.0, 0.5], 0.5)}
ACCURACIES = (0.4, 0.2, 0.1)


def cell(eigenvalues: list[float], gap: float, accuracy: float, seeds: int) -> dict[str, object]:
    known = bandits.Known(1.0, gap)
    horizon = round(LONG * known.condition * D**2 / (gap**2 * accuracy**4))
    policy = bandits.PowerThenCommit(accuracy=accuracy, known=known, constant=CONSTANT)
    regret, gaps = [], []
    for seed in range(seeds):
        problem = bandits.QuadraticBandit.planted(D, eigenvalues, seed)
        played = bandits.play(problem, policy, horizon, seed)
        regret.append(float(played.regret[-1]))
        gaps.append((1 - played.final) / accuracy**2)
    return {"horizon": horizon, "regret": regret, "gaps": gaps}


def main(cells: Cells, seeds: int = 20) -> None:
    rows: list[list[object]] = []
    for name, (eigenvalues, gap) in CASES.items():
        told = [
            cells.get(f"commit/{name}/{e}/{seeds}", lambda e=e, v=eigenvalues, g=gap: cell(v, g, e, seeds))
            for e in ACCURACIES
        ]  # fmt: skip
        horizons = torch.tensor([each["horizon"] for each in told])
        slope = bandits.slope(horizons, torch.tensor([each["regret"] for each in told]).T)
        within = [sum(gap <= 2 for gap in each["gaps"]) / seeds for each in told]
        medians = [f"{torch.tensor(each['gaps']).median():.2f}" for each in told]
        rows.append([name, ", ".join(f"{h:,}" for h in horizons.tolist()), slope,
                     ", ".join(medians), ", ".join(f"{w:.0%}" for w in within)])  # fmt: skip
    show(
        ["case", "horizons", "slope of regret [95 %]", "gap / eps^2, median", "gap <= 2 eps^2"],
        rows,
    )
