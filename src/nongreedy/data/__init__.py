"""Data: readers that give standardised splits, and augmentations that can be replayed."""

from nongreedy.data._dataset import in_memory
from nongreedy.data._load import NAMES, Splits, describe, load
from nongreedy.data._text import characters
from nongreedy.data.augment import Augmentation, Compose, Cutout, HorizontalFlip, RandomCrop

__all__ = [
    "NAMES",
    "Augmentation",
    "Compose",
    "Cutout",
    "HorizontalFlip",
    "RandomCrop",
    "Splits",
    "characters",
    "describe",
    "in_memory",
    "load",
]
