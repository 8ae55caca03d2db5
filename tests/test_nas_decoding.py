"""Architectures: round trips, plain networks that equal the masked ones, a user's own blocks."""

import copy
import json

import pytest
import torch
from torch import nn

from benchmarks._nas_strangers import PUBLISHED, Mobile
from nongreedy import nas
from nongreedy.protocols import generator

SPACES = {
    "paper": {},
    "squeeze": {"squeezes": (False, True)},
    "always squeezed": {"squeezes": (True,)},
    "seven": {"kernels": (3, 5, 7), "expansions": (2, 3, 4)},
    "one kernel": {"kernels": (3,), "expansions": (1, 6), "squeezes": (False, True)},
}


def small(options=None, dtype=torch.float64, seed=0, **more):
    settings = {"classes": 5, "resolution": 16, "width": 0.25, "depth": (2, 0, 2, 1, 0), "head": 16}
    net = nas.search_space(**{**settings, **(options or {}), **more}, seed=seed).to(dtype)
    for step in range(2):  # BatchNorm has counted something
        net(torch.randn(8, 3, 16, 16, dtype=dtype, generator=generator(step)))
    return net


@pytest.mark.parametrize("name", SPACES)
def test_decoding_is_the_inverse_of_encoding_for_every_option_of_every_layer(name):
    # 20 layers, first-of-group ones among them; both 3x3 and 5x5 with both expansions.
    space = nas.search_space(width=0.25, resolution=32, **SPACES[name]).space
    assert len(space) == 20
    largest = space.largest()
    for layer, options in enumerate(space.layers):
        assert options.skippable == (layer % 4 != 0)
        for choice in options.choices():
            one = largest.replaced(layer, choice)
            assert space.decode(space.encode(one)) == one
            assert nas.Architecture.from_json(json.loads(json.dumps(one.to_json()))) == one
    codes = {tuple(options.encode(c)) for c in options.choices()}
    assert len(codes) == len(options.choices())


def test_the_space_has_the_published_size_and_the_published_network_its_parameters():
    net = nas.search_space()
    assert net.space.size == 4**5 * 5**15
    plain = net.plain(PUBLISHED)
    assert sum(p.numel() for p in plain.parameters()) == 4_421_616
    assert nas.parameters(net).total(PUBLISHED) == 4_421_616


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=str)
@pytest.mark.parametrize("name", SPACES)
def test_the_plain_network_equals_the_masked_one(name, dtype):
    net, x = small(SPACES[name], dtype).eval(), torch.randn(4, 3, 16, 16, dtype=dtype)
    chosen = [net.space.smallest(), net.space.largest()]
    chosen += [net.space.random(generator(k)) for k in range(6)]
    for architecture in chosen:
        plain = net.plain(architecture)
        assert not any(isinstance(each, nas.MBConv) for each in plain.modules())
        with net.fixed(architecture), torch.no_grad():
            torch.testing.assert_close(plain(x), net(x), rtol=0, atol=1e-6)


def test_gates_that_say_an_architecture_compute_it():
    net, x = small(SPACES["squeeze"]).eval(), torch.randn(4, 3, 16, 16, dtype=torch.float64)
    for k in range(4):
        wanted = net.space.random(generator(k))
        with torch.no_grad():
            for block, bits in zip(net.blocks, net.space.encode(wanted), strict=True):
                block.thresholds.copy_(torch.tensor([-9.0 if bit else 9e9 for bit in bits]))
            assert net.architecture() == wanted
            torch.testing.assert_close(net.plain(wanted)(x), net(x), rtol=0, atol=1e-6)


def test_in_training_mode_both_are_the_same_where_nothing_is_skipped():
    net = small(dropout=0.0).train()
    architecture = net.space.uniform()[0]
    plain, x = net.plain(architecture), torch.randn(4, 3, 16, 16, dtype=torch.float64)
    with net.fixed(architecture):
        torch.testing.assert_close(plain(x), net(x), rtol=0, atol=1e-6)
    counted, whole = plain[4].layers[4], net.blocks[0].depthwise_norm  # also what BatchNorm counts
    torch.testing.assert_close(counted.running_mean, whole.running_mean[: counted.num_features])


def test_what_is_masked_leaks_nothing():
    net = small().eval()
    architecture, x = net.space.smallest(), torch.randn(2, 3, 16, 16, dtype=torch.float64)
    with net.fixed(architecture), torch.no_grad():
        before = net(x)
        for (
            block
        ) in net.blocks:  # biases of channels that are masked, and of layers that are skipped
            block.depthwise_norm.bias[block.widths[0] :] += 7
            if block.options.skippable:
                block.project_norm.bias += 7
        assert torch.equal(net(x), before)


