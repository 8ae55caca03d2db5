"""Text: sequences and what follows them, a causal transformer, and its hypergradients."""

import functools

import pytest
import torch
from torch import nn

import nongreedy as ng

from .helpers import assert_same

TEXT = "the quick brown fox jumps over the lazy dog; the dog sleeps on. " * 3


def letters(splits, numbers):
    return ["".join(splits.classes[index] for index in row) for row in numbers]


def test_targets_are_what_follows():
    splits = ng.data.characters(TEXT, context=5)
    assert splits.classes == tuple(sorted(set(TEXT)))
    for inputs, targets in (splits.train, splits.validation, splits.test):
        assert inputs.dtype == targets.dtype == torch.int64
        assert inputs.shape == targets.shape == (len(inputs), 5)
        assert torch.equal(inputs[:, 1:], targets[:, :-1])
        assert torch.equal(inputs[1:, 0], targets[:-1, -1])  # sequences follow each other


def test_splits_are_pieces_in_order_without_overlap():
    text = "".join(chr(256 + index) for index in range(200))  # every character once
    splits = ng.data.characters(text, context=6, validation=0.2, test=0.1)
    seen = []
    for piece, (low, high) in zip(
        (splits.train, splits.validation, splits.test),
        ((0, 140), (140, 180), (180, 200)),
        strict=True,
    ):
        inputs, targets = ("".join(letters(splits, part)) for part in piece)
        assert inputs == text[low : low + len(inputs)]
        assert targets == text[low + 1 : low + 1 + len(targets)]
        assert high - 6 <= low + len(targets) < high  # hardly a sequence is left over
        seen += [*{*inputs, *targets}]
    assert len(seen) == len(set(seen))


@pytest.mark.parametrize(
    ("settings", "quoted"),
    [
        ({"context": 0}, "context=0"),
        ({"validation": 0.0}, "validation=0.0"),
        ({"validation": 0.5, "test": 0.5}, "test=0.5"),
        ({"context": 30}, "validation piece has 19 characters.* takes 31"),
    ],
)
def test_text_that_cannot_be_cut(settings, quoted):
    with pytest.raises(ng.DataError, match=quoted):
        ng.data.characters(TEXT, **settings)


def test_a_later_character_does_not_change_an_earlier_output():
    model = ng.models.CharTransformer(7, context=6, width=8).double()
    for parameter in model.parameters():  # at its initial size attention hardly does anything
        nn.init.normal_(parameter)
    inputs = torch.randint(7, (3, 6))
    outputs = model(inputs)
    assert outputs.shape == (3, 7, 6)
    for position in range(6):
        changed = inputs.clone()
        changed[:, position] = (changed[:, position] + 1) % 7
        moved = (model(changed) - outputs).abs().amax((0, 1))
        assert (moved[:position] < 1e-12).all()
        assert (moved[position:] > 1e-6).all()


def test_shorter_sequences_than_the_context():
    model = ng.models.CharTransformer(7, context=6, width=8).double()
    inputs = torch.randint(7, (3, 6))
    torch.testing.assert_close(model(inputs[:, :4]), model(inputs)[..., :4])


def test_size_and_initialization():
    model = ng.models.CharTransformer(65)
    block = 2 * 2 * 64 + 64 * 192 + (64 + 1) * 64 + (64 + 1) * 256 + (256 + 1) * 64
    around = 65 * 64 + 64 * 64 + 2 * 64 + (64 + 1) * 65
    assert sum(parameter.numel() for parameter in model.parameters()) == around + 2 * block
    assert model.blocks[0].attend.weight.std().item() == pytest.approx(0.02, rel=0.05)
    assert model.blocks[1].mix.weight.std().item() == pytest.approx(0.01, rel=0.05)
    assert not model.head[1].bias.any() and (model.head[0].weight == 1).all()


@pytest.mark.parametrize(
    ("settings", "quoted"), [({"width": 6}, "width=6.*heads=4"), ({"layers": 0}, "layers=0")]
)
def test_sizes_that_do_not_exist(settings, quoted):
    with pytest.raises(ValueError, match=quoted):
        ng.models.CharTransformer(65, **settings)


def text_task():
    splits = ng.data.characters(TEXT, context=4, validation=0.2, test=0.2)
    model = functools.partial(
        ng.models.CharTransformer, len(splits.classes), 4, width=4, layers=1, heads=2
    )
    return ng.Task(
        model, nn.functional.cross_entropy, splits.train, splits.validation, splits.test,
        batch_size=6,
    )  # fmt: skip


def test_hypergradients_of_adamw_agree_with_differences():
    optimizer = ng.AdamW(
        learning_rate=ng.Windows(2, initial=0.03),
        beta1=ng.Windows(1, initial=0.5),
        # As large as the learning rate is small, so that it matters in six steps.
        weight_decay=ng.Windows(1, initial=0.5),
    )
    found, expected = (
        ng.hypergradient(text_task(), optimizer, steps=6, engine=engine, dtype=torch.float64)
        for engine in (ng.Reverse(), ng.FiniteDifference(order=4))
    )
    assert_same(found.gradients, expected.gradients, 1e-6)
    assert all(gradient.abs().min() > 1e-5 for gradient in found.gradients.values())
