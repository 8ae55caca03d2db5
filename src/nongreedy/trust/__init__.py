"""Trust: whether a hypergradient is worth following, and how wide its windows should be."""

from ..schedules._export import export
from ._compute import trust
from ._prospect import Prospect
from ._report import Trust
from ._smoothness import Smoothness
from ._verdict import Verdict

__all__ = ["Prospect", "Smoothness", "Trust", "Verdict", "trust"]

export(globals())
