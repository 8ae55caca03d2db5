"""Models: published sizes, shapes, initialisation, and derivatives of second order."""

import pickle

import pytest
import torch
from torch import nn

from nongreedy import models


def size(model):
    return sum(parameter.numel() for parameter in model.parameters())


@pytest.mark.parametrize(
    ("name", "shape", "classes", "expected"),
    [
        ("lenet", (1, 28, 28), 10, 44_426),  # arXiv:2007.07869, MNIST
        ("lenet", (3, 32, 32), 10, 62_006),  # the same, SVHN
        ("wrn-16-1", (3, 32, 32), 10, 175_066),  # the same, CIFAR-10
        ("wrn-28-10", (3, 32, 32), 10, 36_479_194),  # arXiv:1605.07146, "36.5M"
        ("wrn-40-2", (3, 32, 32), 10, 2_243_546),  # the same, "2.2M"
        ("mlp", (1, 8, 8), 10, 64 * 128 + 128 + 128 * 10 + 10),
        ("convnet", (1, 8, 8), 10, 144 + 32 + 4608 + 64 + 18432 + 128 + 650),
    ],
)
def test_parameter_counts(name, shape, classes, expected):
    make = models.build(name, shape, classes)
    with torch.device("meta"):
        assert size(make()) == expected


@pytest.mark.parametrize(
    ("name", "shape"),
    [(name, (3, 32, 32)) for name in models.NAMES]
    + [(name, (1, 8, 8)) for name in models.NAMES if name != "lenet"]
    + [("lenet", (1, 16, 20)), ("wrn-10-2", (1, 28, 28)), ("convnet", (2, 1, 1))],
)
def test_logits_and_second_derivatives(name, shape):
    torch.manual_seed(0)
    model = models.build(name, shape, 7)().double()
    inputs = torch.randn(4, *shape, dtype=torch.float64)
    logits = model(inputs)
    assert logits.shape == (4, 7)
    loss = nn.functional.cross_entropy(logits, torch.arange(4))
    gradients = torch.autograd.grad(loss, tuple(model.parameters()), create_graph=True)
    total = sum(gradient.square().sum() for gradient in gradients)
    assert total > 0
    second = torch.autograd.grad(total, tuple(model.parameters()), allow_unused=True)
    assert all(each is None or each.isfinite().all() for each in second)


@pytest.mark.parametrize("name", models.NAMES)
def test_one_seed_gives_one_model(name):
    make = pickle.loads(pickle.dumps(models.build(name, (3, 32, 32), 10)))
    states = []
    for seed in (0, 0, 1):
        torch.manual_seed(seed)
        states.append(nn.utils.parameters_to_vector(make().parameters()))
    assert torch.equal(states[0], states[1])
    assert not torch.equal(states[0], states[2])


def test_building_spends_no_random_numbers():
    torch.manual_seed(0)
    expected = torch.rand(())
    torch.manual_seed(0)
    models.build("wrn-16-1", (3, 32, 32), 10)
    assert torch.rand(()) == expected


def test_initialisation():
    """Xavier (two over fan-in plus fan-out) and Kaiming (two over fan-in), zero biases."""
    torch.manual_seed(0)
    xavier = models.wrn(16, 2, (3, 32, 32), 10).get_submodule("6.branch.3").weight
    assert xavier.shape == (128, 128, 3, 3)
    assert xavier.std().item() == pytest.approx((2 / (9 * 256)) ** 0.5, rel=0.02)
    hidden = models.mlp(500, 10, width=300)[1]
    assert hidden.weight.std().item() == pytest.approx((2 / 500) ** 0.5, rel=0.02)
    for model in (models.lenet((1, 28, 28), 10), models.mlp(64, 10)):
        biases = [each for name, each in model.named_parameters() if name.endswith("bias")]
        assert biases
        assert all((bias == 0).all() for bias in biases)


