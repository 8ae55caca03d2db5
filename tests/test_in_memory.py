"""Torch data sets, read once into tensors."""

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import Dataset, IterableDataset, TensorDataset

from nongreedy import data
from nongreedy.errors import DataError

# --- Torch data sets -------------------------------------------------------------------------


class Items(Dataset):
    """A data set of whatever the function returns."""

    def __init__(self, item, count=20):
        self.item, self.count = item, count

    def __len__(self):
        return self.count

    def __getitem__(self, index):
        return self.item(index)


class Stream(IterableDataset):
    def __len__(self):
        return 3

    def __iter__(self):
        return iter([(0.0, 0)] * 3)


@pytest.mark.parametrize(
    ("item", "dtypes"),
    [
        (lambda i: (torch.full((2, 3), float(i)), i), (torch.float32, torch.int64)),
        (lambda i: (np.full((2, 3), i, np.uint8), np.int64(i)), (torch.uint8, torch.int64)),
        (lambda i: [np.full((2, 3), float(i)), float(i)], (torch.float64, torch.float32)),
        (lambda i: (torch.full((2, 3), i), torch.tensor(i)), (torch.int64, torch.int64)),
    ],
)
def test_in_memory_keeps_order_and_dtypes(item, dtypes):
    inputs, targets = data.in_memory(Items(item))
    assert (inputs.dtype, targets.dtype) == dtypes
    assert inputs.shape == (20, 2, 3)
    assert inputs[:, 1, 2].tolist() == targets.tolist() == list(range(20))


def test_in_memory_on_tensors_copies():
    original = torch.randn(5, 2), torch.arange(5)
    inputs, targets = data.in_memory(TensorDataset(*original))
    assert torch.equal(inputs, original[0])
    assert torch.equal(targets, original[1])
    assert inputs.data_ptr() != original[0].data_ptr()


def test_in_memory_accepts_nan_that_stays_nan():
    inputs, _ = data.in_memory(Items(lambda i: (torch.tensor([float("nan")]), 0)))
    assert inputs.isnan().all()


@pytest.mark.parametrize(
    ("dataset", "quoted"),
    [
        (Items(lambda i: (torch.rand(3), i)), "different items on a second read.*`augment=`"),
        (Items(lambda i: (torch.zeros(3), torch.rand(()))), "different items on a second read"),
        (Items(lambda i: (torch.zeros(i + 1), i)), r"item 1 has \(2,\)"),
        (Items(lambda i: (torch.zeros(2), i if i < 9 else 0.5)), "item 9 has .*float32"),
        (Items(lambda i: torch.zeros(2)), "Item 0 .* is a Tensor, not a pair"),
        (Items(lambda i: (Image.new("L", (2, 2)), i)), "Image, not a tensor.*ToTensor"),
        (Items(lambda i: (np.array(["a"]), i)), "Item 0 .*numpy"),
        (Items(lambda i: (0.0, 0), count=0), "Items is empty"),
        (Stream(), "Stream has no length or no items"),
        (iter([]), "no length or no items"),
    ],
)
def test_in_memory_refuses(dataset, quoted):
    with pytest.raises(DataError, match=quoted):
        data.in_memory(dataset)
