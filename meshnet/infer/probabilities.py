"""8-bit class probabilities of a run, in the form that every engine writes them (docs/engine.md, "Confidence").

uint8 [classes - 1, ...]: the softmax probabilities p of the classes 1, 2, ..., as 0 to 255; class 0 has the rest. A
value is floor(255 p + 1/2), at most 127 where the label is another class, and of two classes at least 128 where it is
this one: so 128, the first value of p >= 1/2, never contradicts the label, however p was rounded.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

U8 = NDArray[np.uint8]

#: Models with more classes have no probabilities kept: 256^3 voxels take 16 MiB per class.
MOST_CLASSES = 8


def quantise(logits: NDArray[np.float32], labels: U8) -> U8:
    """Probabilities uint8 [classes - 1, ...] of logits [classes, ...] and their argmax `labels` [...]."""
    classes = len(logits)
    p = np.exp(logits - logits.max(axis=0))
    values = np.floor(255 * (p[1:] / p.sum(axis=0)) + np.float32(0.5))
    is_label = labels == np.arange(1, classes).reshape(-1, *([1] * labels.ndim))
    winner = np.maximum(values, 128) if classes == 2 else values
    return np.where(is_label, winner, np.minimum(values, 127)).astype(np.uint8)


def probability_of(probabilities: U8, label: int) -> U8:
    """The volume [...] of one label, 0 to 255."""
    if label > 0:
        volume: U8 = probabilities[label - 1]
        return volume
    rest: U8 = np.maximum(255 - probabilities.sum(axis=0, dtype=np.int16), 0).astype(np.uint8)
    return rest


def threshold_labels(labels: U8, probabilities: U8, chosen: int, threshold: float) -> U8:
    """Labels [...] with a threshold on one of them.

    `chosen` where its probability is at least `threshold` (0 to 1); elsewhere the label as it is, or if that is
    `chosen`, the most probable of the others, the lowest of equal ones.
    """
    passes = probability_of(probabilities, chosen) >= np.ceil(255 * threshold)
    out = np.where(passes, np.uint8(chosen), labels)
    lost = ~passes & (labels == chosen)
    if lost.any():
        at_lost = probabilities[:, lost]
        others = [label for label in range(len(probabilities) + 1) if label != chosen]
        best = np.argmax([probability_of(at_lost, label) for label in others], axis=0)
        out[lost] = np.array(others, np.uint8)[best]
    return out


def average(a: U8, b: U8) -> tuple[U8, U8]:
    """Mean of two runs on the same grid, probabilities [classes - 1, ...] each: labels [...] and probabilities.

    A probability is floor((a + b) / 2); the label is the class with the largest a + b, the lowest of equal ones.
    """
    labels, probabilities = np.empty(a.shape[1:], np.uint8), np.empty_like(a)
    for i in range(a.shape[1]):  # plane by plane: the sums take two bytes a voxel and class
        sums = a[:, i].astype(np.int16) + b[:, i]
        labels[i] = np.argmax(np.concatenate([510 - sums.sum(axis=0, keepdims=True), sums]), axis=0)
        probabilities[:, i] = sums >> 1
    return labels, probabilities
