"""The order of the rooms: arrows point one way, no files in a circle, names say where they live."""

import ast
import functools
import graphlib
import importlib
import inspect
import re
import subprocess
import sys
from pathlib import Path

import pytest

import nongreedy as ng

SOURCE = Path(ng.__file__).parent
ARCHITECTURE = Path(__file__).parents[1] / "docs" / "architecture.md"
# From below: a room may import those of earlier lines, and none beside it. `data` and `models` know
# only how errors and schedules are spelled; `testing` needs engines and nothing that searches.
ORDER = [
    ["errors"], ["_extras"], ["schedules"], ["data", "models", "task", "optimizers"], ["protocols"],
    ["engines"],
    ["statistics", "planning", "testing", "recipe"], ["search"], ["parallel", "studies", "training", "trust"],
    ["_hypergradient", "_tune"], ["citations"], ["reports"], ["comparison"], ["integrations"],
    ["bandits", "nas", "preference"], ["__init__"], ["cli"], ["__main__"],
]  # fmt: skip
LEVEL = {room: level for level, rooms in enumerate(ORDER) for room in rooms}


def imported(path):
    """The files of the package that one imports, inside functions and for type checkers too."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            bases, names = [name.name for name in node.names], []
        elif isinstance(node, ast.ImportFrom):
            bases, names = [node.module or ""], [name.name for name in node.names]
        else:
            continue
        for base in bases:
            up = getattr(node, "level", 0)
            parts = base.split(".") if base else []
            if up == 0 and parts[0] != ng.__name__:
                continue
            folder = (path.parents[up - 1] if up else SOURCE.parent).joinpath(*parts)
            # A name in a room is a file of its own, or else one of those that the room exports.
            for name in names or [""]:
                spelled = [folder / f"{name}.py", folder / name / "__init__.py"]
                spelled += [folder.with_suffix(".py"), folder / "__init__.py"]
                yield next(file for file in spelled if file.is_file())


@functools.cache
def files():
    """Every file of the package -> the files that it imports."""
    paths = [*SOURCE.rglob("*.py"), SOURCE / "__init__.pyi"]  # the stub is what the face imports
    return {path: set(imported(path)) for path in sorted(paths)}


def said(path):
    return path.relative_to(SOURCE).with_suffix("").as_posix()


def room(path):
    return said(path).partition("/")[0]


def test_arrows_point_one_way():
    arrows = [(file, used) for file in files() for used in files()[file]]
    pairs = [(file, used) for file, used in arrows if room(file) != room(used)]
    assert len(pairs) > 100
    assert [
        f"{said(file)} imports {said(used)}"
        for file, used in pairs
        if LEVEL[room(used)] >= LEVEL[room(file)]
    ] == []


def circles(left):
    """Circles in a graph, each sorted; each is cut open once it is found."""
    while True:
        try:
            graphlib.TopologicalSorter(left).prepare()
            return
        except graphlib.CycleError as error:
            circle = error.args[1]
            yield tuple(sorted(circle[1:]))
            left[circle[1]].discard(circle[0])


def test_no_files_in_a_circle():
    names = {said(file): {said(each) for each in used} for file, used in files().items()}
    assert not list(circles(names))


def test_the_root_is_small():
    beside = ("__pycache__", "__init__.pyi")  # the stub is the list of the face's names
    entries = sorted(entry.name for entry in SOURCE.iterdir() if entry.name not in beside)
    assert len(entries) <= 31, entries


ROOMS = [
    file for file in SOURCE.rglob("__init__.py") if "export(globals())" in file.read_text("utf-8")
]


@pytest.mark.parametrize("path", ROOMS, ids=lambda path: said(path.parent))
def test_what_a_room_exports_says_that_it_lives_there(path):
    name = ".".join(path.parent.relative_to(SOURCE.parent).parts)
    content = importlib.import_module(name)
    exported = [getattr(content, each) for each in content.__all__]
    found = [e for e in exported if inspect.isclass(e) or inspect.isfunction(e)]
    assert found and {each.__module__ for each in found} == {name}


def test_what_only_reports_or_compares_is_imported_where_it_is_used(environment):
    heavy = ["optuna", "sqlalchemy", "plotly", "matplotlib", "sklearn", "scipy", "PIL", "rich"]
    code = "import sys; from nongreedy import *; "
    code += f"print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout == "[]\n"


def test_a_wing_is_there_when_it_is_asked_for_and_not_before(environment):
    code = (
        "import sys, nongreedy as ng\n"
        "def loaded():\n"
        "    print(*(name for name in ('torch', 'nongreedy.bandits', 'nongreedy.nas',"
        " 'nongreedy.preference') if name in sys.modules))\n"
        "loaded(); ng.tune, ng.compare; loaded()\n"
        "ng.bandits.play, ng.nas.search, ng.preference.Dialogue, ng.parallel.ranks"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout == "\ntorch\n"


PLACES = re.findall(r"\[`(\w+)`\]\(\.\./(src/[^#)]+)#L(\d+)\)", ARCHITECTURE.read_text("utf-8"))


@pytest.mark.parametrize(("name", "path", "line"), PLACES)
def test_the_architecture_page_points_at_what_it_names(name, path, line):
    lines = (ARCHITECTURE.parents[1] / path).read_text("utf-8").splitlines()
    places = [k for k, text in enumerate(lines, 1) if re.match(rf"\s*(def|class) {name}\b", text)]
    assert min(abs(place - int(line)) for place in places) <= 20, places


def test_the_architecture_page_points_at_something():
    assert len(PLACES) >= 5
