"""The slim core: torch and numpy do all but what an extra is named for, and help imports neither."""

import importlib
import inspect
import json
import pickle
import subprocess
import sys
import tomllib
from pathlib import Path
from types import ModuleType

import pytest

import nongreedy as ng
from nongreedy._extras import EXTRAS, package
from nongreedy.cli import _bandit, _names, app
from nongreedy.comparison import METHODS
from nongreedy.data._table import _READERS

from .helpers import hear_interrupts

ROOT = Path(__file__).parents[1]
# What the product uses itself; torch brings filelock, and without it is no torch.
PRODUCT = ("cli", "study", "report", "data", "wings")
HIDDEN = [module for extra in PRODUCT for module in EXTRAS[extra] if module != "filelock"]

# The first use of each extra -> what is missing, and the extra.
USES = {
    "ng.Study('s.db')": ("A study needs optuna", "study"),
    "ng.tune(task, ng.SGD(), steps=2, outer_steps=1, study='s.db')": ("optuna", "study"),
    "ng.Study.names('s.db')": ("optuna", "study"),
    "ng.report('s.db')": ("optuna and matplotlib, which are", "report,study"),
    "ng.compare(task, ng.SGD(), steps=4, budget=9, methods=['random'])": (
        "'random' cannot take part: it needs optuna", "study"),
    "ng.compare(task, ng.SGD(), steps=4, budget=9, methods=['hypergradient-descent'])": (
        "optuna", "study"),
    "ng.compare(task, ng.SGD(), steps=4, budget=9, methods=['gp'])": (
        "optuna and scipy, which are not installed", "study,wings"),
    "ng.Comparison([]).save('c')": ("matplotlib, which is", "report"),
    "schedule_figure(ng.cosine_schedule(0.1), [], 9)": ("A figure needs matplotlib", "report"),
    "ng.data.load('digits')": ("'digits' needs scikit-learn", "data"),
    "ng.data.load('images')": ("An image file needs pillow", "data"),
    "nas.knapsack([[0, 3]], [[1, 4]], most=5)": ("scipy", "wings"),
    "nas.search(None, None, None, target=1.0)": ("scipy", "wings"),
    "nas.OnnxRuntime().versions()": ("onnxruntime", "onnx"),
    "preference.Hull(preference.Catalogue([[0.0, 1.0], [1.0, 0.0]]))": ("scipy", "wings"),
    "bandits.PolynomialIdentification((2, 2))": ("scipy", "wings"),
}  # fmt: skip

# What torch and numpy do alone, ending with what it must find.
CORE = """
short = dict(steps=8, outer_steps=1, engine="reverse")
result = ng.tune(task, ng.SGD(momentum=ng.Windows(1)), progress=True, **short)
result.schedule.save("schedule.json")
network = torch.nn.Linear(4, 2)
optimizer = torch.optim.SGD(network.parameters(), lr=0.1, momentum=0.9)
ng.Schedule.load("schedule.json").attach(optimizer, total_steps=5)
ng.retrain(task, result.schedule, steps=8, optimizer=ng.SGD())
ng.plan(task, ng.SGD(), steps=8)
ng.compare(task, ng.SGD(), steps=4, budget=9, methods=["default"], seeds=1, retrain_seeds=1, curve_seeds=0)
trusted = ng.trust(task, ng.SGD(), steps=8)
ng.tune(task, ng.SGD(learning_rate=ng.Windows("auto")), outer="agreement", **short)
found = {
    "status": result.status.name, "verdict": trusted.verdict.name,
    "gradient": len(ng.hypergradient(task, ng.SGD(), steps=8).gradients["learning_rate"]),
}
"""
PROGRAM = f"""
import json, sys
for name in {[*HIDDEN, "onnxruntime"]}:
    sys.modules[name] = None
import torch, nongreedy as ng
from nongreedy import bandits, nas, preference
from nongreedy.reports import schedule_figure
x = torch.randn(64, 4); y = (x[:, 0] > 0).long()
task = ng.Task(lambda: torch.nn.Linear(4, 2), torch.nn.functional.cross_entropy, (x, y), (x.clone(), y),
               batch_size=16)
said = {{}}
for use in {list(USES)}:
    try:
        eval(use)
        said[use] = "worked"
    except Exception as error:
        said[use] = f"{{type(error).__name__}}: {{error}}"
{CORE}
print(json.dumps([said, found]))
"""


@pytest.fixture(scope="module")
def bare(tmp_path_factory, environment):
    """What one process without any extra says of each use, and what it finds."""
    folder = tmp_path_factory.mktemp("bare")
    for name in ("a", "b"):
        (folder / "images" / name).mkdir(parents=True)
        for number in range(5):  # the bytes are not read before the package is missed
            (folder / "images" / name / f"{number}.png").write_bytes(b"")
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], cwd=folder, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert "validation loss" in done.stderr  # progress=True without rich: lines
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.parametrize("use", USES)
def test_a_missing_extra_is_named_with_the_command_that_installs_it(bare, use):
    words, extra = USES[use]
    said = bare[0][use]
    assert words in said and f"pip install 'nongreedy[{extra}]'" in said, said
    assert said.partition(":")[0] in ("MissingExtraError", "ValueError")


