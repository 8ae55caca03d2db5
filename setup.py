"""The readme as an index page shows it: there, links and pictures must name where they are."""

import re
from pathlib import Path

from setuptools import setup

PAGES = "https://github.com/nongreedy/nongreedy/blob/main/"
PICTURES = "https://raw.githubusercontent.com/nongreedy/nongreedy/main/"


def absolute(link: re.Match[str]) -> str:
    """The end of a link or picture, whose target is a path in this repository."""
    return f"]({PICTURES if link[1].endswith(('.png', '.svg')) else PAGES}{link[1]}"


readme = (Path(__file__).parent / "README.md").read_text("utf-8")
setup(
    long_description=re.sub(r"\]\((?!https?:|#)([^)\s]+)", absolute, readme),
    long_description_content_type="text/markdown",
)
