"""What a study has to say, as one page and as a figure for papers."""

from __future__ import annotations

from .report import report as report
