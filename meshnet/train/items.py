"""Training items, and the protocol of a source of them (sources.py has the sources).

The item of a step depends on the settings and the step's number only, so that a resumed run trains on the same items
as an uninterrupted one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

#: Label of a voxel whose tissue is not known: anything but a lesion, the last class.
NOT_LESION = 255


@dataclass(frozen=True)
class Item:
    """One volume. image: float32 [D, H, W], normalised; labels: uint8 [D, H, W]; name: of the subject.

    lesion_only: a person marked lesions only, and every other voxel is labelled `NOT_LESION`.
    """

    image: NDArray[np.float32]
    labels: NDArray[np.uint8]
    name: str
    lesion_only: bool = False


class Source(Protocol):
    """Training items by step, and a fixed list of validation items, which may be empty.

    size, voxel_size_mm: of the conformed grid that the network is for; items may be smaller patches. steps: items of
    the whole training. description: of the data, for the provenance. cases: sorted names of all cases used for training
    or validation; empty where subjects are drawn.
    """

    size: int
    voxel_size_mm: float
    steps: int
    steps_per_epoch: int
    description: str
    cases: Sequence[str]

    def item(self, step: int) -> Item: ...

    def validation_count(self) -> int: ...

    def validation_item(self, index: int) -> Item: ...


class Steps(Dataset[tuple[Tensor, Tensor, bool]]):
    """Items `start..stop` of a source: `as_tensors`, and `Item.lesion_only`."""

    def __init__(self, source: Source, start: int, stop: int) -> None:
        self._source, self._start, self._stop = source, start, stop

    def __len__(self) -> int:
        return self._stop - self._start

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor, bool]:
        item = self._source.item(self._start + index)
        return (*as_tensors(item), item.lesion_only)


def as_tensors(item: Item) -> tuple[Tensor, Tensor]:
    """(image float32 [1, D, H, W], labels uint8 [D, H, W]): on the way to a GPU, uint8 is an eighth of int64."""
    return torch.from_numpy(item.image)[None], torch.from_numpy(item.labels)
