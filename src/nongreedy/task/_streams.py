"""Random streams: every draw of a run comes from (seed, stream, step), hashed into one seed."""

import torch

from ..errors import check_seed

_MASK = (1 << 64) - 1

# Independent streams of one seed. JUDGE is that of the data that judge, which no seed of a run moves.
ORDER, AUGMENT, DROPOUT, INITIAL, REESTIMATE, DIRECTIONS, LOOKS, READ, JUDGE = range(1, 10)
COPIES, COLUMNS = 32, 33
# Of nongreedy.preference.
PRIOR, FRESH, REJUVENATION, QUESTIONS = range(60, 64)
# Of architecture search: bits that are dropped, architectures that are drawn, rivals.
DROPPED, EXPLORED, RIVALS = 68, 69, 70
# Of bandits: what a policy draws, the noise of rewards, planted problems, and estimates of gradients.
ACTIONS, REWARDS, PLANTED, ZEROTH = 64, 65, 66, 67


def mix(*numbers: int) -> int:
    """Hash whole numbers into one 63-bit seed, by the splitmix64 finalizer.

    Neighbouring seeds and steps give unrelated streams.

    Raises:
        ValueError: What is no whole number, or one of more than 64 bits, whose stream another has.
    """
    state = 0x9E3779B97F4A7C15
    for number in numbers:
        check_seed(number)
        state = (state ^ (number & _MASK)) * 0xBF58476D1CE4E5B9 & _MASK
        state = (state ^ (state >> 27)) * 0x94D049BB133111EB & _MASK
        state ^= state >> 31
    return state >> 1


def generator(*numbers: int) -> torch.Generator:
    """A CPU generator seeded by :func:`mix`."""
    return torch.Generator().manual_seed(mix(*numbers))