def test_lenet_pools_before_relu_without_changing_the_function():
    torch.manual_seed(0)
    model = models.lenet((1, 28, 28), 10)
    layers = list(model)
    assert isinstance(layers[1], nn.MaxPool2d)
    textbook = nn.Sequential(
        *(layers[i] for i in (0, 2, 1, 3, 5, 4)),
        *layers[6:],
    )
    inputs = torch.randn(5, 1, 28, 28)
    torch.testing.assert_close(model(inputs), textbook(inputs), rtol=0, atol=0)


@pytest.mark.parametrize(("side", "last"), [(32, 4), (28, 4), (16, 4), (8, 4), (7, 4), (3, 3)])
def test_convnet_shrinks_to_four_pixels_at_least(side, last):
    model = models.convnet((1, side, side), 10)
    assert model[:-2](torch.zeros(2, 1, side, side)).shape == (2, 64, last, last)


def test_mlp_depth():
    assert sum(isinstance(layer, nn.ReLU) for layer in models.mlp(4, 2, depth=3)) == 3
    assert size(models.mlp(4, 2, depth=0)) == 10


@pytest.mark.parametrize(("filters", "stride"), [(4, 1), (8, 1), (4, 2), (8, 2)])
def test_wide_block_is_the_published_formula(filters, stride):
    torch.manual_seed(0)
    block = models.WideBlock(4, filters, stride, dropout=0.0)
    inputs = torch.randn(5, 4, 6, 6)
    (conv1, *_), (conv2, *_) = (each.parameters() for each in (block.branch[0], block.branch[3]))

    def active(x):  # BatchNorm at its initial scale and shift, ReLU
        variance, mean = torch.var_mean(x, (0, 2, 3), correction=0, keepdim=True)
        return ((x - mean) / (variance + 1e-5).sqrt()).relu()

    branch = nn.functional.conv2d(active(inputs), conv1, stride=stride, padding=1)
    branch = nn.functional.conv2d(active(branch), conv2, padding=1)
    direct = inputs  # raw where shapes agree; activated, then projected, where they do not
    if (filters, stride) != (4, 1):
        direct = nn.functional.conv2d(active(inputs), block.shortcut.weight, stride=stride)
    torch.testing.assert_close(block(inputs), direct + branch, rtol=1e-4, atol=1e-5)


def test_dropout_acts_in_training_only():
    torch.manual_seed(0)
    model = models.wrn(10, 1, (3, 8, 8), 10, dropout=0.5)
    inputs = torch.randn(2, 3, 8, 8)
    assert not torch.equal(model(inputs), model(inputs))
    model.eval()
    assert torch.equal(model(inputs), model(inputs))


@pytest.mark.parametrize(
    ("name", "shape", "quoted"),
    [
        ("lenett", (3, 32, 32), "'lenett'.* Did you mean 'lenet'"),
        ("wrn", (3, 32, 32), "Unknown model 'wrn'"),
        ("wrn-17-1", (3, 32, 32), "depth=17.*nearest is 16"),
        ("wrn-4-1", (3, 32, 32), "depth=4.*nearest is 10"),
        ("wrn-16-0", (3, 32, 32), "widen=0"),
        ("lenet", (1, 8, 8), "16x16.*8x8.*convnet"),
        ("mlp", (8, 8), r"shape=\(8, 8\)"),
        ("convnet", (3, 0, 4), r"shape=\(3, 0, 4\)"),
    ],
)
def test_build_refuses_at_once(name, shape, quoted):
    with pytest.raises(ValueError, match=quoted):
        models.build(name, shape, 10)


@pytest.mark.parametrize(
    ("make", "quoted"),
    [
        (lambda: models.wrn(16, 1, (3, 32, 32), 10, dropout=1.0), "dropout=1.0"),
        (lambda: models.mlp(4, 2, depth=-1), "depth=-1"),
        (lambda: models.convnet((1, 8, 8), 10, width=0), "width=0"),
        (lambda: models.build("mlp", (1, 8, 8), 0), "classes=0"),
    ],
)
def test_settings_out_of_range(make, quoted):
    with pytest.raises(ValueError, match=quoted):
        make()
