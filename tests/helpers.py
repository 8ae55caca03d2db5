"""What several tests share: tiny tasks, tables to take products of, the paper's recursions by hand."""

import math
import warnings

import torch
from torch import nn
from torch.nn import functional

import nongreedy as ng

# PyTorch's forward mode, when first used, warns of its own use of torch.jit.script.
with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)
    torch.func.jvp(torch.sin, (torch.zeros(()),), (torch.zeros(()),))

STEPS = 5  # prime: no number of windows but 1 and 5 divides it


def mlp():
    return nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 3))


def conv_net():
    return nn.Sequential(
        nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.SiLU(), nn.Dropout(0.3), nn.Flatten(), nn.Linear(8, 3)
    )  # fmt: skip


def dead_relu():
    net = nn.Sequential(nn.Linear(4, 5), nn.ReLU(), nn.Linear(5, 3))
    with torch.no_grad():
        net[0].bias[0] = -100.0  # this unit sees no positive input, in no batch
    return net


def batch_norm_1d():
    return nn.Sequential(nn.Linear(4, 5), nn.BatchNorm1d(5), nn.Tanh(), nn.Linear(5, 3))


class Recurrent(nn.Module):
    def __init__(self):
        super().__init__()
        self.cell, self.head = nn.GRUCell(2, 3), nn.Linear(3, 3)

    def forward(self, sequence):
        hidden = sequence.new_zeros(len(sequence), 3)
        for token in sequence.unbind(1):
            hidden = self.cell(token, hidden)
        return self.head(hidden)


class Attention(nn.Module):
    def __init__(self):
        super().__init__()
        self.project, self.head = nn.Linear(4, 12), nn.Linear(4, 3)

    def forward(self, tokens):
        parts = self.project(tokens).unflatten(-1, (3, 2, 2)).permute(2, 0, 3, 1, 4)
        mixed = functional.scaled_dot_product_attention(*parts)  # (batch, heads, tokens, 2)
        return self.head(mixed.transpose(1, 2).flatten(2).mean(1))


# Name -> (model, shape of one input).
MODELS = {
    "mlp": (mlp, (4,)),
    "conv_net": (conv_net, (1, 4, 4)),
    "dead_relu": (dead_relu, (4,)),
    "batch_norm_1d": (batch_norm_1d, (4,)),
    "recurrent": (Recurrent, (3, 2)),
    "attention": (Attention, (3, 4)),
}

# Name -> clipping. The bounds are such that some coordinates and steps are clipped and some are not.
CLIPPINGS = {
    "plain": {},
    "clip_value": {"clip_value": 0.06},
    "clip_norm": {"clip_norm": 0.63},
    "both": {"clip_value": 0.06, "clip_norm": 0.26},
}

# Name -> one basis for each hyperparameter.
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


def classes(count, shape, seed):
    """Noisy but learnable: the class shifts every input entry."""
    generator = torch.Generator().manual_seed(seed)
    targets = torch.arange(count) % 3
    inputs = torch.randn(count, *shape, generator=generator, dtype=torch.float64)
    return inputs + targets.reshape(-1, *[1] * len(shape)) - 1, targets


def tiny_task(name="mlp", **changed):
    """14 training examples in batches of 6 (two steps an epoch, two left out), 9 for validation."""
    model, shape = MODELS[name]
    settings = {
        "model": model,
        "loss": functional.cross_entropy,
        "train": classes(14, shape, seed=1),
        "validation": classes(9, shape, seed=2),
        "batch_size": 6,
        **changed,
    }
    return ng.Task(**settings)


def assert_same(found, expected, relative):
    """Each table's largest error against its own largest entry."""
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        error, scale = (found[name] - value).abs().max(), value.abs().max()
        assert value.isfinite().all() and error <= relative * scale, (name, error, scale)


def assert_equals_twin(optimizer, schedule, relative, steps=50):
    """A run ends where a plain loop with the optimizer's torch twin ends."""
    task = tiny_task("mlp")
    run = ng.Run(task, optimizer, steps, seed=4, dtype=torch.float64)
    ours = ng.Reverse().rollout(run, schedule).final[0]
    module = mlp().double()
    parameters = list(module.parameters())
    nn.utils.vector_to_parameters(run.initial()[0].clone(), parameters)
    twin = optimizer.torch_optimizer(optimizer.torch_groups(module.named_parameters()))
    scheduler = schedule.attach(twin, steps)
    for step in range(steps):
        inputs, targets = task.plan.batch(4, step, task.device, torch.float64)
        twin.zero_grad()
        functional.cross_entropy(module(inputs), targets).backward()
        optimizer.clip_torch(parameters)
        twin.step()
        scheduler.step()
    theirs = nn.utils.parameters_to_vector(parameters)
    torch.testing.assert_close(ours, theirs, rtol=relative, atol=relative / 100)


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
