"""Images turned, zoomed and shifted: one bilinear sampling, differentiable as often as wanted."""

import torch
from torch import Tensor


def moved(images: Tensor, angle: Tensor, log_zoom: Tensor, right: Tensor, down: Tensor) -> Tensor:
    r"""Each image about its centre; what comes from outside repeats the border.

    The pixel at :math:`p` is taken from :math:`e^{-z} R(a) (p - c) - d + c`, between four pixels of the
    original by their distances. ``grid_sample`` would do the same, but has no second derivative.

    Args:
        images: Shape (N, C, H, W).
        angle: In radians, shape (N,), as all others.
        log_zoom: Logarithm of the magnification.
        right, down: In widths and heights of the image.
    """
    height, width = images.shape[2:]
    rows = torch.arange(height, device=images.device, dtype=images.dtype) - (height - 1) / 2
    columns = torch.arange(width, device=images.device, dtype=images.dtype) - (width - 1) / 2
    y, x = rows[None, :, None], columns[None, None, :]
    scale = (-log_zoom).exp()
    cosine, sine = ((scale * f)[:, None, None] for f in (angle.cos(), angle.sin()))
    source_x = cosine * x + sine * y - (right * width)[:, None, None] + (width - 1) / 2
    source_y = cosine * y - sine * x - (down * height)[:, None, None] + (height - 1) / 2
    left, beyond = _between(source_x, width)
    top, below = _between(source_y, height)
    return _interpolated(images, left, top, beyond, below)


def _between(position: Tensor, length: int) -> tuple[Tensor, Tensor]:
    """The pixel before each position, and how far beyond it that is, from 0 to 1."""
    inside = position.clamp(0, length - 1)
    before = inside.floor().clamp(max=max(length - 2, 0))
    return before.long(), inside - before


def _interpolated(
    images: Tensor, left: Tensor, top: Tensor, beyond: Tensor, below: Tensor
) -> Tensor:
    count, channels, height, width = images.shape
    flat, right, lower = images.flatten(2), int(width > 1), width * int(height > 1)
    start = (top * width + left).flatten(1)
    across, down = beyond.flatten(1)[:, None], below.flatten(1)[:, None]

    def at(offset: int) -> Tensor:
        return flat.gather(2, (start + offset)[:, None].expand(count, channels, -1))

    upper_row = torch.lerp(at(0), at(right), across)
    lower_row = torch.lerp(at(lower), at(lower + right), across)
    return torch.lerp(upper_row, lower_row, down).view(images.shape)
