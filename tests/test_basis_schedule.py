"""Bases are matrices; schedules stretch, survive a file, and are genuine PyTorch schedulers."""

import copy
import json

import pytest
import torch
from torch import nn
from torch.optim.lr_scheduler import LRScheduler

import nongreedy as ng
from nongreedy.schedules import Curve

ALL = [
    ng.Windows(1),
    ng.Windows(3),
    ng.Windows(7),
    ng.Windows(edges=(0.2, 0.5)),
    ng.Windows(edges=[0.5, 0.75]),
    ng.Windows("auto"),
    ng.Linear(2),
    ng.Linear(5),
    ng.PerStep(),
    ng.Constant(),
]
LENGTHS = [7, 10, 23]


def matrix(basis, steps):
    """B, column by column, from `expand` alone."""
    return torch.stack([basis.expand(e, steps) for e in torch.eye(basis.size(steps))], 1)


@pytest.mark.parametrize("steps", LENGTHS)
@pytest.mark.parametrize("basis", ALL, ids=repr)
class TestBasis:
    def test_is_a_partition_of_unity(self, basis, steps):
        b = matrix(basis, steps)
        assert b.shape == (steps, basis.size(steps)) and bool((b >= 0).all())
        torch.testing.assert_close(b.sum(1), torch.ones(steps).double())
        assert bool((b.sum(0) > 0).all())  # no coefficient without effect

    def test_projection_is_the_transpose_of_expansion(self, basis, steps):
        per_step = torch.randn(steps)
        expected = matrix(basis, steps).T @ per_step.double()
        torch.testing.assert_close(basis.project(per_step, steps), expected)

    def test_each_coefficient_is_strongest_near_its_position(self, basis, steps):
        b, positions = matrix(basis, steps), basis.positions(steps)
        assert len(positions) == basis.size(steps)
        at_position = b[positions, torch.arange(b.shape[1])]
        torch.testing.assert_close(at_position, b.max(0).values)

    def test_ladder_grows_and_ends_with_itself(self, basis, steps):
        rungs = basis.ladder()
        sizes = [rung.size(100) for rung in rungs]
        assert rungs[-1] == basis and sizes == sorted(set(sizes))


