"""The embedded data: 1,797 handwritten digits, which ship with scikit-learn."""

from __future__ import annotations

from typing import Any

import torch

from ._source import Parts, stored


def read_digits() -> Parts:
    """Return scikit-learn's digits: 1,797 images of shape ``(1, 8, 8)``, values 0 to 16.

    The source makes no split of its own.
    """
    # Here, not at the top: scikit-learn takes a second to import, and other formats do without.
    from sklearn.datasets import load_digits

    bunch: Any = load_digits()
    images = torch.as_tensor(bunch.images, dtype=torch.float32)[:, None] / 16
    targets = torch.as_tensor(bunch.target)
    classes = tuple(str(name) for name in bunch.target_names)
    return Parts(stored("digits", images, targets), classes)
