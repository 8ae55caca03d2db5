"""Augmentations of learned strengths: what they do to images, and their derivatives."""

import math

import pytest
import torch
from torch.nn import functional

from nongreedy.recipe import STRENGTHS, Augmentation
from nongreedy.recipe._sampling import moved

NAMES = [name for name in STRENGTHS if name != "mixup"]


def images(count=6, channels=2, height=7, width=9):
    generator = torch.Generator().manual_seed(1)
    return torch.randn(count, channels, height, width, generator=generator).double()


def seeded(strengths, inputs, seed=0):
    torch.manual_seed(seed)
    return Augmentation(strengths)(inputs)


def drawn(count, scale, seed):
    generator = torch.Generator().manual_seed(seed)
    return scale * (2 * torch.rand(count, generator=generator).double() - 1)


def test_sampling_is_that_of_grid_sample():
    inputs = images()
    count, _, height, width = inputs.shape
    angle, zoom = drawn(count, 0.7, 1), drawn(count, 0.4, 2)
    right, down = drawn(count, 0.2, 3), drawn(count, 0.2, 4)
    # theta maps output coordinates, from -1 to 1 between the centres of the border's pixels, to those
    # of the input.
    h, w = (height - 1) / 2, (width - 1) / 2
    scale, theta = (-zoom).exp(), torch.zeros(count, 2, 3).double()
    theta[:, 0, 0] = theta[:, 1, 1] = scale * angle.cos()
    theta[:, 0, 1] = scale * angle.sin() * h / w
    theta[:, 1, 0] = -scale * angle.sin() * w / h
    theta[:, 0, 2], theta[:, 1, 2] = -right * width / w, -down * height / h
    grid = functional.affine_grid(theta, list(inputs.shape), align_corners=True)
    expected = functional.grid_sample(inputs, grid, padding_mode="border", align_corners=True)
    torch.testing.assert_close(moved(inputs, angle, zoom, right, down), expected)


def test_a_shift_by_whole_pixels_and_a_quarter_turn():
    square = images(height=7, width=7)
    none, count = torch.zeros(6).double(), 6
    shifted = moved(square, none, none, torch.full((count,), 2 / 7, dtype=torch.float64), none)
    torch.testing.assert_close(shifted[..., 2:], square[..., :-2])
    turned = moved(square, torch.full((count,), math.pi / 2, dtype=torch.float64), none, none, none)
    torch.testing.assert_close(turned, square.rot90(-1, (2, 3)))


@pytest.mark.parametrize("shape", [(1, 1, 1, 1), (2, 1, 1, 5), (3, 3, 4, 1)])
def test_the_smallest_images(shape):
    assert seeded(dict.fromkeys(NAMES, 0.3), torch.randn(shape)).shape == shape


@pytest.mark.parametrize("name", NAMES)
def test_nothing_happens_at_strength_zero_nor_in_evaluation(name):
    inputs = images()
    torch.testing.assert_close(seeded({name: 0.0}, inputs), inputs)
    assert torch.equal(Augmentation({name: 0.3}).eval()(inputs), inputs)
    assert (seeded({name: 0.3}, inputs) - inputs).abs().max() > 1e-4


@pytest.mark.parametrize("name", NAMES)
def test_draws_are_of_the_seed_and_not_of_the_dtype_nor_of_the_strength(name):
    inputs = images()
    one, same, other = (seeded({name: 0.2}, inputs, seed) for seed in (0, 0, 1))
    assert torch.equal(one, same) and not torch.equal(one, other)
    torch.testing.assert_close(seeded({name: 0.2}, inputs.float()).double(), one, rtol=0, atol=1e-5)
    assert torch.equal(inputs, images())


@pytest.mark.parametrize("name", NAMES)
def test_derivatives_by_the_strength_of_first_and_second_order(name):
    inputs = images(2, 1, 5, 6)
    strength = torch.tensor(2.3 if name == "rotation" else 0.13).double().requires_grad_()

    def squared(s, x):
        return seeded({name: s}, x).square()

    x = inputs.clone().requires_grad_()
    assert torch.autograd.gradcheck(squared, (strength, x), eps=1e-7, atol=1e-6)
    assert torch.autograd.gradgradcheck(squared, (strength, x), eps=1e-7, atol=1e-6)


def test_mixing_is_a_share_of_another_image():
    inputs, augment = images(), Augmentation({"mixup": torch.tensor(0.4).double()})
    torch.manual_seed(0)
    mixed, partner, share = augment.mix(inputs)
    assert share.min() >= 0 and share.max() <= 0.4 and sorted(partner.tolist()) == list(range(6))
    part = share[:, None, None, None]
    torch.testing.assert_close(mixed, (1 - part) * inputs + part * inputs[partner])
    for none in (augment.eval(), Augmentation({})):
        assert torch.equal(none.mix(inputs)[0], inputs) and not none.mix(inputs)[2].any()


def test_the_derivative_of_mixing_is_the_difference_of_the_images():
    strength = torch.tensor(0.2).double().requires_grad_()
    torch.manual_seed(0)
    mixed, partner, share = Augmentation({"mixup": strength}).mix(images())
    (slope,) = torch.autograd.grad(mixed.sum(), strength)
    apart = (images()[partner] - images()).sum((1, 2, 3))
    torch.testing.assert_close(slope, (apart * share / 0.2).sum().detach())


def test_what_is_cut_out_is_a_soft_square_of_the_images_mean():
    inputs = images(count=200, channels=1, height=20, width=20) + 3
    cut = seeded({"cutout": 0.3}, inputs)
    mean = inputs.mean((2, 3), keepdim=True)
    covered = ((cut - inputs) / (mean - inputs)).nan_to_num()
    assert covered.min() > -1e-9 and covered.max() < 1 + 1e-9
    # A centre near a border loses part of its square: 6 x 6 pixels where it does not.
    assert covered.sum((1, 2, 3)).max().item() == pytest.approx(36, rel=0.02)


def test_it_follows_the_default_generator():
    torch.manual_seed(4)
    first = Augmentation({"brightness": 0.3})(images())
    assert not torch.equal(first, Augmentation({"brightness": 0.3})(images()))


@pytest.mark.parametrize("name", STRENGTHS)
def test_every_strength_says_how_it_is_moved(name):
    basis, row = STRENGTHS[name].basis, STRENGTHS[name]
    assert basis.bounds == (0.0, row.highest) and basis.transform is None
    assert 0 < row.initial < row.highest and 0 < row.outer_step < row.highest


def test_bad_use():
    with pytest.raises(ValueError, match=r"'rotaton'.*rotation"):
        Augmentation({"rotaton": 1.0})
    for bad in (torch.zeros(2, 3), torch.zeros(2, 3, 4, 4).byte()):
        with pytest.raises(ValueError, match="floating-point images of shape"):
            Augmentation({"rotation": 1.0})(bad)
