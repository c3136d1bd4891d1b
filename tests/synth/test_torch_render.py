"""Heads rendered from label maps: each hot operation against NumPy or SciPy, and what a subject must keep to."""

from __future__ import annotations

from dataclasses import replace
from typing import get_args

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy import ndimage

from meshnet.synth.contrast import BINS, HeadContrast
from meshnet.synth.grid import Grid
from meshnet.synth.head_volumes import Box, HeadVolumes, Level
from meshnet.synth.label_maps import HeadLabels, head_classes
from meshnet.synth.label_table import BRAIN, CLASS_COUNT, INDEX, TARGET_LABELS, VENTRICLES, Target
from meshnet.synth.lesion_looks import draw_lesion, lesion_anatomy, mask_from_voxel, paint_lesion, place_mask
from meshnet.synth.lesion_masks import LesionMask, LesionMasks
from meshnet.synth.shapes import ScanRanges, ShapeRanges
from meshnet.synth.synth_heads import HeadConfig, HeadGenerator, patch_grid
from meshnet.synth.torch_render import DrawnHead, _by_part, _sample, render
from tests.helpers.label_map_heads import SCALE, ellipsoid_labels

CPU = torch.device("cpu")
GRID = Grid((44, 48, 52), 2.0)
STILL = ShapeRanges(rotation_deg=0.0, scale=(1.0, 1.0), child_probability=0.0, elastic_mm=0.0, ventricle_mm=0.0)
PLAIN = ScanRanges(0.0, half_view_probability=0.0, defaced_probability=0.0, stripped_probability=0.0, noise=0, bias=0)


pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def labels() -> HeadLabels:
    classes, affine = head_classes(ellipsoid_labels(), "ball")
    return HeadLabels("ball", "00", "train", classes, affine)


@pytest.fixture(scope="module")
def head(labels: HeadLabels) -> HeadVolumes:
    return HeadVolumes(labels, CPU)


@pytest.fixture(scope="module")
def masks() -> LesionMasks:
    """A block that reaches from the skull over cortex and white matter into the ventricle, and a lopsided one."""
    block = np.zeros((60, 40, 50), bool)
    block[5:55, 5:35, 5:45] = True
    wedge = np.tril(np.ones((40, 30)))[..., None] * np.ones(35) > 0
    masks = (
        LesionMask("block", block, (-75.0, -30.0, 0.0), int(block.sum())),
        LesionMask("wedge", wedge, (20.0, -60.0, 5.0), int(wedge.sum())),
    )
    return LesionMasks(masks, np.array([0.6, 0.4]))


@pytest.fixture(scope="module")
def generator(labels: HeadLabels, masks: LesionMasks) -> HeadGenerator:
    return HeadGenerator([labels], HeadConfig(), masks)


def subject_of(generator: HeadGenerator, seed: int, **changes: object) -> DrawnHead:
    before = generator.config
    generator.config = replace(before, **changes)  # type: ignore[arg-type]
    try:
        return generator.subject(seed)
    finally:
        generator.config = before


def whole(level: Level) -> Box:
    x, y, z = level.rows.shape
    return slice(0, x), slice(0, y), slice(0, z)


# hot operations against a reference


