"""meshnet-prepare on a data set in ARC's layout."""

from __future__ import annotations

import csv
import re
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from meshnet.cohort.bids import CohortError, difference_from_arc, find_bids
from meshnet.cohort.prepare import main, read_index
from meshnet.scan.nifti import LABEL_INTENT
from meshnet.score.metrics import dice
from tests.helpers.make_arc import EMPTY_LESION, MISSING_MASK, OTHER_ACQUISITION, WRONG_GRID, make_arc

SMALL = ["--size", "64", "--voxel-size-mm", "3", "--workers", "1"]


@pytest.fixture(scope="module")
def prepared(arc: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("prepared")
    assert main([str(arc), str(out), *SMALL]) == 0
    return out


def test_every_usable_scan_is_indexed_once(arc: Path, prepared: Path) -> None:
    rows = read_index(prepared)
    broken = (WRONG_GRID, EMPTY_LESION)
    usable = [c.name for c in find_bids(arc, ["spc3", "spc3p2"])[0] if c.subject not in broken]
    assert sorted(r.name for r in rows) == sorted(usable)
    assert len(rows) == 10
    assert Counter(r.acquisition for r in rows) == {"spc3p2": 6, "spc3": 4}


def test_every_other_scan_is_listed_with_its_reason(prepared: Path) -> None:
    with (prepared / "excluded.csv").open() as file:
        reasons = {line["name"].split("_")[0]: line["reason"] for line in csv.DictReader(file)}
    assert "no lesion mask" in reasons[f"sub-{MISSING_MASK}"]
    assert "grid" in reasons[f"sub-{WRONG_GRID}"]
    assert "empty" in reasons[f"sub-{EMPTY_LESION}"]
    assert "'tse3' is not in the cohort" in reasons[f"sub-{OTHER_ACQUISITION}"]


def test_image_and_labels_share_the_conformed_grid(prepared: Path) -> None:
    rows = read_index(prepared)
    assert len(rows) == 10
    for row in rows:
        image, labels = nib.load(prepared / row.image), nib.load(prepared / row.labels)
        assert image.shape == labels.shape == (64, 64, 64)
        assert nib.aff2axcodes(image.affine) == ("L", "I", "A")
        np.testing.assert_array_equal(image.affine, labels.affine)
        assert (image.header["intent_code"], labels.header["intent_code"]) == (0, LABEL_INTENT)
        assert np.count_nonzero(labels.dataobj) == row.lesion_voxels


def test_the_lesion_stays_on_the_bright_voxels_on_every_geometry(prepared: Path) -> None:
    rows = read_index(prepared)
    assert len(rows) == 10
    for row in rows:
        image, labels = (np.asarray(nib.load(prepared / name).dataobj) for name in (row.image, row.labels))
        assert dice(image > 0.62 * image.max(), labels > 0) > 0.85, row.name


def test_a_second_run_does_nothing_new(arc: Path, prepared: Path) -> None:
    before = {p: p.stat().st_mtime_ns for p in (prepared / "volumes").iterdir()}
    assert main([str(arc), str(prepared), *SMALL]) == 0
    assert {p: p.stat().st_mtime_ns for p in (prepared / "volumes").iterdir()} == before


def test_a_volume_that_was_lost_is_made_again(arc: Path, prepared: Path) -> None:
    lost = prepared / read_index(prepared)[0].labels
    content = np.asarray(nib.load(lost).dataobj)
    lost.unlink()
    assert main([str(arc), str(prepared), *SMALL]) == 0
    np.testing.assert_array_equal(np.asarray(nib.load(lost).dataobj), content)


def test_a_folder_of_another_grid_is_refused(arc: Path, prepared: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(arc), str(prepared), "--size", "32", "--voxel-size-mm", "6"]) == 2
    assert "use another folder" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("flag", "value"),
    [
        ("--size", "0"),
        ("--size", "1"),
        ("--size", "-8"),
        ("--size", "100000"),
        ("--voxel-size-mm", "-4"),
        ("--voxel-size-mm", "0"),
    ]
    + [("--voxel-size-mm", text) for text in ("nan", "inf", "two")]
    + [("--seed", "-1"), ("--workers", "0"), ("--workers", "all")],
)
def test_a_grid_or_a_number_that_cannot_be_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], flag: str, value: str
) -> None:
    with pytest.raises(SystemExit, match="2"):
        main([str(tmp_path), str(tmp_path / "out"), f"{flag}={value}"])
    assert f"got {value}" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["nowhere", "out"], "nowhere: no such folder; expected a BIDS data set, or a folder of pairs"),
        (["file", "out"], "file: no such folder; expected a BIDS data set"),
        (["bids", "out", "--acq", "foo"], "bids: no scan to prepare with --acq foo ("),
        (["bids", "out", "--acq", ""], "bids: no scan to prepare with --acq '' ("),
        (["bids", "bids"], "bids: holds a BIDS data set (dataset_description.json); expected a new folder, or one of"),
        (["bids", "model"], "model: holds a model (model.json); expected a new folder, or one of meshnet-prepare"),
        (["bids", "runs"], "runs: holds fold0; expected a new folder, or one of meshnet-prepare"),
    ],
)
def test_a_folder_that_does_not_fit_is_refused_and_nothing_is_written(
    words: list[str], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    make_arc(tmp_path / "bids", subjects=5, broken=False)
    for file in ("file", "model/model.json", "runs/fold0/config.yaml"):
        Path(file).parent.mkdir(parents=True, exist_ok=True)
        Path(file).write_text("text")
    before = sorted(tmp_path.rglob("*"))
    assert main(words) == 2
    message = capsys.readouterr().err
    assert message.startswith(f"meshnet-prepare: {said}")
    assert len(message.splitlines()) == 1
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("out", ["file", "file/below"])
def test_a_file_in_place_of_the_output_folder_is_an_error(
    out: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("text")
    with pytest.raises(SystemExit, match="2"):
        main([str(tmp_path), str(tmp_path / out)])
    assert f"{tmp_path / 'file'} is a file; expected a folder, or one that doesn't exist yet" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda lines: [], "has no cases; expected one line per case"),
        (lambda lines: lines[:1], "has no cases; expected one line per case"),
        (lambda lines: [*lines, lines[-1]], "is in it twice; expected one line per case"),
        (lambda lines: ["name,subject", "a,b"], "expected the columns name, subject, session"),
        (lambda lines: [lines[0], lines[1].replace(",0,", ",x,")], "cannot be read (invalid literal for int()"),
    ],
)
def test_a_damaged_index_is_an_error_that_says_what_to_do(
    damage: Callable[[list[str]], list[str]], said: str, prepared: Path, tmp_path: Path
) -> None:
    lines = (prepared / "index.csv").read_text().splitlines()
    (tmp_path / "index.csv").write_text("\n".join(damage(lines)) + "\n")
    with pytest.raises(CohortError, match=re.escape(said)) as caught:
        read_index(tmp_path)
    assert "prepare the data again with meshnet-prepare, in another folder" in str(caught.value)