def test_windows_are_the_papers_index():
    # arXiv:2007.07869: index(t) = floor(N t / T), also where N does not divide T.
    values = ng.Windows(3).expand(torch.tensor([0.0, 1.0, 2.0]), 7)
    assert values.tolist() == [(3 * t) // 7 for t in range(7)] == [0, 0, 0, 1, 1, 2, 2]


@pytest.mark.parametrize("count", [2, 3, 7, 12])
def test_windows_are_as_equal_as_whole_steps_allow(count):
    lengths = matrix(ng.Windows(count), 24).sum(0)
    assert lengths.max() - lengths.min() <= 1


def test_every_ladder_but_a_constants_begins_with_one_value():
    for basis in (ng.Windows(4), ng.Linear(2), ng.Linear(5), ng.PerStep()):
        assert basis.ladder()[0].size(100) == 1


def test_settings_of_a_basis_stay_on_its_ladder():
    assert ng.Linear(5, initial=0.2, outer_step=0.5).ladder()[0] == ng.Constant(
        initial=0.2, outer_step=0.5
    )
    rungs = ng.Windows(5, initial=0.2, outer_step=0.5).ladder()
    assert [rung.count for rung in rungs] == [1, 2, 4, 5]
    assert all(rung.initial == 0.2 and rung.outer_step == 0.5 for rung in rungs)


UNEQUAL = ng.Windows(edges=(0.25, 0.5, 0.6))
WRONG_EDGES = [[], [0.0, 0.5], [0.5, 0.5], [0.5, 0.25], [0.5, 1.0], [float("nan")]]


@pytest.mark.parametrize("edges", WRONG_EDGES)
def test_edges_must_rise_strictly_inside_the_run(edges):
    with pytest.raises(ValueError, match="strictly between 0 and 1"):
        ng.Windows(edges=edges)


@pytest.mark.parametrize("count", [0, -1, 1.5, True, "many", None])
def test_the_number_of_windows_is_whole_or_automatic(count):
    with pytest.raises(ValueError, match=r"whole number of at least 1 \(or 'auto'\)"):
        ng.Windows(count)


def test_count_and_edges_exclude_each_other():
    with pytest.raises(ValueError, match="`count` or `edges`"):
        ng.Windows(3, edges=(0.5,))
    assert ng.Windows(2, edges=(0.5,)).count == 2


@pytest.mark.parametrize("steps", [10, 97, 100, 1000])
@pytest.mark.parametrize("percent", [7, 29, 50, 57, 93])
def test_a_window_begins_at_its_edge_to_the_step(percent, steps):
    # 0.07 * 100 is 7.000000000000001, and 0.57 * 100 is 56.99999999999999.
    values = ng.Windows(edges=[percent / 100]).expand(torch.tensor([0.0, 1.0]), steps)
    assert int((values == 0).sum()) == -(-percent * steps // 100)


def test_equal_edges_are_equal_windows():
    for steps in range(4, 50):
        index = ng.Windows(edges=(0.25, 0.5, 0.75)).taps(steps)[0]
        assert torch.equal(index, ng.Windows(4).taps(steps)[0])


def test_a_window_that_holds_no_step_is_refused():
    with pytest.raises(ValueError, match="without a single one of the 10 steps"):
        ng.SGD(ng.Windows(edges=(0.51, 0.55))).hyperparameters(10)


def test_rungs_of_unequal_windows_keep_some_of_their_edges():
    rungs = [rung.edges for rung in UNEQUAL.ladder()]
    assert rungs == [None, (0.5,), (0.25, 0.5, 0.6)]


CUTS = [
    (ng.Windows(1), [0.5], ng.Windows(2)),
    (ng.Windows("auto"), [0.5], ng.Windows(2)),
    (ng.Windows(2), [0.75], ng.Windows(edges=(0.5, 0.75))),
    (ng.Windows(edges=(0.5, 0.75)), [0.25], ng.Windows(4)),
    (ng.Windows(2), [0.5], ng.Windows(2)),
]


@pytest.mark.parametrize(("basis", "positions", "expected"), CUTS)
def test_cutting_windows(basis, positions, expected):
    assert basis.cut(positions) == expected


def test_files_of_unequal_windows_are_not_read_as_equal_ones(tmp_path):
    schedule = ng.Schedule({"learning_rate": Curve(UNEQUAL, torch.arange(4).double())})
    row = json.loads(schedule.save(tmp_path / "s.json").read_text())["hyperparameters"]
    assert row["learning_rate"]["basis"] == "unequal_windows"
    assert "meet at 0.25, 0.5, 0.6 of the run" in schedule.describe()
    for wrong in ({"edges": [0.5]}, {"edges": "half"}, {"edges": None}, {"basis": "windows_2"}):
        changed = {
            **schedule.to_json(),
            "hyperparameters": {"x": {**row["learning_rate"], **wrong}},
        }
        with pytest.raises(ng.ScheduleFileError):
            ng.Schedule.from_json(changed)


def test_files_of_the_first_release_still_load():
    content = {
        "format": "nongreedy.schedule",
        "version": 1,
        "hyperparameters": {
            "learning_rate": {"basis": "windows", "coefficients": [0.1, 0.2, 0.3]},
            "momentum": {"basis": "constant", "coefficients": [0.9]},
        },
        "settings": {},
    }
    schedule = ng.Schedule.from_json(content)
    assert schedule.curves["learning_rate"].basis == ng.Windows(3)
    assert schedule.to_json() == content


EQUIVALENT = [
    (Curve(ng.Windows(edges=(0.5,)), [0.1, 0.3]), Curve(ng.Windows(2), [0.1, 0.3])),
    (Curve(ng.Windows("auto"), [0.3]), Curve(ng.Constant(), [0.3])),
    (Curve(ng.Constant(), [0.3]), Curve(ng.Windows(1), [0.3])),
    (Curve(ng.Constant(), [0.3]), Curve(ng.Linear(2), [0.3, 0.3])),
    (Curve(ng.Linear(2), [0.1, 0.3]), Curve(ng.Linear(3), [0.1, 0.2, 0.3])),
    (Curve(ng.Windows(2), [0.1, 0.3]), Curve(ng.Windows(4), [0.1, 0.1, 0.3, 0.3])),
    (Curve(ng.PerStep(), [0.1, 0.3]), Curve(ng.Windows(2), [0.1, 0.3])),  # stretched
]


@pytest.mark.parametrize("steps", [2, 12, 101])
@pytest.mark.parametrize("pair", EQUIVALENT, ids=str)
def test_equivalent_curves_have_equal_values(pair, steps):
    one, other = (Curve(c.basis, torch.tensor(c.coefficients).double()).values(steps) for c in pair)
    torch.testing.assert_close(one, other)


def schedule_of(basis, numbers=(0.1, 0.07, 0.03, 0.2, 0.05, 0.09, 0.01)):
    size = basis.size(7)
    return ng.Schedule(
        {
            "learning_rate": Curve(basis, torch.tensor(numbers[:size], dtype=torch.float64)),
            "momentum": Curve(ng.Linear(2), torch.tensor([0.5, 0.9], dtype=torch.float64)),
            "weight_decay": Curve(ng.Constant(), torch.tensor([1 / 3], dtype=torch.float64)),
        },
        {"seed": 3, "note": "from a test"},
    )


@pytest.mark.parametrize("basis", ALL, ids=repr)
def test_file_gives_back_every_bit(basis, tmp_path):
    written = schedule_of(basis)
    path = written.save(tmp_path / "schedule.json")
    read = ng.Schedule.load(path)
    assert read.settings == written.settings and list(read.curves) == list(written.curves)
    for steps in (1, 7, 100):  # the same budget and others
        for name, values in written.values(steps).items():
            assert torch.equal(read.values(steps)[name], values)
    assert json.loads(path.read_text())["version"] == 1
    assert [p.name for p in tmp_path.iterdir()] == ["schedule.json"]  # no temporary file is left


def test_saving_replaces_the_file_whole(tmp_path):
    path = tmp_path / "schedule.json"
    schedule_of(ng.Windows(7)).save(str(path))
    schedule_of(ng.Constant()).save(path)
    assert ng.Schedule.load(path)["learning_rate"].tolist() == [0.1]


@pytest.mark.parametrize("basis", ALL, ids=repr)
def test_stretching_keeps_the_relative_position(basis):
    schedule = schedule_of(basis)
    short, long = (schedule.values(steps)["learning_rate"] for steps in (70, 7000))
    # Windows switch at the same place; knots lie on the first and the last step, so one step moves.
    worst = (long[::100] - short).abs().max()
    assert worst < (1e-2 if isinstance(basis, ng.Linear) else 1e-12)
    ends = long[[0, -1]] - schedule["learning_rate"][[0, -1]]
    assert ends.abs().max() < 1e-12


def test_cosine_schedule():
    values = ng.cosine_schedule(0.1, momentum=0.8, weight_decay=1e-4).values(1000)
    expected = 0.05 * (1 + torch.cos(torch.pi * torch.arange(1000) / 1000))
    torch.testing.assert_close(values["learning_rate"].float(), expected, atol=1e-6, rtol=1e-5)
    assert set(values["momentum"].tolist()) == {0.8} and set(values["weight_decay"].tolist()) == {
        1e-4
    }


def groups_of(optimizer_type, **settings):
    layers = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 1))
    groups = [{"params": layers[0].parameters()}, {"params": layers[2].parameters(), "lr": 7.0}]
    return layers, optimizer_type(groups, lr=0.5, **settings)


