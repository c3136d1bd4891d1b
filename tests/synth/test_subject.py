"""Synthetic scans: reproducible, within range, as the configuration says, and free of held-out lesions."""

from __future__ import annotations

import shutil
from copy import copy
from dataclasses import replace
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch
from scipy import ndimage

from meshnet.lab.held_out import read_held_out
from meshnet.synth.anatomy import (
    CSF,
    GREY,
    GRID_SHAPE,
    MRICRON_TEMPLATES,
    WHITE,
    Anatomy,
    TemplateError,
    cached_anatomies,
    load_anatomies,
)
from meshnet.synth.draw import Contrast, SynthConfig, draw_shape
from meshnet.synth.grid import Grid
from meshnet.synth.lesion_masks import LesionMasks, load_lesion_masks, mask_names, pack_masks
from meshnet.synth.subject import Synthesizer, training_patch
from meshnet.train.config import ConfigError, DataConfig, Stage, compose_config
from meshnet.train.sources import SynthSource
from tests.helpers.ball_head import ball_head

pytestmark = pytest.mark.usefixtures("one_thread")

WHOLE_HEAD = Grid((48, 48, 56), 4.5)
PATCH = (24, 20, 28)
HELD_OUT = Path("meshnet/conf/t2-lesion-held-out.json")


@pytest.fixture(scope="module")
def heads() -> list[Anatomy]:
    return [ball_head("ball")]


@pytest.fixture(scope="module")
def mask_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two lesions in template space, one on a grid that runs from right to left, and one too small to use."""
    folder = tmp_path_factory.mktemp("masks")
    for name, center, size, flip in (
        ("a", (-30, 0, 20), 16, 1),
        ("b", (25, -30, 30), 22, -1),
        ("dot", (0, 0, 0), 2, 1),
    ):
        affine = np.diag([float(flip), 1.0, 1.0, 1.0])
        affine[:3, 3] = np.array(center) - np.array([flip, 1, 1]) * 25
        mask = np.zeros((51, 51, 51), np.uint8)
        mask[25 - size // 2 : 25 + size // 2, 25 - size // 2 : 25 + size // 2, 25 - size // 2 : 25 + size // 2] = 1
        nib.save(nib.Nifti1Image(mask, affine), folder / f"{name}.nii.gz")
    return folder


@pytest.fixture(scope="module")
def masks(mask_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> LesionMasks:
    return load_lesion_masks(mask_folder, tmp_path_factory.mktemp("packed"))


@pytest.fixture(scope="module")
def lesions(heads: list[Anatomy], masks: LesionMasks) -> Synthesizer:
    return Synthesizer(heads, SynthConfig(task="lesion", contrasts={"T2w": 1.0}), masks)


@pytest.fixture(scope="module")
def tissue(heads: list[Anatomy]) -> Synthesizer:
    return Synthesizer(heads, SynthConfig(task="tissue"))


@pytest.mark.parametrize("task", ["tissue", "lesion"])
def test_the_same_seed_gives_the_same_scan_and_another_seed_another(task: str, request: pytest.FixtureRequest) -> None:
    synthesizer = request.getfixturevalue(task if task == "tissue" else "lesions")
    first, again, other = (training_patch(synthesizer, seed, PATCH, 3.0, 8.0) for seed in (5, 5, 6))
    np.testing.assert_array_equal(first.image, again.image)
    np.testing.assert_array_equal(first.labels, again.labels)
    assert not np.array_equal(first.image, other.image)


def test_a_margin_lets_patches_reach_beyond_the_head(tissue: Synthesizer) -> None:
    def brain(margin_mm: float) -> int:
        return sum(int((training_patch(tissue, seed, PATCH, 2.0, margin_mm).labels > 0).sum()) for seed in range(12))

    assert 0 < brain(90.0) < 0.7 * brain(0.0)


def test_a_frozen_subject_is_drawn_as_ever(lesions: Synthesizer) -> None:
    """The first lesion-free one of the held-out list; the scan's own seed is drawn last, after everything else."""
    synthesizer = copy(lesions)
    synthesizer.config = replace(lesions.config, lesion_probability=0.0)
    synthesizer.heads = lesions.heads * 2  # which of the two real ones it is costs a draw
    subject = synthesizer.subject(read_held_out(HELD_OUT).lesion_free_seeds[0])
    np.testing.assert_allclose(subject.shape.affine[0], [-0.955694, -0.0156702, 0.155719, 0], atol=1e-6)
    np.testing.assert_allclose(subject.contrast.means[[CSF, GREY, WHITE]], [0.930776, 0.630419, 0.539639], atol=1e-6)
    assert subject.acquisition.seed == 2891620474506189656


