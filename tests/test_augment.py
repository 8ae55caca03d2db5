"""Augmentations against slow loops, one example at a time."""

import pytest
import torch
from torch.nn import functional

from nongreedy.data import Compose, Cutout, HorizontalFlip, RandomCrop

ALL = [
    RandomCrop(),
    RandomCrop(padding=1),
    HorizontalFlip(),
    HorizontalFlip(probability=1),
    Cutout(),
    Cutout(size=3),
    Compose(),
    Compose(RandomCrop(padding=2), HorizontalFlip(), Cutout(size=4)),
]


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def images(batch=64, channels=3, height=9, width=12, dtype=torch.float32):
    """Pixels that are all different and none zero, so that any move is seen."""
    count = batch * channels * height * width
    return torch.arange(1, count + 1, dtype=dtype).view(batch, channels, height, width)


def crops(image, padding):
    """Every crop of one image, by offset."""
    _, height, width = image.shape
    padded = functional.pad(image, (padding,) * 4)
    return {
        (top, left): padded[:, top : top + height, left : left + width]
        for top in range(2 * padding + 1)
        for left in range(2 * padding + 1)
    }


def cuts(image, size):
    """Every cut of one image, by centre."""
    _, height, width = image.shape
    found = {}
    for y in range(height):
        for x in range(width):
            cut = image.clone()
            top, left = y - size // 2, x - size // 2
            cut[:, max(0, top) : top + size, max(0, left) : left + size] = 0
            found[y, x] = cut
    return found


def which(candidates, image):
    """Return the key of the one candidate that equals the image."""
    keys = [key for key, candidate in candidates.items() if torch.equal(candidate, image)]
    assert len(keys) == 1, f"{len(keys)} candidates match"
    return keys[0]


@pytest.mark.parametrize("padding", [1, 4])
def test_crop_is_a_shift_of_each_example(padding):
    inputs = images()
    outputs = RandomCrop(padding=padding)(inputs, generator())
    offsets = {which(crops(i, padding), o) for i, o in zip(inputs, outputs, strict=True)}
    assert len(offsets) > 5  # examples move independently


def test_crop_offsets_are_uniform_in_both_directions():
    inputs = images(batch=2000, channels=1, height=3, width=3, dtype=torch.float64)
    outputs = RandomCrop(padding=1)(inputs, generator())
    counts = torch.zeros(3, 3)
    for before, after in zip(inputs, outputs, strict=True):
        counts[which(crops(before, 1), after)] += 1
    # 222 expected in each of nine cells, standard deviation 14.
    assert counts.min() > 222 - 5 * 14
    assert counts.max() < 222 + 5 * 14


@pytest.mark.parametrize("probability", [0, 0.2, 0.5, 1])
def test_flip_mirrors_the_given_share(probability):
    inputs = images(batch=1000, channels=2, height=2, width=3)
    outputs = HorizontalFlip(probability=probability)(inputs, generator())
    flips = [
        which({False: before, True: before.flip(-1)}, after)
        for before, after in zip(inputs, outputs, strict=True)
    ]
    deviation = (1000 * probability * (1 - probability)) ** 0.5
    assert abs(sum(flips) - 1000 * probability) <= 4 * deviation


@pytest.mark.parametrize("size", [1, 3, 4, 9])
def test_cutout_clears_one_square(size):
    inputs = images(batch=200)
    outputs = Cutout(size=size)(inputs, generator())
    for before, after in zip(inputs, outputs, strict=True):
        candidates = cuts(before, size)
        # Near a border two centres can clear the same pixels, so any match will do.
        assert any(torch.equal(candidate, after) for candidate in candidates.values())


def test_cutout_centres_are_uniform():
    outputs = Cutout(size=1)(images(batch=3000, channels=1, height=3, width=4), generator())
    counts = (outputs == 0).sum(dim=0)[0]
    assert counts.sum() == 3000
    # 250 expected in each of twelve cells, standard deviation 15.
    assert (counts - 250).abs().max() < 5 * 15


def test_compose_applies_in_order_from_one_generator():
    crop, flip = RandomCrop(padding=2), HorizontalFlip()
    shared = generator()
    expected = flip(crop(images(), shared), shared)
    assert torch.equal(Compose(crop, flip)(images(), generator()), expected)
    assert not torch.equal(Compose(flip, crop)(images(), generator()), expected)


