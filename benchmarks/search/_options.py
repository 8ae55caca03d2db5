"""Options of every command of the suite: which part of which data."""

from __future__ import annotations

import argparse
from pathlib import Path

from ._data import CACHE, FOLDER, PARTS, Data


def parser_of(doc: str | None, program: str | None = None) -> argparse.ArgumentParser:
    """With a first line of help and the options that all have."""
    parser = argparse.ArgumentParser(program, description=(doc or "").partition("\n")[0])
    parser.add_argument("--part", choices=PARTS, default=PARTS[0])
    parser.add_argument("--data", type=Path, default=FOLDER)
    parser.add_argument("--cache", type=Path, default=CACHE, help="of decoded images")
    return parser


def data_of(options: argparse.Namespace) -> Data:
    """What they name."""
    return Data(options.part, options.data, options.cache)
