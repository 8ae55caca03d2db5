"""What several tests share: tiny tasks, tables to take products of, the paper's recursions by hand."""

import contextlib
import math
import signal
import warnings

import pytest
import torch
from torch import nn
from torch.nn import functional

import nongreedy as ng
from nongreedy import testing
from nongreedy.testing import STEPS as STEPS
from nongreedy.testing import assert_same as assert_same
from nongreedy.testing import classes as classes
from nongreedy.testing import tiny_task as tiny_task

# PyTorch's forward mode, when first used, warns of its own use of torch.jit.script.
with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)
    torch.func.jvp(torch.sin, (torch.zeros(()),), (torch.zeros(()),))

# Name -> clipping. The bounds are such that some coordinates and steps are clipped and some are not.
CLIPPINGS = {
    "plain": {},
    "clip_value": {"clip_value": 0.06},
    "clip_norm": {"clip_norm": 0.63},
    "both": {"clip_value": 0.06, "clip_norm": 0.26},
}

# Name -> one basis for each hyperparameter of SGD.
BASES = {
    "windows": {
        "learning_rate": ng.Windows(3, initial=(0.3, 0.4, 0.2)),
        "momentum": ng.Windows(2, initial=(0.5, 0.3)),
        "weight_decay": ng.Windows(4, initial=(0.01, 0.02, 0.005, 0.03)),
    },
    "linear": {
        "learning_rate": ng.Linear(3, initial=(0.1, 0.4, 0.2)),
        "momentum": ng.Linear(2, initial=(0.6, 0.2)),
        "weight_decay": ng.Linear(2, initial=(0.01, 0.04)),
    },
    "per_step": {
        "learning_rate": ng.PerStep(initial=[0.3, 0.25, 0.4, 0.2, 0.1]),
        "momentum": ng.Constant(initial=0.4),
        "weight_decay": 0.01,
    },
    "constant": {
        "learning_rate": ng.Constant(initial=0.3),
        "momentum": ng.Constant(initial=0.5),
        "weight_decay": ng.Constant(initial=0.02),
    },
}

# Those of the table, and those in which something went wrong once.
MODELS = {**testing.MODELS, **testing.EDGE_MODELS}


@contextlib.contextmanager
def default_dtype(dtype):
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


def assert_equals_twin(optimizer, schedule, relative, steps=50):
    """A run ends where a plain loop with the optimizer's torch twin ends."""
    task = tiny_task("mlp")
    run = ng.Run(task, optimizer, steps, seed=4, dtype=torch.float64)
    ours = ng.Reverse().rollout(run, schedule).answer
    module = MODELS["mlp"][0]().double()
    parameters = list(module.parameters())
    nn.utils.vector_to_parameters(run.initial()[0].clone(), parameters)
    twin = optimizer.torch_optimizer(optimizer.torch_groups(module.named_parameters()))
    scheduler = schedule.attach(twin, steps, optimizer.torch_settings)
    for step in range(steps):
        inputs, targets = task.plan.batch(4, step, task.device, torch.float64)
        twin.zero_grad()
        functional.cross_entropy(module(inputs), targets).backward()
        optimizer.clip_torch(parameters)
        with default_dtype(torch.float64):  # of what a twin keeps beside its vectors
            twin.step()
        scheduler.step()
    theirs = nn.utils.parameters_to_vector(parameters)
    torch.testing.assert_close(ours, theirs, rtol=relative, atol=relative / 100)


def at(values, step):
    """Every value of one step."""
    return {name: value[step] for name, value in values.items()}


def two_derivatives(function, inputs):
    """The value, first derivatives and a Hessian-vector product, by those inputs that want them."""
    generator = torch.Generator().manual_seed(2)
    leaves = [leaf for leaf in inputs if leaf.requires_grad]
    y = function(*inputs)
    weighting = torch.randn(y.shape, generator=generator, dtype=torch.float64)
    first = torch.autograd.grad((y.sin() * weighting).sum(), leaves, create_graph=True)
    directions = [torch.randn(g.shape, generator=generator).double() for g in first]
    product = sum((g * d).sum() for g, d in zip(first, directions, strict=True))
    return [y, *first, *torch.autograd.grad(product, leaves)]


class Drift(torch.utils.data.Dataset):
    """Items that change, all at once, after `steady` reads."""

    def __init__(self, inputs, targets, steady):
        self.inputs, self.targets, self.left = inputs, targets, steady

    def __len__(self):
        return len(self.inputs)

    def __getitem__(self, index):
        self.left -= 1
        return self.inputs[index] + (0.5 if self.left < 0 else 0.0), self.targets[index]


