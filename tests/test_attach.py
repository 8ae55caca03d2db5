"""An attached schedule beside plain loops, other schedulers, saved states and many groups."""

import copy
import warnings

import numpy
import pytest
import torch
from torch import nn
from torch.nn import functional
from torch.optim.lr_scheduler import LinearLR, SequentialLR, StepLR

import nongreedy as ng
from nongreedy.schedules import Curve, ScheduleLR

RATES = [0.4, 0.3, 0.2, 0.1]
SCHEDULE = ng.Schedule.of(learning_rate=RATES, momentum=[0.5, 0.9])


def layer():
    return nn.Linear(2, 2).double()


def sgd(*rates, lr=1.0, **settings):
    groups = [
        {"params": layer().parameters(), **({} if r is None else {"lr": r})}
        for r in rates or [None]
    ]
    return torch.optim.SGD(groups, lr=lr, **settings)


def lrs(optimizer):
    return [group["lr"] for group in optimizer.param_groups]


def taken(optimizer, scheduler, steps):
    """The rates with which each of the next steps is taken."""
    seen = []
    for _ in range(steps):
        seen.append([float(rate) for rate in lrs(optimizer)])
        optimizer.step()
        scheduler.step()
    return seen


def rows(*parts, steps=8):
    values = SCHEDULE.values(steps)["learning_rate"].tolist()
    return [pytest.approx([value * part for part in parts], rel=1e-14) for value in values]


# Groups


@pytest.mark.parametrize(
    ("given", "parts"),
    [
        ([1e-3, 1e-1], [0.01, 1.0]),  # neither has the default of 1.0
        ([0.1, None, 2.0], [0.05, 0.5, 1.0]),
        ([0.0, 0.5], [0.0, 1.0]),  # a group that is not to move does not
        ([0.0, 0.0], [1.0, 1.0]),  # rates that nobody has meant
        ([0.3, 0.3], [1.0, 1.0]),
    ],
    ids=str,
)
def test_groups_keep_the_ratio_of_their_rates(given, parts):
    optimizer = sgd(*given)
    assert taken(optimizer, SCHEDULE.attach(optimizer, 8), 8) == rows(*parts)
    assert lrs(optimizer) == pytest.approx([0.1 * part for part in parts])  # the last values stay


@pytest.mark.parametrize("rate", [0.0, 0.1, 1e-3 / 3])
def test_groups_of_one_rate_have_every_bit_of_the_schedule(rate):
    optimizer = sgd(rate, rate)
    expected = [[value] * 2 for value in SCHEDULE.values(7)["learning_rate"].tolist()]
    assert taken(optimizer, SCHEDULE.attach(optimizer, 7), 7) == expected


def test_the_same_rate_for_all_groups_on_demand():
    optimizer = sgd(1e-3, 1e-1, 0.0)
    scheduler = SCHEDULE.attach(optimizer, 8, groups="same")
    assert taken(optimizer, scheduler, 8) == rows(1.0, 1.0, 1.0)


