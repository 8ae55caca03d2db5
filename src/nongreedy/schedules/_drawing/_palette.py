"""Colours of every figure, and what each becomes in the dark."""

import colorsys

import numpy as np

INK, FAINT, PAPER = "#1b2430", "#6b7684", "#ffffff"
GRID, ZERO = "#e7eaee", "#b9c1cb"
RETURNED = "#0b3c6f"
RUNS, HYPERGRADIENTS, BAD = "#3f86c0", "#d08a32", "#b3362b"


def _shades(*stops: str) -> list[str]:
    """64 colours from the first of these to the last."""
    channels = [[int(stop[at : at + 2], 16) for stop in stops] for at in (1, 3, 5)]
    places = np.linspace(0, len(stops) - 1, 64)
    mixed = [np.interp(places, range(len(stops)), channel) for channel in channels]
    return ["#" + "".join(f"{round(v):02x}" for v in shade) for shade in zip(*mixed, strict=True)]


# The first outer step has to stand out of white, and of nearly black.
_LIGHT = _shades("#b5d1ea", "#7fb2da", "#2f77b4")
_DARK = _shades("#3a5f85", "#4b82b5", "#6fb1ea")
_TWINS = {
    **dict(zip(_LIGHT, _DARK, strict=True)),
    RETURNED: "#f2f7fc",
    RUNS: "#5b9fd8",
    HYPERGRADIENTS: "#e0a24e",
    FAINT: "#9aa6b5",
    BAD: "#f0857b",
    ZERO: "#4a5563",
}


def of_step(place: int, count: int) -> str:
    """Light for the first of so many outer steps, strong for the last."""
    return _LIGHT[round((len(_LIGHT) - 1) * place / max(count - 1, 1))]


def twin(colour: str) -> str:
    """What a colour on white becomes on black: one so light that it stands out."""
    if colour in _TWINS:
        return _TWINS[colour]
    channels = (int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5))
    hue, lightness, saturation = colorsys.rgb_to_hls(*channels)
    lighter = colorsys.hls_to_rgb(hue, max(lightness, 0.68), saturation)
    return "#" + "".join(f"{round(255 * channel):02x}" for channel in lighter)
