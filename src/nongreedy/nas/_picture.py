"""An architecture as a picture: one box per layer, as tall as it is wide inside, in its kernel's colour."""

from __future__ import annotations

from collections.abc import Sequence

from ..reports._markup import Html, text
from ._architecture import Choice
from ._found import Found

COLOURS = ("#7fb2da", "#2f77b4", "#d08a32", "#b3362b")
_STEP, _BOX, _TALL, _TOP = 64, 50, 120, 26


def picture(found: Found) -> Html:
    """SVG, readable on white and on black."""
    layers = found.table.space.layers
    widest = max(expansion for options in layers for expansion in options.expansions)
    kernels = sorted({kernel for options in layers for kernel in options.kernels})
    boxes = [
        _box(place, choice, widest, kernels)
        for place, choice in enumerate(found.architecture.choices)
    ]
    costs = [found.table.cost(*pair) for pair in enumerate(found.architecture.choices)]
    below = _TOP + _TALL
    notes = "".join(
        f'<text x="{_middle(place)}" y="{below + 34}" class="cost">{cost:.3g}</text>'
        for place, cost in enumerate(costs)
    )
    width, height = _STEP * len(boxes) + 14, below + 70
    axis = f'<line x1="4" x2="{width - 4}" y1="{below}" y2="{below}" stroke="currentColor"/>'
    key = _key(kernels, below + 58)
    return Html(
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" '
        f'style="width:100%;max-width:{min(1050, 1.4 * width)}px;color:inherit" font-size="12" '
        'font-family="system-ui,sans-serif" text-anchor="middle" fill="currentColor" role="img" '
        f'aria-label="{text(str(found.architecture))}">{axis}{"".join(boxes)}{notes}{key}</svg>'
    )


def _middle(place: int) -> float:
    return _STEP * place + _STEP / 2 + 4


def _box(place: int, choice: Choice | None, widest: float, kernels: Sequence[int]) -> str:
    x, base = _middle(place) - _BOX / 2, _TOP + _TALL
    number = f'<text x="{_middle(place)}" y="{base + 17}">{place + 1}</text>'
    if choice is None:
        return (
            f'<line x1="{x}" x2="{x + _BOX}" y1="{base - 10}" y2="{base - 10}" stroke="currentColor" '
            f'stroke-dasharray="4 4"/><text x="{_middle(place)}" y="{base - 18}">skip</text>{number}'
        )
    tall = _TALL * choice.expansion / widest
    colour = COLOURS[kernels.index(choice.kernel) % len(COLOURS)]
    dots = '<tspan dx="3">se</tspan>' if choice.squeeze else ""
    return (
        f'<rect x="{x}" y="{base - tall}" width="{_BOX}" height="{tall}" rx="3" fill="{colour}"/>'
        f'<text x="{_middle(place)}" y="{base - tall - 6}">e{choice.expansion:g}{dots}</text>'
        f'<text x="{_middle(place)}" y="{base - tall / 2 + 4}" fill="#ffffff" font-weight="600">'
        f"{choice.kernel}×{choice.kernel}</text>{number}"
    )


def _key(kernels: Sequence[int], y: float) -> str:
    parts = [
        f'<rect x="{10 + 90 * k}" y="{y - 10}" width="12" height="12" rx="2" '
        f'fill="{COLOURS[k % len(COLOURS)]}"/>'
        f'<text x="{28 + 90 * k}" y="{y}" text-anchor="start">{kernel}×{kernel}</text>'
        for k, kernel in enumerate(kernels)
    ]
    return "".join(parts)