@pytest.mark.parametrize("groups", ["scale", "same"])
def test_training_with_groups_equals_a_plain_loop(groups):
    torch.manual_seed(0)
    x, y = torch.randn(12, 2).double(), torch.randn(12, 2).double()
    nets = [nn.Sequential(layer(), nn.Tanh(), layer())]
    nets.append(copy.deepcopy(nets[0]))
    for net, by_hand in zip(nets, (False, True), strict=True):
        pair = [
            {"params": net[0].parameters(), "lr": 0.01},
            {"params": net[2].parameters(), "lr": 0.1},
        ]
        optimizer = torch.optim.SGD(pair, momentum=0.5)
        scheduler = None if by_hand else SCHEDULE.attach(optimizer, 8, groups=groups)
        for step in range(8):
            if by_hand:
                for group, part in zip(optimizer.param_groups, (0.1, 1.0), strict=True):
                    group["lr"] = RATES[step // 2] * (part if groups == "scale" else 1.0)
                    group["momentum"] = 0.5 if step < 4 else 0.9
            optimizer.zero_grad()
            functional.mse_loss(net(x), y).backward()
            optimizer.step()
            if scheduler is not None:
                scheduler.step()
    for mine, theirs in zip(*(net.parameters() for net in nets), strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-12, atol=0)


def test_a_group_with_an_entry_of_its_own_has_it_and_the_others_their_ratio():
    optimizer = sgd(0.1, 5.0, 0.2)
    optimizer.param_groups[1]["group"] = "head"
    schedule = ng.Schedule.of(**{"learning_rate": 0.4, "learning_rate[head]": 0.7})
    schedule.attach(optimizer, 8)
    assert lrs(optimizer) == [0.2, 0.7, 0.4]


@pytest.mark.parametrize("first", [["momentum"], ["beta1", "momentum"], ["momentum", "beta1"]])
def test_the_momentum_of_some_groups_is_not_the_first_beta_of_others(first):
    optimizer = ng.Muon().torch_optimizer(layer().parameters())
    values = {"momentum": 0.8, "beta1": 0.5}
    row = {"learning_rate": 0.1, **{name: values[name] for name in first}}
    ng.Schedule.of(**row).attach(optimizer, 8)
    matrices, others = optimizer.param_groups
    assert matrices["momentum"] == 0.8
    assert others["betas"][0] == (0.5 if "beta1" in first else 0.9)


@pytest.mark.parametrize(
    "two", [("momentum", "beta1"), ("beta1", "momentum"), ("lr", "learning_rate")]
)
def test_two_names_of_one_setting_are_refused(two):
    schedule = ng.Schedule.of(**dict(zip(two, (0.5, 0.9), strict=True)))
    with pytest.raises(ValueError, match=f"sets '{two[0]}' and '{two[1]}', which are one setting"):
        schedule.attach(torch.optim.Adam(layer().parameters()), 8)


def test_only_the_learning_rate_keeps_ratios():
    optimizer = sgd(0.1, 0.2)
    optimizer.param_groups[0].update(momentum=0.1, weight_decay=0.1)
    optimizer.param_groups[1].update(momentum=0.8, weight_decay=0.3)
    ng.Schedule.of(momentum=0.9, weight_decay=0.5).attach(optimizer, 4)
    assert lrs(optimizer) == [0.1, 0.2]
    for group in optimizer.param_groups:
        assert (group["momentum"], group["weight_decay"]) == (0.9, 0.5)


@pytest.mark.parametrize(
    ("lr", "part"),
    [({}, 1.0), ({"lr": 0.03}, 0.1), ({"lr": 0.6}, 2.0)],
    ids=["default", "less", "more"],
)
def test_a_group_that_is_added_later_keeps_its_ratio(lr, part):
    optimizer = sgd(None, 0.01, lr=0.1)
    scheduler = SCHEDULE.attach(optimizer, 8)
    taken(optimizer, scheduler, 2)  # the common rate is 0.3 now
    optimizer.add_param_group({"params": layer().parameters(), **lr})
    optimizer.step()
    scheduler.step()
    assert taken(optimizer, scheduler, 5) == rows(1.0, 0.1, part)[3:]
    assert len(scheduler.get_last_lr()) == 3


@pytest.mark.parametrize(("lr", "part"), [(0.1, 1.0), (0.05, 0.5)])
def test_a_group_that_is_added_while_the_rate_is_zero(lr, part):
    optimizer = sgd(0.1, lr=0.1)
    scheduler = ng.Schedule.of(learning_rate=[0.0, 0.4]).attach(optimizer, 4)
    optimizer.add_param_group({"params": layer().parameters(), "lr": lr})
    assert taken(optimizer, scheduler, 4)[1:] == [[0, 0], [0.4, 0.4 * part], [0.4, 0.4 * part]]


def test_a_group_that_is_added_between_two_schedules():
    optimizer = sgd(0.1, 0.02)
    optimizer.param_groups[1]["group"] = "head"
    own = ng.Schedule.of(**{"learning_rate": 0.5, "learning_rate[head]": 0.7})
    taken(optimizer, own.attach(optimizer, 4), 4)
    optimizer.add_param_group({"params": layer().parameters(), "lr": 0.05})
    assert taken(optimizer, SCHEDULE.attach(optimizer, 8), 8) == rows(1.0, 0.2, 0.1)


def test_a_group_that_is_added_with_weight_decay_does_not_set_others_apart():
    optimizer = sgd(0.1)
    scheduler = ng.Schedule.of(learning_rate=0.1, weight_decay=[0.3, 0.2]).attach(optimizer, 4)
    for decay in (0.1, 0.0):
        optimizer.add_param_group({"params": layer().parameters(), "weight_decay": decay})
    taken(optimizer, scheduler, 3)
    assert [group["weight_decay"] for group in optimizer.param_groups] == [0.2, 0.2, 0.0]


# Tensors


def test_tensor_rates_are_filled_in_place():
    rate, shared = torch.tensor(0.01), torch.tensor(0.1)
    groups = [{"params": layer().parameters()}, {"params": layer().parameters(), "lr": rate}]
    groups.append({"params": layer().parameters(), "group": "head"})
    optimizer = torch.optim.Adam(groups, lr=shared, foreach=False)
    held = lrs(optimizer)
    schedule = ng.Schedule.of(**{"learning_rate": RATES, "learning_rate[head]": 0.7})
    scheduler = schedule.attach(optimizer, 4)
    for step in range(4):
        assert held[0] is optimizer.param_groups[0]["lr"] and held[0] is shared
        assert held[1] is optimizer.param_groups[1]["lr"]
        # The third group had the default's own tensor, which would have been filled twice.
        found = [rate.item() for rate in lrs(optimizer)]
        assert found == pytest.approx([RATES[step], RATES[step] / 10, 0.7], rel=1e-6)
        assert [last.item() for last in scheduler.get_last_lr()] == found
        assert all(last is not rate for last in scheduler.get_last_lr() for rate in lrs(optimizer))
        optimizer.step()
        scheduler.step()
    assert optimizer.defaults["lr"].item() == pytest.approx(0.1)
    optimizer.add_param_group({"params": layer().parameters()})
    optimizer.step()
    scheduler.step()
    assert lrs(optimizer)[3].item() == pytest.approx(RATES[3])


def test_tensor_betas_are_filled_in_place():
    betas = torch.tensor(0.5), torch.tensor(0.99)
    optimizer = torch.optim.Adam(layer().parameters(), lr=0.1, betas=betas, foreach=False)
    ng.Schedule.of(learning_rate=0.1, beta1=0.8).attach(optimizer, 4)
    assert optimizer.param_groups[0]["betas"][0] is betas[0] and betas[0].item() == pytest.approx(
        0.8
    )
    assert betas[1].item() == pytest.approx(0.99)


# States


def saved_run(added):
    """A run of eight steps that is saved after five: its states, and the rates of the last three."""
    optimizer = sgd(0.02, 0.1, lr=0.1)
    scheduler = SCHEDULE.attach(optimizer, 8)
    taken(optimizer, scheduler, 3)
    if added:
        optimizer.add_param_group({"params": layer().parameters(), "lr": 0.06})
    taken(optimizer, scheduler, 2)
    states = copy.deepcopy((optimizer.state_dict(), scheduler.state_dict()))
    return states, taken(optimizer, scheduler, 3)


@pytest.mark.parametrize("added", [False, True])
@pytest.mark.parametrize(
    "order",
    ["optimizer attach scheduler", "attach optimizer scheduler", "attach scheduler optimizer"],
)
@pytest.mark.parametrize("like_before", [True, False])
def test_states_are_loaded_in_any_order(order, added, like_before):
    states, expected = saved_run(added)
    before = (0.02, 0.1, 0.06) if like_before else (0.0, 0.0, 0.0)
    optimizer, scheduler = sgd(*before[: 2 + added], lr=0.1), None
    for what in order.split():
        if what == "attach":
            scheduler = SCHEDULE.attach(optimizer, 8)
        elif what == "optimizer":
            optimizer.load_state_dict(states[0])
        else:
            scheduler.load_state_dict(states[1])
    momentum = optimizer.param_groups[0]["momentum"]
    assert (scheduler.last_epoch, momentum) == (5, 0.9)
    assert taken(optimizer, scheduler, 3) == expected


@pytest.mark.parametrize("first", ["attach", "load"])
def test_a_state_that_never_met_a_scheduler_is_taken_as_it_is(first):
    plain = sgd(0.02, 0.1).state_dict()
    optimizer = sgd(7.0, 7.0)
    if first == "load":
        optimizer.load_state_dict(plain)
    scheduler = SCHEDULE.attach(optimizer, 8)
    if first == "attach":
        optimizer.load_state_dict(plain)
        scheduler.move_to(0)
    assert taken(optimizer, scheduler, 8) == rows(0.2, 1.0)


def test_a_run_goes_on_with_steps_taken_and_no_initial_rate():
    optimizer = sgd(0.02, 0.1)
    scheduler = ScheduleLR(optimizer, SCHEDULE, 8, last_epoch=4)
    assert taken(optimizer, scheduler, 3) == rows(0.2, 1.0)[5:]


# Other schedulers


def rival_step(optimizer):
    return StepLR(optimizer, 1, gamma=0.9).step


def rival_schedule(optimizer):
    return ng.Schedule.of(learning_rate=[0.05, 0.06]).attach(optimizer, 8).step


def rival_loop(optimizer):
    return lambda: optimizer.param_groups[0].update(lr=0.05)


@pytest.mark.filterwarnings("ignore:Detected call of")
@pytest.mark.parametrize("first", [False, True])
@pytest.mark.parametrize("rival", [rival_step, rival_schedule, rival_loop])
def test_who_else_sets_the_rate_is_told_once(rival, first):
    optimizer = sgd(0.1)
    other = rival(optimizer) if first else None
    scheduler = SCHEDULE.attach(optimizer, 8)
    other = other or rival(optimizer)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for _ in range(6):
            optimizer.step()
            other()
            scheduler.step()
    told = [str(each.message) for each in caught if "schedule had set" in str(each.message)]
    assert len(told) == 1 + (rival is rival_schedule)  # which tells the same of the other
    told.sort(key=lambda text: "0.4: another" not in text)
    assert "parameter group 0" in told[0] and "0.4: another scheduler" in told[0]
    assert "SequentialLR" in told[0]
    assert lrs(optimizer) == [0.1]  # that of step 6: the schedule's values go before


def test_a_schedule_that_is_given_up_for_another_is_not_told():
    optimizer = sgd(0.1)
    taken(optimizer, ng.Schedule.of(learning_rate=0.5).attach(optimizer, 8), 3)
    assert taken(optimizer, SCHEDULE.attach(optimizer, 8), 8) == rows(1.0)


def test_two_schedules_of_different_settings_get_along():
    optimizer = sgd(0.1, momentum=0.5)
    pair = [
        ng.Schedule.of(**{name: [0.1, 0.2]}).attach(optimizer, 4)
        for name in ("learning_rate", "momentum")
    ]
    for step in range(4):
        group = optimizer.param_groups[0]
        assert group["lr"] == group["momentum"] == (0.1 if step < 2 else 0.2)
        optimizer.step()
        for scheduler in pair:
            scheduler.step()


def test_one_after_another_in_a_sequence():
    optimizer = sgd(0.02, 0.1)
    warm = LinearLR(optimizer, 0.25, 1.0, 3)
    whole = SequentialLR(optimizer, [warm, SCHEDULE.attach(optimizer, 8)], [3])
    found = taken(optimizer, whole, 11)
    assert found[:3] == [pytest.approx([0.02 * w, 0.1 * w]) for w in (0.25, 0.5, 0.75)]
    assert found[3:] == rows(0.2, 1.0)

    optimizer = sgd(0.1)
    held = SCHEDULE.attach(optimizer, 8), StepLR(optimizer, 100)
    sequence = SequentialLR(optimizer, list(held), [8])
    found = taken(optimizer, sequence, 9)
    assert found[:8] == rows(1.0)


@pytest.mark.parametrize("at", [1, 3, 5])
@pytest.mark.parametrize("early", [False, True])
@pytest.mark.parametrize("ours", [0, 1])
def test_a_sequence_that_is_resumed(ours, early, at):
    def made(optimizer):
        parts = [LinearLR(optimizer, 0.25, 1.0, 3), SCHEDULE.attach(optimizer, 8)]
        return SequentialLR(optimizer, parts[:: 1 if ours else -1], [3])

    optimizer = sgd(0.02, 0.1)
    sequence = made(optimizer)
    taken(optimizer, sequence, at)
    states = copy.deepcopy((optimizer.state_dict(), sequence.state_dict()))
    expected = taken(optimizer, sequence, 5)

    again = sgd(0.02, 0.1)
    sequence = made(again)
    steps = [(again, states[0]), (sequence, states[1])]
    for part, state in steps if early else steps[::-1]:
        part.load_state_dict(state)
    assert taken(again, sequence, 5) == expected


# Beginning in the middle, and beyond the end

CURVES = ng.Schedule({"learning_rate": Curve(ng.Linear(3), torch.tensor([0.1, 0.4, 0.0]).double())})


@pytest.mark.parametrize("schedule", [SCHEDULE, CURVES])
@pytest.mark.parametrize("step", [0, 3, 7, 8, 20])
def test_beginning_at_a_step_is_being_there(schedule, step):
    optimizer = sgd(0.02, 0.1)
    scheduler = schedule.attach(optimizer, 8, from_step=step)
    values = schedule.values(8)["learning_rate"].tolist()
    values += values[-1:] * 20
    expected = [pytest.approx([0.2 * value, value]) for value in values[step : step + 6]]
    assert taken(optimizer, scheduler, 6) == expected
    assert scheduler.last_epoch == step + 6


@pytest.mark.parametrize("schedule", [SCHEDULE, CURVES])
@pytest.mark.parametrize(
    ("step", "remaining", "length"),
    [(0, 16, 16), (0, 3, 3), (4, 4, 8), (4, 8, 16), (6, 6, 24), (4, 2, 4), (2, 9, 12)],
)
def test_what_remains_is_the_end_of_a_run_of_another_length(schedule, step, remaining, length):
    optimizer = sgd(0.1)
    scheduler = schedule.attach(optimizer, 8, from_step=step, remaining=remaining)
    values = schedule.values(length)["learning_rate"].tolist()
    expected = [[value] for value in values[length - remaining :]]
    assert taken(optimizer, scheduler, remaining + 1) == [*expected, expected[-1]]


def test_what_remains_is_saved_and_loaded():
    optimizer = sgd(0.1)
    scheduler = CURVES.attach(optimizer, 8, from_step=4, remaining=8)
    taken(optimizer, scheduler, 3)
    states = copy.deepcopy((optimizer.state_dict(), scheduler.state_dict()))
    expected, again = taken(optimizer, scheduler, 4), sgd(0.1)
    again.load_state_dict(states[0])
    scheduler = CURVES.attach(again, 8)
    scheduler.load_state_dict(states[1])
    assert taken(again, scheduler, 4) == expected


def test_a_state_of_another_run_is_told():
    optimizer = sgd(0.1)
    scheduler = CURVES.attach(optimizer, 8)
    taken(optimizer, scheduler, 3)
    state = scheduler.state_dict()
    with pytest.warns(UserWarning, match=r"of a run of 8 steps, .* total_steps=16.* from_step=3"):
        CURVES.attach(sgd(0.1), 16).load_state_dict(state)
    with pytest.warns(UserWarning, match=r"of another schedule, which goes on.* from_step=3"):
        SCHEDULE.attach(sgd(0.1), 8).load_state_dict(state)
    CURVES.attach(sgd(0.1), 8).load_state_dict(state)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"total_steps": 10.5}, r"`total_steps` must be a whole number.*10\.5"),
        ({"total_steps": True}, "`total_steps`.*True"),
        ({"total_steps": 0}, "`total_steps`.*0"),
        ({"from_step": -1}, "`from_step`.*at least 0.*-1"),
        ({"from_step": 1.5}, r"`from_step`.*1\.5"),
        ({"remaining": 0}, "`remaining`.*0"),
        ({"remaining": 2.5}, r"`remaining`.*2\.5"),
        ({"from_step": 8, "remaining": 4}, "step 8 of 8.*remaining=4.*earlier `from_step`"),
        (
            {"total_steps": 10**6, "from_step": 10**6 - 1, "remaining": 1000},
            "last 1 of 1000000.*1000000000 steps.*leave `remaining` out",
        ),
        ({"groups": "ratio"}, "`groups` 'ratio'.*same, scale"),
    ],
    ids=str,
)
def test_what_is_no_run(settings, words):
    optimizer = sgd(0.1)
    with pytest.raises(ValueError, match=words):
        SCHEDULE.attach(optimizer, **{"total_steps": 8, **settings})
    assert lrs(optimizer) == [0.1]