@pytest.mark.parametrize("voxel_size_mm", [1.5, 2.5])
def test_images_are_conformed_intensities_and_labels_classes(
    tissue: Synthesizer, lesions: Synthesizer, voxel_size_mm: float
) -> None:
    for synthesizer, classes in ((tissue, 4), (lesions, 2)):
        for seed in range(2):
            scan = training_patch(synthesizer, seed, PATCH, voxel_size_mm, 8.0)
            assert (scan.image.shape, scan.image.dtype) == (PATCH, np.float32)
            assert (scan.labels.shape, scan.labels.dtype) == (PATCH, np.uint8)
            assert scan.image.min() >= 0
            assert scan.image.max() <= 1
            np.testing.assert_array_equal(scan.image, np.rint(scan.image * 255) / np.float32(255))  # as uint8 would be
            assert scan.labels.max() < classes


def test_a_whole_head_shows_every_tissue_and_its_intensities_follow_the_contrast(heads: list[Anatomy]) -> None:
    for kind, brightest in (("T1w", 3), ("T2w", 1)):
        config = SynthConfig(contrasts={kind: 1.0}, stripped_probability=0, spots_probability=0)  # type: ignore[dict-item]
        scan = Synthesizer(heads, config).subject(1).render(WHOLE_HEAD)
        means = [float(scan.image[scan.labels == label].mean()) for label in (1, 2, 3)]
        assert int(np.argmax(means)) + 1 == brightest, (kind, means)
        assert min(np.bincount(scan.labels.ravel(), minlength=4)) > 100


@pytest.mark.parametrize("kind", ["T1w", "T2w", "T2w-edge", "any"])
def test_only_the_configured_contrast_is_drawn_with_tissues_in_its_order(heads: list[Anatomy], kind: Contrast) -> None:
    synthesizer = Synthesizer(heads, SynthConfig(contrasts={kind: 2.0}))
    for seed in range(60):
        contrast = synthesizer.subject(seed).contrast
        assert contrast.kind == kind
        csf, grey, white = (float(contrast.means[c]) for c in (CSF, GREY, WHITE))
        if kind == "T1w":
            assert csf < grey < white
        elif kind == "T2w":
            assert csf > grey > white
        elif kind == "T2w-edge":  # within what T2w draws, so that contrasts beyond that stay unseen
            assert 0.6 <= grey / csf <= 0.7201
            assert 0.52 <= white / grey <= 0.62 or 0.78 <= white / grey <= 0.8801
        else:
            assert abs(grey - white) >= 0.0999


def test_contrasts_are_drawn_by_their_weights(heads: list[Anatomy]) -> None:
    synthesizer = Synthesizer(heads, SynthConfig(contrasts={"T1w": 3.0, "T2w": 1.0, "any": 0.0}))
    kinds = [synthesizer.subject(seed).contrast.kind for seed in range(400)]
    assert kinds.count("any") == 0
    assert 0.68 < kinds.count("T1w") / 400 < 0.82  # 0.75, three s.d. of a draw of 400


def test_some_subjects_have_no_lesion_and_then_no_lesion_label(lesions: Synthesizer) -> None:
    subjects = [lesions.subject(seed) for seed in range(200)]
    healthy = [s for s in subjects if s.lesion is None]
    assert 0.07 < len(healthy) / 200 < 0.24  # 0.15, three s.d.
    assert not healthy[0].render(WHOLE_HEAD).labels.any()
    with pytest.raises(ValueError, match="has no lesion"):
        healthy[0].lesion_center_mm()


def test_a_lesion_is_labelled_where_its_subject_says(lesions: Synthesizer) -> None:
    subject = next(s for s in map(lesions.subject, range(50)) if s.lesion is not None)
    labels = subject.render(Grid((60, 60, 60), 3.0)).labels
    i, j, k = np.argwhere(labels == 1).mean(axis=0) - 29.5
    center_mm = np.array([-i, k, -j]) * 3.0  # LIA
    # the elastic part and the brain's outline move the middle a little; a mirrored axis would by 50 mm
    assert np.linalg.norm(center_mm - subject.lesion_center_mm()) < 15


def test_masks_are_read_in_template_space_whatever_their_axes(masks: LesionMasks) -> None:
    assert [m.name for m in masks.masks] == ["a.nii.gz", "b.nii.gz"]  # the third is too small
    np.testing.assert_allclose(masks.masks[0].center_mm(), [-30.5, -0.5, 19.5])
    np.testing.assert_allclose(masks.masks[1].center_mm(), [25.5, -30.5, 29.5])
    assert masks.chances.sum() == pytest.approx(1)