@pytest.mark.parametrize("augmentation", ALL, ids=repr)
class TestEvery:
    def test_repeats_under_one_seed_and_leaves_inputs_alone(self, augmentation):
        inputs = images()
        first = augmentation(inputs, generator(1))
        torch.manual_seed(5)  # the global generator must not matter
        assert torch.equal(first, augmentation(inputs, generator(1)))
        assert torch.equal(inputs, images())

    def test_draws_do_not_depend_on_pixels_or_dtype(self, augmentation):
        inputs = images(dtype=torch.float64)
        single = augmentation(inputs.float(), generator())
        double = augmentation(inputs, generator())
        half = augmentation(inputs.bfloat16(), generator())
        assert (single.dtype, double.dtype, half.dtype) == (
            torch.float32,
            torch.float64,
            torch.bfloat16,
        )
        assert torch.equal(single.double(), double)
        assert torch.equal(half, double.bfloat16())

    def test_accepts_any_memory_layout(self, augmentation):
        inputs = images(batch=4)
        for other in (
            inputs.to(memory_format=torch.channels_last),
            inputs.repeat(1, 2, 1, 1)[:, :3],  # strided
            inputs.requires_grad_(),
        ):
            assert torch.equal(
                augmentation(other, generator()), augmentation(images(batch=4), generator())
            )

    def test_survives_a_batch_of_one_and_of_none(self, augmentation):
        assert augmentation(images(batch=1), generator()).shape == (1, 3, 9, 12)
        assert augmentation(images(batch=0), generator()).shape == (0, 3, 9, 12)

    def test_is_linear_in_the_inputs(self, augmentation):
        inputs = torch.randn(2, 1, 8, 9, dtype=torch.float64, requires_grad=True)
        assert torch.autograd.gradcheck(lambda x: augmentation(x, generator()), inputs)
        assert torch.autograd.gradgradcheck(lambda x: augmentation(x, generator()) ** 2, inputs)

    @pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
    def test_same_on_the_accelerator(self, augmentation):
        inputs = images()
        there = augmentation(inputs.cuda(), generator())
        assert there.is_cuda
        assert torch.equal(there.cpu(), augmentation(inputs, generator()))

    def test_repr_makes_an_equal_one(self, augmentation):
        rebuilt = eval(repr(augmentation))
        assert rebuilt == augmentation
        assert hash(rebuilt) == hash(augmentation)


def test_seeds_and_successive_calls_differ():
    augment, source = RandomCrop(), generator(0)
    first, second = augment(images(), source), augment(images(), source)
    assert not torch.equal(first, second)
    assert not torch.equal(first, augment(images(), generator(1)))


@pytest.mark.parametrize(
    ("make", "quoted"),
    [
        (lambda: RandomCrop(padding=0), "padding=0"),
        (lambda: RandomCrop(padding=-1), "padding=-1"),
        (lambda: RandomCrop(padding=1.5), "padding=1.5"),
        (lambda: Cutout(size=0), "size=0"),
        (lambda: Cutout(size=True), "size=True"),
        (lambda: HorizontalFlip(probability=1.1), "probability=1.1"),
        (lambda: HorizontalFlip(probability=float("nan")), "probability=nan"),
    ],
)
def test_bad_settings_fail_at_birth(make, quoted):
    with pytest.raises(ValueError, match=quoted):
        make()


@pytest.mark.parametrize("bad", [3, RandomCrop])
def test_compose_takes_instances(bad):
    with pytest.raises(TypeError, match="Compose takes callables"):
        Compose(bad)


@pytest.mark.parametrize(
    ("augmentation", "inputs", "quoted"),
    [
        (RandomCrop(), torch.zeros(8, 64), r"\(8, 64\)"),
        (HorizontalFlip(), torch.zeros(8, 9, 9), r"inputs\[:, None\]"),
        (Cutout(), torch.zeros(8, 1, 9, 9, dtype=torch.uint8), "torch.uint8"),
        (Cutout(size=8), torch.zeros(8, 1, 9, 7), "at most 7"),
        (RandomCrop(padding=4), torch.zeros(8, 1, 4, 9), "at most 3"),
    ],
)
def test_bad_batches_are_refused(augmentation, inputs, quoted):
    with pytest.raises(ValueError, match=quoted):
        augmentation(inputs, generator())