def test_the_core_needs_torch_and_numpy_alone(bare):
    assert (
        bare[1]["status"] == "completed"
        and bare[1]["verdict"] in ng.Verdict.__members__
        and bare[1]["gradient"] > 0
    )


@pytest.mark.parametrize("module", EXTRAS["cli"])
def test_the_command_without_its_extra_says_so_in_one_line(module, environment):
    code = (
        f"import sys; sys.modules[{module!r}] = None; from nongreedy.__main__ import main; main()"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True
    )
    told = f"error: The command line needs {module}, which is not installed. Run: "
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == told + "pip install 'nongreedy[cli]'\n"


def requirements():
    """Extra, "" being none -> distribution -> its lower bound, as the project says."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    listed = {"": project["dependencies"], **project["optional-dependencies"]}
    return {
        extra: {name: bound for name, _, bound in (each.partition(">=") for each in lines)}
        for extra, lines in listed.items()
    }


def test_the_extras_are_those_of_the_distribution():
    offered = requirements()
    for extra, modules in EXTRAS.items():
        assert {package(module).split(".")[0] for module in modules} & {*offered[extra]}, extra
    for extra in PRODUCT:
        assert [*offered[extra]] == [package(module) for module in EXTRAS[extra]]
    assert [*offered["all"]] == [f"nongreedy[{','.join(PRODUCT)}]"]
    assert [*offered[""]] == ["torch", "numpy"]


def test_the_lower_bounds_are_the_versions_that_are_tested():
    lines = (ROOT / "constraints-lowest.txt").read_text("utf-8").splitlines()
    tested = dict(line.partition("#")[0].strip().split("==") for line in lines if line[0] != "#")
    bounds = {name: at for extra in ("", *PRODUCT) for name, at in requirements()[extra].items()}
    assert bounds.pop("torch") == "2.11"  # no older CPU build can be had
    assert bounds.items() <= tested.items()


def test_the_wheel_brings_no_weight():
    installed = [file for file in Path(ng.__file__).parent.rglob("*") if file.is_file()]
    assert sum(file.stat().st_size for file in installed if file.suffix != ".pyc") < 3e6


# ---- the command line ---------------------------------------------------------------------------

COMMANDS = [command.name or command.callback.__name__ for command in app.registered_commands]


@pytest.fixture(scope="module")
def imported(environment):
    """Per command, "" being none: what its help imports."""
    code = (
        "import sys, nongreedy.__main__ as entry\n"
        "from contextlib import suppress\n"
        f"for name in {['', *COMMANDS]}:\n"
        "    sys.argv = ['nongreedy', *name.split(), '--help']\n"
        "    with suppress(SystemExit):\n"
        "        entry.main()\n"
        "    print('imported', name or '-', *sorted({m.split('.')[0] for m in sys.modules}))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    rows = [line.split()[1:] for line in done.stdout.splitlines() if line.startswith("imported")]
    return {name: set(modules) for name, *modules in rows}


@pytest.mark.parametrize("name", ["-", *COMMANDS])
def test_help_imports_nothing_that_takes_seconds(imported, name):
    heavy = {"torch", "numpy", *HIDDEN} - set(EXTRAS["cli"])
    assert "typer" in imported[name] and not imported[name] & heavy


def test_help_tells_the_names_that_there_are():
    assert tuple(METHODS) == _names.METHODS
    assert tuple(_bandit.learners()) == _names.POLICIES
    assert tuple(_READERS) == _names.TABLES


@pytest.mark.parametrize("module", ["typer", "torch", "nongreedy.data"])
def test_ctrl_c_while_modules_are_imported_ends_without_a_traceback(module, environment):
    code = (
        "import os, signal, sys\n"
        "class Interrupt:\n"
        "    @staticmethod\n"
        "    def find_spec(name, path=None, target=None):\n"
        f"        if name == {module!r}:\n"
        "            os.kill(os.getpid(), signal.SIGINT)\n"
        "sys.meta_path.insert(0, Interrupt)\n"
        "sys.argv = ['nongreedy', 'datasets']\n"
        "from nongreedy.__main__ import main\n"
        "main()\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True,
        preexec_fn=hear_interrupts,
    )  # fmt: skip
    assert done.returncode == 130 and "Traceback" not in done.stderr, done.stderr


# ---- the face -----------------------------------------------------------------------------------


def test_every_name_of_the_face_is_there():
    assert set(ng.__all__) <= set(dir(ng)) and len(ng.__all__) == len(set(ng.__all__)) > 70
    for name in ng.__all__:
        value = getattr(ng, name)
        assert value is getattr(ng, name)
        if inspect.isclass(value):
            assert pickle.loads(pickle.dumps(value)) is value
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        _ = ng.nothing


def test_a_room_does_not_hide_the_verb_of_its_name():
    importlib.import_module("nongreedy.trust")
    verb = ng.trust
    ng.trust = sys.modules["nongreedy.trust"]  # as the import system does
    assert ng.trust is verb and callable(verb) and isinstance(ng.data, ModuleType)
