"""A schedule in other frameworks' words: tables for pandas, Python for torch and for optax."""

import sys
import types

import numpy
import pytest
import torch

import nongreedy as ng
from nongreedy.schedules import Curve

T = 40
LEARNED = {
    "windows": {
        "learning_rate": ng.Windows(3, initial=(0.3, 0.1, 0.02)),
        "momentum": ng.Windows(2, initial=(0.0, 0.9)),
    },
    "unequal": {"learning_rate": ng.Windows(edges=(0.1, 0.7), initial=(0.3, 0.1, 0.02))},
    "linear": {
        "learning_rate": ng.Linear(4, initial=(0.0, 0.3, 0.1, 0.0)),
        "momentum": ng.Linear(2, initial=(0.5, 0.9)),
    },
    "per step": {"learning_rate": ng.PerStep(initial=[0.1 / (1 + k) ** 0.5 for k in range(T)])},
    "constant": {
        "learning_rate": ng.Constant(initial=0.1),
        "weight_decay": ng.Windows(2, initial=(0.01, 0.0)),
    },
}


def schedule_of(case):
    rows = LEARNED[case].items()
    values = {name: torch.tensor(basis.initial).double().reshape(-1) for name, basis in rows}
    return ng.Schedule({name: Curve(basis, values[name]) for name, basis in rows})


def run(path):
    """What a file of Python defines, by name."""
    names = {}
    exec(compile(path.read_text(), str(path), "exec"), names)
    return names


@pytest.mark.parametrize("total", [1, 7, T])
@pytest.mark.parametrize("case", LEARNED)
def test_tables_hold_every_bit(case, total, tmp_path):
    schedule = schedule_of(case)
    path = schedule.export(tmp_path / "values.CSV", total_steps=total)
    header, *rows = [line.split(",") for line in path.read_text().splitlines()]
    assert header == ["step", *schedule.curves]
    columns = dict(zip(header, zip(*rows, strict=True), strict=True))
    assert list(map(int, columns.pop("step"))) == list(range(total))
    for name, values in schedule.values(total).items():
        assert list(map(float, columns[name])) == values.tolist()


def test_tables_are_what_pandas_reads(tmp_path):
    pandas = pytest.importorskip("pandas")
    grouped = ng.Grouped(ng.SGD(ng.Linear(3, initial=0.1)), {"*bias": {"weight_decay": 0.0}})
    schedule = ng.Schedule.initial(grouped.hyperparameters(T))
    frame = pandas.read_csv(schedule.export(tmp_path / "values.csv", T), index_col="step")
    assert list(frame) == ["learning_rate", "momentum", "weight_decay", "weight_decay[*bias]"]
    assert frame["learning_rate"].tolist() == schedule.values(T)["learning_rate"].tolist()


def pair_of_groups(kind, **settings):
    torch.manual_seed(0)
    layer = torch.nn.Linear(3, 2)
    groups = [
        {"params": [layer.weight], "lr": 0.4, "weight_decay": 0.1},
        {"params": [layer.bias], "lr": 0.1, "weight_decay": 0.0},
    ]
    return layer, kind(groups, lr=1.0, **settings)


def trained(layer, optimizer, before, after):
    inputs = torch.randn(8, 3, generator=torch.Generator().manual_seed(1))
    for step in range(T + 3):  # the last values stay
        optimizer.zero_grad()
        layer(inputs).square().mean().backward()
        before(step)
        optimizer.step()
        after()
    return torch.cat([p.detach().flatten() for p in layer.parameters()])


KINDS = {
    "sgd": (torch.optim.SGD, {"momentum": 0.5}),
    "adamw": (torch.optim.AdamW, {}),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("case", LEARNED)
def test_python_for_torch_trains_as_an_attached_schedule(case, kind, tmp_path):
    theirs, settings = KINDS[kind]
    schedule = schedule_of(case)
    layer, optimizer = pair_of_groups(theirs, **settings)
    scheduler = schedule.attach(optimizer, total_steps=T)
    expected = trained(layer, optimizer, lambda step: None, scheduler.step)

    names = run(schedule.export(tmp_path / "lr.py", T, format="torch"))
    layer, optimizer = pair_of_groups(theirs, **settings)
    scheduler = names["lambda_lr"](optimizer)
    assert isinstance(scheduler, torch.optim.lr_scheduler.LambdaLR)
    found = trained(
        layer, optimizer, lambda step: names["set_others"](optimizer, step), scheduler.step
    )
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-7)


