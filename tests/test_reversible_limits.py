"""What the integer engine refuses, where its numbers end, and how little it keeps."""

import gc

import pytest
import torch
from torch import nn
from torch.nn import functional

import nongreedy as ng
from nongreedy.errors import OutOfRangeError

from .helpers import tiny_task
from .reversible_runs import kept, made, started, undone

REFUSED = {
    "nesterov": (ng.SGD(momentum=0.9, nesterov=True), "SGD with nesterov=True"),
    "dampening": (ng.SGD(momentum=0.9, dampening=0.1), "SGD with dampening=0.1"),
    "rmsprop": (ng.RMSprop(), "undo a step of RMSprop"),
    "adagrad": (ng.Adagrad(), "undo a step of Adagrad"),
    "lion": (ng.Lion(), "undo a step of Lion"),
    "muon": (ng.Muon(), "undo a step of Muon"),
    "no_momentum": (ng.SGD(), "momentum is 0 at step 0"),
    "late": (ng.SGD(momentum=ng.Windows(2, initial=(0.9, 0.0))), "momentum is 0 at step 3"),
    "beta2": (ng.Adam(beta2=0.0), "beta2 is 0 at step 0"),
    "decay": (
        ng.AdamW(0.5, weight_decay=ng.Windows(2, initial=(0.1, 4.0), bounds=(0.01, 5.0))),
        r"learning_rate \* weight_decay is 2 at step 3",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_reversed_is_refused_before_the_first_step(name):
    optimizer, words = REFUSED[name]
    taken = []
    with pytest.raises(ValueError, match=rf"{words}.*Reverse\(store='checkpoint'\)"):
        ng.Reversible().rollout(*started(optimizer, 5), on_step=taken.append)
    assert not taken


def test_half_precision_is_refused():
    with pytest.raises(ValueError, match=r"not torch.bfloat16.*Reverse\(store='checkpoint'\)"):
        kept(made("sgd"), 5, dtype=torch.bfloat16)


@pytest.mark.parametrize(
    ("name", "given"),
    [("denominator", 1), ("denominator", 2**21), ("denominator", 9.5), ("fraction_bits", 60)],
)
def test_settings_out_of_range(name, given):
    with pytest.raises(ValueError, match=f"`{name}` must be a whole number .* but got {given}"):
        ng.Reversible(**{name: given})


@pytest.mark.parametrize(
    ("name", "rate", "words"),
    [
        ("sgd", 50.0, r"(velocity|parameters) left the fixed-point range.* at step \d+ of 60"),
        ("adam", 200.0, r"parameters left the fixed-point range, .* below 1024, at step \d+ of 60"),
    ],
)
def test_numbers_out_of_range_name_tensor_and_step(name, rate, words):
    # Squared errors: their gradients grow with the weights.
    x, y = torch.randn(12, 4), torch.randn(12, 3)
    growing = ng.Task(nn.Linear(4, 3), functional.mse_loss, (x, y), (x, y), batch_size=6)
    task = growing if name == "sgd" else tiny_task()
    optimizer = made(name, learning_rate=rate, weight_decay=0.0)
    with pytest.raises(OutOfRangeError, match=words) as caught:
        kept(optimizer, 60, task=task)
    assert isinstance(caught.value, ng.DivergedError) and 0 <= caught.value.step < 60
    if name == "adam":  # the way out that the message offers
        wide = kept(optimizer, 60, ng.Reversible(fraction_bits=44), task=task)
        assert [t for t, _ in undone(wide)][-1] == 0


def test_the_buffer_of_three_thousand_steps_takes_at_most_eighty_bytes():
    rollout = kept(made("sgd", momentum=0.9), 3000)
    memory = rollout.trajectory.memory
    assert memory.bits / 3000 == pytest.approx(0.152, rel=0.05)
    assert memory.bits / 8 < memory.buffer_bytes_per_parameter <= 80
    assert memory.checksum_bytes == 8 * 3000
    assert memory.state_bytes == 16 * memory.parameters


@pytest.mark.parametrize("verify", [True, False])
def test_nothing_but_a_checksum_grows_with_the_steps(verify):
    def held(steps):
        # The schedule itself has one value per step; those are not the trajectory's.
        rollout = kept(made("sgd", momentum=0.99), steps, ng.Reversible(verify=verify))
        integers, trajectory = rollout.trajectory.state, rollout.trajectory
        tensors = [
            integers.integers,
            trajectory.checksums,
            *(buffer.limb for buffer in integers.buffers.values()),
            *(limb for b in integers.buffers.values() for _, limb in b.spilled),
        ]
        gc.collect()
        # Of all that is alive (warnings come from lazy modules that are looked at).
        alive = sum(type(value) is torch.Tensor for value in gc.get_objects())
        return alive, sum(tensor.nbytes for tensor in tensors)

    held(20)
    (few, small), (many, large) = held(50), held(350)
    assert many == few and large - small == 8 * 300 * verify
