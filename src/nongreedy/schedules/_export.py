"""What a room exports says that it lives there: the leaf that defines it is nobody's business."""

from types import FunctionType
from typing import Any


def export(room: dict[str, Any]) -> None:
    """Set ``__module__`` of every class and function in the ``__all__`` of these globals."""
    for name in room["__all__"]:
        if isinstance(room[name], (type, FunctionType)):
            room[name].__module__ = room["__name__"]
