"""Inner optimizers as pure updates of the flat state."""

from .base import Optimizer as Optimizer
from .sgd import SGD as SGD