class ByHand:
    """A two-layer tanh network with squared loss: gradient and Hessian-vector product written out.

    Neither autograd nor any code of the library takes part: the independent oracle. `theta` is
    (W1, W2) flat, as ``nn.Sequential(Linear(bias=False), Tanh(), Linear(bias=False))`` has it.
    """

    inputs, hidden, outputs = 3, 4, 2

    def model(self):
        first = nn.Linear(self.inputs, self.hidden, bias=False)
        return nn.Sequential(first, nn.Tanh(), nn.Linear(self.hidden, self.outputs, bias=False))

    def split(self, theta):
        sizes = [self.hidden * self.inputs, self.outputs * self.hidden]
        first, second = theta.split(sizes)
        return first.view(self.hidden, self.inputs), second.view(self.outputs, self.hidden)

    def gradient(self, theta, batch):
        (w1, w2), (x, y) = self.split(theta), batch
        h = torch.tanh(x @ w1.T)
        e = 2 * (h @ w2.T - y) / y.numel()
        return torch.cat([(((e @ w2) * (1 - h**2)).T @ x).reshape(-1), (e.T @ h).reshape(-1)])

    def hessian_times(self, theta, vector, batch):
        """Pearlmutter's R-operator, line by line beside `gradient`."""
        (w1, w2), (v1, v2), (x, y) = self.split(theta), self.split(vector), batch
        h = torch.tanh(x @ w1.T)
        rh = (1 - h**2) * (x @ v1.T)
        e, re = 2 * (h @ w2.T - y) / y.numel(), 2 * (rh @ w2.T + h @ v2.T) / y.numel()
        rd = (re @ w2 + e @ v2) * (1 - h**2) - 2 * (e @ w2) * h * rh
        return torch.cat([(rd.T @ x).reshape(-1), (re.T @ h + e.T @ rh).reshape(-1)])

    def train(self, theta, values, batches):
        """Visited (theta_t, v_t), t = 0 .. T, of heavy-ball SGD with coupled decay."""
        visited, v = [(theta, torch.zeros_like(theta))], torch.zeros_like(theta)
        for alpha, beta, xi, batch in zip(*values, batches, strict=True):
            v = beta * v + self.gradient(theta, batch) + xi * theta
            theta = theta - alpha * v
            visited.append((theta, v))
        return visited

    def reverse(self, theta, values, batches, validation):
        """Section 4's recursion: adjoints of alpha_t, beta_t, xi_t (3, T), and of theta_0."""
        visited = self.train(theta, values, batches)
        bar, v_bar = self.gradient(visited[-1][0], validation), torch.zeros_like(theta)
        found = torch.zeros(3, len(batches), dtype=theta.dtype)
        for t in reversed(range(len(batches))):
            (old, old_v), (_, v), (alpha, beta, xi) = visited[t], visited[t + 1], values[:, t]
            u = v_bar - alpha * bar
            found[:, t] = torch.stack([-bar @ v, u @ old_v, u @ old])
            bar, v_bar = bar + xi * u + self.hessian_times(old, u, batches[t]), beta * u
        return found, bar

    def forward(self, theta, values, batches, validation, windows):
        """Section 3's recursion: one list of window hypergradients for each of alpha, beta, xi."""
        steps = len(batches)
        visited = self.train(theta, values, batches)
        rows = [(name, window) for name in range(3) for window in range(windows[name])]
        z, c = {row: torch.zeros_like(theta) for row in rows}, {row: 0.0 for row in rows}
        for t in range(steps):
            (old, old_v), (_, v), (alpha, beta, xi) = visited[t], visited[t + 1], values[:, t]
            for name, window in rows:
                active = (windows[name] * t) // steps == window
                key, injected = (name, window), (old_v if name == 1 else old) * float(active)
                c[key] = beta * c[key] + self.hessian_times(old, z[key], batches[t]) + xi * z[key]
                c[key] = c[key] + (injected if name else 0.0)
                z[key] = z[key] - alpha * c[key] - (v * float(active) if name == 0 else 0.0)
        outer = self.gradient(visited[-1][0], validation)
        return [torch.stack([outer @ z[n, w] for w in range(windows[n])]) for n in range(3)]


def hadamard(order):
    """Sylvester's matrix of signs: rows, and columns, are exactly orthogonal."""
    matrix = torch.ones(1, 1, dtype=torch.float64)
    for _ in range(int(math.log2(order))):
        matrix = torch.cat([torch.cat([matrix, matrix], 1), torch.cat([matrix, -matrix], 1)])
    return matrix


def hear_interrupts():
    """A shell starts background jobs deaf to SIGINT, and whoever runs these tests may be one."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def assert_refused(act, error, words):
    """What is done raises this error, in a sentence that has these words."""
    with pytest.raises(error) as caught:
        act()
    message = str(caught.value).rstrip('"').rstrip()
    assert all(word in message for word in words), message
    assert message.endswith("."), message


class Still(nn.Module):
    """Two units that are dead on inputs of -1, and one weight at its minimum there, where curvature would
    carry a NaN on."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.tensor([0.5, 1.5, 0.0]))

    def forward(self, inputs):
        product = inputs * self.weight
        return torch.cat([torch.relu(product[:, :2]), product[:, 2:]], 1)


def still_task():
    """All training gradients are exactly zero. The validation inputs wake the units, so that the outer loss
    still depends on decay, momentum and learning rate."""
    ones = torch.ones(4, 3, dtype=torch.float64)
    train = -ones, torch.tensor([1.0, 1.0, 0.0]).double().expand(4, 3)
    return ng.Task(Still, functional.mse_loss, train, (ones, ones), batch_size=2)
