"""Colours of the page's figures, and what each becomes in the dark."""

from __future__ import annotations

from matplotlib.colors import LinearSegmentedColormap, to_hex

from . import _figure
from ._figure import RETURNED

# The first outer step has to stand out of white, and of nearly black.
_LIGHT = LinearSegmentedColormap.from_list("light", ["#b5d1ea", "#7fb2da", "#2f77b4"])
_DARK = LinearSegmentedColormap.from_list("dark", ["#3a5f85", "#4b82b5", "#6fb1ea"])

RUNS, SWEEPS, FAINT, BAD = "#3f86c0", "#d08a32", "#6b7684", "#b3362b"
BAND = "rgba(63,134,192,0.22)"

_TWINS = {
    RETURNED: "#f2f7fc",
    RUNS: "#5b9fd8",
    SWEEPS: "#e0a24e",
    FAINT: "#9aa6b5",
    _figure.FAINT: "#9aa6b5",
    BAD: "#f0857b",
    BAND: "rgba(91,159,216,0.28)",
}


def of_step(place: int, count: int) -> str:
    """Light for the first outer step, strong for the last."""
    return to_hex(_LIGHT(place / max(count - 1, 1)))


def twins(count: int) -> dict[str, str]:
    """Colour on white -> colour on black, for a study of so many outer steps."""
    steps = {
        of_step(place, count): to_hex(_DARK(place / max(count - 1, 1))) for place in range(count)
    }
    return {**_TWINS, **steps}