def test_whole_numbers_of_other_libraries_are_whole():
    optimizer = sgd(0.1)
    scheduler = SCHEDULE.attach(
        optimizer, numpy.int64(8), from_step=torch.tensor(4), remaining=numpy.int32(4)
    )
    assert taken(optimizer, scheduler, 4) == rows(1.0)[4:]
    with pytest.raises(ValueError, match=r"`total_steps`.*10\.5"):
        SCHEDULE.values(10.5)


# Values that cannot be

IMPOSSIBLE = [
    ("learning_rate", -1.0, "at least 0"),
    ("learning_rate[head]", -1.0, "at least 0"),
    ("lr", -0.1, "at least 0"),
    ("weight_decay", -1e-9, "at least 0"),
    ("momentum", 1.0, "at least 0 and less than 1"),
    ("momentum", -0.1, "at least 0 and less than 1"),
    ("beta2", 5.0, "at least 0 and less than 1"),
    ("epsilon", float("inf"), "at least 0"),
    ("learning_rate", float("nan"), "at least 0"),
    ("rho", float("nan"), "finite number: give"),
]


@pytest.mark.parametrize(("name", "value", "words"), IMPOSSIBLE)
def test_impossible_values_are_refused_wherever_they_come_from(name, value, words, tmp_path):
    told = rf"^{name.split('[')[0]}.* is {value:g} at %s, .*finite number.*"
    with pytest.raises(ValueError, match=told % "window 1 of 2") as caught:
        ng.Schedule.of(**{name: [0.5, value]})
    assert words in str(caught.value)

    curve = Curve(ng.Windows(2), torch.tensor([0.5, value]).double())
    optimizer = sgd(0.1)
    optimizer.param_groups[0].update(rho=1.0, epsilon=1.0, beta2=0.1, group="head")
    with pytest.raises(ValueError, match=told % "step 2 of 4"):
        ng.Schedule({name: curve}).attach(optimizer, 4)
    assert lrs(optimizer) == [0.1]

    if curve.coefficients.isfinite().all():
        path = ng.Schedule({name: curve}).save(tmp_path / "schedule.json")
        with pytest.raises(ng.ScheduleFileError, match=rf"schedule.json'.* is {value:g} at coeff"):
            ng.Schedule.load(path)


