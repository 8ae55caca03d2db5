"""The verdict on a hypergradient, in words."""

import enum


class Verdict(enum.Enum):
    """Whether a hypergradient is worth following; the value is a help text."""

    trustworthy = (
        "Most coefficients' hypergradients stand out of the noise between seeds, and nothing that was "
        "measured speaks against following them."
    )
    noisy = (
        "Most coefficients' hypergradients do not stand out of the noise between seeds. Near the best "
        "schedule that is as it should be: there they are zero. Elsewhere use more seeds, wider "
        "windows, or a larger validation set."
    )
    chaotic = (
        "Training is chaotic here: small changes are amplified until they decide where it ends, and a "
        "derivative says nothing about the loss a finite step away. Lower the learning rate, or its "
        "upper bound; a warm-up, clipping or normalization also helps. More seeds do not."
    )
