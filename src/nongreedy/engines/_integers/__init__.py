"""Training in exact integer arithmetic, which can be run backwards (arXiv:1502.03492)."""

from .buffer import BufferSizes as BufferSizes
from .program import program_for as program_for
from .reversal import Reversal as Reversal