def test_skipped_masks_are_never_drawn_and_unknown_ones_refused(mask_folder: Path, tmp_path: Path) -> None:
    assert [m.name for m in load_lesion_masks(mask_folder, tmp_path, skip=["a.nii.gz"]).masks] == ["b.nii.gz"]
    assert [m.name for m in load_lesion_masks(mask_folder, tmp_path, only=["a.nii.gz"]).masks] == ["a.nii.gz"]
    with pytest.raises(FileNotFoundError, match=r"no lesion mask 'c\.nii\.gz'"):
        load_lesion_masks(mask_folder, tmp_path, skip=["c.nii.gz"])


def test_a_packed_file_stands_for_its_folder_of_masks(mask_folder: Path, tmp_path: Path) -> None:
    packed = tmp_path / "masks.npz"
    pack_masks(mask_folder, packed)
    assert mask_names(packed) == mask_names(mask_folder) == ["a.nii.gz", "b.nii.gz", "dot.nii.gz"]
    from_folder, from_file = (load_lesion_masks(source, tmp_path / "cache") for source in (mask_folder, packed))
    np.testing.assert_array_equal(from_folder.chances, from_file.chances)
    for mask, other in zip(from_folder.masks, from_file.masks, strict=True):
        assert (mask.name, mask.origin_mm, mask.voxels) == (other.name, other.origin_mm, other.voxels)
        np.testing.assert_array_equal(mask.mask, other.mask)


def test_a_lesion_task_without_masks_is_refused(heads: list[Anatomy], tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="needs lesion masks"):
        Synthesizer(heads, SynthConfig(task="lesion"))
    with pytest.raises(FileNotFoundError, match=r"no lesion masks \(\*\.nii\.gz\) here; see data\.lesions"):
        load_lesion_masks(tmp_path, tmp_path / "cache")


def test_the_held_out_list_is_complete_and_the_published_recipe_skips_it() -> None:
    held_out = read_held_out(HELD_OUT)
    assert len(set(held_out.lesions)) == len(held_out.lesion_seeds) == 60
    assert len(set(held_out.lesion_free_seeds) | set(held_out.lesion_seeds)) == 120
    assert Path(compose_config(["data=synth_lesion"]).data.held_out) == HELD_OUT


