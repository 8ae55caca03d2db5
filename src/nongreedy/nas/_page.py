"""The page of a search: the architecture, what it costs, and how it stands beside others."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ..reports._document import document, facts, places, settings
from ..reports._markup import section, table, text
from ..schedules._drawing._chart import Axis, Chart, Line, Points
from ..schedules._drawing._palette import BAD, FAINT, HYPERGRADIENTS, PAPER, RETURNED, RUNS
from ._found import Found
from ._picture import picture
from ._rivals import Rival, best_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_KINDS = {
    "random": (RUNS, "ring", 6), "random, as slow": (RUNS, "dot", 9),
    "uniform": (HYPERGRADIENTS, "dot", 9), "found": (RETURNED, "dot", 12),
}  # fmt: skip


def page(found: Found, rows: Sequence[Rival], asked: dict[str, Any]) -> str:
    """The whole document."""
    charts = [trade_off(found, rows), course(found)]
    body = [
        _head(found, rows),
        section(
            "Architecture", str(picture(found)), f'<p class="faint">{text(_legend(found))}</p>'
        ),
        section("Trade-off and search", places(charts)),
        _beside(found, rows),
        _layers(found),
        section("Use it", f"<pre><code>{text(_CODE)}</code></pre>"),
        settings(asked),
    ]
    return document(
        "Architecture search", body, charts, "nas.png beside this page shows the trade-off"
    )


_CODE = """\
# model.py beside this page needs PyTorch alone; model.onnx runs anywhere.
import torch
from model import build

