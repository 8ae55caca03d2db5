"""Values are what they hold: equality, hashes, dictionaries, and what they say of themselves in JSON."""

import copy
import dataclasses
import functools
import json
import math
import subprocess
import sys
import textwrap

import numpy
import pytest
import torch

import nongreedy as ng
from nongreedy import testing
from nongreedy.schedules import Curve, Value, identity

ONE = torch.tensor([0.1, 0.2], dtype=torch.float64)
OTHER = torch.tensor([0.1, math.nextafter(0.2, 1.0)], dtype=torch.float64)  # one bit
DECAYS = {"weight_decay": ng.Constant(initial=0.1)}
RATES = {"learning_rate": ng.Constant(initial=0.2)}


def bound(optimizer):
    layout = (("weight", (2, 3)), ("bias", (3,)))
    return optimizer.bound_to(layout, torch.device("cpu"))


# Name -> (a way of making it, from a tensor of two numbers). Each must see one bit of the tensor.
MAKE = {
    "windows": lambda t: ng.Windows(2, initial=t),
    "edges": lambda t: ng.Windows(edges=[0.25], initial=t),
    "linear": lambda t: ng.Linear(2, initial=t),
    "per_step": lambda t: ng.PerStep(initial=t),
    "constant": lambda t: ng.Constant(initial=t[1:]),
    "variable": lambda t: ng.Variable(initial=t),
    "curve": lambda t: Curve(ng.Windows(2), t),
    "schedule": lambda t: ng.Schedule({"learning_rate": Curve(ng.Linear(2), t)}),
    "sgd": lambda t: ng.SGD(ng.Windows(2, initial=t), momentum=0.9),
    "adamw": lambda t: ng.AdamW(ng.Windows(2, initial=t)),
    "muon": lambda t: bound(ng.Muon(ng.Windows(2, initial=t))),
    "grouped": lambda t: bound(
        ng.Grouped(ng.SGD(), {"*bias": {"learning_rate": ng.Windows(2, initial=t)}})
    ),
    "hyperparameter": lambda t: ng.SGD(ng.Windows(2, initial=t)).hyperparameters()["learning_rate"],
}


@pytest.mark.parametrize("make", MAKE.values(), ids=MAKE)
class TestEquality:
    def test_equal_contents_are_equal_and_hash_likewise(self, make):
        one, same = make(ONE), make(ONE.clone())
        assert one == same and hash(one) == hash(same)
        assert {one, same} == {one} and {one: "found"}[same] == "found"
        assert copy.deepcopy(one) == one

    def test_one_bit_makes_another(self, make):
        one, other = make(ONE), make(OTHER)
        assert one != other and len({one, other}) == 2

    def test_json_tells_them_apart_likewise(self, make):
        said = [json.dumps(make(t).to_json(), allow_nan=False) for t in (ONE, ONE.clone(), OTHER)]
        assert said[0] == said[1] != said[2]

    def test_anything_else_is_different(self, make):
        assert make(ONE) != "a word" and make(ONE) != 1 and make(ONE) is not None


@pytest.mark.parametrize("name", testing.OPTIMIZERS)
def test_every_optimizer_equals_its_copy_and_no_other(name):
    optimizer = testing.OPTIMIZERS[name]
    assert copy.deepcopy(optimizer) == optimizer
    assert [n for n, o in testing.OPTIMIZERS.items() if o == optimizer] == [name]
    assert len(set(testing.OPTIMIZERS.values())) == len(testing.OPTIMIZERS)
    around = name in ("grouped", "scaled")
    changed = optimizer.base if around else dataclasses.replace(optimizer, clip_norm=0.3)
    assert changed != optimizer and changed.to_json() != optimizer.to_json()


def of(initial):
    return ng.Windows(1, initial=initial)


NAN, QUIET = torch.tensor([0x7FF8000000000000, 0x7FF8000000000001]).view(torch.float64).split(1)
EQUAL = [
    (ng.Windows(2, initial=[0.1, 0.2]), ng.Windows(2, initial=(0.1, 0.2))),
    (of(NAN), of(NAN.clone())),
    (of(math.nan), of(float("nan"))),
    (of(numpy.ones(1)), of(numpy.ones(1))),
    (of(torch.ones(2, 2).T[:1]), of(torch.ones(1, 2))),  # bits as they are read, not as they lie
    (of(torch.ones(1, dtype=torch.bfloat16)), of(torch.ones(1, dtype=torch.bfloat16))),
    (of(torch.ones(())), of(torch.ones(()))),
    (ng.SGD(momentum=0), ng.SGD(momentum=0.0)),
]
UNEQUAL = [
    (of(NAN), of(QUIET)),
    (of(torch.zeros(1)), of(-torch.zeros(1))),
    (of(torch.ones(1)), of(torch.ones(1).double())),
    (of(torch.ones(1)), of(torch.ones(1, 1))),
    (of(torch.ones(1)), of(1.0)),
    (ng.Windows(1), ng.Constant()),
    (ng.Windows(2), ng.Windows(edges=[0.5])),
    (ng.SGD(), ng.SGD(nesterov=True)),
    (ng.Adam(), ng.AdamW()),
    # The first group that fits a parameter has it.
    (ng.Grouped(ng.SGD(), {"*": DECAYS, "b": RATES}), ng.Grouped(ng.SGD(), {"b": RATES, "*": DECAYS})),
]  # fmt: skip


