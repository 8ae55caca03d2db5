"""What `--help` tells of the rooms below. Help imports none of them, since torch takes seconds to import;
a test holds these names to the truth."""

METHODS = (
    "default", "recipe", "agreement", "paper", "random", "tpe", "tpe-hyperband", "bohb", "gp",
    "random-paper-ranges", "tpe-paper-ranges", "tpe-hyperband-paper-ranges", "bohb-paper-ranges",
    "tpe-practice", "gp-practice", "bohb-practice", "hypergradient-descent", "cosine", "linear",
    "constant", "one-cycle", "constant-average", "schedule-free", "prodigy",
)  # fmt: skip
POLICIES = (
    "power", "printed", "subspace", "moments", "random", "thompson", "linucb", "nevergrad", "botorch",
)  # fmt: skip
PEAKS = (0.03, 0.1, 0.3)  # one of these is usually close to the best hand-tuned cosine
REAL_PEAKS = (0.003, 0.01, 0.03)  # with real targets: squared errors have larger gradients
TABLES = (".csv", ".tsv", ".parquet")


def flag(name: str) -> str:
    """The long name of an option without its dashes, by the parameter that it sets."""
    return {"column": "target", "as_json": "json"}.get(name, name).replace("_", "-")