def test_what_is_the_tasks_own_has_values_of_its_own(tmp_path):
    curve = Curve(ng.Windows(1), torch.tensor([-3.0]).double(), owner="task")
    schedule = ng.Schedule({**SCHEDULE.curves, "momentum": curve})
    schedule.attach(sgd(0.1), 4)
    assert ng.Schedule.load(schedule.save(tmp_path / "schedule.json")) == schedule


def test_the_ends_of_the_ranges_are_possible():
    values = {"learning_rate": 0.0, "momentum": 0.0, "weight_decay": 0.0, "rho": -1e300}
    assert ng.Schedule.of(**values)["rho"].item() == -1e300


# Another kind of optimizer


def learned_with(optimizer):
    schedule = ng.Schedule.of(learning_rate=3.04, momentum=0.44)
    return schedule.with_settings({"optimizer": optimizer})


GROUPED = ng.Grouped(ng.SGD(), {"*bias": {"weight_decay": 0.0}})


class MyAdamW(torch.optim.AdamW):
    pass


@pytest.mark.parametrize(
    ("learned", "attached", "names"),
    [
        (ng.SGD().to_json(), torch.optim.Adam, ["SGD", "Adam"]),
        (ng.SGD().to_json(), torch.optim.AdamW, ["SGD", "AdamW"]),
        (ng.SGD().to_json(), MyAdamW, ["SGD", "AdamW"]),
        (GROUPED.to_json(), torch.optim.Adam, ["SGD", "Adam"]),
        ("SGD(learning_rate=Windows(4))", torch.optim.Adam, ["SGD", "Adam"]),
        (ng.RMSprop().to_json(), torch.optim.SGD, ["RMSprop", "SGD"]),
        (ng.Adam().to_json(), torch.optim.AdamW, ["Adam", "AdamW"]),
    ],
)
def test_a_schedule_of_another_kind_of_optimizer_is_refused_unless_one_insists(
    learned, attached, names
):
    optimizer = attached(layer().parameters(), lr=0.1)
    before = [dict(group) for group in optimizer.param_groups]
    with pytest.raises(
        ValueError, match=f"made for {names[0]} .*optimizer is {names[1]},"
    ) as caught:
        learned_with(learned).attach(optimizer, 8)
    assert f"torch.optim.{names[0]}" in str(caught.value)
    assert f"nongreedy.tune(task, nongreedy.{names[1]}())" in str(caught.value)
    assert str(caught.value).endswith("To insist, pass strict=False.")
    assert [dict(group) for group in optimizer.param_groups] == before  # untouched
    learned_with(learned).attach(optimizer, 8, strict=False)