def test_what_is_said_of_nan_zero_dtype_and_order():
    for one, other in EQUAL:
        assert one == other and hash(one) == hash(other), (one, other)
    for one, other in UNEQUAL:
        assert one != other and len({one, other}) == 2, (one, other)


def test_what_a_run_adds_to_an_optimizer_does_not_count():
    for optimizer in (ng.Muon(), ng.Grouped(ng.SGD(), {"*bias": RATES})):
        assert bound(optimizer) == optimizer and bound(optimizer).to_json() == optimizer.to_json()


def test_a_schedule_is_its_values_not_its_search(tmp_path):
    basis = ng.Windows(2, initial=0.3, outer_step=0.1)
    schedule = ng.Schedule({"learning_rate": Curve(basis, ONE)}, {"seed": 3})
    assert schedule == ng.Schedule.of(learning_rate=ONE.tolist())
    assert schedule != ng.Schedule({"learning_rate": Curve(basis, ONE, "task")})
    names = ng.Schedule.of(a=0.1, b=0.2), ng.Schedule.of(b=0.2, a=0.1)
    assert names[0] == names[1] and hash(names[0]) == hash(names[1])


@pytest.mark.parametrize(
    "basis",
    [ng.Windows(2), ng.Windows(edges=[0.3]), ng.Linear(2), ng.PerStep(), ng.Variable(initial=ONE)],
    ids=repr,
)
def test_a_file_gives_back_an_equal_schedule(basis, tmp_path):
    schedule = ng.Schedule({"x": Curve(basis, ONE)}, {"seed": 3})
    assert ng.Schedule.load(schedule.save(tmp_path / "schedule.json")) == schedule


def test_an_automatic_number_of_windows_is_one_in_a_file(tmp_path):
    schedule = ng.Schedule({"x": Curve(ng.Windows("auto"), ONE[:1])})
    assert ng.Schedule.load(schedule.save(tmp_path / "schedule.json")) == schedule


@dataclasses.dataclass(frozen=True)
class Power(ng.schedules.TimeBasis):
    """A stranger's basis: the coefficient times a power of the relative time."""

    exponent: float = 1.0
    kind = "power"

    def size(self, steps):
        return 1

    def taps(self, steps):
        time = (torch.arange(steps, dtype=torch.float64) + 1) / steps
        return torch.zeros(steps, 1, dtype=torch.int64), time[:, None] ** self.exponent

    def positions(self, steps):
        return torch.tensor([steps - 1])


def test_a_strangers_basis_is_a_value_without_doing_anything():
    assert Power(2.0, initial=ONE) == Power(2.0, initial=ONE.clone()) != Power(3.0, initial=ONE)
    one, other = (ng.Schedule({"x": Curve(Power(e), ONE[:1])}) for e in (2.0, 3.0))
    assert one != other and one.identity != other.identity
    assert one == ng.Schedule({"x": Curve(Power(2.0, initial=0.5), ONE[:1])})
    assert Power().to_json()["class"] == f"{__name__}.Power"


def test_json_is_readable():
    said = ng.SGD(ng.Windows(2, initial=ONE), clip_norm=1.0).to_json()
    assert said == {
        "class": "SGD",
        "clip_value": None,
        "clip_norm": 1.0,
        "learning_rate": {
            "class": "Windows",
            "initial": {"dtype": "float64", "values": [0.1, 0.2]},
            "bounds": None,
            "transform": "default",
            "outer_step": None,
            "count": 2,
            "edges": None,
        },
        "momentum": 0.0,
        "weight_decay": 0.0,
        "dampening": 0.0,
        "nesterov": False,
    }


def test_a_large_tensor_is_a_digest():
    said = ng.Variable(initial=torch.zeros(10, 784)).to_json()["initial"]
    assert said["shape"] == [10, 784] and len(said["sha256"]) == 64


class Plain:
    """A stranger's class that is nothing in particular."""

    def __init__(self, strength, function=None):
        self.strength, self.levels = strength, [1, math.inf]
        self._work = object()  # not a setting
        if function:
            self.function = function


class PlainBasis(ng.Windows):
    """A stranger's plain subclass of a dataclass."""

    def __init__(self, count, extra):
        super().__init__(count)
        object.__setattr__(self, "extra", extra)

    @functools.cached_property
    def computed(self):
        return object()


class Speaking:
    __slots__ = ("levels",)

    def to_json(self):
        return {"mine": -math.inf}


