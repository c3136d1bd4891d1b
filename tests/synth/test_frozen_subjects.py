"""The draws of the frozen test subjects don't change."""

from __future__ import annotations

import numpy as np
import pytest

from meshnet.synth.frozen_subjects import frozen_subjects, read_frozen_seeds
from meshnet.synth.label_maps import HeadLabels, head_classes
from meshnet.synth.lesion_masks import LesionMask, LesionMasks
from meshnet.synth.synth_heads import HeadConfig, HeadGenerator
from tests.helpers.label_map_heads import ellipsoid_labels


@pytest.fixture(scope="module")
def generator() -> HeadGenerator:
    classes, affine = head_classes(ellipsoid_labels(), "ball")
    return HeadGenerator([HeadLabels(n, "00", "test", classes, affine) for n in ("a", "b", "c")], HeadConfig())


def test_frozen_subjects_are_listed_and_keep_their_draws(generator: HeadGenerator) -> None:
    masks = LesionMasks(
        tuple(LesionMask(n, np.ones((9, 9, 9), bool), (-40.0, -20.0, 10.0), 729) for n in ("one", "two")),
        np.ones(2) / 2,
    )
    before = generator.config
    subjects = dict(frozen_subjects(generator, masks, ["two", "one"], "T2w", read_frozen_seeds()))
    assert generator.config is before
    assert generator.lesions is None
    assert list(subjects)[:3] == ["lesion-T2w-3000000000", "lesion-T2w-3000000001", "healthy-T2w-3000001000"]
    assert len(subjects) == 62
    lesions = [s.lesion.mask.name for s in subjects.values() if s.lesion is not None]
    assert lesions == ["two", "one"]
    assert {s.contrast.kind for s in subjects.values()} == {"T2w"}
    assert {s.head.name for s in subjects.values()} == {"a", "b", "c"}
    first = subjects["lesion-T2w-3000000000"]
    drawn = [first.contrast.intensities[name] for name in ("fluid", "cortex", "white", "eye")]
    np.testing.assert_allclose(drawn, [0.7871052, 0.2858145, 0.1671383, 0.8725726], atol=1e-6)
    assert (first.head.name, first.acquisition.seed) == ("b", 2755131525138409580)  # the scan's seed is drawn last
