"""The picture of a comparison: regret against cost, as in Figure 1 of the paper."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from matplotlib.figure import Figure

from ..reports._figure import FAINT, INK, PAPER, RETURNED
from ._regret import Drawn, Line

OURS = ("default", "paper")
# Families of methods: what their names begin with, and their colours.
_FAMILIES = {
    OURS: [RETURNED, "#3f86c0"],
    ("random", "tpe", "bohb"): ["#b5651d", "#d98e32", "#8f2d1f", "#c44e52"],
    ("hypergradient",): ["#5b3f8c"],
    ("",): ["#2e7d4f", "#7fb069", "#1f5a5a", "#9aa21b"],
}


def regret_figure(curves: Mapping[str, Line], path: str | Path) -> Path:
    """Draw the regret of every method over the plain runs that it spent.

    Args:
        curves: Method -> (cost, regret), see :func:`regrets`.
        path: Where the image goes; the suffix chooses the format.

    Returns:
        ``path``, written.
    """
    figure = Figure(figsize=(9.2, 5.2), facecolor=PAPER, layout="constrained")
    axis = figure.add_subplot()
    drawn = Drawn.of(curves)
    for name, style in styles(list(curves)).items():
        costs, values = zip(*drawn.lines[name], strict=True)
        axis.step(costs, values, where="post", label=name, **style)
    axis.set_yscale("log")
    axis.set_xlabel("cost, in plain training runs", color=FAINT)
    axis.set_ylabel("validation loss above that of the best of all", color=FAINT)
    axis.set_title("Regret against cost", loc="left", color=INK, fontsize=12, fontweight="bold")
    axis.text(
        0.005, 0.01, "the best of all is 0, drawn just above this edge", color=FAINT, fontsize=8.5,
        transform=axis.transAxes, va="bottom",
    )  # fmt: skip
    axis.set_ylim(drawn.floor / 1.25, drawn.top)
    axis.grid(axis="y", color="#e7eaee", linewidth=0.8)
    axis.tick_params(colors=FAINT, which="both")
    for side in ("top", "right"):
        axis.spines[side].set_visible(False)
    if curves:
        figure.legend(loc="outside right upper", frameon=False, fontsize=9, labelcolor=INK)
    path = Path(path)
    figure.savefig(path, dpi=160)
    return path


def styles(names: list[str]) -> dict[str, dict]:
    """Colours by family; this library's methods are thick, the paper's ranges dotted."""
    left = {family: list(colours) for family, colours in _FAMILIES.items()}
    colours: dict[str, str] = {}
    found = {}
    for name in names:
        base = name.removesuffix("-paper-ranges")
        if base not in colours:
            family = next(f for f in left if base.startswith(f))
            colours[base] = left[family].pop(0) if left[family] else FAINT
        found[name] = {
            "color": colours[base],
            "linewidth": 2.6 if base in OURS else 1.4,
            "linestyle": ":" if base != name else "-",
        }
    return found
