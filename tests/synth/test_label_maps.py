"""Label maps: read in any axis order, checked, split by person, placed in MNI space."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest

from meshnet.synth.label_maps import (
    LabelMapError,
    ListedFile,
    head_classes,
    load_heads,
    pack_heads,
    read_label_map,
    read_table,
)
from meshnet.synth.label_table import (
    BRAIN_TISSUE,
    CLASSES,
    DEEP_NUMBERS,
    INDEX,
    TARGET_LABELS,
    class_of_target,
)
from tests.helpers.label_map_heads import ORIGIN, SCALE, ellipsoid_labels, save_label_map


@pytest.mark.parametrize("order", ["LIA", "RAS", "PSR", "SAL"])
def test_a_label_map_reads_alike_in_any_axis_order(tmp_path: Path, order: str) -> None:
    labels = ellipsoid_labels()
    save_label_map(tmp_path / "head.nii.gz", labels.astype(np.float32), order)
    np.testing.assert_array_equal(read_label_map(tmp_path / "head.nii.gz"), labels)


def test_unknown_labels_are_named_with_their_counts(tmp_path: Path) -> None:
    labels = ellipsoid_labels()
    labels[30, 30, 30:33] = 999
    labels[31, 30, 30] = 77
    save_label_map(tmp_path / "head.nii.gz", labels)
    with pytest.raises(LabelMapError, match=r"head.nii.gz: unknown labels 77 \(1 voxels\), 999 \(3 voxels\)"):
        load_heads(tmp_path, tmp_path / "cache")


def test_a_file_that_is_no_label_map_says_why(tmp_path: Path) -> None:
    labels = ellipsoid_labels()
    save_label_map(tmp_path / "half.nii.gz", labels.astype(np.float32) + np.float32(0.5))
    save_label_map(tmp_path / "large.nii.gz", labels, voxel_size_mm=2.0)
    save_label_map(tmp_path / "flat.nii.gz", labels[..., None])
    (tmp_path / "text.nii.gz").write_bytes(b"no image")
    for name, message in (
        ("half", "expected whole numbers"),
        ("large", "expected voxels of 1 mm"),
        ("flat", "expected a 3-D label map"),
        ("text", "can't be read"),
    ):
        with pytest.raises(LabelMapError, match=f"{name}.nii.gz: {message}"):
            read_label_map(tmp_path / f"{name}.nii.gz")


def test_a_head_without_brain_structures_cannot_be_placed() -> None:
    labels = np.where(np.isin(ellipsoid_labels(), (511, 515, 24)), 511, 0)
    with pytest.raises(LabelMapError, match="ball: expected at least 4 of the structures"):
        head_classes(labels.astype(np.int32), "ball")


def test_structures_lie_where_mni_has_them() -> None:
    labels = ellipsoid_labels()
    classes, affine = head_classes(labels, "ball")
    cropped_by = np.argwhere(labels == 506).mean(axis=0) - np.argwhere(classes == INDEX["eye"]).mean(axis=0)
    for mni_mm in ((0, 0, 0), (-30, 20, 40), (25, -63, -36)):
        expected = ORIGIN + SCALE * np.array([-mni_mm[0], -mni_mm[2], mni_mm[1]]) - cropped_by
        np.testing.assert_allclose(affine[:, :3] @ mni_mm + affine[:, 3], expected, atol=1.2)


def test_derived_classes_are_where_their_names_say() -> None:
    classes, _ = head_classes(ellipsoid_labels(), "ball")
    counts = dict(zip((c.name for c in CLASSES), np.bincount(classes.ravel(), minlength=len(CLASSES)), strict=True))
    assert counts["left cortex rim"] > 500
    assert counts["skin"] > 500
    rim = np.argwhere(classes == INDEX["left cortex rim"])
    fluid = [INDEX["fluid between gyri"], INDEX["fluid around the brain"], INDEX["dura"]]
    for voxel in rim[::50]:
        neighbours = [classes[tuple(voxel + step)] for step in np.vstack([np.eye(3, dtype=int), -np.eye(3, dtype=int)])]
        assert np.isin(neighbours, fluid).any()
    # the cut through the neck is no skin: its lowest slice is soft tissue in the middle
    lowest = classes[:, np.argwhere(classes > 0)[:, 1].max()]
    assert INDEX["skin"] not in lowest[lowest.shape[0] // 2 - 8 : lowest.shape[0] // 2 + 8, 30:40]


def test_a_cached_head_equals_a_fresh_one(tmp_path: Path) -> None:
    save_label_map(tmp_path / "head.nii.gz", ellipsoid_labels())
    first, again = (load_heads(tmp_path, tmp_path / "cache")[0] for _ in range(2))
    np.testing.assert_array_equal(first.classes, again.classes)
    np.testing.assert_array_equal(first.affine_mni2vox, again.affine_mni2vox)
    assert (first.name, first.split) == ("head", "train")
    assert len(list((tmp_path / "cache").iterdir())) == 1


def test_a_listed_file_must_have_its_sha256_and_another_is_for_training(tmp_path: Path) -> None:
    save_label_map(tmp_path / "listed.nii.gz", ellipsoid_labels())
    save_label_map(tmp_path / "own.nii.gz", ellipsoid_labels())
    sha256 = hashlib.sha256((tmp_path / "listed.nii.gz").read_bytes()).hexdigest()
    table = {"listed.nii.gz": ListedFile(sha256, "test")}
    cache = tmp_path / "cache"
    assert [h.name for h in load_heads(tmp_path, cache, ("test",), table)] == ["listed"]
    assert [h.name for h in load_heads(tmp_path, cache, ("train",), table)] == ["own"]
    with pytest.raises(FileNotFoundError, match="2 label maps, none in split choose"):
        load_heads(tmp_path, cache, ("choose",), table)
    with pytest.raises(LabelMapError, match=f"listed.nii.gz: SHA-256 is {sha256}, expected 00"):
        load_heads(tmp_path, cache, ("test",), {"listed.nii.gz": ListedFile("00", "test")})
    with pytest.raises(FileNotFoundError, match="no label maps"):
        load_heads(cache, cache)


def test_the_twenty_heads_are_split_by_person() -> None:
    table = read_table()
    assert sorted(table) == [f"training_seg_{n:02d}.nii.gz" for n in range(1, 21)]
    counts = {split: sum(row.split == split for row in table.values()) for split in ("train", "choose", "test")}
    assert counts == {"train": 14, "choose": 3, "test": 3}
    assert len({row.sha256 for row in table.values()}) == 20


def test_the_table_has_the_files_own_sha256(shared_data: Path) -> None:
    for name, row in read_table().items():
        assert hashlib.sha256((shared_data / "anatomy" / "synthseg" / name).read_bytes()).hexdigest() == row.sha256, (
            name
        )


def test_every_target_gives_every_class_a_label() -> None:
    for target, names in TARGET_LABELS.items():
        labels = class_of_target(target)
        assert labels.max() < len(names)
        painted = {"lesion"} & set(names)
        assert {names[i] for i in np.unique(labels)} == set(names) - painted
    assert len(TARGET_LABELS["deep"]) == len(DEEP_NUMBERS) == 24
    assert (class_of_target("brain")[BRAIN_TISSUE] == 1).all()


def test_mirroring_swaps_left_and_right_of_deep_structures_alone() -> None:
    plain, mirrored = class_of_target("deep"), class_of_target("deep", mirrored=True)
    names = TARGET_LABELS["deep"]
    assert names[plain[INDEX["left putamen"]]] == "left putamen"
    assert names[mirrored[INDEX["left putamen"]]] == "right putamen"
    assert names[mirrored[INDEX["brain stem"]]] == "brain stem"
    np.testing.assert_array_equal(class_of_target("tissue", mirrored=True), class_of_target("tissue"))


def test_packed_heads_stand_for_their_label_maps(tmp_path: Path) -> None:
    save_label_map(tmp_path / "listed.nii.gz", ellipsoid_labels())
    save_label_map(tmp_path / "own.nii.gz", ellipsoid_labels())
    cache, packed = tmp_path / "cache", tmp_path / "packed"
    pack_heads(tmp_path, cache, packed)
    assert sorted(path.name for path in packed.iterdir()) == ["listed.head.npz", "own.head.npz"]
    first, again = (load_heads(folder, tmp_path / "unused", ("train",)) for folder in (tmp_path, packed))
    for head, other in zip(first, again, strict=True):
        assert (head.name, head.sha256, head.split) == (other.name, other.sha256, other.split)
        np.testing.assert_array_equal(head.classes, other.classes)
        np.testing.assert_array_equal(head.affine_mni2vox, other.affine_mni2vox)
    table = {"listed.nii.gz": ListedFile(first[0].sha256, "test")}
    assert [h.name for h in load_heads(packed, cache, ("test",), table)] == ["listed"]
    with pytest.raises(LabelMapError, match=r"listed\.head\.npz: SHA-256 is .* expected 00"):
        load_heads(packed, cache, ("test",), {"listed.nii.gz": ListedFile("00", "test")})