def test_no_held_out_lesion_is_among_those_trained_on(
    heads: list[Anatomy], shared_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    held_out = set(read_held_out(HELD_OUT).lesions)
    published = sorted(p.name for p in (shared_data / "lesions" / "soop").glob("*.nii.gz"))
    assert held_out < set(published)
    some = [name for name in published if name not in held_out][:30]
    (tmp_path / "masks").mkdir()
    for name in [*held_out, *some]:
        shutil.copy(shared_data / "lesions" / "soop" / name, tmp_path / "masks")
    config = compose_config(["data=synth_lesion", f"data.lesions='{tmp_path / 'masks'}'"]).data
    monkeypatch.setattr("meshnet.train.sources.cached_anatomies", lambda *_: heads)
    source = SynthSource(replace(config, cache=str(tmp_path)), seed=0)
    drawn = {m.name for m in source._synthesizer.lesions.masks} if source._synthesizer.lesions else set()
    assert drawn
    assert drawn <= set(some)


def test_a_run_says_how_many_of_its_heads_have_a_lesion(
    heads: list[Anatomy], lesions: Synthesizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("meshnet.train.sources.cached_anatomies", lambda *_: heads)
    monkeypatch.setattr("meshnet.train.synth_heads_source.load_lesion_masks", lambda *_, **__: lesions.lesions)
    config = DataConfig(
        source="synth", lesions="masks", contrasts={"T2w": 1.0}, stages=[Stage(9, [16, 16, 16], [4.0, 4.0])]
    )

    def share(probability: float) -> float:
        synthesizer = SynthSource(replace(config, lesion_probability=probability), seed=0)._synthesizer
        return float(np.mean([synthesizer.subject(seed).lesion is not None for seed in range(200)]))

    assert (share(0.0), share(1.0)) == (0.0, 1.0)
    assert abs(share(0.3) - 0.3) < 0.1


def test_wider_sulci_turn_grey_to_fluid_and_are_drawn_as_often_and_as_wide_as_asked(tissue: Synthesizer) -> None:
    subject = tissue.subject(3)
    grid = Grid((48, 48, 48), 4.0)
    narrow, wide = (replace(subject, shape=replace(subject.shape, sulci=amount)).render(grid) for amount in (0.0, 4.0))
    turned = (narrow.labels == 2) & (wide.labels == 1)
    assert turned.sum() > 0
    assert not ((narrow.labels == 1) & (wide.labels == 2)).any()

    def drawn(config: SynthConfig) -> list[float]:
        return [draw_shape(np.random.default_rng(seed), config).sulci for seed in range(300)]

    usual, wider = drawn(SynthConfig()), drawn(SynthConfig(sulci_probability=0.85, sulci=4.0))
    assert 0.4 < np.mean(np.array(usual) > 0) < 0.6
    assert max(usual) <= 1.2
    assert 0.8 < np.mean(np.array(wider) > 0) < 0.9
    assert 3.5 < max(wider) <= 4.0


def test_texture_outside_the_brain_leaves_the_brain_its_labels_and_every_other_draw(tissue: Synthesizer) -> None:
    subject = next(s for s in map(tissue.subject, range(20)) if not s.stripped)
    textured = Synthesizer([], replace(tissue.config, outside_texture=0.5))
    textured.heads = tissue.heads
    other = textured.subject(subject.seed)
    assert 0 < other.contrast.outside_texture <= 0.5
    assert replace(other.contrast, outside_texture=0.0, means=subject.contrast.means) == subject.contrast
    np.testing.assert_array_equal(other.contrast.means, subject.contrast.means)
    assert other.acquisition.seed == subject.acquisition.seed

    quiet = replace(subject.acquisition, noise=0.0, blur_mm=0.0, slice_thickness_mm=0.0, gain=1.0, gamma=1.0)
    grid = Grid((48, 48, 48), 4.0)
    plain, varied = (replace(s, acquisition=quiet)._scan(grid) for s in (subject, other))
    np.testing.assert_array_equal(plain[1], varied[1])
    brain = ndimage.binary_erosion(plain[1].numpy() > 0, iterations=2)
    np.testing.assert_allclose(varied[0].numpy()[brain], plain[0].numpy()[brain], rtol=1e-4)
    ratio = (varied[0] / plain[0].clamp(min=1e-6)).numpy()[(plain[1].numpy() == 0) & (plain[0].numpy() > 0.1)]
    assert ratio.std() > 0.3 * other.contrast.outside_texture


def test_steps_of_a_source_depend_on_their_number_alone_and_follow_the_stages(
    heads: list[Anatomy], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("meshnet.train.sources.cached_anatomies", lambda *_: heads)
    stages = [Stage(2, [16, 16, 16], [4.0, 5.0]), Stage(3, [24, 16, 20], [3.0, 3.0])]
    config = DataConfig(source="synth", task="tissue", contrasts={"T1w": 1.0}, stages=stages)
    source = SynthSource(config, seed=7)
    assert source.steps == 5
    assert [source.item(step).image.shape for step in (4, 1, 2)] == [(24, 16, 20), (16, 16, 16), (24, 16, 20)]
    np.testing.assert_array_equal(source.item(3).image, source.item(3).image)
    assert not np.array_equal(source.item(3).image, SynthSource(config, seed=8).item(3).image)
    with pytest.raises(ConfigError, match=r"data\.contrasts: expected weights for any, T1w, T2w, T2w-edge"):
        SynthSource(replace(config, contrasts={"FLAIR": 1.0}), seed=7)
    with pytest.raises(ConfigError, match=r"data\.task: expected tissue or lesion"):
        SynthSource(replace(config, task="tumour"), seed=7)
    with pytest.raises(ConfigError, match="at least one stage"):
        SynthSource(replace(config, stages=[]), seed=7)


def test_drawing_leaves_the_global_random_state_alone(tissue: Synthesizer) -> None:
    torch.manual_seed(3)
    expected = torch.rand(4)
    torch.manual_seed(3)
    training_patch(tissue, 0, PATCH, 3.0, 8.0)
    assert torch.equal(torch.rand(4), expected)


def test_a_missing_template_is_named_with_its_package(tmp_path: Path) -> None:
    with pytest.raises(TemplateError, match=r"ch2\.nii\.gz: template not found; install Debian's mricron-data"):
        load_anatomies(tmp_path)


@pytest.mark.long
def test_heads_from_the_installed_templates_hold_a_brain(tmp_path: Path) -> None:
    if not (MRICRON_TEMPLATES / "ch2.nii.gz").is_file():
        pytest.skip("needs Colin27 from Debian's mricron-data (make system installs it)")
    for anatomy in cached_anatomies(tmp_path):
        assert anatomy.fractions.shape == (8, *GRID_SHAPE)
        assert int(anatomy.fractions.sum(axis=0, dtype=np.int64).max()) <= 257  # rounding of eight parts
        grey_ml, white_ml = (float(anatomy.fractions[c].sum(dtype=np.int64)) / 255 / 1000 for c in (GREY, WHITE))
        assert 500 < grey_ml < 1200
        assert 350 < white_ml < 800
        assert 0 <= anatomy.ventricles.min() < anatomy.ventricles.max() <= 1
    assert len(list(tmp_path.iterdir())) == 1
