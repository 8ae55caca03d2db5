"""``nongreedy datasets``: what ``--data`` understands."""

from __future__ import annotations

import textwrap

import nongreedy as ng


def datasets() -> None:
    """List the data that --data takes, by name or by path."""
    for name, recognised_by in ng.data.describe():
        print(name)
        print(textwrap.fill(recognised_by, 76, initial_indent="    ", subsequent_indent="    "))
