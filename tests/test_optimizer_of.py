"""Optimizers of ``torch.optim`` taken over: the same training by the same numbers, groups and all."""

import pytest
import torch
from torch import nn
from torch.nn import functional

import nongreedy as ng

KINDS = {
    "sgd": (torch.optim.SGD, {"lr": 0.1, "momentum": 0.9, "nesterov": True, "weight_decay": 0.01}),
    "adam": (torch.optim.Adam, {"lr": 0.02, "betas": (0.8, 0.9), "weight_decay": 0.1}),
    "adamw": (torch.optim.AdamW, {"lr": torch.tensor(0.02), "eps": 1e-6}),
    "nadam": (torch.optim.NAdam, {"lr": 0.02, "weight_decay": 0.1, "decoupled_weight_decay": True}),
    "rmsprop": (torch.optim.RMSprop, {"lr": 0.02, "alpha": 0.9, "weight_decay": 0.1}),
    "adagrad": (torch.optim.Adagrad, {"lr": 0.1, "weight_decay": 0.1}),
}
GROUPS = {
    "one": lambda net: net.parameters(),
    "no decay": lambda net: [
        {"params": [p for p in net.parameters() if p.dim() > 1]},
        {"params": [p for p in net.parameters() if p.dim() < 2], "weight_decay": 0.0},
    ],
    "head first": lambda net: [
        {"params": net.head.parameters(), "lr": 0.05, "weight_decay": 0.3},
        {"params": net.body.parameters()},
    ],
}


class Net(nn.Module):
    def __init__(self):
        torch.manual_seed(0)
        super().__init__()
        self.body = nn.Sequential(nn.Linear(4, 5), nn.LayerNorm(5), nn.Tanh())
        self.head = nn.Linear(5, 2)

    def forward(self, x):
        return self.head(self.body(x))


X = torch.randn(24, 4, generator=torch.Generator().manual_seed(0))
Y = (X[:, 0] * X[:, 1] > 0).long()


@pytest.mark.parametrize("groups", GROUPS)
@pytest.mark.parametrize("kind", KINDS)
def test_the_same_training_comes_of_it(kind, groups):
    make, settings = KINDS[kind]
    net = Net()
    optimizer = make(GROUPS[groups](net), **settings)
    ours = ng.optimizer_of(optimizer, net)
    assert isinstance(ours, ng.Grouped) == (groups != "one")
    task = ng.Task(net, functional.cross_entropy, (X, Y), (X, Y), batch_size=24)
    values = {name: float(hyper.initial) for name, hyper in ours.hyperparameters().items()}
    found = ng.retrain(task, ng.Schedule.of(**values), steps=5, optimizer=ours)
    for _ in range(5):
        optimizer.zero_grad()
        functional.cross_entropy(net(X), Y).backward()
        optimizer.step()
    for mine, theirs in zip(found.model.parameters(), net.parameters(), strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-4, atol=1e-5)


class Lion(torch.optim.Optimizer):  # of a stranger
    def __init__(self, parameters):
        super().__init__(parameters, {"lr": 0.1, "cautious": True})


@pytest.mark.parametrize("base", [Lion, type("SGD", (torch.optim.SGD,), {"__module__": __name__})])
def test_a_stranger_of_a_known_name_is_not_taken_for_it(base):
    net = Net()
    with pytest.raises(
        TypeError, match=f"nearest is ng.{base.__name__}|Pass\\s+ng.{base.__name__}"
    ):
        ng.optimizer_of(base(net.parameters()), net)


def test_dampening_without_momentum_is_none():
    net = Net()
    groups = [
        {"params": net.body.parameters(), "momentum": 0.9},
        {"params": net.head.parameters(), "momentum": 0.0},
    ]
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1, dampening=0.5)
    assert ng.optimizer_of(optimizer, net) == ng.SGD(0.1)
    made = ng.optimizer_of(optimizer, net, momentum=ng.Constant(initial=0.9))
    assert made == ng.SGD(0.1, momentum=ng.Constant(initial=0.9), dampening=0.5)
    with pytest.raises(ValueError, match="differ in 'dampening'"):
        ng.optimizer_of(torch.optim.SGD(groups, lr=0.1, dampening=0.5), net)


def test_a_group_of_frozen_parameters_is_none():
    net = Net()
    net.body.requires_grad_(False)
    groups = [{"params": net.body.parameters(), "lr": 0.0}, {"params": net.head.parameters()}]
    assert ng.optimizer_of(torch.optim.SGD(groups, lr=0.1), net) == ng.SGD(0.1)


def test_a_rate_that_is_a_tensor_keeps_its_digits():
    net, rate = Net(), 0.12345678901234
    for dtype, expected in ((torch.float64, rate), (torch.float32, 0.12345679)):
        optimizer = torch.optim.SGD(net.parameters(), lr=torch.tensor(rate, dtype=dtype))
        assert ng.optimizer_of(optimizer, net).learning_rate == expected


def test_what_is_changed_is_learned_and_groups_keep_their_own():
    net = Net()
    optimizer = torch.optim.AdamW(GROUPS["no decay"](net), lr=0.1, weight_decay=0.2)
    made = ng.optimizer_of(optimizer, net, learning_rate=ng.Linear(3, initial=0.1), clip_norm=1.0)
    expected = ng.Grouped(
        ng.AdamW(ng.Linear(3, initial=0.1), weight_decay=0.2, clip_norm=1.0),
        {"vectors": {"weight_decay": 0.0}},
    )
    assert made == expected


def mixed(net):
    rows = list(net.parameters())
    return [
        {"params": rows[0::3]},
        {"params": rows[1::3], "lr": 0.2},
        {"params": rows[2::3], "lr": 0.3},
    ]


OPTIM = torch.optim
REFUSED = {
    "amsgrad": (lambda net: OPTIM.Adam(net.parameters(), amsgrad=True), ValueError, "amsgrad=True"),
    "centered": (lambda net: OPTIM.RMSprop(net.parameters(), centered=True), ValueError, "centered=True"),
    "decoupled": (lambda net: OPTIM.Adam(net.parameters(), decoupled_weight_decay=True), ValueError,
                  "decoupled_weight_decay=True"),
    "kind": (lambda net: OPTIM.Rprop(net.parameters()), TypeError, "torch.optim.Rprop.*nearest is ng.SGD"),
    "nothing": (lambda net: net, TypeError, "got Net"),
    "lost": (lambda net: OPTIM.SGD(net.head.parameters(), lr=0.1), ValueError, "'body.0.weight'.*freeze"),
    "scattered": (lambda net: OPTIM.SGD(mixed(net), lr=0.1), ValueError, "3 groups.*ng.Grouped"),
    "nesterov": (lambda net: OPTIM.SGD(
        [{"params": net.body.parameters()}, {"params": net.head.parameters(), "nesterov": True}],
        lr=0.1, momentum=0.9), ValueError, "differ in 'nesterov'"),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_refused(case):
    make, kind, words = REFUSED[case]
    net = Net()
    with pytest.raises(kind, match=words):
        ng.optimizer_of(make(net), net)
