"""Real heads without a stroke: which scans they are, and what counts as outside the brain."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from meshnet.lab.cases import Case, Tissue, Volumes, brain_cases, lesion_free_cases
from meshnet.lab.evaluate_models import evaluate, score
from meshnet.lab.opened import Opened
from meshnet.lab.real_heads import brain_mask, lesion_free_heads, near_brain
from meshnet.lab.table import Row, table
from meshnet.model.checkpoint import save_checkpoint
from meshnet.model.spec import ModelSpec, make_labels
from tests.helpers.export_models import small_model
from tests.helpers.scan_files import write_scan


def _spec() -> ModelSpec:
    spec, _ = small_model("lesions", classes=2)
    return spec.model_copy(
        update={"task": "stroke lesion", "modality": ("T2w",), "labels": make_labels(["background", "lesion"])}
    )


def test_the_contrast_of_a_head_follows_from_its_name_and_other_files_are_left_out(tmp_path: Path) -> None:
    for name in ("oms/patient01_study1_T2W", "oms/patient01_study1_FLAIR", "oms/notes", "t1_crop"):
        path = tmp_path / "scans" / f"{name}.nii.gz"
        path.parent.mkdir(parents=True, exist_ok=True)
        write_scan(path, np.ones((3, 3, 3), np.int16))
    heads = {head.name: head.contrast for head in lesion_free_heads(tmp_path)}
    assert heads == {"oms-patient01_study1_FLAIR": "FLAIR", "oms-patient01_study1_T2W": "T2w", "t1_crop": "T1w"}


def test_near_the_brain_is_at_most_5_mm_from_its_mask() -> None:
    brain = np.zeros((21, 3, 3), bool)
    brain[4] = True
    assert np.flatnonzero(near_brain(brain)[:, 1, 1]).tolist() == list(range(10))
    assert np.flatnonzero(near_brain(brain, 2.0)[:, 1, 1]).tolist() == [2, 3, 4, 5, 6]
    assert near_brain(np.zeros((3, 3, 3), bool)).all()


def test_a_brain_mask_is_computed_once_per_image_and_model(tmp_path: Path) -> None:
    save_checkpoint(tmp_path / "model", *small_model())
    image = np.random.default_rng(0).integers(0, 255, (9, 10, 11), np.uint8)
    first = brain_mask(image, tmp_path / "model", tmp_path / "cache")
    (kept,) = (tmp_path / "cache").glob("brain-*.npz")
    stamp = kept.stat().st_mtime_ns
    assert np.array_equal(brain_mask(image, tmp_path / "model", tmp_path / "cache"), first)
    assert kept.stat().st_mtime_ns == stamp
    brain_mask(image[::-1], tmp_path / "model", tmp_path / "cache")
    assert len(list((tmp_path / "cache").glob("brain-*.npz"))) == 2


def test_a_mark_outside_the_brain_is_counted_apart() -> None:
    near = np.zeros((10, 10, 10), bool)
    near[:5] = True
    predicted = np.zeros((10, 10, 10), np.uint8)
    predicted[4:7] = 1
    volumes = Volumes(predicted, np.zeros_like(predicted), near)
    case = Case("real heads without a stroke", "oms-p_T2W", "lesion", lambda: volumes, "T2w")
    row = score(_spec(), case, volumes, predicted)
    assert (row.volume_ml, row.outside_ml) == (pytest.approx(0.3), pytest.approx(0.2))


def test_a_model_is_scored_only_on_the_contrasts_that_it_is_made_for(tmp_path: Path) -> None:
    image = np.arange(64, dtype=np.uint8).reshape(4, 4, 4)
    volumes = Volumes(image, np.zeros_like(image), np.ones((4, 4, 4), bool))
    cases = [
        Case("real heads without a stroke", contrast, "lesion", lambda: volumes, contrast)
        for contrast in ("T1w", "T2w")
    ]
    opened = Opened(_spec(), lambda image, step: np.zeros(image.shape, np.uint8))
    assert [row.case for row in evaluate([opened], cases, tmp_path)] == ["T2w"]


def test_a_target_may_be_an_upper_limit() -> None:
    nan = float("nan")
    rows = [Row("t2-lesion", "a", "real heads without a stroke", "oms-p_T2W", 0, nan, nan, 3.0, 0, nan, 0.4)]
    lines = table(rows).splitlines()
    assert any("most outside the brain in one, mL | ≤ 0.5 | 0.400 |" in line for line in lines)
    assert any("`oms` T2w: most marked in one, mL | ≤ 2 | 3.000 (missed) |" in line for line in lines)


def test_without_the_brain_model_or_the_scans_there_is_no_such_case(tmp_path: Path) -> None:
    assert list(lesion_free_cases(tmp_path, tmp_path / "no-model", tmp_path / "cache")) == []


def test_a_brain_model_is_scored_on_every_real_head_against_the_brain_models_mask(tmp_path: Path) -> None:
    (tmp_path / "scans" / "oms").mkdir(parents=True)
    for name in ("oms/patient01_study1_T2W", "oms/patient01_study1_FLAIR", "t1_crop", "M2265_T2w"):
        (tmp_path / "scans" / f"{name}.nii.gz").touch()
    cases = list(brain_cases(tmp_path, tmp_path / "brain-model", tmp_path / "cache"))
    assert [(case.name, case.contrast) for case in cases] == [
        ("brain-oms-patient01_study1_FLAIR", "FLAIR"),
        ("brain-oms-patient01_study1_T2W", "T2w"),
        ("brain-t1_crop", "T1w"),
        ("brain-M2265_T2w", "T2w"),
    ]
    labels = np.zeros((10, 10, 10), np.uint8)
    labels[4:7] = Tissue.BRAIN
    predicted = (labels > 0).astype(np.uint8)
    predicted[4] = 0
    row = score(_spec(), cases[0], Volumes(labels, labels), predicted)
    assert (row.dice, row.volume_ml, row.true_ml) == (pytest.approx(0.8), pytest.approx(0.2), pytest.approx(0.3))
