"""What stops the command: one line for the user, and an exit code."""

import importlib
import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NoReturn

import typer

from nongreedy.errors import DivergedError, NongreedyError, ReplayError

USAGE, FAILED, INTERRUPTED = 2, 1, 130


class Mistake(Exception):
    """A mistake in what was asked, found before computing. Its message is one helpful line."""


@contextmanager
def reported() -> Iterator[None]:
    """Turn what may go wrong into one line on standard error and an exit code.

    2: what was asked cannot be done (a name, a file, a value). 1: the run failed. 130: Ctrl-C.
    Anything else is a defect of ours and keeps its traceback. A command imports what takes seconds
    within this block, torch first.
    """
    try:
        # A Ctrl-C within the import of a C extension may come out as any error.
        with _on_interrupt(lambda *_: os._exit(INTERRUPTED)):
            importlib.import_module("torch")
        yield
    except KeyboardInterrupt:
        leave("Interrupted before the first run was evaluated: nothing to write.", INTERRUPTED)
    except (DivergedError, ReplayError) as error:
        leave(f"error: {error}", FAILED)
    except (FileNotFoundError, IsADirectoryError) as error:
        leave(f"error: {_missing(error)}", USAGE)
    except (Mistake, NongreedyError, ValueError) as error:
        leave(f"error: {error}", USAGE)
    except BrokenPipeError:
        raise  # `nongreedy ... | head`: Typer ends quietly
    except MemoryError as error:
        leave(f"error: not enough memory: {error or 'none is left'}. Use fewer examples.", FAILED)
    except OSError as error:
        leave(f"error: {error}", FAILED)


@contextmanager
def uninterrupted() -> Iterator[None]:
    """Let a second Ctrl-C wait until what was found is written: a second or two."""
    with _on_interrupt(signal.SIG_IGN):
        yield


@contextmanager
def _on_interrupt(handler: Any) -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():
        yield  # only the main thread is interrupted
        return
    previous = signal.signal(signal.SIGINT, handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, previous)


def _missing(error: OSError) -> str:
    """In the words of a user where Python has its own, such as ``[Errno 2]``."""
    if error.filename is None or error.errno is None:
        return str(error)
    if isinstance(error, IsADirectoryError):
        return f"{str(error.filename)!r} is a directory: name a file."
    return f"There is no {str(error.filename)!r}: name a file that exists."


def leave(line: str, code: int) -> NoReturn:
    """End the command with one line on standard error."""
    # Messages from below may be wrapped; a log wants one line.
    print(" ".join(line.split()), file=sys.stderr, flush=True)
    raise typer.Exit(code)
