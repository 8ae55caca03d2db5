"""Trust: whether a hypergradient is worth following, and how wide its windows should be."""

from __future__ import annotations

from .compute import trust as trust
from .growth import Growth as Growth
from .report import Trust as Trust
from .sharing import Sharing as Sharing
from .signal import Signal as Signal
from .smoothness import Smoothness as Smoothness
from .verdict import Verdict as Verdict
