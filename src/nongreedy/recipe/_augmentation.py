"""Augmentations whose strengths are learned: random draws times a strength."""

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from ..errors import nearest_name
from ..optimizers import safe_sqrt
from ..schedules import Constant
from ._sampling import moved


class Strength(NamedTuple):
    """How strong an augmentation may be, and how a search moves it: along the value itself.

    Attributes:
        initial: Small, but not 0, where most derivatives are those of the draws alone.
        highest: The upper bound; the lower one is 0.
        outer_step: The first outer step.
    """

    initial: float
    highest: float
    outer_step: float

    @property
    def basis(self) -> Constant:
        """One number for the whole run."""
        return Constant(
            initial=self.initial, bounds=(0.0, self.highest), transform=None, outer_step=self.outer_step
        )  # fmt: skip


# Degrees; logarithm of the magnification; widths and heights of the image; standard deviations of the
# batch; logarithm of the factor; standard deviations; sides of the image; share of the other image.
STRENGTHS: dict[str, Strength] = {
    "rotation": Strength(4.0, 45.0, 4.0),
    "zoom": Strength(0.05, 0.5, 0.04),
    "horizontal_shift": Strength(0.04, 0.4, 0.03),
    "vertical_shift": Strength(0.04, 0.4, 0.03),
    "brightness": Strength(0.1, 1.0, 0.08),
    "contrast": Strength(0.1, 1.0, 0.08),
    "pixel_noise": Strength(0.05, 1.0, 0.05),
    "cutout": Strength(0.1, 0.7, 0.08),
    "mixup": Strength(0.05, 0.5, 0.05),
}
_SPATIAL = ("rotation", "zoom", "horizontal_shift", "vertical_shift")
_SOFTNESS = 0.5  # of the edge of what is cut out, in pixels


class Augmentation(nn.Module):
    r"""Augmentations of images, differentiable in their strengths.

    Each image has draws of its own, uniform on [-1, 1], times a strength :math:`s`: an angle
    (``rotation``, degrees), a logarithm of the magnification (``zoom``), shifts
    (``horizontal_shift``, ``vertical_shift``, parts of the image's sides), all in one bilinear sampling;
    then ``contrast`` (logarithm of the factor on the differences from the image's mean),
    ``brightness`` (standard deviations of the batch), ``cutout`` (a square of side s, part of the
    image's, of the image's mean colour, with a soft edge) and ``pixel_noise`` (normal, standard
    deviations of the batch). In evaluation mode images stay as they are.

    Draws come from the default generator of the images' device: within a task they are functions of
    seed and step.

    Args:
        strengths: Name -> number or tensor of shape (), at least 0. ``mixup`` is for :meth:`mix`.

    Raises:
        ValueError: An unknown name, or no images of shape (N, C, H, W).

    Cannot: be differentiated where a sampling point lies on a pixel, as all do at strength 0: there
    the derivative is that of one side.

    Example:
        >>> augment = Augmentation({"rotation": 10.0, "pixel_noise": 0.1})
        >>> augment(torch.randn(8, 3, 32, 32)).shape
        torch.Size([8, 3, 32, 32])
    """

    def __init__(self, strengths: Mapping[str, float | Tensor]):
        super().__init__()
        for name in strengths:
            if name not in STRENGTHS:
                raise ValueError(
                    f"No augmentation is called {name!r}." + nearest_name(name, STRENGTHS)
                )
        self.strengths = dict(strengths)

    def forward(self, images: Tensor) -> Tensor:
        """The images, augmented, shape (N, C, H, W)."""
        if not self.training:
            return images
        if images.dim() != 4 or not images.is_floating_point():
            raise ValueError(
                "Augmentation needs floating-point images of shape (N, C, H, W), but got "
                f"{images.dtype} of shape {tuple(images.shape)}."
            )
        size = safe_sqrt(images.var(correction=0))
        if any(name in self.strengths for name in _SPATIAL):
            images = self._moved(images)
        mean = images.mean((2, 3), keepdim=True)
        if "contrast" in self.strengths:
            images = mean + (images - mean) * self._drawn("contrast", images).exp()
        if "brightness" in self.strengths:
            images = images + size * self._drawn("brightness", images)
        if "cutout" in self.strengths:
            images = torch.lerp(images, mean.expand_as(images), self._square(images))
        if "pixel_noise" in self.strengths:
            noise = torch.randn(images.shape, device=images.device).to(images.dtype)
            images = images + size * self._strength("pixel_noise", images) * noise
        return images

    def mix(self, images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Each image with a share of another one's (arXiv:1710.09412, its share uniform on [0, s]).

        Returns:
            The images; the number of the other one, shape (N,); its share, shape (N,).
        """
        count, device = len(images), images.device
        partner = torch.randperm(count, device=device)
        if not self.training or "mixup" not in self.strengths:
            return images, partner, images.new_zeros(count)
        drawn = torch.rand(count, device=device).to(images.dtype)
        share = self._strength("mixup", images) * drawn
        return torch.lerp(images, images[partner], share[:, None, None, None]), partner, share

    def _strength(self, name: str, images: Tensor) -> Any:
        strength = self.strengths.get(name, 0.0)
        return strength.to(images) if isinstance(strength, Tensor) else strength

    def _drawn(self, name: str, images: Tensor, *shape: int) -> Tensor:
        """A strength times one draw for each image, shape (N, 1, 1, 1) or as given."""
        draws = torch.rand(len(images), *(shape or (1, 1, 1)), device=images.device)
        return self._strength(name, images) * (2 * draws - 1).to(images.dtype)

    def _moved(self, images: Tensor) -> Tensor:
        angle, zoom, right, down = (self._drawn(name, images, 1)[:, 0] for name in _SPATIAL)
        return moved(images, angle * (math.pi / 180), zoom, right, down)

    def _square(self, images: Tensor) -> Tensor:
        """How much of each pixel is covered by the square, shape (N, 1, H, W)."""
        strength, covered = self._strength("cutout", images), []
        for length in images.shape[2:]:
            centre = torch.rand(len(images), 1, device=images.device).to(images.dtype) * length
            pixel = torch.arange(length, device=images.device, dtype=images.dtype) + 0.5
            away, half = pixel - centre, 0.5 * strength * length
            # A step of width 2 * half with both edges softened: nothing where half is 0.
            edges = ((half - away) / _SOFTNESS).sigmoid(), ((-half - away) / _SOFTNESS).sigmoid()
            covered.append(edges[0] - edges[1])
        rows, columns = covered
        return rows[:, None, :, None] * columns[:, None, None, :]
