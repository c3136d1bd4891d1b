"""Contrasts: every class has an intensity, and the drawn ones stay within their ranges."""

from __future__ import annotations

from typing import get_args

import numpy as np
import pytest

from meshnet.synth.contrast import BINS, PARTS, RANGES, HeadContrast, draw_contrast
from meshnet.synth.label_table import CLASS_COUNT, CLASSES, INDEX

CONTRASTS: tuple[HeadContrast, ...] = get_args(HeadContrast)


@pytest.mark.parametrize("kind", CONTRASTS)
def test_every_row_rests_on_one_drawn_before_it_and_every_class_has_a_row(kind: HeadContrast) -> None:
    drawn: list[str] = [""]
    for name, alternatives in RANGES[kind].items():
        assert all(reference in drawn and 0 <= low <= high for _, reference, low, high in alternatives), name
        drawn.append(name)
    for c in CLASSES:
        assert c.intensity in drawn or set(PARTS[c.intensity]) <= set(drawn), c.name


@pytest.mark.parametrize("kind", CONTRASTS)
def test_drawn_intensities_lie_in_one_of_their_ranges(kind: HeadContrast) -> None:
    for seed in range(60):
        values = {"": 1.0, **draw_contrast(np.random.default_rng(seed), kind, 0.9).intensities}
        for name, alternatives in RANGES[kind].items():
            assert any(
                low * values[reference] - 1e-9 <= values[name] <= high * values[reference] + 1e-9
                for _, reference, low, high in alternatives
            ), (name, values[name])


def test_t2w_draws_eyes_from_much_darker_than_fluid_to_brighter() -> None:
    draws = [draw_contrast(np.random.default_rng(seed), "T2w", 0.9).intensities for seed in range(300)]
    ratio = np.array([d["eye"] / d["fluid"] for d in draws])
    assert 0.3 <= ratio.min() < 0.4
    assert 1.2 < ratio.max() <= 1.3


@pytest.mark.parametrize(
    ("kind", "darkest_first"),
    [("T1w", ("fluid", "cortex", "white")), ("T2w", ("white", "cortex", "fluid")), ("FLAIR", ("fluid", "white"))],
)
def test_tissues_keep_their_order(kind: HeadContrast, darkest_first: tuple[str, ...]) -> None:
    for seed in range(60):
        values = draw_contrast(np.random.default_rng(seed), kind, 0.9).intensities
        assert [*darkest_first] == sorted(darkest_first, key=lambda n: values[n])


def test_any_contrast_keeps_cortex_apart_from_white_matter_and_fluid() -> None:
    for seed in range(60):
        v = draw_contrast(np.random.default_rng(seed), "any", 0.9).intensities
        assert min(abs(v["cortex"] - v["white"]), abs(v["cortex"] - v["fluid"])) >= 0.1


def test_soft_tissue_is_several_tissues_and_white_matter_one() -> None:
    seen: set[float] = set()
    for seed in range(40):
        contrast = draw_contrast(np.random.default_rng(seed), "T2w", 0.9)
        assert contrast.class_bins.shape == (CLASS_COUNT, BINS)
        np.testing.assert_allclose(contrast.class_bins[INDEX["left white matter"]], contrast.intensities["white"])
        parts = {np.float32(contrast.intensities[n]) for n in PARTS["deep soft tissue"]}
        bins = set(contrast.class_bins[INDEX["deep soft tissue"]])
        assert bins <= parts
        seen.add(len(bins))
    assert {2, 3} <= seen
