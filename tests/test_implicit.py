"""Implicit hypergradients against dense solves, a closed form, and the whole run's own."""

import functools

import pytest
import torch
from torch import nn
from torch.nn import functional

import nongreedy as ng
from nongreedy.engines import ConjugateGradients, Neumann, Nystrom

from .helpers import assert_same, at, tiny_task
from .own_hypers import KINDS, task_of

DOUBLE = {"seed": 6, "dtype": torch.float64}

# ---- Ridge regression: a minimum that is known ----------------------------------------------------

WEIGHTS, PENALTY = 4, -1.0


@functools.cache
def regression(count, seed):
    source = torch.Generator().manual_seed(seed)
    x = torch.randn(count, WEIGHTS, generator=source, dtype=torch.float64)
    noise = torch.randn(count, generator=source, dtype=torch.float64)
    return x, (x.sum(1) + noise)[:, None]


def ridge_loss(output, target, hypers):
    (weights,) = hypers.parameters.values()
    return functional.mse_loss(output, target) + (hypers["penalty"].exp() * weights**2).sum()


def ridge(penalty):
    return ng.Task(
        lambda: nn.Linear(WEIGHTS, 1, bias=False), ridge_loss, regression(30, 0), regression(20, 1),
        batch_size=30, hyperparameters={"penalty": penalty}, validation_loss=functional.mse_loss,
    )  # fmt: skip


def judged(penalty):
    """J of the minimizer (X'X / n + e^penalty)^-1 X'y / n, on paper."""
    (x, y), (inputs, targets) = regression(30, 0), regression(20, 1)
    matrix = x.T @ x / len(x) + torch.diag(penalty.exp().expand(WEIGHTS))
    return functional.mse_loss(inputs @ torch.linalg.solve(matrix, x.T @ y / len(x)), targets)


PENALTIES = {
    "one": ng.Constant(initial=PENALTY),
    "one_per_weight": ng.Variable(initial=torch.linspace(-2, 0, WEIGHTS)),
}
# Name -> (engine, largest relative error). Nystrom's damping both biases and, when small, rounds.
EXACT = {
    "neumann": (ng.Implicit(Neumann(iterations=300, scale=0.2)), 1e-12),
    "cg": (ng.Implicit(ConjugateGradients(tolerance=1e-14)), 1e-12),
    "nystrom": (ng.Implicit(Nystrom(rank=WEIGHTS), damping=1e-7), 2e-7),
}
CONVERGED = {"steps": 300, **DOUBLE}


@functools.cache
def through_the_run(penalty):
    task, optimizer = ridge(PENALTIES[penalty]), ng.SGD(learning_rate=0.2)
    return ng.hypergradient(task, optimizer, engine=ng.Reverse(), **CONVERGED)


@pytest.mark.parametrize("penalty", PENALTIES)
@pytest.mark.parametrize("solver", EXACT)
def test_equals_the_closed_form_of_a_converged_ridge_regression(solver, penalty):
    engine, accuracy = EXACT[solver]
    task, optimizer = ridge(PENALTIES[penalty]), ng.SGD(learning_rate=0.2)
    found = ng.hypergradient(task, optimizer, engine=engine, **CONVERGED)
    start = torch.as_tensor(PENALTIES[penalty].initial, dtype=torch.float64).reshape(-1)
    exact = {"penalty": torch.func.grad(judged)(start)}
    assert exact["penalty"].abs().min() > 1e-3
    assert found.value == pytest.approx(judged(start).item(), rel=1e-12)
    assert_same(found.gradients, exact, accuracy)
    assert_same(through_the_run(penalty).gradients, exact, 1e-12)
    assert_same(found.gradients, through_the_run(penalty).gradients, accuracy)


def test_far_from_the_minimum_it_differs_from_the_whole_run():
    # Guards the test above, and the docstring's word on bias.
    task, optimizer = ridge(PENALTIES["one"]), ng.SGD(learning_rate=0.02)
    implicit, whole = (
        ng.hypergradient(task, optimizer, engine=e, steps=5, **DOUBLE).gradients["penalty"]
        for e in (EXACT["cg"][0], ng.Reverse())
    )
    assert (implicit - whole).abs() > 0.1 * whole.abs()


def test_it_drives_a_search_by_name():
    task, settings = ridge(ng.Constant(initial=1.0)), {"steps": 60, "dtype": torch.float64}
    result = ng.tune(task, ng.SGD(learning_rate=0.02), outer_steps=4, engine="implicit", **settings)
    assert result.validation_loss < 0.9 * result.history[0].validation_loss
    assert result.settings["engine"] == ng.Implicit().to_json()


# ---- Dense solves on networks ---------------------------------------------------------------------

DAMPING, STEPS = 2.0, 4
SOLVERS = {
    "neumann": Neumann(iterations=60, scale=0.35),
    "cg": ConjugateGradients(tolerance=1e-13),
    "nystrom": Nystrom(rank=1000),
}


