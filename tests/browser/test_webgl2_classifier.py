"""WebGL2's classifier shader (classify.frag.glsl, classifier.glsl) against loops over classes in NumPy.

The network's only convolution copies neighbours of each voxel, one per channel, so that the shader's activations are
known. All numbers are small integers or halves: logits are exact, and many are equal.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from playwright.sync_api import Page

from meshnet.model.network import model_from
from meshnet.model.spec import Architecture, GroupNorm, NoNorm
from tests.helpers.browser.chromium import WEBGL2, OpenPage
from tests.helpers.browser.engine_page import run_in_page
from tests.helpers.engine_cases import F32, BuiltCase, bundle_of

F64 = NDArray[np.float64]

#: (nx, ny, nz): more planes than the 64 whose labels are read back at once.
DIMS = (3, 2, 67)


@pytest.fixture
def page(open_page: OpenPage) -> Page:
    """The self-test page where WebGL2 is the GPU there is."""
    return open_page("/selftest.html", flags=WEBGL2)


@dataclass(frozen=True)
class Network:
    """Channel c of the convolution is the neighbour at tap c (0 outside), then a norm if there is one, then ReLU."""

    weight: F64  # [class, channel]
    bias: F64  # [class]
    norm: bool = False

    @property
    def channels(self) -> int:
        return self.weight.shape[1]

    def bundle(self, image: F32) -> BuiltCase:
        """The engine's input; `image` is [z, y, x]."""
        architecture = Architecture(
            channels=self.channels,
            classes=len(self.bias),
            dilations=(1,),
            activation="relu",
            norm=GroupNorm() if self.norm else NoNorm(),
        )
        weights = {
            "layers.0.conv.weight": np.eye(self.channels, 27, dtype=np.float32).reshape(-1, 1, 3, 3, 3),
            "layers.0.conv.bias": np.zeros(self.channels, np.float32),
            "classifier.weight": self.weight.astype(np.float32)[:, :, None, None, None],
            "classifier.bias": self.bias.astype(np.float32),
        }
        return bundle_of(model_from(architecture, weights), image[None])

    def reference(self, image: F32) -> tuple[NDArray[np.uint8], F64]:
        """Labels and probabilities (0-255) [class - 1, z, y, x]; the lowest class wins a tie."""
        nz, ny, nx = image.shape
        padded = np.pad(image.astype(np.float64), 1)
        taps = list(np.ndindex(3, 3, 3))[: self.channels]
        sums = np.stack([padded[kz : kz + nz, ky : ky + ny, kx : kx + nx] for kx, ky, kz in taps])
        if self.norm:
            axes = (1, 2, 3)
            deviation = np.sqrt(sums.var(axis=axes, keepdims=True) + GroupNorm().eps)
            sums = (sums - sums.mean(axis=axes, keepdims=True)) / deviation
        activations = np.maximum(sums, 0)
        labels = np.zeros(image.shape, np.uint8)
        probabilities = np.zeros((len(self.bias) - 1, *image.shape))
        for voxel in np.ndindex(*image.shape):
            logits = self.bias + self.weight @ activations[(slice(None), *voxel)]
            best = 0
            for k in range(1, len(logits)):
                if logits[k] > logits[best]:
                    best = k
            p = np.exp(logits - logits[best])
            labels[voxel], probabilities[(slice(None), *voxel)] = best, 255 * (p / p.sum())[1:]
        return labels, probabilities


def nearest_prototype(rng: np.random.Generator, channels: int, classes: int) -> Network:
    """Classes are random points of the activations' space, and the nearest one wins: logit = w·a − |w|²/2."""
    weight = integers(rng, 0, 5, classes, channels)
    return Network(weight, -(weight**2).sum(axis=1) / 2)


def volume(rng: np.random.Generator) -> F32:
    return integers(rng, 0, 5, *DIMS[::-1]).astype(np.float32)


def assert_near(got: dict[str, Any], probabilities: F64) -> None:
    """Rounded to whole steps, and by up to one more where two classes are nearly equal."""
    assert np.abs(got["probabilities"] - probabilities).max() <= 1


def integers(rng: np.random.Generator, low: int, high: int, *shape: int) -> F64:
    """Integers low ... high."""
    return rng.integers(low, high + 1, shape).astype(np.float64)


@pytest.mark.parametrize("classes", [2, 3, 4, 5, 8, 104, 256])
@pytest.mark.parametrize("channels", [1, 4, 5, 11])
def test_labels_and_probabilities_equal_the_reference_and_the_lowest_class_wins_a_tie(
    page: Page, classes: int, channels: int
) -> None:
    """Channels within a texel, that fill it, and that end inside the next ones."""
    rng = np.random.default_rng(classes * 31 + channels)
    net, image = nearest_prototype(rng, channels, classes), volume(rng)
    labels, probabilities = net.reference(image)
    assert len(np.unique(labels)) >= min(classes, 4) or channels == 1

    got = run_in_page(page, "webgl2", net.bundle(image), probabilities=True)

    assert got["error"] is None
    np.testing.assert_array_equal(got["labels"], labels)
    assert_near(got, probabilities)


@pytest.mark.parametrize("offset", [-1000, 1000])
def test_logits_far_from_zero_give_the_same_labels(page: Page, offset: int) -> None:
    """exp of them would overflow or vanish, and a maximum that starts at zero would keep class 0."""
    rng = np.random.default_rng(5)
    net, image = nearest_prototype(rng, 3, 6), volume(rng)
    net = replace(net, weight=30 * net.weight, bias=30 * net.bias + offset)
    labels, probabilities = net.reference(image)

    got = run_in_page(page, "webgl2", net.bundle(image), probabilities=True)

    assert got["error"] is None
    assert len(np.unique(labels)) > 1
    np.testing.assert_array_equal(got["labels"], labels)
    assert_near(got, probabilities)


def test_classes_that_are_all_equal_give_the_first_and_equal_probabilities(page: Page) -> None:
    rng = np.random.default_rng(7)
    net = Network(np.ones((7, 2)), np.ones(7))

    got = run_in_page(page, "webgl2", net.bundle(volume(rng)), probabilities=True)

    assert got["error"] is None
    assert set(np.unique(got["labels"])) == {0}
    assert set(np.unique(got["probabilities"])) == {36}  # 255 / 7


def test_the_shader_applies_the_norm_and_activation_that_precede_it(page: Page) -> None:
    rng = np.random.default_rng(9)
    net, image = replace(nearest_prototype(rng, 5, 4), norm=True), volume(rng)
    labels, probabilities = net.reference(image)

    got = run_in_page(page, "webgl2", net.bundle(image), probabilities=True)

    assert got["error"] is None
    assert len(np.unique(labels)) > 1
    decided = np.sort(probabilities, axis=0)[-1] > 130  # elsewhere two classes may tie to rounding
    assert decided.mean() > 0.2
    np.testing.assert_array_equal(got["labels"][decided], labels[decided])
    assert_near(got, probabilities)


def test_after_a_norm_too_the_lowest_of_equal_classes_wins(page: Page) -> None:
    """Each class twice, with the same weights."""
    rng = np.random.default_rng(11)
    net = replace(nearest_prototype(rng, 5, 4), norm=True)
    twice = replace(net, weight=np.repeat(net.weight, 2, axis=0), bias=np.repeat(net.bias, 2))

    got = run_in_page(page, "webgl2", twice.bundle(volume(rng)), probabilities=True)

    assert got["error"] is None
    assert not np.any(got["labels"] % 2)
    assert got["probabilities"].max() <= 128
