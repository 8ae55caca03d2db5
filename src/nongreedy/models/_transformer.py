"""A small causal transformer over characters."""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional


class CausalBlock(nn.Module):
    """LayerNorm, attention to this and earlier positions; LayerNorm, two layers; each added on."""

    def __init__(self, width: int, heads: int):
        super().__init__()
        self.heads = heads
        self.norm = nn.LayerNorm(width)
        # No bias: that of a key has no gradient but rounding errors, which Adam would blow up.
        self.attend = nn.Linear(width, 3 * width, bias=False)
        self.mix = nn.Linear(width, width)
        self.feed = nn.Sequential(
            nn.LayerNorm(width), nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width)
        )

    def forward(self, inputs: Tensor) -> Tensor:
        batch, length, width = inputs.shape
        parts = self.attend(self.norm(inputs)).view(batch, length, 3, self.heads, -1)
        query, key, value = parts.permute(2, 0, 3, 1, 4)
        heads = functional.scaled_dot_product_attention(query, key, value, is_causal=True)
        inputs = inputs + self.mix(heads.transpose(1, 2).reshape(batch, length, width))
        return inputs + self.feed(inputs)


class CharTransformer(nn.Module):
    """Predicts each next character from those before it: a causal pre-norm transformer.

    Maps characters (B, L), integers below `vocabulary`, to logits (B, vocabulary, L), as
    ``cross_entropy`` takes them. Learned positions, no dropout; initialised as GPT-2.

    Args:
        vocabulary: Number of different characters.
        context: Longest sequence.
        width: Numbers per character inside; a multiple of `heads`.
        layers: Blocks of attention and feed-forward layers.
        heads: Of each attention.

    Raises:
        ValueError: If an argument is below 1, or `heads` does not divide `width`.

    Source: arXiv:1706.03762; Radford et al., "Language models are unsupervised multitask learners", 2019.

    Example:
        >>> CharTransformer(65)(torch.zeros(2, 10, dtype=torch.int64)).shape
        torch.Size([2, 65, 10])
    """

    def __init__(
        self, vocabulary: int, context: int = 64, width: int = 64, layers: int = 2, heads: int = 4
    ):
        if min(vocabulary, context, width, layers, heads) < 1 or width % heads:
            raise ValueError(
                f"A transformer needs sizes of at least 1 and a width that is a multiple of the "
                f"heads, but got {vocabulary=}, {context=}, {width=}, {layers=}, {heads=}."
            )
        super().__init__()
        self.characters = nn.Embedding(vocabulary, width)
        self.positions = nn.Parameter(torch.empty(context, width))
        self.blocks = nn.Sequential(*(CausalBlock(width, heads) for _ in range(layers)))
        self.head = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, vocabulary))
        for name, parameter in self.named_parameters():
            if parameter.dim() > 1:
                # What is added on to the residual stream, 2 * layers times, starts smaller.
                added = name.endswith(("mix.weight", "feed.3.weight"))
                nn.init.normal_(parameter, std=0.02 / math.sqrt(2 * layers if added else 1))
            elif name.endswith("bias"):
                nn.init.zeros_(parameter)

    def forward(self, characters: Tensor) -> Tensor:
        inside = self.characters(characters) + self.positions[: characters.shape[1]]
        return self.head(self.blocks(inside)).transpose(1, 2)