@functools.cache
def dense(kind, model, batches):
    """By autograd's dense Hessian of the mean loss: (H, mixed derivatives by step, g, expected)."""
    task, optimizer = task_of(kind, model), ng.SGD(learning_rate=0.3)
    run = ng.Run(task, optimizer, STEPS, **DOUBLE)
    table = {**optimizer.hyperparameters(STEPS), **task.hyperparameters(STEPS)}
    schedule = ng.Schedule.initial(table)
    values, theta = run.values(schedule), ng.Reverse().rollout(run, schedule).final[0]
    steps = range(STEPS - batches, STEPS)
    names = list(task.learnable)

    def loss(parameters, t, *own):
        given = {**at(values, t), **dict(zip(names, own, strict=True))}
        return run.training_loss(parameters, t, given)

    with run.isolated():
        hessian, mixed = 0, {}
        for t in steps:
            own = tuple(at(values, t)[name].clone() for name in names)
            blocks = torch.autograd.functional.hessian(
                lambda *x, t=t: loss(x[0], t, *x[1:]), (theta, *own)
            )
            hessian = hessian + blocks[0][0] / batches
            mixed[t] = {n: blocks[0][j + 1] / batches for j, n in enumerate(names)}
        gradient = run.outer_gradient(theta)[1]
    solution = torch.linalg.solve(hessian + DAMPING * torch.eye(len(theta)).double(), gradient)
    per_step = {
        t: {n: -torch.tensordot(solution, m, 1) for n, m in row.items()} for t, row in mixed.items()
    }
    return hessian, gradient, per_step


@pytest.mark.parametrize("batches", [1, 3])
@pytest.mark.parametrize("model", ["mlp", "conv_net", "gru"])
@pytest.mark.parametrize(
    "kind", ["example_weights", "loss_network", "training_images", "label_smoothing"]
)
@pytest.mark.parametrize("solver", SOLVERS)
def test_equals_the_dense_solve(solver, kind, model, batches):
    hessian, _, per_step = dense(kind, model, batches)
    lowest = torch.linalg.eigvalsh(hessian)[0].item()
    assert lowest > -DAMPING  # positive definite once damped, as `cg` and `neumann` need
    engine = ng.Implicit(SOLVERS[solver], batches=batches, damping=DAMPING)
    task, optimizer = task_of(kind, model), ng.SGD(learning_rate=0.3)
    found = ng.hypergradient(task, optimizer, engine=engine, steps=STEPS, **DOUBLE)
    expected = {}
    for name, hyper in task.hyperparameters(STEPS).items():
        if isinstance(hyper.basis, ng.Variable):
            expected[name] = sum(row[name] for row in per_step.values()).reshape(-1)
        else:
            alone = torch.zeros(STEPS, dtype=torch.float64)
            for t, row in per_step.items():
                alone[t] = row[name]
            assert_same({name: found.per_step[name]}, {name: alone}, 1e-8)
            expected[name] = hyper.basis.project(alone, STEPS)
    assert_same(found.gradients, expected, 1e-8)
    assert found.residual is not None and found.residual < 1e-9


@pytest.mark.parametrize("iterations", [1, 5, 20])
def test_a_truncated_series_keeps_its_residual(iterations):
    hessian, gradient, _ = dense("example_weights", "mlp", 2)
    engine = ng.Implicit(Neumann(iterations, scale=0.05), batches=2, damping=DAMPING)
    task = task_of("example_weights", "mlp")
    found = ng.hypergradient(task, ng.SGD(learning_rate=0.3), engine=engine, steps=STEPS, **DOUBLE)
    shrink = torch.eye(len(gradient)).double() * (1 - 0.05 * DAMPING) - 0.05 * hessian
    left = torch.linalg.matrix_power(shrink, iterations) @ gradient
    assert found.residual == pytest.approx((left.norm() / gradient.norm()).item(), rel=1e-9)
    assert found.residual > 1e-3


def test_a_low_rank_keeps_what_it_misses():
    residuals = []
    for rank in (5, 20, 43):
        engine = ng.Implicit(Nystrom(rank), damping=DAMPING)
        task = task_of("example_weights", "mlp")
        found = ng.hypergradient(
            task, ng.SGD(learning_rate=0.3), engine=engine, steps=STEPS, **DOUBLE
        )
        residuals.append(found.residual)
    assert residuals[0] > residuals[1] > 1e-4 and residuals[2] < 1e-9


def test_a_level_validation_loss_has_no_derivative():
    task = task_of(
        "example_weights", "mlp", validation_loss=lambda output, target: (output * 0).sum()
    )
    found = ng.hypergradient(task, ng.SGD(learning_rate=0.3), engine="implicit", steps=3, **DOUBLE)
    assert not found.gradients["weights"].any() and found.residual == 0.0