@pytest.fixture
def jax_by_numpy(monkeypatch):
    """The functions of ``jax.numpy`` that are used, by NumPy, which has the same; optax itself is not
    needed: its schedules are functions of the count."""
    numpy_like = types.ModuleType("jax.numpy")
    numpy_like.interp, numpy_like.asarray = numpy.interp, numpy.asarray
    jax = types.ModuleType("jax")
    jax.numpy = numpy_like
    monkeypatch.setitem(sys.modules, "jax", jax)
    monkeypatch.setitem(sys.modules, "jax.numpy", numpy_like)


@pytest.mark.parametrize("case", LEARNED)
def test_python_for_optax_has_the_values(case, tmp_path, jax_by_numpy):
    schedule = schedule_of(case)
    found = run(schedule.export(tmp_path / "schedule.py", T, format="optax"))["SCHEDULES"]
    assert found.keys() == schedule.curves.keys()
    for name, values in schedule.values(T).items():
        numpy.testing.assert_allclose(
            [found[name](count) for count in range(T)], values.numpy(), rtol=1e-10, atol=1e-15
        )
        assert found[name](10 * T) == pytest.approx(float(values[-1]), rel=1e-12)


def test_few_numbers_say_a_long_schedule(tmp_path):
    text = schedule_of("linear").export(tmp_path / "a.py", 100_000, format="torch").read_text()
    assert len(text) < 5_000


def test_tensors_are_left_out_and_the_tasks_own_are_in_the_table_alone(tmp_path, jax_by_numpy):
    def loss(output, target, hypers):
        return hypers["penalty"] * hypers["weights"].sum() * output.square().mean()

    task = ng.Task(
        torch.nn.Linear(2, 1), loss, (torch.randn(8, 2), torch.randn(8, 1)), 0.5, batch_size=2,
        validation_loss=torch.nn.functional.mse_loss,
        hyperparameters={
            "penalty": ng.Windows(2, initial=0.1), "weights": ng.Variable(initial=torch.ones(3)),
        },
    )  # fmt: skip
    hypers = {**ng.SGD(0.1).hyperparameters(4), **task.hyperparameters(4)}
    schedule = ng.Schedule.initial(hypers)
    header = schedule.export(tmp_path / "a.csv", 4).read_text().splitlines()[0]
    assert header == "step,learning_rate,momentum,weight_decay,penalty"
    found = run(schedule.export(tmp_path / "a.py", 4, format="optax"))["SCHEDULES"]
    assert list(found) == ["learning_rate", "momentum", "weight_decay"]


PLAIN = {"learning_rate": 0.1}
REFUSED = {
    "suffix": (PLAIN, {"path": "lr.py"}, ValueError, "'lr.py' does not say which format.*'torch' or 'optax'"),
    "format": (PLAIN, {"format": "opta"}, ValueError, "no format 'opta'.*'optax'"),
    "steps": (PLAIN, {"total_steps": 2.5}, ValueError, "total_steps.*2.5"),
    "long": (PLAIN, {"total_steps": 10**9}, ValueError, "total_steps=1000000000 are more than"),
    "average": ({**PLAIN, "average_share": 0.5}, {"format": "optax"}, ValueError, "'average_share'.*'csv'"),
    "group": ({**PLAIN, "weight_decay[*bias]": 0.0}, {"format": "torch"}, ValueError,
              r"'weight_decay\[\*bias\]'.*attach"),
    "no rate": ({"momentum": 0.5}, {"format": "torch"}, ValueError, "no learning_rate, only momentum"),
    "folder": (PLAIN, {"path": "none/lr.csv"}, OSError, "Cannot write the schedule to.*existing directory"),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_refused(case, tmp_path):
    values, changed, kind, words = REFUSED[case]
    given = {"path": "lr.csv", "total_steps": 4, **changed}
    path = tmp_path / given.pop("path")
    with pytest.raises(kind, match=words):
        ng.Schedule.of(**values).export(path, **given)
    assert not path.exists()


def test_names_of_a_strangers_file_are_texts_not_code(tmp_path, jax_by_numpy):
    name = 'a"]; raise SystemExit #\n\'"""'
    schedule = ng.Schedule.of(**{"learning_rate": 0.1, name: 0.5})
    found = run(schedule.export(tmp_path / "a.py", 4, format="optax"))["SCHEDULES"]
    assert list(found) == ["learning_rate", name]
