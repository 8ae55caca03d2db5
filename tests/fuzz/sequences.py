"""Layers of words and of sequences: embeddings, recurrent layers and attention."""

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from .layers import FLAT, TOKENS, WORDS, Layer

KINDS = 5  # of words


def _embeddings() -> Iterable[tuple[str, Layer]]:
    variants = {
        "": {},
        " padding": {"padding_idx": 0},
        " max_norm": {"max_norm": 1.0},
        " sparse": {"sparse": True},
        " scale_grad_by_freq": {"scale_grad_by_freq": True},
    }
    for name, settings in variants.items():
        yield f"Embedding{name}", Layer(WORDS, lambda s=settings: nn.Embedding(KINDS, 3, **s))
    for mode in ("sum", "mean", "max"):
        yield (
            f"EmbeddingBag {mode}",
            Layer(WORDS, lambda mode=mode: nn.EmbeddingBag(KINDS, 3, mode=mode)),
        )


def _time_first(layer: nn.Module, h: Tensor) -> Tensor:
    return layer(h.transpose(0, 1))[0].transpose(0, 1)


def _recurrent() -> Iterable[tuple[str, Layer]]:
    for kind in (nn.RNN, nn.GRU, nn.LSTM):
        name = kind.__name__
        yield name, Layer(TOKENS, lambda k=kind: k(4, 3, batch_first=True), lambda r, h: r(h)[0])
        yield (
            f"{name} both ways",
            Layer(
                TOKENS,
                lambda k=kind: k(4, 2, 2, batch_first=True, dropout=0.2, bidirectional=True),
                lambda r, h: r(h)[0],
            ),
        )
    yield "LSTM projected", Layer(TOKENS, lambda: nn.LSTM(4, 3, proj_size=2), _time_first)
    for kind in (nn.RNNCell, nn.GRUCell):
        yield kind.__name__, Layer(FLAT, lambda k=kind: k(6, 6), lambda cell, h: cell(h, cell(h)))
    yield "LSTMCell", Layer(FLAT, lambda: nn.LSTMCell(6, 6), lambda cell, h: cell(h, cell(h))[0])


def _attention() -> Iterable[tuple[str, Layer]]:
    def attended(layer, h):
        return layer(h, h, h)[0]

    def padded(layer, h):
        ignored = torch.tensor([[False, False, True]], device=h.device).expand(len(h), 3)
        return layer(h, src_key_padding_mask=ignored)

    small = {"dim_feedforward": 5, "dropout": 0.1, "batch_first": True}
    for name, more in (("", {}), (" biased", {"add_bias_kv": True, "add_zero_attn": True})):
        yield (
            f"MultiheadAttention{name}",
            Layer(
                TOKENS,
                lambda m=more: nn.MultiheadAttention(4, 2, 0.2, batch_first=True, **m),
                attended,
            ),
        )
    encoder, decoder = nn.TransformerEncoderLayer, nn.TransformerDecoderLayer
    yield "TransformerEncoderLayer", Layer(TOKENS, lambda: encoder(4, 2, **small))
    yield (
        "TransformerEncoderLayer norm first",
        Layer(TOKENS, lambda: encoder(4, 2, activation="gelu", norm_first=True, **small)),
    )
    yield (
        "TransformerEncoder padded",
        Layer(TOKENS, lambda: nn.TransformerEncoder(encoder(4, 2, **small), 2), padded),
    )
    yield (
        "TransformerDecoderLayer",
        Layer(TOKENS, lambda: decoder(4, 2, **small), lambda layer, h: layer(h, h.flip(1))),
    )
    yield "TransformerDecoder", Layer(
        TOKENS, lambda: nn.TransformerDecoder(decoder(4, 2, **small), 1),
        lambda layer, h: layer(h, h.flip(1)),
    )  # fmt: skip
    yield (
        "Transformer",
        Layer(
            TOKENS,
            lambda: nn.Transformer(4, 2, 1, 1, **small),
            lambda layer, h: layer(h, h.flip(1)),
        ),
    )


def sequence_layers() -> dict[str, Layer]:
    """All of these by name."""
    return {
        name: layer for group in (_embeddings, _recurrent, _attention) for name, layer in group()
    }