def test_statistics_of_masked_channels_are_never_those_of_zeros():
    net = small().train()
    first = net.blocks[0]
    with torch.no_grad():
        first.thresholds.fill_(9e9)
    for step in range(30):
        net(torch.randn(8, 3, 16, 16, dtype=torch.float64, generator=generator(step)))
    masked = first.depthwise_norm.running_var[first.widths[0] :]
    assert net.architecture().choices[0] == nas.Choice(3, 3)
    assert masked.min() > 1e-4


def test_a_copy_and_its_plain_network_are_independent():
    net = small()
    again = copy.deepcopy(net)
    with torch.no_grad():
        for parameter in net.plain(net.space.largest()).parameters():
            parameter.zero_()
        again.blocks[0].depthwise.weight.zero_()
    assert net.blocks[0].depthwise.weight.abs().sum() > 0
    assert again.space == net.space and again.fingerprint() == net.fingerprint()


def test_gradients_of_the_plain_network_and_of_the_masked_one_are_the_same():
    net = small(dropout=0.0).train()
    architecture, x = net.space.uniform()[1], torch.randn(4, 3, 16, 16, dtype=torch.float64)
    plain = net.plain(architecture)
    with net.fixed(architecture):
        net(x).square().sum().backward()
    plain(x).square().sum().backward()
    whole, part = net.blocks[0].expand.weight.grad, plain[4].layers[0].weight.grad
    torch.testing.assert_close(whole[: len(part)], part)


# ---- a stranger's network -----------------------------------------------------------------------


def test_a_strangers_blocks_are_found_and_keep_their_weights():
    model = Mobile(classes=10).train()
    for step in range(2):
        model(torch.randn(8, 3, 16, 16, generator=generator(step)))
    model.eval()
    before = copy.deepcopy(model.state_dict())
    net = nas.searchable(model, (3, 16, 16))
    assert [options.skippable for options in net.space.layers] == [False, True, False, True, True]
    own = nas.Architecture(
        (nas.Choice(3, 1), nas.Choice(3, 4), nas.Choice(3, 4), nas.Choice(3, 1), nas.Choice(5, 6))
    )
    x = torch.randn(4, 3, 16, 16)
    torch.testing.assert_close(net.plain(own)(x), model(x), rtol=0, atol=1e-6)
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    assert type(net.plain(own)) is Mobile


def test_a_block_that_computes_something_else_than_its_layers_is_left_alone():
    class Odd(nn.Module):
        def __init__(self):
            super().__init__()
            self.layers = Mobile.separable(8, 8, 1)

        def forward(self, x):
            return 2 * self.layers(x)

    net = nas.searchable(nn.Sequential(Odd(), Mobile.separable(8, 8, 1)), (8, 6, 6))
    # Of Odd the layers inside are a block by themselves; the doubling stays.
    assert len(net.space) == 2 and isinstance(net.network[0], Odd)

    class Shuffled(nn.Module):
        def __init__(self):
            super().__init__()
            self.parts = nn.ModuleList(Mobile.separable(8, 8, 1))

        def forward(self, x):
            for part in self.parts:
                x = part(x) + 0.1
            return x

    with pytest.raises(
        ValueError, match=r"Shuffled has no block.*of 2 convolutions 1 are depthwise"
    ):
        nas.searchable(Shuffled(), (8, 6, 6))


def test_a_network_without_blocks_says_what_it_has():
    with pytest.raises(ValueError, match=r"Sequential has no block.*of 1 convolutions 0"):
        nas.searchable(nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU()), (3, 8, 8))
    with pytest.raises(ValueError, match="no searched layer"):
        nas.SuperNet(nn.Sequential(nn.Conv2d(3, 4, 3)), (3, 8, 8))
    twice = nas.MBConv(4, 4)
    with pytest.raises(ValueError, match="2 runs of 1"):
        nas.SuperNet(nn.Sequential(twice, twice), (4, 8, 8))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: nas.MBConv(4, 4, kernels=(3, 4)), "odd"),
        (lambda: nas.MBConv(4, 4, expansions=(6, 3)), "rise"),
        (lambda: nas.MBConv(4, 8, skippable=True), "4 -> 8"),
        (lambda: nas.MBConv(4, 4, squeezes=(True, False)), "squeezes"),
        (lambda: nas.search_space(depth=(1, 2)), "depth"),
        (lambda: nas.search_space(width=-1), "width"),
        (lambda: nas.search_space(resolution=2), "resolution"),
        (lambda: nas.searchable(Mobile(2), (3, 16, 16), shares=(0.5,)), "shares"),
        (lambda: nas.LayerOptions().encode(None), "cannot choose skip"),
        (lambda: nas.LayerOptions().encode(nas.Choice(7, 3)), "cannot choose k7 e3"),
        (lambda: nas.Architecture.from_json({"format": "x"}), "no architecture"),
        (lambda: nas.Space((nas.LayerOptions(),)).encode(nas.Architecture(())), "0 layers"),
    ],
)
def test_bad_settings_are_named(make, message):
    with pytest.raises(ValueError, match=message):
        make()