def test_a_plain_class_says_its_public_attributes():
    said = identity(Plain(0.5, dataclasses.replace))
    assert said == {
        "class": f"{__name__}.Plain",
        "strength": 0.5,
        "levels": [1, "inf"],
        "function": "dataclasses.replace",
    }
    assert identity([Speaking(), torch.float64, numpy.float32(0.5), numpy.int64(3)]) == [
        {"mine": "-inf"}, "torch.float64", 0.5, 3,
    ]  # fmt: skip


def test_a_plain_subclass_of_a_value_counts_its_public_attributes():
    one, other = PlainBasis(2, 1.0), PlainBasis(2, 2.0)
    assert one != other and one == PlainBasis(2, 1.0)
    assert one.computed and one == PlainBasis(2, 1.0) and "computed" not in one.to_json()
    assert one.to_json()["extra"] == 1.0


@pytest.mark.parametrize(
    "value",
    [object(), lambda: 0, functools.partial(print), {1}, torch.nn.Linear(1, 1), Power().size],
    ids=["object", "lambda", "partial", "set", "module", "method"],
)
def test_what_json_cannot_say_is_refused_by_its_name(value):
    with pytest.raises(TypeError, match=r"Plain\.strength is .*[Dd]efine `to_json"):
        identity(Plain(value))
    with pytest.raises(TypeError, match=r"Plain\.strength\['rows'\]\[1\] is .*[Dd]efine `to_json"):
        identity(Plain({"rows": [1, value]}))


def test_other_processes_say_the_same():
    script = """
        import json, torch, nongreedy as ng
        from nongreedy import testing
        said = {name: o.to_json() for name, o in testing.OPTIMIZERS.items()}
        print(json.dumps([said, ng.Variable(initial=torch.arange(99.0)).to_json()]))
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)], capture_output=True, text=True, check=True
    )
    expected = [
        {name: o.to_json() for name, o in testing.OPTIMIZERS.items()},
        ng.Variable(initial=torch.arange(99.0)).to_json(),
    ]
    assert json.loads(done.stdout) == json.loads(json.dumps(expected))
    assert "0x" not in done.stdout


def test_value_itself_is_for_subclassing():
    @dataclasses.dataclass(frozen=True)
    class Mine(Value):
        rows: torch.Tensor
        work: object = dataclasses.field(default=None, compare=False)

    assert Mine(ONE) == Mine(ONE.clone(), work=object()) != Mine(OTHER)
    assert hash(Mine(ONE)) == hash(Mine(ONE.clone()))
    with pytest.raises(TypeError, match="unhashable"):
        hash(Mine({1}))


@pytest.mark.parametrize(
    "engine",
    [
        *(ng.Reverse(store) for store in ("auto", "device", "host", "disk", "checkpoint")),
        ng.Reverse(growth_limit=math.inf), ng.Reversible(denominator=7), ng.Forward(3),
        ng.FiniteDifference(order=4), ng.RandomDirections(3), ng.Greedy(0.5, every=None),
        ng.EvoGrad(parameters=("a", "b")), ng.EvoGrad("gaussian", execution="together"),
        ng.EvoGrad(ng.engines.Rademacher(0.1, 4, True)), ng.Reverse(ng.engines.Checkpoints(50)),
        ng.Implicit(ng.engines.Neumann(20, 0.2)), ng.Implicit("cg", batches=2),
        ng.Implicit("nystrom", damping=0.5),
    ],
    ids=repr,
)  # fmt: skip
def test_an_engine_is_what_its_json_says(engine):
    said = json.loads(json.dumps(engine.to_json()))
    again = ng.engines.engine_from_json(said)
    assert again == engine and repr(again) == repr(engine) and hash(again) == hash(engine)


def test_short_names_spell_leaves():
    from nongreedy import engines

    assert ng.Reverse("checkpoint") == ng.Reverse(engines.Checkpoints())
    assert ng.Implicit("cg") == ng.Implicit(engines.ConjugateGradients())
    assert ng.EvoGrad("rademacher", execution="vectorized") == ng.EvoGrad(
        engines.Rademacher(), execution=engines.Vectorized()
    )
    assert engines.engine_from("implicit:cg") == ng.Implicit("cg")
    assert engines.engine_from("evograd:gaussian") == ng.EvoGrad(engines.Gaussian())
    for name in ("reverse:dsk", "greedy:disk", "auto:disk"):
        with pytest.raises(ValueError, match="Unknown"):
            engines.engine_from(name)
    assert ng.Reverse(engines.Checkpoints(2)) != ng.Reverse(engines.Checkpoints(3))


def test_engines_that_differ_in_one_setting_differ():
    engines = [ng.Reverse(), ng.Reverse("disk"), ng.Greedy(), ng.Greedy(0.5), ng.Implicit("cg")]
    assert len(set(engines)) == len({json.dumps(e.to_json()) for e in engines}) == len(engines)
    with pytest.raises(ValueError, match=r"'Revers'.*Did you mean 'Reverse'"):
        ng.engines.engine_from_json({"class": "Revers"})
