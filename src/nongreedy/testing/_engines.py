"""The engines of the table, by the names of the command line."""

from ..engines import Engine, Forward, Greedy, RandomDirections, Reverse
from ..engines._named import _NAMED

_ROWS: dict[str, Engine] = {
    "forward": Forward(),
    "reverse": Reverse("device"),
    "reverse:graphs": Reverse("graphs"),
    "reverse:host": Reverse("host"),
    "reverse:disk": Reverse("disk"),
    "reverse:checkpoint": Reverse("checkpoint"),
    "greedy": Greedy(),
    "random_directions": RandomDirections(32),
}

# Name -> engine. An engine that has a name on the command line has a row here, without being listed.
ENGINES: dict[str, Engine] = {
    **_ROWS,
    **{name: kind() for name, kind in _NAMED.items() if name not in _ROWS},
}
