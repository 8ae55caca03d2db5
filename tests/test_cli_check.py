"""``nongreedy check``, used as a person uses it."""

import textwrap

import pytest
from typer.testing import CliRunner

from nongreedy import testing
from nongreedy.cli import _check, app

SMALL = ["--engine", "reverse", "--optimizer", "sgd", "--model", "mlp"]
FILE = """
    import dataclasses
    import nongreedy as ng

    class MyEngine(ng.Engine):
        def __init__(self, factor=1.0):
            self.factor = factor

        def sweep_cost(self, run, schedule, learn):
            return 3.0

        def trajectory(self, run):
            return ng.Reverse("device").trajectory(run)

        def differentiate(self, rollout, learn, on_step=lambda step: None):
            found = ng.Reverse("device").differentiate(rollout, learn, on_step)
            scaled = {name: self.factor * value for name, value in found.gradients.items()}
            return dataclasses.replace(found, gradients=scaled)

    class Broken(MyEngine):
        def differentiate(self, rollout, learn, on_step=lambda step: None):
            raise RuntimeError("[not] today")

    def make_engine():
        return MyEngine()

    my_optimizer = ng.SGD(ng.Windows(2, initial=0.2), momentum=0.5)
    number = 3
"""


def run(*arguments):
    return CliRunner().invoke(app, ["check", *map(str, arguments)])


@pytest.fixture
def file(tmp_path, monkeypatch):
    (tmp_path / "my_file.py").write_text(textwrap.dedent(FILE))
    monkeypatch.chdir(tmp_path)


def test_the_table_is_printed_with_its_time_and_its_sum():
    result = run(*SMALL, "--engine", "greedy")
    assert result.exit_code == 0, result.output
    words = result.output.split()
    assert all(word in words for word in ("engine", "reverse", "sgd", "mlp"))
    assert "(1) Skipped: greedy: each step is judged" in result.output
    assert "22 cells in " in result.output and "11 exact, 11 skipped, 0 wrong." in result.output
    error = next(line for line in result.output.splitlines() if "reverse" in line).split()[-1]
    assert 0 < float(error) < 1e-6


def test_one_row_per_hyperparameter():
    result = run(*SMALL, "--cells")
    lines = {line.split()[-2]: line for line in result.output.splitlines() if "e-" in line}
    names = {*testing.OPTIMIZERS["sgd"].learnable, *testing.HYPERPARAMETERS}
    assert names <= lines.keys(), result.output


@pytest.mark.parametrize(
    "target", ["my_file.py:MyEngine()", "my_file.py:MyEngine", "my_file.py:make_engine",
               "my_file:MyEngine(factor={1: 1.0}[1])"],
)  # fmt: skip
def test_an_own_engine(file, target):
    result = run(target, "--optimizer", "sgd", "--model", "mlp")
    assert result.exit_code == 0, result.output
    assert "11 exact, 0 wrong." in result.output


def test_an_own_optimizer_skips_what_it_fixes(file):
    result = run("my_file.py:my_optimizer", "--engine", "reverse", "--model", "mlp")
    assert result.exit_code == 0, result.output
    assert "9 exact, 2 skipped, 0 wrong." in result.output
    assert "momentum is fixed at 0.5: give it a basis" in result.output


def test_what_is_wrong_is_named_and_ends_with_1(file):
    result = run("my_file.py:MyEngine(factor=1.001)", "--optimizer", "sgd", "--model", "mlp")
    assert result.exit_code == 1
    assert "WRONG 1e-03" in result.output and "11 wrong." in result.output
    assert "MyEngine, sgd, momentum, mlp: wrong, error 1.0e-03" in result.output


def test_an_engine_that_raises_is_wrong_and_says_so(file):
    result = run("my_file.py:Broken()", "--optimizer", "sgd", "--model", "mlp")
    assert result.exit_code == 1
    assert "Raised RuntimeError: [not] today" in result.output


def test_an_interruption_keeps_what_was_found(monkeypatch):
    def interrupted(table, cell):
        if cell.hyperparameter == "weight_decay":
            raise KeyboardInterrupt
        return table.check(cell)

    monkeypatch.setattr(_check, "_checked", interrupted)
    result = run(*SMALL)
    assert result.exit_code == 130
    assert "Interrupted" in result.output and "2 cells in " in result.output


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--engine", "revers"], "No engine is called 'revers'. Did you mean 'reverse'?"),
        (["--optimizer", "adm"], "Did you mean 'adam'?"),
        (["--model", "mpl"], "Did you mean 'mlp'?"),
        (["my_fil.py:MyEngine()"], "'my_file.py'"),
        (["my_file.py:MyEngin()"], "Did you mean 'MyEngine'?"),
        (["my_file.py:number"], "'int', neither a nongreedy.Task nor"),
        (["my_file.py"], "names no object"),
        (["my_file.py:MyEngine("], "is not Python after the colon"),
        (["my_file.py:3"], "give a name or a call"),
        (["my_file.py:MyEngine(1, 2)"], "TypeError"),
        (["my_file.py:MyEngine()", "--engine", "reverse"], "--engine does not apply"),
        (["my_file.py:my_optimizer", "--optimizer", "sgd"], "--optimizer does not apply"),
    ],
    ids=" ".join,
)
def test_what_cannot_be_done_is_one_line_and_exit_code_2(file, arguments, said):
    result = run(*arguments)
    assert result.exit_code == 2, result.output
    assert len(result.stderr.splitlines()) == 1 and said in result.stderr
    assert result.stdout == ""


def test_quick_names_exist_and_filters_replace_them():
    assert set(_check.QUICK["engine"]) <= set(testing.ENGINES)
    assert set(_check.QUICK["optimizer"]) <= set(testing.OPTIMIZERS)
    assert set(_check.QUICK["model"]) <= set(testing.MODELS)
    result = run("--quick", "--optimizer", "lion", "--model", "mlp")
    assert result.exit_code == 0
    assert "5 engines x 1 optimizers x 1 models" in result.output