@pytest.mark.parametrize("damage", ["cut in the voxels", "cut in the header", "flipped bits", "no image"])
def test_an_unreadable_mask_leaves_out_its_case_by_name(tmp_path: Path, damage: str) -> None:
    names = make_arc(tmp_path / "bids", subjects=6, broken=False)
    case = next(c for c in find_bids(tmp_path / "bids", [])[0] if c.name == names[0])
    content = case.mask.read_bytes()
    case.mask.write_bytes(
        {
            "cut in the voxels": content[: len(content) // 2],
            "cut in the header": content[:40],
            "flipped bits": content[:200] + bytes(255 - b for b in content[200:]),
            "no image": b"not an image",
        }[damage]
    )
    assert main([str(tmp_path / "bids"), str(tmp_path / "out"), *SMALL]) == 0
    assert names[0] not in {row.name for row in read_index(tmp_path / "out")}
    with (tmp_path / "out" / "excluded.csv").open() as file:
        (left_out,) = csv.DictReader(file)
    assert left_out["name"] == names[0]
    assert str(case.mask) in left_out["reason"]
    assert "get the file again" in left_out["reason"]


def test_a_call_without_any_usable_case_does_not_bind_the_folder_to_its_settings(tmp_path: Path) -> None:
    make_arc(tmp_path / "bids", subjects=5, broken=False)
    far = [str(tmp_path / "bids"), str(tmp_path / "out"), "--size", "2", "--voxel-size-mm", "0.001", "--workers", "1"]
    assert main(far) == 2
    assert not (tmp_path / "out" / "prepared.json").exists()
    assert main([str(tmp_path / "bids"), str(tmp_path / "out"), *SMALL]) == 0
    assert (tmp_path / "out" / "prepared.json").is_file()


def test_cases_that_would_move_to_another_outer_fold_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = [str(tmp_path / "bids"), str(tmp_path / "out"), *SMALL]
    make_arc(tmp_path / "bids", subjects=6, broken=False)
    assert main(command) == 0
    index = (tmp_path / "out" / "index.csv").read_bytes()
    before = {row.name: row.outer_fold for row in read_index(tmp_path / "out")}
    assert main(command) == 0
    make_arc(tmp_path / "bids", subjects=9, broken=False)
    assert main([str(tmp_path / "bids"), str(tmp_path / "fresh"), *SMALL]) == 0
    moved = sum(before.get(r.name, r.outer_fold) != r.outer_fold for r in read_index(tmp_path / "fresh"))
    assert moved > 0
    capsys.readouterr()
    assert main(command) == 2
    assert f"{moved} of {len(before)} prepared cases would move to another outer fold" in capsys.readouterr().err
    assert (tmp_path / "out" / "index.csv").read_bytes() == index


def test_sessions_of_one_subject_share_their_folds(prepared: Path) -> None:
    rows = [r for r in read_index(prepared) if r.subject == "M2002"]
    assert len(rows) == 2
    assert rows[0].outer_fold == rows[1].outer_fold


@pytest.mark.parametrize(
    ("counts", "sentence"),
    [
        ({"spc3p2": 115, "spc3": 108}, "these are the 115 spc3p2 + 108 spc3 = 223 scans with a lesion mask in ARC"),
        ({"spc3p2": 115, "spc3": 109}, "+1 spc3 compared with the 115 spc3p2 + 108 spc3 = 223 scans"),
        ({"spc3": 100, "tse3": 5}, "-115 spc3p2, -8 spc3, +5 tse3 compared with"),
    ],
)
def test_the_counts_are_compared_with_those_of_arc(counts: dict[str, int], sentence: str) -> None:
    assert difference_from_arc(counts).startswith(sentence)


def test_preparing_says_how_the_cohort_differs_from_arc(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make_arc(tmp_path / "bids", subjects=6, broken=False)
    assert main([str(tmp_path / "bids"), str(tmp_path / "out"), *SMALL]) == 0
    assert "-111 spc3p2, -105 spc3 compared with the 115 spc3p2 + 108 spc3 = 223 scans" in capsys.readouterr().out


def test_notes_on_a_scan_are_printed(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    make_arc(tmp_path / "bids", subjects=6, broken=False)
    path = sorted((tmp_path / "bids").rglob("*_T2w.nii.gz"))[0]
    image = nib.load(path)
    voxels = np.asarray(image.dataobj, np.float32)
    voxels[0] = np.nan
    nib.save(nib.Nifti1Image(voxels, image.affine), path)
    assert main([str(tmp_path / "bids"), str(tmp_path / "out"), *SMALL]) == 0
    assert "[nan-read-as-zero]" in capfd.readouterr().out
