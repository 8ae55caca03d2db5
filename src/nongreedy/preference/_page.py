"""The page of a dialogue: what is recommended, what was learned, what was asked."""

from __future__ import annotations

from ..reports._document import document, facts, places, settings
from ..reports._markup import section, table, text
from ..schedules._drawing._chart import Axis, Chart, Line, Points
from ..schedules._drawing._palette import FAINT, HYPERGRADIENTS, RETURNED
from ._dialogue import Dialogue
from ._items import Items
from ._recommendation import Interval, Recommendation
from ._surprise import ALARM


def page(dialogue: Dialogue, found: Recommendation) -> str:
    """The whole document."""
    charts = [_weights(found.weights), _front(dialogue, found)]
    body = [
        _head(found),
        section("Trade-offs", places(charts), _exchange(found)),
        section("Questions", _questions(dialogue)),
        section("Items", _items(dialogue, found), _scaling(dialogue)),
        settings(
            {"belief": dialogue.belief.to_json(), "cost of a question": dialogue.stopping.cost}
        ),
    ]
    return document("Recommendation", body, charts, "the tables below say the same")


def _head(found: Recommendation) -> str:
    entries: dict[str, tuple[object, object]] = {
        "Recommended": (found.name, found.described.removeprefix(f"{found.name}: ")),
        "Best of all": (f"{found.chance:.0%}", "probability, given the answers"),
        "Left to gain": (f"{found.regret:.3g}", "of utility, by perfect knowledge"),
        "Answers": (found.answers, "that it rests on"),
    }
    lead = found.reason or "The dialogue is not at its end: the same call goes on."
    warning = ""
    if found.surprise > ALARM:
        warning = (
            f"<p><strong>The answers contradict the belief</strong>: they are {found.surprise:.1f} standard "
            "deviations less likely than it expects.</p>"
        )
    return f"<h1>Recommendation</h1>\n<p>{text(lead)}</p>\n{warning}{facts(entries)}"


def _weights(weights: dict[str, Interval]) -> Chart:
    names = list(weights)[::-1]
    marks = [
        Line([weights[n].low, weights[n].high], [n, n], FAINT, 3, "90 % of the probability")
        for n in names
    ]
    means = Points([weights[n].middle for n in names], names, RETURNED, "mean")
    caption = (
        "Utility from the worst to the best of the items in each attribute: mean, and where 90 % of the "
        "probability lies."
    )
    x, y = Axis("weight"), Axis("attribute", names=True)
    return Chart("weights", "Weights", caption, x, y, [*marks, means], main=False)


def _front(dialogue: Dialogue, found: Recommendation) -> Chart:
    """The two attributes that matter most."""
    items = dialogue.items
    order = sorted(found.weights, key=lambda name: -abs(found.weights[name].middle))
    first, second = ([a.name for a in items.attributes].index(name) for name in order[:2])
    x, y = items.raw[:, first].tolist(), items.raw[:, second].tolist()
    everyone = Points(x, y, FAINT, "items", opacity=0.7, notes=list(items.names))
    chosen = found.member
    best = Points(
        [x[chosen]], [y[chosen]], HYPERGRADIENTS, "recommended", size=14, notes=[found.name]
    )
    caption = f"Items by the two attributes of largest weight; recommended: {found.name}."
    marks, across, up = [everyone, best], _axis(items, first), _axis(items, second)
    return Chart("front", "Items", caption, across, up, marks, legend=True, main=False)


def _axis(items: Items, k: int) -> Axis:
    attribute = items.attributes[k]
    unit = f" ({attribute.unit})" if attribute.unit else ""
    label = f"{attribute.name}{unit}, {attribute.wanted}"
    return Axis.of(label, items.raw[:, k].numpy()) if attribute.log else Axis(label)


def _exchange(found: Recommendation) -> str:
    if not found.exchange:
        return ""
    unit = found.exchange_unit
    head = ["a step", f"is worth so many times {unit}", "90 % of the probability"]
    ends = {step: f"{part.low:.3g} to {part.high:.3g}" for step, part in found.exchange.items()}
    rows = [[step, f"{part.middle:.3g}", ends[step]] for step, part in found.exchange.items()]
    return table(head, rows, numeric=(1, 2))


def _questions(dialogue: Dialogue) -> str:
    rows = []
    given = zip(dialogue.answers, dialogue.predicted, strict=True)
    for number, (answer, (expected, _)) in enumerate(given, 1):
        options = dialogue.options(answer.query)
        rest = "; ".join(o for k, o in enumerate(options) if k != answer.choice)
        rows.append([number, options[answer.choice], rest, f"{float(expected[answer.choice]):.0%}"])
    if not rows:
        return "<p>None was asked.</p>"
    return table(["", "preferred", "to", "expected before"], rows, numeric=(0, 3), long=(1, 2))


def _items(dialogue: Dialogue, found: Recommendation) -> str:
    items, chances = dialogue.items, {found.member: found.chance, **dict(found.others)}
    utilities = items.catalogue.points @ dialogue.belief.mean
    rows = []
    for k in utilities.argsort(descending=True)[:100].tolist():
        cells = [f"{value:.4g}" for value in items.raw[k].tolist()]
        chance = f"{chances[k]:.0%}" if k in chances else ""
        rows.append([items.names[k], *cells, f"{float(utilities[k]):.3f}", chance])
    attributes = [f"{a.name} ({a.unit})" if a.unit else a.name for a in items.attributes]
    head = ["item", *attributes, "expected utility", "best of all"]
    left = f"<p>{items.left_out} more are the same as one of these, or beaten in everything.</p>"
    more = f"<p>The 100 best of {len(items)}.</p>" if len(items) > 100 else ""
    shown = table(head, rows, numeric=range(1, len(head)), long=(0,))
    return more + shown + (left if items.left_out else "")


def _scaling(dialogue: Dialogue) -> str:
    lines = "".join(f"<li>{text(line)}</li>" for line in dialogue.items.scaling())
    return f"<h3>How attributes were scaled</h3><ul>{lines}</ul>"