def test_one_seed_is_one_solution():
    task, engine = task_of("example_weights", "mlp"), ng.Implicit(Nystrom(5), damping=1.0)
    first, again, other = (
        ng.hypergradient(task, ng.SGD(learning_rate=0.3), engine=engine, steps=3, seed=seed)
        for seed in (0, 0, 1)
    )
    assert torch.equal(first.gradients["weights"], again.gradients["weights"])
    assert not torch.allclose(first.gradients["weights"], other.gradients["weights"])


def test_costs_are_counted_whole():
    task, optimizer = task_of("example_weights", "mlp"), ng.SGD(learning_rate=0.3)
    schedule = ng.Schedule.initial(task.hyperparameters())
    cost = ng.Implicit(Neumann(8), batches=2).sweep_cost(ng.Run(task, optimizer, 30), schedule, [])
    assert cost == pytest.approx((3 * 2 * (8 + 2) + 9 / 6) / 30)


# ---- What can go wrong ----------------------------------------------------------------------------


def implicit(kind="example_weights", optimizer=None, task=None, steps=3, **settings):
    optimizer = optimizer or ng.SGD(learning_rate=0.3)
    task = task or task_of(kind, "mlp")
    return ng.hypergradient(task, optimizer, engine=ng.Implicit(**settings), steps=steps, **DOUBLE)


PARTLY = {"smoothing": ng.Constant(initial=0.1), "scale": ng.Variable(initial=torch.zeros(4))}

MISTAKES = {
    "solver": (lambda: ng.Implicit("neuman"), ["`solver`", "'neuman'", "Did you mean 'neumann'"]),
    "batches": (lambda: ng.Implicit(batches=0), ["`batches`", "0", "at least 1"]),
    "batches_many": (lambda: implicit(batches=9), ["`batches`", "3 steps", "9"]),
    "damping": (lambda: ng.Implicit(damping=-1.0), ["`damping`", "-1.0"]),
    "damping_zero": (lambda: ng.Implicit("nystrom", damping=0.0), ["`damping`", "0.0", "divides"]),
    "iterations": (lambda: Neumann(iterations=1.5), ["`iterations`", "1.5"]),
    "scale": (lambda: Neumann(scale=float("nan")), ["`scale`", "nan", "0.1 is a start"]),
    "tolerance": (lambda: ConjugateGradients(tolerance=-1.0), ["`tolerance`", "-1.0"]),
    "rank": (lambda: Nystrom(rank=0), ["`rank`", "0"]),
    "no_solver": (lambda: ng.Implicit(ng.SGD()), ["`solver`", "SGD("]),
    "optimizer": (
        lambda: implicit(optimizer=ng.SGD()), ["learning_rate", "SGD", "derivative is zero", "ng.Reverse()"]
    ),
    "initialization": (
        lambda: implicit("initial_scales"), ["scale: enters the initialization", "zero", "ng.Reverse()"]
    ),
    "initialization_too": (
        lambda: implicit(task=task_of("all_at_once", "mlp", hyperparameters={**PARTLY, "strength": 0.2})),
        ["scale: enters"],
    ),
    "weight_decay": (
        lambda: implicit(optimizer=ng.SGD(0.3, weight_decay=0.02)), ["weight_decay=0.02", "into the loss"]
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", MISTAKES)
def test_mistake_is_explained(name):
    act, words = MISTAKES[name]
    with pytest.raises(ValueError) as caught:
        act()
    assert all(word in str(caught.value) for word in words), str(caught.value)


FAILURES = {
    "indefinite": ({"solver": "cg"}, ["curvature -", "damping=0.0", 'solver="nystrom"']),
    "diverging": (
        {"solver": Neumann(scale=50.0), "damping": 1.0},
        ["Neumann(", "residual", "lower `scale`"],
    ),
    "overflowing": ({"solver": Neumann(1000, 50.0), "damping": 1.0}, ["nan", "lower `scale`"]),
    "low_rank": ({"solver": Nystrom(1), "damping": 1e-4}, ["Nystrom(1)", "Raise `rank`"]),
}


@pytest.mark.parametrize("name", FAILURES)
def test_a_failed_solve_says_so(name):
    settings, words = FAILURES[name]
    with pytest.raises(ng.SolveError) as caught:
        implicit(**settings)
    assert all(word in str(caught.value) for word in words), str(caught.value)


def test_a_task_that_initializes_by_no_hyperparameter_is_welcome():
    made, functions = KINDS["example_weights"]
    plain = tiny_task(
        hyperparameters=made("mlp"), validation_loss=functional.cross_entropy,
        initialize=lambda parameters: {n: 0.5 * w for n, w in parameters.items()}, **functions,
    )  # fmt: skip
    assert implicit(task=plain, damping=3.0).gradients["weights"].any()
