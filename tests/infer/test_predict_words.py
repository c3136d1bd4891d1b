"""`meshnet-predict` as people type it: with or without a model, one file or many, DICOM, zips, patterns and lists."""

from __future__ import annotations

import io
import json
import shutil
import zipfile
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813

from meshnet.infer.predict import main
from tests.helpers.dicom_series import write_series
from tests.helpers.heads import bright_model, head, write_head


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty current folder, with the known models `t2-lesion`, the default, and `tissue`."""
    for model_id in ("t2-lesion", "tissue"):
        bright_model(tmp_path / "known" / model_id, model_id=model_id, task="tissue")
    monkeypatch.setattr("meshnet.model.shipped.default_models", lambda: [tmp_path / "known"])
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    return tmp_path / "here"


def run(*words: object) -> int:
    return main([*map(str, words), "-q"])


def results(folder: Path | str = ".") -> list[str]:
    """Names of the result files in a folder."""
    return sorted(path.name for path in Path(folder).iterdir() if "t2-lesion" in path.name or "tissue" in path.name)


def refused(capsys: pytest.CaptureFixture[str], *words: object) -> str:
    assert run(*words) == 2
    return capsys.readouterr().err


def labels_of(path: Path | str) -> np.ndarray:
    return np.asarray(nib.load(path).dataobj)


def test_a_scan_alone_is_segmented_by_the_default_model_and_the_result_lies_beside_it(
    capsys: pytest.CaptureFixture[str],
) -> None:
    write_head(Path("sub-01/scan.nii"))
    assert run("sub-01/scan.nii") == 0
    assert "model: t2-lesion, the default" in capsys.readouterr().out
    assert results("sub-01") == ["scan_t2-lesion.nii.gz"]
    assert run("tissue", "sub-01/scan.nii") == 0
    assert run("sub-01/scan.nii", "--model", "tissue", "-o", "out") == 0
    assert "the default" not in capsys.readouterr().out
    assert results("sub-01") == ["scan_t2-lesion.nii.gz", "scan_tissue.nii.gz"]
    assert results("out") == ["scan_tissue.nii.gz"]


def test_options_may_stand_anywhere() -> None:
    write_head(Path("a.nii"))
    assert run("-o", "out", "tissue", "--threads", 1, "a.nii") == 0
    assert run("tissue", "-o", "out2", "a.nii") == 0
    assert results("out") == results("out2") == ["a_tissue.nii.gz"]


def test_scans_of_several_folders_have_their_results_beside_them() -> None:
    for folder in ("a", "b"):
        write_head(Path(folder) / "x.nii")
    assert run("a/x.nii", "b") == 0
    assert results("a") == results("b") == ["x_t2-lesion.nii.gz"]


@pytest.mark.parametrize("name", ["lesion.nii.gz", "lesion.nii", "new/lesion.NII.GZ"])
def test_out_may_name_the_file_of_one_result(name: str) -> None:
    write_head(Path("a.nii"))
    assert run("a.nii") == run("a.nii", "-o", name) == 0
    assert Path(name).is_file()
    assert (Path(name).read_bytes()[:2] == b"\x1f\x8b") == name.lower().endswith(".gz")
    shutil.copyfile(name, "copy" + Path(name).suffix.lower().replace(".gz", ".nii.gz"))
    assert np.array_equal(labels_of(next(Path().glob("copy*"))), labels_of("a_t2-lesion.nii.gz"))
    assert run("a.nii", "-o", name) == 0  # a result of the same scan is replaced


def test_out_never_replaces_a_file_that_is_no_result(capsys: pytest.CaptureFixture[str]) -> None:
    write_head(Path("a.nii"))
    drawn = write_head(Path("drawn.nii"), (head() > 600).astype(np.uint8))
    before = drawn.read_bytes()
    assert "drawn.nii: -o names a file that exists and holds no labels" in refused(capsys, "a.nii", "-o", drawn)
    assert "a.nii: -o names a file that exists" in refused(capsys, "a.nii", "-o", "a.nii")
    assert drawn.read_bytes() == before
    assert "a.mgz: -o has the ending of another format" in refused(capsys, "a.nii", "-o", "a.mgz")
    Path("notes.txt").touch()
    assert "expected a folder or a name ending in .nii.gz" in refused(capsys, "a.nii", "-o", "notes.txt")


def test_out_names_one_file_for_one_scan_only(capsys: pytest.CaptureFixture[str]) -> None:
    for name in "ab":
        write_head(Path(f"{name}.nii"))
    message = refused(capsys, "a.nii", "b.nii", "-o", "lesion.nii.gz")
    assert "lesion.nii.gz: -o names one file, but there are 2 scans; give -o a folder" in message
    Path("results.nii.gz").mkdir()  # an earlier version made folders of such names
    assert run("a.nii", "b.nii", "-o", "results.nii.gz") == 0
    assert len(results("results.nii.gz")) == 2


def test_a_mistaken_first_word_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    write_head(Path("a.nii"))
    ids = "t2-lesion, tissue"
    assert f"tisue: no such folder and no known model; give a model folder, or one of these ids: {ids}" in refused(
        capsys, "tisue", "a.nii"
    )
    assert f"tisue: no such file or folder; give a scan, or one of these models and a scan: {ids}" in refused(
        capsys, "tisue"
    )
    assert "b.nii: no such file or folder" in refused(capsys, "b.nii")
    assert "b.nii: no such file or folder" in refused(capsys, "b.nii", "a.nii")
    assert "a.nii: is not a model; tissue is one; the model comes first" in refused(capsys, "a.nii", "tissue")
    assert "tissue: is a model, not a scan" in refused(capsys, "--model", "t2-lesion", "tissue", "a.nii")
    assert "no scan is named" in refused(capsys)
    assert "tissue: is the model; name a scan after it" in refused(capsys, "tissue")
    assert "nowhere: no such folder and no known model" in refused(capsys, "--model", "nowhere", "a.nii")


def test_a_folder_called_like_a_model_is_scans_if_its_name_is_a_path(capsys: pytest.CaptureFixture[str]) -> None:
    write_head(Path("tissue/a.nii"))
    hint = "tissue: is the model; name a scan after it; for the folder of this name give ./tissue"
    assert hint in refused(capsys, "tissue")
    assert run("./tissue") == 0
    assert run("tissue", "tissue") == 0
    assert results("tissue") == ["a_t2-lesion.nii.gz", "a_tissue.nii.gz"]


def test_patterns_lists_and_standard_input_name_scans(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("s1/anat/a.nii", "s2/anat/b.nii", "s2/anat/b_mask.nii", "c.nii"):
        write_head(Path(name))
    Path("s2/anat/b.json").write_text("{}")
    assert run("s*/anat/*", "-o", "pattern") == 0
    assert "1 label file left out, the first is s2/anat/b_mask.nii" in capsys.readouterr().out
    assert run("**/[ab].nii", "-o", "deep") == 0
    Path("list.txt").write_text("# scans\ns1/anat/a.nii\n\n  s2/anat/b.nii  \n")
    assert run("@list.txt", "-o", "at") == 0
    assert run("tissue", "--list", "list.txt", "c.nii", "-o", "flag") == 0
    monkeypatch.setattr("sys.stdin", io.StringIO("s1/anat/a.nii\ns2/anat/b.nii\n"))
    assert run("-", "-o", "stdin") == 0
    two = ["a_t2-lesion.nii.gz", "b_t2-lesion.nii.gz"]
    assert [results(name) for name in ("pattern", "deep", "at", "stdin")] == [two] * 4
    assert results("flag") == ["a_tissue.nii.gz", "b_tissue.nii.gz", "c_tissue.nii.gz"]
    assert "x*.nii: no scan has a name like this" in refused(capsys, "x*.nii")
    assert "gone.txt: the list can't be read" in refused(capsys, "@gone.txt")
    Path("empty.txt").write_text("# nothing\n")
    assert "empty.txt: the list is empty" in refused(capsys, "--list", "empty.txt")


def test_a_second_run_over_the_same_shell_pattern_leaves_the_results_of_the_first_out(
    capsys: pytest.CaptureFixture[str],
) -> None:
    for name in "ab":
        write_head(Path(f"{name}.nii"))
    assert run("a.nii", "b.nii") == 0
    both = ["a_t2-lesion.nii.gz", "b_t2-lesion.nii.gz"]
    assert run("a.nii", "b.nii", *both) == 0
    assert "2 label files left out, the first is a_t2-lesion.nii.gz" in capsys.readouterr().out
    assert results() == both


def test_small_components_are_removed_and_the_name_says_so() -> None:
    data = head()
    data[1:3, 1:3, 1:3] = 900  # 0.5 mL beside the head
    write_head(Path("a.nii"), data)
    assert run("a.nii") == run("a.nii", "--remove-below", 5) == run("a.nii", "--remove-below", "0.05") == 0
    assert results() == ["a_t2-lesion.nii.gz", "a_t2-lesion_min0.05mL.nii.gz", "a_t2-lesion_min5mL.nii.gz"]
    every, cleaned, kept = (
        labels_of(f"a_t2-lesion{name}.nii.gz").astype(int) for name in ("", "_min5mL", "_min0.05mL")
    )
    assert every[1:3, 1:3, 1:3].any()
    assert not cleaned[:4, :4, :4].any()
    assert np.array_equal(every, kept)
    every[:4, :4, :4] = 0
    assert np.array_equal(every, cleaned)


@pytest.mark.parametrize("volume", ["0", "-1", "nan", "2000"])
def test_a_volume_out_of_range_is_refused(volume: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        run("a.nii", f"--remove-below={volume}")
    assert "expected a volume above 0 and up to 1000 mL" in capsys.readouterr().err


def test_every_series_of_a_dicom_folder_is_segmented(capsys: pytest.CaptureFixture[str]) -> None:
    write_series(Path("study/deep/er"))
    write_series(Path("study/other"), number=4, description="FLAIR", without=(18, 19, 20), name="{}.img")
    write_head(Path("study/a.nii"))
    (Path("study") / "README").write_text("notes")
    assert run("study", "-o", "out", "--json") == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["scan"] for line in lines] == ["study/a.nii", "study_3_T2_test.nii", "study_4_FLAIR_Eq_1.nii"]
    assert "dicom-resampled" in [note["code"] for note in lines[2]["notes"]]
    assert results("out") == [f"{name}_t2-lesion.nii.gz" for name in ("a", "study_3_T2_test", "study_4_FLAIR_Eq_1")]
    ml = [line["volumes"][1]["volume_ml"] for line in lines]
    assert ml[1] == pytest.approx(ml[0], rel=0.01)


def test_slices_named_one_by_one_are_one_series_and_results_lie_beside_them() -> None:
    slices = write_series(Path("slices"))
    assert run("tissue", *slices) == 0
    assert results("slices") == ["3_T2_test_tissue.nii.gz"]
    assert run(*slices, "-o", "lesion.nii.gz") == 0
    assert run("slices/IM*", "-o", "pattern.nii.gz") == 0
    assert np.array_equal(labels_of("lesion.nii.gz"), labels_of("pattern.nii.gz"))


def test_zips_of_dicom_and_of_scans_are_unpacked(tmp_path: Path) -> None:
    slices = write_series(tmp_path / "elsewhere")
    scan = write_head(tmp_path / "sub-1_T2w.nii")
    with zipfile.ZipFile("study.zip", "w") as archive:
        for path in slices:
            archive.write(path, f"x/{path.name}")
        archive.write(scan, "y/sub-1_T2w.nii")
        archive.write(scan, "y/sub-1_mask.nii")
    assert run("study.zip") == 0
    assert results() == ["study_3_T2_test_t2-lesion.nii.gz", "sub-1_T2w_t2-lesion.nii.gz"]
    assert not list(Path().glob("study/*"))


def test_a_dicom_folder_or_zip_that_cannot_be_read_fails_alone(capsys: pytest.CaptureFixture[str]) -> None:
    (one,) = write_series(Path("bad"), data=head()[:, :, :1])
    one.write_bytes(one.read_bytes()[:600])
    Path("bad.zip").write_bytes(b"PK\3\4 cut")
    write_head(Path("a.nii"))
    assert run("bad", "a.nii", "bad.zip", "-o", "out") == 1
    said = capsys.readouterr().err
    assert "error: bad: 1 DICOM file could not be converted" in said
    assert "error: bad.zip: the zip can't be unpacked" in said
    assert results("out") == ["a_t2-lesion.nii.gz"]


def test_nrrd_and_metaimage_give_the_labels_of_the_same_nifti() -> None:
    write_head(Path("a.nii"))
    image = sitk.ReadImage("a.nii")
    for name in ("b.nrrd", "c.mha", "b.seg.nrrd"):
        sitk.WriteImage(image, name)
    assert run(".", "-o", "out") == 0
    assert results("out") == [f"{name}_t2-lesion.nii.gz" for name in "abc"]
    first = labels_of("out/a_t2-lesion.nii.gz")
    for name in "bc":
        same = labels_of(f"out/{name}_t2-lesion.nii.gz") == first
        assert same.mean() > 0.9999
    assert np.allclose(nib.load("out/b_t2-lesion.nii.gz").affine, nib.load("a.nii").affine, atol=1e-4)


def test_the_help_begins_with_three_examples_that_run(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--help"])
    text = capsys.readouterr().out
    examples = [line.split("  ")[1].strip() for line in text.splitlines()[1:4]]
    assert text.startswith("examples:\n")
    write_head(Path("scan.nii.gz"))
    write_head(Path("scans/a.nii"))
    for example in examples:
        program, *words = example.split()
        assert program == "meshnet-predict"
        assert run(*words) == 0
    assert {"volumes.csv", "tissue.nii.gz", "scan_t2-lesion.nii.gz"} <= {path.name for path in Path().iterdir()}