def nadam(parameters, lr):
    return torch.optim.NAdam(parameters, lr=lr, decoupled_weight_decay=True)


def apart(parameters, lr):
    return torch.optim.Adam(parameters, lr=lr, decoupled_weight_decay=True)


def nesterov(parameters, lr):
    return torch.optim.SGD(parameters, lr=lr, momentum=0.9, nesterov=True)


def dampened(parameters, lr):
    return torch.optim.SGD(parameters, lr=lr, momentum=0.9, dampening=0.5)


def amsgrad(parameters, lr):
    return torch.optim.AdamW(parameters, lr=lr, amsgrad=True)


def centered(parameters, lr):
    return torch.optim.RMSprop(parameters, lr=lr, centered=True)


@pytest.mark.parametrize(
    ("learned", "attached", "words"),
    [
        (ng.SGD(nesterov=True), torch.optim.SGD, "nesterov=True .* has nesterov=False"),
        (ng.SGD(), nesterov, "nesterov=False .* has nesterov=True"),
        (ng.SGD(dampening=0.1), dampened, r"dampening=0\.1 .* has dampening=0\.5"),
        (ng.Grouped(ng.SGD(), {"*bias": {"momentum": 0.0}}), dampened, r"has dampening=0\.5"),
        (ng.AdamW(), amsgrad, "amsgrad=False .* has amsgrad=True"),
        (ng.RMSprop(), centered, "centered=False .* has centered=True"),
        (ng.NAdam(), nadam, "decoupled=False .* has decoupled_weight_decay=True"),
        (ng.Adam(), apart, "made for Adam .* is AdamW"),
    ],
)
def test_another_update_of_the_same_kind_is_refused_unless_one_insists(learned, attached, words):
    optimizer = attached(layer().parameters(), lr=0.1)
    with pytest.raises(ValueError, match=words):
        learned_with(learned.to_json()).attach(optimizer, 8)
    learned_with(learned.to_json()).attach(optimizer, 8, strict=False)