network = build()
network.load_state_dict(torch.load("model.pt"))
network.eval()
"""


def _head(found: Found, rows: Sequence[Rival]) -> str:
    unit = found.table.unit
    off = ""
    if found.measured is not None:
        off = f"{100 * (found.measured / found.target - 1):+.1f} % of the target"
    weights = sum(parameter.numel() for parameter in found.network.parameters())
    boxes: dict[str, tuple[object, object]] = {
        "Target": (f"{found.target:.4g} {unit}", "asked for"),
        "Measured": ("not here" if found.measured is None else f"{found.measured:.4g} {unit}", off),
        "Predicted": (
            f"{found.predicted:.4g} {unit}",
            "by the table, before it was measured",
        ),
        "Accuracy": (f"{100 * found.validation_accuracy:.1f} %", "on validation examples"),
        "Parameters": (f"{weights:,}", f"of {found.table.space.size:,} architectures"),
        "Search": (f"{found.search_cost:.0f} steps", f"then {found.final_cost:.0f} of training"),
    }
    lead = (
        "One super-network was trained in which every choice is a part of the same weights; gates "
        "that were open most often, under a price of latency, and flips judged on validation examples "
        "chose the architecture below, which was measured and trained."
    )
    return f"<h1>Architecture search</h1>\n<p>{text(lead)}</p>\n{facts(boxes)}{_verdict(rows)}"


def _verdict(rows: Sequence[Rival]) -> str:
    own = best_of(rows, "found")
    others = [best_of(rows, kind) for kind in ("uniform", "random, as slow")]
    said = [f"the best {row.kind}: {100 * (row.trained or 0):.1f} %" for row in others if row]
    if own is None or not said:
        return ""
    lead = f"Trained alike, the one that was found: {100 * (own.trained or 0):.1f} %; "
    end = ". One training each: differences of a point are noise."
    return f"<p>{text(lead + '; '.join(said) + end)}</p>"


def _legend(found: Found) -> str:
    return (
        "Each box is a layer, in its kernel's colour and as tall as its expansion; the numbers below are "
        f"its place and its cost in {found.table.unit}."
    )


def trade_off(found: Found, rows: Sequence[Rival]) -> Chart:
    """Cost against accuracy: with the shared weights, and of those that were trained."""
    unit, marks = found.table.unit, []
    for kind, (colour, symbol, size) in _KINDS.items():
        own = [row for row in rows if row.kind == kind]
        if own:
            xs, ys = [row.predicted for row in own], [100 * row.shared for row in own]
            notes = [str(row.architecture) for row in own]
            marks.append(Points(xs, ys, colour, kind, symbol, size, notes=notes))
    done = [row for row in rows if row.trained is not None]
    marks.append(
        Points(
            [row.predicted for row in done], [100 * (row.trained or 0) for row in done], BAD,
            "after training", "cross", 9, notes=[f"{r.kind}: {r.architecture}" for r in done],
        )
    )  # fmt: skip
    low, high = (100 * f(min(r.shared, r.trained or r.shared) for r in rows) for f in (min, max))
    ends = (low - 0.1 * (high - low), max(100.5, high))
    marks.append(Line([found.target] * 2, ends, FAINT, 1.2, "target", dash="dash"))
    caption = (
        f"Accuracy on validation examples over predicted {unit}: with the shared weights, before any "
        "training of its own, and after it (crosses). Left of the dashed line the target is met."
    )
    return Chart(
        "tradeoff", "trade-off", caption, Axis(f"predicted {unit}"), Axis("accuracy (%)", ends), marks,
        legend=True, tall=True,
    )  # fmt: skip


def image(found: Found, rows: Sequence[Rival]) -> Figure:
    """The trade-off for those who read no page, its points named."""
    from matplotlib.lines import Line2D

    from ..schedules._drawing._matplotlib import single

    chart = trade_off(found, rows)
    figure = single(chart)
    named = [
        Line2D(
            [], [], linestyle="none", color=mark.colour, markersize=mark.size, label=mark.label,
            marker="x" if mark.symbol == "cross" else "o",
            markerfacecolor=PAPER if mark.symbol == "ring" else mark.colour,
        )
        for mark in chart.marks
        if isinstance(mark, Points)
    ]  # fmt: skip
    figure.legend(handles=named, loc="outside right lower", frameon=False, fontsize=9)
    return figure


def course(found: Found) -> Chart:
    """What the gates cost on the way, and its average, which the price steers."""
    steps = [row[0] for row in found.history]
    marks = [
        Line(steps, [row[1] for row in found.history], RUNS, 0.8, "by the gates"),
        Line(steps, [row[2] for row in found.history], RETURNED, 2.4, "average"),
        Line([0, max(steps, default=1)], [found.target] * 2, FAINT, 1.2, "target", dash="dash"),
    ]
    caption = (
        f"Predicted {found.table.unit} of what the gates said at each step after the warm-up, and its "
        "average, which the price of latency pulls towards the target."
    )
    name = f"cost ({found.table.unit})"
    return Chart(
        "course", "search", caption, Axis("step"), Axis(name), marks, legend=True, tall=True
    )


def _beside(found: Found, rows: Sequence[Rival]) -> str:
    head = ["kind", f"predicted {found.table.unit}", "shared weights", "trained", "architecture"]
    chosen = [row for row in rows if row.kind != "random"]
    lines = [
        [
            row.kind, f"{row.predicted:.4g}", f"{100 * row.shared:.1f} %",
            "" if row.trained is None else f"{100 * row.trained:.1f} %", str(row.architecture),
        ]
        for row in chosen
    ]  # fmt: skip
    return section("Beside others", table(head, lines, numeric=(1, 2, 3), long=(4,)))


def _layers(found: Found) -> str:
    head = ["layer", "choice", f"cost ({found.table.unit})", "how often each gate was open"]
    lines = []
    for place, choice in enumerate(found.architecture.choices):
        gates = found.table.space.layers[place].gates
        pairs = zip(gates, found.averages[place] if found.averages else (), strict=False)
        said = ", ".join(f"{name} {share:.2f}" for name, share in pairs)
        cost = f"{found.table.cost(place, choice):.4g}"
        lines.append([place + 1, "skip" if choice is None else str(choice), cost, said])
    return section("Layers", table(head, lines, numeric=(0, 2), long=(3,)))
