"""What the allocator keeps of freed memory: resident, so that a limit counts it, and of no use to anybody."""

import contextlib
import ctypes


def give_back() -> None:
    """Return it to the system, where the C library can: glibc's. It costs about a millisecond."""
    with contextlib.suppress(OSError, AttributeError, TypeError):
        ctypes.CDLL(None).malloc_trim(0)
