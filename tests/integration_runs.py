"""What the tests of other trainers share: a schedule, its values by hand, what an optimizer saw."""

import torch

import nongreedy as ng

# Weight decay is 0 in the middle, where a group that decays must not be taken for one that never does.
SCHEDULE = ng.Schedule.of(
    learning_rate=[0.02, 0.05, 0.01, 0.004], momentum=[0.6, 0.9], weight_decay=[0.3, 0.0, 0.1]
)


def seen_by(group):
    """Learning rate, momentum and weight decay in a parameter group."""
    momentum = group["betas"][0] if "betas" in group else group["momentum"]
    return group["lr"], momentum, group["weight_decay"]


def expected(total, first=0):
    """What must be seen from step `first` on."""
    values = SCHEDULE.values(total)
    return list(zip(*(values[name].tolist() for name in values), strict=True))[first:]


def spy(optimizer, seen):
    """Notes what each group holds at each of the optimizer's steps."""
    optimizer.register_step_pre_hook(
        lambda *given: seen.append([seen_by(group) for group in optimizer.param_groups])
    )


def set_by_hand(optimizer, row):
    """The oracle: no code of the library, and a group without weight decay is left without."""
    rate, momentum, decay = row
    for group in optimizer.param_groups:
        group["lr"] = rate
        group["weight_decay"] = decay if group.get("decays", True) else 0.0
        if "betas" in group:
            group["betas"] = (momentum, group["betas"][1])
        else:
            group["momentum"] = momentum


def assert_same_weights(module, other):
    pairs = zip(module.state_dict().items(), other.state_dict().items(), strict=True)
    for (name, mine), (twin, theirs) in pairs:
        assert name == twin and torch.equal(mine, theirs), name
