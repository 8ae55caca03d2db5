"""Data: readers that give standardised splits, and augmentations that can be replayed."""

from ..schedules._export import export
from ._dataset import in_memory
from ._formats import NAMES, describe
from ._load import Splits, load
from ._target_scale import TargetScale
from ._text import characters
from .augment import Augmentation, Compose, Cutout, HorizontalFlip, RandomCrop

__all__ = [
    "NAMES",
    "Augmentation",
    "Compose",
    "Cutout",
    "HorizontalFlip",
    "RandomCrop",
    "Splits",
    "TargetScale",
    "characters",
    "describe",
    "in_memory",
    "load",
]

export(globals())