def test_a_level_of_2_mm_is_the_mean_of_its_eight_voxels(head: HeadVolumes, labels: HeadLabels) -> None:
    table = np.random.default_rng(0).random((CLASS_COUNT, 3)).astype(np.float32)
    fine = table[np.pad(labels.classes, [(0, n % 2) for n in labels.classes.shape])]
    x, y, z = (n // 2 for n in fine.shape[:3])
    expected = fine.reshape(x, 2, y, 2, z, 2, 3).mean(axis=(1, 3, 5))
    got = head.halved.paint(table, whole(head.halved))
    np.testing.assert_allclose(got.permute(1, 2, 3, 0).numpy(), expected, atol=1e-6)
    part = (slice(3, 9), slice(4, 20), slice(11, 12))
    np.testing.assert_allclose(head.halved.paint(table, part).permute(1, 2, 3, 0).numpy(), expected[part], atol=1e-6)
    np.testing.assert_array_equal(
        head.fine.paint(table, whole(head.fine)).permute(1, 2, 3, 0).numpy(), table[labels.classes]
    )


def test_sub_regions_read_each_class_at_its_place_in_the_field(head: HeadVolumes) -> None:
    rng = np.random.default_rng(1)
    table = rng.random((CLASS_COUNT, BINS)).astype(np.float32)
    level = head.halved
    field = rng.standard_normal(level.rows.shape).astype(np.float32)
    got = _by_part(level, whole(level), table, torch.from_numpy(field)).numpy()
    at = np.clip(1 / (1 + np.exp(-1.702 * field.astype(float))) * BINS - 0.5, 0, BINS - 1.001)
    for voxel in rng.integers(0, level.rows.shape, (200, 3)):
        i, j, k = voxel
        bins = table[level.mixtures[int(level.rows[i, j, k])].numpy()].mean(axis=0)
        assert abs(np.interp(at[i, j, k], np.arange(BINS), bins) - got[i, j, k]) < 1e-4


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_resampling_is_scipys_linear_interpolation(threads: int) -> None:
    rng = np.random.default_rng(2)
    volume = rng.random((3, 11, 8, 17)).astype(np.float32)
    size = np.array(volume.shape[1:])
    voxels = rng.uniform(-3, size + 2, (13, 6, 7, 3))
    unit = torch.from_numpy((voxels / (size - 1) * 2 - 1)[..., ::-1].astype(np.float32).copy())[None]
    torch.set_num_threads(threads)
    got = _sample(torch.from_numpy(volume), unit).numpy()
    torch.set_num_threads(1)
    for channel in range(3):
        padded = np.pad(volume[channel], 1)  # zero outside, and on the way there
        expected = ndimage.map_coordinates(padded, voxels.transpose(3, 0, 1, 2) + 1, order=1, mode="constant")
        np.testing.assert_allclose(got[channel], expected, atol=2e-5)


@pytest.mark.parametrize("level_name", ["fine", "halved"])
def test_a_mask_is_placed_as_scipys_affine_transform_places_it(
    generator: HeadGenerator, level_name: str, head: HeadVolumes
) -> None:
    level: Level = getattr(head, level_name)
    for seed in range(4):
        lesion = subject_of(generator, seed, lesion_probability=1.0).lesion
        assert lesion is not None
        placed = place_mask(head, level, whole(level), lesion)
        assert placed is not None
        got, inner = placed[0].numpy(), placed[1]
        to_mask = mask_from_voxel(head, lesion)
        v = level.voxel_mm
        start = np.array([b.start for b in inner]) * v + (v - 1) / 2
        expected = ndimage.affine_transform(
            np.pad(lesion.mask.mask.astype(np.float32), 1),
            to_mask[:, :3] * v,
            to_mask[:, :3] @ start + to_mask[:, 3] + 1,
            output_shape=got.shape,
            order=1,
        )
        np.testing.assert_allclose(got, expected, atol=1e-3)
        # nothing of it lies outside the part that was returned
        elsewhere = ndimage.affine_transform(
            np.pad(lesion.mask.mask.astype(np.float32), 1),
            to_mask[:, :3] * v,
            to_mask[:, :3] @ np.full(3, (v - 1) / 2) + to_mask[:, 3] + 1,
            output_shape=tuple(level.rows.shape),
            order=1,
        )
        elsewhere[inner] = 0
        assert elsewhere.max() == 0


def test_the_mask_lands_at_its_mni_place_on_either_side(generator: HeadGenerator, head: HeadVolumes) -> None:
    for seed in range(6):
        lesion = subject_of(generator, seed, lesion_probability=1.0).lesion
        assert lesion is not None
        voxel = head.affine_mni2vox[:, :3] @ lesion.center_mni_mm() + head.affine_mni2vox[:, 3]
        to_mask = mask_from_voxel(head, lesion)
        middle = to_mask[:, :3] @ voxel + to_mask[:, 3]
        np.testing.assert_allclose(middle, np.argwhere(lesion.mask.mask).mean(axis=0), atol=1e-6)
        left = lesion.center_mni_mm()[0] < 0
        assert left == (voxel[0] > head.shape[0] / 2)  # i runs to the left


# what a subject keeps to


def test_a_lesion_lies_in_the_brain_alone_whatever_its_mask_covers(
    generator: HeadGenerator, head: HeadVolumes, labels: HeadLabels
) -> None:
    found = 0
    for seed in range(8):
        subject = subject_of(generator, seed, lesion_probability=1.0)
        assert subject.lesion is not None
        flat = torch.zeros(tuple(head.fine.rows.shape))
        _, share = paint_lesion(flat, head, head.fine, whole(head.fine), subject.lesion, atrophy=0.0)
        inside = share.numpy() > 0
        assert (BRAIN & ~VENTRICLES)[labels.classes[inside]].all()
        found += int((share > 0.5).sum())
    assert found > 1000


def test_an_open_sulcus_cuts_the_lesion_and_a_narrow_one_belongs_to_it(generator: HeadGenerator) -> None:
    map_with_sulci = ellipsoid_labels()
    left_white = map_with_sulci == 2
    open_sulcus, narrow_sulcus = np.zeros_like(left_white), np.zeros_like(left_white)
    open_sulcus[:, 22:33, 42:53], narrow_sulcus[:, 22:33, 34] = True, True  # left of the middle, above the origin
    map_with_sulci[left_white & (open_sulcus | narrow_sulcus)] = 24
    head = HeadVolumes(HeadLabels("sulci", "00", "train", *head_classes(map_with_sulci, "sulci")), CPU)
    lesion = subject_of(generator, 1, lesion_probability=1.0).lesion
    assert lesion is not None
    mask = np.ones((90, 90, 90), bool)
    lesion = replace(
        lesion,
        mask=LesionMask("all", mask, (-100.0, -60.0, -20.0), mask.size),
        mask_center_mm=np.array([-55.5, -15.5, 24.5]),
        **{"mirrored": False, "matrix": np.eye(3), "shift_mm": np.zeros(3), "roughness": 0.0},
    )
    flat = torch.zeros(tuple(head.fine.rows.shape))
    _, share = paint_lesion(flat, head, head.fine, whole(head.fine), lesion, atrophy=0.0)
    crop = [max(np.argwhere(map_with_sulci > 0)[:, a].min() - 2, 0) for a in range(3)]
    i, j, k = (int(x - c) for x, c in zip((50, 28, 47), crop, strict=True))
    assert float(share[i, j, k]) == 0
    assert float(share[i, j, int(34 - crop[2])]) > 0.5
    np.testing.assert_allclose(lesion_anatomy(0.3)[INDEX["left cortex rim"]], [0.3, 1, 0])


@pytest.mark.parametrize("kind", get_args(HeadContrast))
def test_the_same_seed_gives_the_same_scan_and_another_seed_another(
    generator: HeadGenerator, kind: HeadContrast
) -> None:
    first, again, other = (render(subject_of(generator, s, contrasts={kind: 1.0}), GRID) for s in (5, 5, 6))
    assert torch.equal(first.image, again.image)
    assert torch.equal(first.labels, again.labels)
    assert not torch.equal(first.image, other.image)


@pytest.mark.parametrize("target", get_args(Target))
def test_images_are_conformed_intensities_and_labels_the_targets(generator: HeadGenerator, target: Target) -> None:
    seen: set[int] = set()
    for seed in range(6):
        subject = subject_of(generator, seed, target=target, lesion_probability=1.0, shape=STILL, scan=PLAIN)
        scan = render(subject, GRID)
        assert (scan.image.dtype, scan.labels.dtype) == (torch.float32, torch.uint8)
        assert scan.image.shape == scan.labels.shape == GRID.shape
        assert 0 <= float(scan.image.min()) < float(scan.image.max()) <= 1
        torch.testing.assert_close(scan.image * 255, (scan.image * 255).round(), atol=1e-3, rtol=0)
        seen |= set(scan.labels.unique().tolist())
    names = TARGET_LABELS[target]
    if target == "deep":  # the test head lacks some structures
        assert {names[i] for i in seen} >= {"background", "left cortex", "right putamen", "left thalamus", "brain stem"}
    else:
        assert seen == set(range(len(names)))


def still_subject(generator: HeadGenerator, **changes: object) -> DrawnHead:
    """An upright, unmirrored head without lesion."""
    subject = subject_of(generator, 3, shape=STILL, scan=PLAIN, lesion_probability=0.0, **changes)
    shape = replace(subject.shape, matrix=np.eye(3), mirrored=False, atrophy=0.0)
    return replace(subject, shape=shape, spots=0.0)


def test_labels_are_those_of_the_map(generator: HeadGenerator, head: HeadVolumes, labels: HeadLabels) -> None:
    """The head upright on voxels of 1 mm: its own labels again, but for what lies at a border."""
    scan = render(still_subject(generator, target="brain"), Grid((72, 84, 90), 1.0))
    brain = BRAIN[labels.classes]
    got = scan.labels.numpy().astype(bool)
    assert abs(got.sum() / brain.sum() - 1) < 0.02
    center = np.argwhere(got).mean(axis=0) - (np.array(got.shape) - 1) / 2
    np.testing.assert_allclose(center, np.argwhere(brain).mean(axis=0) - head.vox_from_head[:, 3], atol=0.5)


def test_the_left_stays_left_and_mirrored_is_right(generator: HeadGenerator) -> None:
    deep = TARGET_LABELS["deep"]
    subject = still_subject(generator, target="deep")
    mirror = np.diag([-1.0, 1.0, 1.0])
    for mirrored in (False, True):
        shape = replace(subject.shape, mirrored=mirrored, matrix=mirror if mirrored else np.eye(3))
        found = render(replace(subject, shape=shape), GRID).labels
        left = np.argwhere(found.numpy() == deep.index("left putamen"))
        assert len(left) > 5
        assert left[:, 0].mean() > GRID.shape[0] / 2  # i runs to the left


def test_voxels_of_1_and_2_mm_show_the_same_head(generator: HeadGenerator) -> None:
    subject = subject_of(generator, 11, lesion_probability=1.0, scan=PLAIN)
    fine, coarse = render(subject, Grid((80, 88, 96), 1.0)), render(subject, Grid((40, 44, 48), 2.0))
    halved = torch.nn.functional.avg_pool3d(fine.image[None, None], 2)[0, 0]
    assert np.corrcoef(halved.flatten(), coarse.image.flatten())[0, 1] > 0.97
    for label in (1, 2, 3, 4):
        volumes = [int((s.labels == label).sum()) * v**3 for s, v in ((fine, 1), (coarse, 2))]
        assert abs(volumes[1] - volumes[0]) <= 0.15 * volumes[0] + 100, label


def test_atrophy_turns_cortex_to_fluid(generator: HeadGenerator) -> None:
    subject = still_subject(generator, target="tissue")
    shapes = (replace(subject.shape, atrophy=a) for a in (0.0, 1.0))
    before, after = (
        torch.bincount(render(replace(subject, shape=s), GRID).labels.flatten(), minlength=4) for s in shapes
    )
    assert after[2] < 0.95 * before[2]
    assert abs(int(after[3] - before[3])) < 0.1 * before[3]


def test_a_stripped_head_is_dark_outside_the_brain(generator: HeadGenerator) -> None:
    subject = still_subject(generator, target="brain")
    stripped = render(replace(subject, acquisition=replace(subject.acquisition, stripped=1, blur_mm=0.0)), GRID)
    near = ndimage.binary_dilation(stripped.labels.numpy() > 0, iterations=2)
    assert float(stripped.image.numpy()[~near].max()) < 0.03
    assert float(stripped.image.numpy()[near].mean()) > 0.1


def test_defacing_keeps_the_brain_and_removes_the_eyes(generator: HeadGenerator) -> None:
    subject = still_subject(generator, target="brain")
    plane = (0.0, 0.8, -0.6, 40 * SCALE)
    plain = replace(subject.acquisition, blur_mm=0.0)
    before, after = (render(replace(subject, acquisition=replace(plain, deface=p)), GRID) for p in (None, plane))
    inside = ndimage.binary_erosion(before.labels.numpy() > 0)
    front = (before.image.numpy() > 0.05) & ~(before.labels.numpy() > 0)
    assert float(after.image.numpy()[inside].min()) > 0
    assert (after.image.numpy()[front] == 0).mean() > 0.02
    torch.testing.assert_close(after.labels, before.labels)


def test_nothing_is_seen_or_labelled_beyond_the_view(generator: HeadGenerator) -> None:
    subject = still_subject(generator)
    view = np.array([[-200, 0], [-200, 200], [-200, 10]], np.float32)
    a = replace(subject.acquisition, view_mm=view, tilt=np.zeros(2, np.float32), noise=0.05)
    scan = render(replace(subject, acquisition=a), GRID)
    unseen = torch.cat([scan.image[:22].flatten(), scan.image[:, :18].flatten()])  # x > 0 and z > 10 mm
    assert float(unseen.max()) == 0
    assert int(scan.labels[:22].sum()) == 0
    assert int(scan.labels[23:].sum()) > 0


def test_thick_slices_blur_along_their_axis_alone(generator: HeadGenerator) -> None:
    subject = still_subject(generator)
    plain = replace(subject.acquisition, blur_mm=0.0, gamma=1.0)
    thin = render(replace(subject, acquisition=plain), GRID).image
    for axis in range(3):
        thick = render(replace(subject, acquisition=replace(plain, slice_axis=axis, slice_mm=6.0)), GRID).image
        roughness = [float(thick.diff(dim=d).abs().mean() / thin.diff(dim=d).abs().mean()) for d in range(3)]
        assert np.argmin(roughness) == axis
        assert roughness[axis] < 0.8


def test_t2w_eyes_are_as_bright_as_drawn_relative_to_fluid(generator: HeadGenerator, head: HeadVolumes) -> None:
    ratios = []
    for seed in range(12):
        subject = subject_of(generator, seed, contrasts={"T2w": 1.0})
        bins = subject.contrast.class_bins
        ratios.append(float(bins[INDEX["eye"]].mean() / bins[INDEX["left lateral ventricle"]].mean()))
    assert min(ratios) < 0.6
    assert max(ratios) > 0.9
    assert all(0.3 <= r <= 1.3 for r in ratios)


def test_patches_lie_over_the_head_and_half_of_them_over_the_lesion(generator: HeadGenerator) -> None:
    grids = [patch_grid(subject_of(generator, s, lesion_probability=1.0), (16, 16, 16), 2.0, 8.0) for s in range(30)]
    assert len({g.center_mm for g in grids}) == 30
    assert np.abs([g.center_mm for g in grids]).max() < 120


def test_a_lesion_is_old_or_recent_and_as_bright_as_its_contrast_has_it(
    generator: HeadGenerator, masks: LesionMasks
) -> None:
    for kind, brighter in (("FLAIR", True), ("T2w", True), ("T1w", False)):
        subject = subject_of(generator, 2, contrasts={kind: 1.0})
        drawn = [draw_lesion(np.random.default_rng(s), masks, subject.contrast) for s in range(30)]
        assert {lesion.old for lesion in drawn} == {True, False}
        white = subject.contrast.intensities["white"]
        assert all((lesion.changed_intensity > white) == brighter for lesion in drawn), kind


@pytest.mark.gpu
def test_both_devices_render_the_same_subject(labels: HeadLabels, masks: LesionMasks) -> None:
    scans: list[tuple[NDArray[np.float32], NDArray[np.uint8]]] = []
    for device in ("cpu", "cuda"):
        generator = HeadGenerator([labels], HeadConfig(lesion_probability=1.0), masks, device)
        rendered = [render(generator.subject(seed), GRID) for seed in range(6)]
        scans.append(
            (
                torch.stack([s.image for s in rendered]).cpu().numpy(),
                torch.stack([s.labels for s in rendered]).cpu().numpy(),
            )
        )
    assert np.abs(scans[0][0] - scans[1][0]).max() <= 2.5 / 255
    assert (np.abs(scans[0][0] - scans[1][0]) < 0.5 / 255).mean() > 0.99
    assert (scans[0][1] == scans[1][1]).mean() > 0.9999
