"""Likely causes of a failed verification, by the modules and functions at hand."""

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from ..task import Task
from ._graph import nodes

# What PyTorch says where it cannot go on -> what that means here.
_ERRORS = {
    "use_reentrant": "torch.utils.checkpoint with use_reentrant=True cannot be differentiated by parts. "
    "Pass use_reentrant=False.",
    "once_differentiable": "A function here has no second derivative, which hypergradients need.",
    "is not implemented": "A function here has no second derivative, which hypergradients need.",
    "does not support double backward": "A function here has no second derivative, which hypergradients "
    "need.",
    "modified by an inplace operation": "The forward pass changes something in place that its derivative "
    "needs.",
    "is being used in an in-place operation": "The forward pass changes a parameter in place, which is "
    "no function of the parameters. Normalise or clip a copy of it, or use a parametrization.",
    "being modified inplace": "The forward pass changes a parameter in place, which is no function of the "
    "parameters. Normalise or clip a copy of it, or use a parametrization.",
    "only change requires_grad flags": "The forward pass switches `requires_grad` of parameters, for which "
    "tensors with a graph stand in. Use weight.detach() in torch.nn.functional, or no_grad.",
    "element 0 of tensors does not require grad": "A gradient is taken by something that requires none, such "
    "as by weights where the network is judged. Let what it is taken by require one there: "
    "`w if w.requires_grad else w.detach().requires_grad_()`.",
    "different number of tensors was saved": "A function under activation checkpointing computes with its "
    "parameters under no_grad. Move that out of the checkpoint, or detach instead.",
    "out=... arguments": "The forward pass writes to an `out=` tensor under no_grad, as "
    "spectral_norm does with its power iteration: state that is kept outside the parameters. Divide by "
    "torch.linalg.matrix_norm(weight, 2), or use weight_norm.",
}
_NO_SECOND = "no second derivative"
_BLACK_BOX = (
    "Use engine=ng.FiniteDifference() or the samplers of `compare`, which need none, or replace it."
)


def explained(error: BaseException) -> str:
    """What went wrong in recording or differentiating what plain PyTorch can train."""
    text = str(error)
    for words, meaning in _ERRORS.items():
        if words in text:
            way = f" {_BLACK_BOX}" if _NO_SECOND in meaning else ""
            return f"{meaning}{way} PyTorch says: {_first_line(text)}"
    return (
        "The task trains in plain PyTorch but cannot be differentiated: "
        f"{type(error).__name__}: {_first_line(text)} {_BLACK_BOX}"
    )


def _first_line(text: str) -> str:
    line = text.strip().split("\n")[0]
    return line if line.endswith(".") else line + "."


# What a comparison was about -> the usual causes, and the way out.
_USUAL = {
    "state": (
        "state that a forward pass keeps in attributes of the model (counters, temperatures, caches), a "
        "draw that cannot be seeded (numpy.random.default_rng(), a torch.Generator of the model's own), or "
        "values that are computed once and kept",
        "Compute it at each step: from the parameters, or from `hypers.step`, and draw from the default "
        "generators, which are seeded at each step.",
    ),
    "derivative": (
        "a custom autograd Function or a hook whose backward pass is not its derivative, values that leave "
        "PyTorch (item, numpy) and come back, inference_mode (unlike no_grad), scripted code, or a root or "
        "norm of 0",
        "Write it in differentiable operations (detach and no_grad are understood), or use "
        "engine=ng.FiniteDifference().",
    ),
}


_PARTS = (
    "Likely causes: its batches are spread over ranks, and the forward pass draws random numbers (dropout) "
    "or mixes examples (mixup), or the loss is no mean over examples: a sum is told by "
    "parallel.sharded(summed=True). Use one rank a run, and share seeds."
)


def likely(module: nn.Module, loss: Tensor | None, task: Task, about: str) -> str:
    """Suspects at hand, or the usual ones; nothing where the failure says it."""
    if about not in _USUAL:
        return ""
    if task.shards.many:
        return _PARTS
    usual, way = _USUAL[about]
    found = [*_suspicious(module), *_custom(loss)]
    if task.constant_buffers:
        found.append(
            f"the constant_buffers {', '.join(task.constant_buffers)}, which plain training changes"
        )
    causes = f" at hand: {'; '.join(dict.fromkeys(found))}" if found else f": {usual}"
    return f"Likely causes{causes}. {way}"


def _suspicious(module: nn.Module) -> Iterator[str]:
    for name, part in module.named_modules():
        where = f"{name or 'the model'} ({type(part).__name__})"
        if getattr(part, "scale_grad_by_freq", False):
            yield f"{where} scales gradients by frequency, which is no derivative"
        if part._backward_hooks or part._backward_pre_hooks:
            yield f"{where} has backward hooks, which change gradients"
        if any(p._backward_hooks for p in part.parameters(recurse=False)):
            yield f"{where} has hooks of its weights, which change gradients"
        if isinstance(part, torch.jit.ScriptModule):
            yield f"{where} is scripted: what it detaches is not seen"
        if any("spectral" in type(p).__name__.lower() for p in part.children()):
            yield f"{where} has a spectral norm, whose power iteration keeps state"


def _custom(loss: Tensor | None) -> Iterator[str]:
    for node in nodes(loss):
        if isinstance(node, torch.autograd.function.BackwardCFunction):
            kind: Any = getattr(type(node), "_forward_cls", type(node))
            if not kind.__module__.startswith(("nongreedy.", "torch.")):
                yield f"the autograd Function {kind.__name__}, whose backward is its own"
        elif "FakeQuantize" in type(node).__name__:
            yield f"{type(node).__name__}, a straight-through estimator"


def named(strange: Sequence[Tensor], task: Task) -> str:
    """The refusal of leaves that are neither parameters of a run nor hyperparameters."""
    owners = {"model": task.model, "loss": task.loss}
    known = {
        id(p): f"the {owner}'s {name!r}"
        for owner, part in owners.items()
        if isinstance(part, nn.Module)
        for name, p in part.named_parameters()
    }
    words = [known.get(id(x), f"a tensor of shape {tuple(x.shape)}") for x in strange[:3]]
    return (
        f"The training loss depends on {', '.join(words)}, which requires a gradient and is neither a "
        "parameter of the network that is trained, which is a copy, nor a hyperparameter: it would "
        "stay as it is. Take the parameters from `hypers.parameters` in a loss with an argument `hypers`; "
        "make what shall be trained a part of the model; or detach it."
    )