def momentum_in(group):
    return group["betas"][0] if "betas" in group else group["momentum"]


@pytest.mark.parametrize(
    ("optimizer_type", "settings"),
    [
        (torch.optim.SGD, {}),
        (torch.optim.Adam, {"betas": (0.5, 0.95)}),
        (torch.optim.AdamW, {"betas": (0.5, 0.95)}),
        (torch.optim.RMSprop, {}),
    ],
)
def test_attached_scheduler_sets_every_group_at_every_step(optimizer_type, settings):
    layers, optimizer = groups_of(optimizer_type, **settings)
    schedule, steps = schedule_of(ng.Windows(3)), 10
    scheduler = schedule.attach(optimizer, steps, groups="same")
    expected = schedule.values(steps)
    assert isinstance(scheduler, LRScheduler)
    for t in range(steps + 3):  # afterwards the last values stay
        for group in optimizer.param_groups:
            found = group["lr"], momentum_in(group), group["weight_decay"]
            assert found == tuple(expected[name][min(t, steps - 1)].item() for name in expected)
            assert "betas" not in group or group["betas"][1] == 0.95
        assert scheduler.get_last_lr() == [group["lr"] for group in optimizer.param_groups]
        layers(torch.ones(2, 3)).sum().backward()
        optimizer.step()
        scheduler.step()