@pytest.mark.parametrize(
    ("learned", "attached"),
    [
        (ng.SGD(nesterov=True), nesterov),
        (ng.SGD(dampening=0.5), dampened),
        (ng.NAdam(decoupled=True), nadam),
        (ng.AdamW(), apart),
        (ng.AdamW(), torch.optim.AdamW),
        (ng.NAdam(), torch.optim.NAdam),
    ],
)
def test_the_update_that_it_was_learned_with_is_not(learned, attached):
    learned_with(learned.to_json()).attach(attached(layer().parameters(), lr=0.1), 8)


def learned_in(steps):
    return ng.Schedule.of(learning_rate=[0.1, 0.01]).with_settings({"steps": steps})


@pytest.mark.parametrize("total_steps", [3, 30, 800])
def test_a_run_of_quite_another_length_than_was_learned_in_is_warned_of(total_steps):
    with pytest.warns(UserWarning, match=rf"of 200 steps, .* total_steps={total_steps}: .* epochs"):
        learned_in(200).attach(sgd(0.1), total_steps)
    learned_in(200).attach(sgd(0.1), total_steps, strict=False)
    learned_in(200).attach(sgd(0.1), 200, from_step=100, remaining=700)  # as one wants it


def test_a_run_of_about_the_length_that_was_learned_in_is_not():
    for total_steps in (80, 200, 500):
        learned_in(200).attach(sgd(0.1), total_steps)
    learned_in("unknown").attach(sgd(0.1), 3)


