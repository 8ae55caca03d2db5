"""Code on the pages of README and docs: what is there, and how it is run."""

import functools
import inspect
import re
import sys
import textwrap
import types
from dataclasses import dataclass
from pathlib import Path

import nongreedy as ng

ROOT = Path(__file__).parents[1]
PAGES = [
    path.relative_to(ROOT).as_posix()
    for path in [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").rglob("*.md"))]
]
# A block that is not run says why in a comment above it, which readers of the page do not see.
_FENCE = re.compile(
    r"(?:^ *<!-- not run: (?P<reason>[^\n]+?) -->\n)?"
    r"^(?P<indent> *)```(?P<language>\w*)[^\n]*\n(?P<text>.*?)^(?P=indent)```$",
    re.M | re.S,
)
# On pages that explain parts, lengths and budgets are what a reader would take; here they are cut.
_MOST = {"epochs": 2, "steps": 12, "budget": 12, "seeds": 2}
_CUT = ("tune", "retrain", "hypergradient", "trust", "optuna_objective")


@dataclass(frozen=True)
class Block:
    """One fenced block.

    Attributes:
        page: Path from the root of the repository.
        line: Of the fence, from 1.
        language: "python" and "bash" are run; "text" is what something prints, or a formula.
        text: Between the fences.
        reason: Why it is not run, or None.
    """

    page: str
    line: int
    language: str
    text: str
    reason: str | None

    def __str__(self):
        return f"{self.page}:{self.line}"


def blocks(page):
    """The fenced blocks of a page, in order."""
    text = (ROOT / page).read_text("utf-8")
    for match in _FENCE.finditer(text):
        line = text.count("\n", 0, match.start("language")) + 1
        yield Block(page, line, match["language"], match["text"], match["reason"])


def execute(page, given=""):
    """A module of what the page's blocks define, run in order after what they take as given."""
    module = sys.modules["page"] = types.ModuleType("page")
    exec(given, vars(module))
    for block in blocks(page):
        if block.language == "python" and block.reason is None:
            # Empty lines before it, so that a traceback names the line of the page.
            code = "\n" * block.line + textwrap.dedent(block.text)
            exec(compile(code, str(ROOT / page), "exec"), vars(module))
    return module


def cut_short(patch):
    """Searches and trainings of a few steps."""

    def shortened(verb):
        names = inspect.signature(verb).parameters

        @functools.wraps(verb)
        def call(*positional, **named):
            for name, most in _MOST.items():
                if named.get(name) is not None:
                    named[name] = min(named[name], most)
            if "outer_steps" in names:
                named["outer_steps"] = 1
            return verb(*positional, **named)

        return call

    for name in _CUT:
        patch.setattr(ng, name, shortened(getattr(ng, name)))


# ---- what a page takes as given -----------------------------------------------------------------

# Names that a fragment of a program uses without making them.
_TASK = """
import torch
import nongreedy as ng
x_train, x_val = torch.randn(256, 20), torch.randn(128, 20)
y_train, y_val = (x_train[:, 0] > 0).long(), (x_val[:, 0] > 0).long()
model = torch.nn.Linear(20, 2)
task = ng.Task(lambda: torch.nn.Linear(20, 2), torch.nn.functional.cross_entropy,
               (x_train, y_train), (x_val, y_val), batch_size=64)
optimizer = ng.SGD(ng.Linear(5), momentum=ng.Constant(), weight_decay=ng.Constant())
total_steps = 20
"""
_FILE = """
ng.cosine_schedule(0.1).save("schedule.json")
"""
GIVEN = {
    "README.md": _TASK + _FILE,
    "docs/averaging.md": _TASK
    + """
learned = ng.SGD(ng.Linear(5), momentum=0.9, average=ng.TailAverage(ng.Constant(initial=0.25)))
schedule = ng.Schedule.initial(learned.hyperparameters(total_steps))
optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
batches = [(x_train[:64], y_train[:64])] * total_steps
loss_of, evaluate = torch.nn.functional.cross_entropy, lambda model: model(x_val)
""",
    "docs/bandits.md": "import torch\npoint = torch.eye(8, dtype=torch.float64)[0]\n",
    "docs/exact.md": _TASK + "from sklearn.metrics import f1_score\nF = torch.nn.functional\n",
    "docs/integrations.md": _TASK
    + _FILE
    + """
import lightning, optuna, transformers
data = torch.utils.data.TensorDataset(x_train, y_train)
make_model = lambda: torch.nn.Linear(20, 2)
task_of = lambda size: task
schedule = ng.cosine_schedule(0.1)
""",
    "docs/preference.md": """
table = [{"loss": 0.1 * k, "ms": 2.0 ** (5 - k)} for k in range(5)]
slot_preferred_of = lambda options: 0
""",
    "docs/recipe.md": _TASK
    + """
make = lambda: torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 2))
task = ng.Task(make, torch.nn.functional.cross_entropy, (torch.randn(256, 1, 8, 8), y_train), 0.25,
               batch_size=64)
model = make()
""",
    "docs/scaling.md": _TASK,
    "docs/search.md": _TASK,
    "docs/trust.md": _TASK
    + """
result = ng.tune(task, optimizer, steps=12, progress=False)
whole = ng.hypergradient.__wrapped__
hypergradients = [whole(task, optimizer, steps=500, seed=seed) for seed in (0, 1)]
schedule = ng.Schedule.initial(optimizer.hyperparameters(12))
""",
}