def train(layers, optimizer, scheduler, steps):
    for t in steps:
        optimizer.zero_grad()
        layers(
            torch.randn(2, 3, generator=torch.Generator().manual_seed(t))
        ).square().sum().backward()
        optimizer.step()
        scheduler.step()


@pytest.mark.parametrize("optimizer_type", [torch.optim.SGD, torch.optim.AdamW])
def test_saved_in_mid_run_it_continues_identically(optimizer_type, tmp_path):
    layers, optimizer = groups_of(optimizer_type)
    twin = copy.deepcopy(layers)
    schedule = schedule_of(ng.Linear(5))
    scheduler = schedule.attach(optimizer, 12)
    train(layers, optimizer, scheduler, range(5))
    torch.save(
        (layers.state_dict(), optimizer.state_dict(), scheduler.state_dict()), tmp_path / "run"
    )
    train(layers, optimizer, scheduler, range(5, 12))

    groups = [{"params": twin[0].parameters()}, {"params": twin[2].parameters()}]
    twin_optimizer = optimizer_type(groups, lr=0.0)
    other = ng.Schedule.of(learning_rate=9.0, momentum=0.0, weight_decay=0.0)  # must be overwritten
    twin_scheduler = other.attach(twin_optimizer, 3)
    # `weights_only`: the states hold nothing but plain values and tensors.
    states = torch.load(tmp_path / "run", weights_only=True)
    for part, state in zip((twin, twin_optimizer), states[:2], strict=True):
        part.load_state_dict(state)
    with pytest.warns(UserWarning, match="a run of 12 steps"):
        twin_scheduler.load_state_dict(states[2])
    train(twin, twin_optimizer, twin_scheduler, range(5, 12))
    for mine, theirs in zip(layers.parameters(), twin.parameters(), strict=True):
        assert torch.equal(mine, theirs)


@pytest.mark.parametrize(
    ("first", "kept"),
    [((0.1, 0.0), (False, True)), ((0.0, 0.1), (True, False)), ((0.0, 0.0), (False, False))],
)
def test_a_weight_decay_of_zero_that_sets_a_group_apart_is_kept(first, kept):
    _, optimizer = groups_of(torch.optim.SGD)
    for group, decay in zip(optimizer.param_groups, first, strict=True):
        group["weight_decay"] = decay
    # 0 in the middle: a group that decays otherwise must not be taken for one that never does.
    schedule = ng.Schedule.of(learning_rate=0.1, weight_decay=[0.3, 0.0, 0.2])
    scheduler, values = schedule.attach(optimizer, 6), schedule.values(6)["weight_decay"].tolist()
    for t in range(6):
        found = [group["weight_decay"] for group in optimizer.param_groups]
        assert found == [0.0 if keep else values[t] for keep in kept]
        if t == 2:  # as in a run that is resumed
            state, (_, optimizer) = optimizer.state_dict(), groups_of(torch.optim.SGD)
            optimizer.load_state_dict(state)
            scheduler = schedule.attach(optimizer, 6)
            scheduler.move_to(2)
        optimizer.step()
        scheduler.step()


def test_a_group_with_an_entry_of_its_own_has_it_whatever_it_began_with():
    _, optimizer = groups_of(torch.optim.SGD)
    optimizer.param_groups[0]["weight_decay"] = 0.1
    optimizer.param_groups[1]["group"] = "vectors"
    values = {"weight_decay": 0.3, "weight_decay[vectors]": 0.2}
    ng.Schedule.of(learning_rate=0.1, **values).attach(optimizer, 5)
    assert [group["weight_decay"] for group in optimizer.param_groups] == [0.3, 0.2]


def test_momentum_stays_exactly_zero_where_it_is_zero_throughout():
    _, optimizer = groups_of(torch.optim.SGD)
    ng.Schedule.of(learning_rate=0.1, momentum=0.0).attach(optimizer, 5)
    assert optimizer.param_groups[0]["momentum"] == 0.0


def test_description_names_everything_it_holds():
    text = schedule_of(ng.Windows(3)).describe()
    for word in (
        "learning_rate",
        "momentum",
        "weight_decay",
        "windows",
        "linear",
        "0.07",
        "0.3333",
    ):
        assert word in text