class Stranger(torch.optim.Optimizer):
    def __init__(self, parameters, lr):
        super().__init__(parameters, {"lr": lr, "momentum": 0.0})


@pytest.mark.parametrize(
    ("learned", "attached"),
    [
        (ng.SGD().to_json(), torch.optim.SGD),
        (GROUPED.to_json(), torch.optim.SGD),
        (ng.AdamW().to_json(), MyAdamW),
        (ng.SGD().to_json(), Stranger),  # nothing can be known
        ({"class": "theirs.Quick"}, torch.optim.SGD),
        (None, torch.optim.Adam),
        (3, torch.optim.Adam),
    ],
)
def test_where_nothing_is_known_or_wrong_nothing_is_told(learned, attached):
    learned_with(learned).attach(attached(layer().parameters(), lr=0.1), 8)
    ng.Schedule.of(learning_rate=0.1).attach(attached(layer().parameters(), lr=0.1), 8)


def test_what_a_search_writes_tells_with_which_optimizer(tmp_path):
    x = torch.randn(16, 3)
    data = x, (x[:, 0] > 0).long()
    task = ng.Task(nn.Linear(3, 2), functional.cross_entropy, data, data, batch_size=8)
    result = ng.tune(task, ng.SGD(), steps=4, outer_steps=1)
    schedule = ng.Schedule.load(result.schedule.save(tmp_path / "schedule.json"))
    with pytest.raises(ValueError, match="made for SGD"):
        schedule.attach(torch.optim.Adam(layer().parameters()), 8)
