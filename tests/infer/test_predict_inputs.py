"""`meshnet-predict` on inputs that go wrong: notes are printed, batches go on, mistakes are named."""

from __future__ import annotations

import csv
import gzip
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest

from meshnet import __version__
from meshnet.infer.contrast_names import guess_modality
from meshnet.infer.predict import main
from meshnet.infer.scan_stages import ScanJob, network_stage
from tests.helpers.dicom_series import write_series
from tests.helpers.heads import bright_model, head, write_head


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A quick model that marks what is bright, a tissue model by its task. The head's fluid isn't bright, as in PDw."""
    bright_model(tmp_path / "model", modality=("T2w", "PDw"), task="tissue")
    return tmp_path / "model"


def run(model: Path, *arguments: object) -> int:
    return main([str(model), *map(str, arguments), "-q"])


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def spoilt() -> Any:
    data = head()
    data[3, 3, 3] = -32768
    return data


def test_notes_are_printed_under_the_scan_and_are_in_the_table(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    good = write_head(tmp_path / "good.nii")
    bad = write_head(tmp_path / "bad.nii", spoilt(), qform_code=0, sform_code=0)
    table = tmp_path / "t.csv"
    outlier = write_head(tmp_path / "outlier.nii", spoilt())
    assert run(model, good, bad, outlier, "-o", tmp_path / "out", "--csv", table) == 0
    printed = capsys.readouterr().out
    assert (
        f"{bad} -> {tmp_path / 'out' / 'bad_bright.nii.gz'}\n  note: the header has neither sform nor qform" in printed
    )
    assert "the grey scale leaves them out [outliers-clipped]" in printed
    assert [row["notes"] for row in rows(table)] == [""] * 2 + ["no-forms;outliers-clipped"] * 2 + [
        "outliers-clipped"
    ] * 2
    labels = [np.asarray(nib.load(tmp_path / "out" / f"{name}_bright.nii.gz").dataobj) for name in ("good", "outlier")]
    assert labels[0].sum() > 1000
    both = (labels[0] & labels[1]).sum()
    assert 2 * both / (labels[0].sum() + labels[1].sum()) >= 0.99


def test_strict_turns_notes_into_errors_and_saves_nothing(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    good = write_head(tmp_path / "good.nii")
    read = write_head(tmp_path / "read.nii", qform_code=0, sform_code=0)
    conformed = write_head(tmp_path / "conformed.nii", spoilt())
    unlike = write_head(tmp_path / "unlike_T1w.nii")
    scans = (good, read, conformed, unlike)
    assert run(model, *scans, "-o", tmp_path / "out", "--strict") == 1
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["good_bright.nii.gz"]
    said = capsys.readouterr().err
    for path, code in ((read, "no-forms"), (conformed, "outliers-clipped"), (unlike, "contrast-unlike")):
        assert f"error: {path}: " in said
        assert f"[{code}]; --strict takes no scan with notes" in said


def test_json_is_one_object_per_scan_and_nothing_else(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    good, bad = write_head(tmp_path / "a_T1w.nii"), tmp_path / "b.nii"
    bad.write_bytes(b"no scan")
    assert run(model, good, bad, "-o", tmp_path / "out", "--json") == 1
    first, second = (json.loads(line) for line in capsys.readouterr().out.splitlines())
    assert list(first) == list(second) == ["scan", "model", "output", "volumes", "notes", "error"]
    assert (first["scan"], first["model"], first["error"]) == (str(good), "bright", None)
    assert first["output"] == str(tmp_path / "out" / "a_T1w_bright.nii.gz")
    assert [volume["name"] for volume in first["volumes"]] == ["background", "lesion"]
    assert first["volumes"][1]["volume_ml"] == pytest.approx(first["volumes"][1]["voxels"] * 0.064, rel=1e-5)
    assert first["notes"] == [
        {"code": "contrast-unlike", "text": "the scan's name says T1w, the model is made for T2w or PDw"}
    ]
    assert second["error"].startswith(f"{bad}: not a NIfTI or MGH file")
    assert second["output"] is None
    assert run(model, good, "-o", tmp_path / "out", "--json", "--strict") == 1
    refused = json.loads(capsys.readouterr().out)
    assert [note["code"] for note in refused["notes"]] == ["contrast-unlike"]
    assert "[contrast-unlike]; --strict takes no scan with notes" in refused["error"]


@pytest.mark.parametrize(
    ("name", "description", "guess"),
    [
        ("sub-01_T1w.nii.gz", "", "T1w"),
        ("sub-01_acq-T1_FLAIR.nii", "", "FLAIR"),
        ("BraTS-GLI-00000-000-t2w.nii.gz", "", "T2w"),
        ("x.nii", "MPRAGE 1mm", "T1w"),
        ("scan.nii", "T2", "T2w"),
        ("scan.nii", "", None),
        ("sub-01_acq-b1000_ADC.nii.gz", "", "ADC"),
        ("5_ep2d_diff_ADCmap.nii", "", "ADC"),
        ("sub-01_dwi.nii.gz", "", "dwi"),
        ("sub-01_part-phase_T2w.nii.gz", "", "phase"),
        ("sub-01_part-mag_T2w.nii.gz", "", "T2w"),
        ("7_T2_test_e2_ph.nii", "", "phase"),
        ("sub-01_T2starw.nii.gz", "", "T2starw"),
        ("t2_tirm_tra_dark-fluid.nii", "", "FLAIR"),
        ("BraTS-00000-t2f.nii.gz", "", "FLAIR"),
        ("BraTS-00000-t1ce.nii.gz", "", "T1w"),
        ("sub-01_T2w_space-T1w.nii.gz", "", "T2w"),
        ("T2w_to_T1w.nii.gz", "", "T2w"),
        ("dti_FA.nii.gz", "", "FA"),
        ("MD_smith_brain.nii", "", None),
        ("scan.nii", "T2* 3 mm", "T2star"),
    ],
)
def test_the_contrast_is_guessed_from_the_name_then_the_header(name: str, description: str, guess: str | None) -> None:
    assert guess_modality(name, description) == guess


@pytest.mark.parametrize(
    ("task", "above", "code"),
    [
        ("stroke lesion", 1.01, "nothing-found"),  # beyond 1: the brightest voxel is 1 but for the engine's rounding
        ("stroke lesion", 0.05, "third-of-head"),
        ("stroke lesion", 0.9, None),
        ("tissue", 1.01, None),
        ("tissue", 0.3, None),
        ("tissue", -1.0, "third-of-head"),
    ],
)
def test_a_result_of_nothing_or_of_a_third_of_the_head_is_noted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], task: str, above: float, code: str | None
) -> None:
    bright_model(tmp_path / "model", above=above, task=task)
    assert run(tmp_path / "model", write_head(tmp_path / "a.nii"), "-o", tmp_path / "out", "--json") == 0
    outcome = json.loads(capsys.readouterr().out)
    assert [note["code"] for note in outcome["notes"]] == ([code] if code else [])


def test_finished_scans_are_skipped_but_stay_in_the_table(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = write_head(tmp_path / "a.nii"), write_head(tmp_path / "b.nii", spoilt())
    for space in ("native", "conformed"):
        common = ["-o", tmp_path / space, "--space", space, "--csv", tmp_path / "t.csv"]
        assert run(model, first, *common) == 0
        before = rows(tmp_path / "t.csv")
        segmented: list[str] = []
        with monkeypatch.context() as patch:

            def counted(job: ScanJob, *rest: Any, **named: Any) -> Any:
                segmented.append(job.source.name.name)  # noqa: B023 (called in this turn of the loop)
                return network_stage(job, *rest, **named)

            patch.setattr("meshnet.infer.predict.network_stage", counted)
            assert run(model, first, second, *common, "--skip-done") == 0
        assert segmented == ["b.nii"]
        assert rows(tmp_path / "t.csv")[:2] == before
        assert f"{first} -> " in (said := capsys.readouterr().out)
        assert "(from an earlier run)" in said


def test_a_swapped_model_and_scan_are_recognised(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("meshnet.model.shipped.default_models", lambda: [tmp_path])
    scan, out = write_head(tmp_path / "a.nii.gz"), tmp_path / "out"
    for given in (model, model / "model.json", Path("model")):
        assert run(scan, given, "-o", out) == 2
        assert f"{scan}: is not a model; {given} is one; the model comes first" in capsys.readouterr().err
    assert run(model, scan, model, "-o", out) == 2
    assert f"{model}: is a model, not a scan" in capsys.readouterr().err
    assert run(model / "model.json", scan, "-o", out) == 0


def test_results_that_cannot_be_written_are_found_before_the_first_network(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    scan = write_head(tmp_path / "a.nii")
    long = write_head(tmp_path / f"{'x' * 240}.nii")
    monkeypatch.setattr("meshnet.infer.predict.network_stage", lambda *_, **__: pytest.fail("the network ran"))
    assert run(model, scan, "-o", scan / "below") == 2
    assert "no results can be written there" in capsys.readouterr().err
    assert run(model, long, "-o", tmp_path / "out") == 1
    assert "too long; rename the scan" in capsys.readouterr().err
    monkeypatch.undo()
    assert run(model, long, scan, "-o", tmp_path / "out") == 1
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["a_bright.nii.gz"]


def test_a_run_that_saves_nothing_leaves_no_folder(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    broken = tmp_path / "broken.nii"
    broken.write_bytes(write_head(tmp_path / "whole.nii").read_bytes()[:700])
    out = tmp_path / "deep" / "out"
    assert run(model, broken, "-o", out) == 1
    assert run(model, broken, "-o", out / "named.nii.gz") == 1
    assert run(model, write_head(tmp_path / "a_T1w.nii"), "-o", out, "--strict") == 1
    assert not out.parent.exists()
    capsys.readouterr()
    (tmp_path / "file").touch()
    assert run(model, broken, "-o", tmp_path / "file" / "deep" / "out") == 2
    assert f"({tmp_path / 'file'} is a file); choose another folder with -o" in capsys.readouterr().err


def test_a_scan_in_a_linked_folder_is_found_and_a_loop_ends(model: Path, tmp_path: Path) -> None:
    write_head(tmp_path / "store" / "sub-01" / "a.nii")
    scans = tmp_path / "scans"
    write_head(scans / "b.nii")
    (scans / "sub-01").symlink_to(tmp_path / "store" / "sub-01")
    (scans / "loop").symlink_to(scans)
    assert run(model, scans, "-o", tmp_path / "out") == 0
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["a_bright.nii.gz", "b_bright.nii.gz"]


def test_a_mask_without_a_masks_name_is_left_out_of_a_folder_but_taken_by_name(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_head(tmp_path / "scans" / "a.nii")
    mask = write_head(tmp_path / "scans" / "drawn by AB.nii", (head() > 600).astype(np.int16))
    assert run(model, tmp_path / "scans", "-o", tmp_path / "out") == 0
    assert f"{mask}: left out, its values are those of a mask" in capsys.readouterr().err
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["a_bright.nii.gz"]
    assert run(model, mask, "-o", tmp_path / "out") == 0
    assert "[label-like]" in capsys.readouterr().out


def shell(command: str, **environment: str) -> subprocess.CompletedProcess[bytes]:
    """A command line that has `$PREDICT` for meshnet-predict."""
    program = "import sys; from meshnet.infer.predict import main; sys.exit(main())"
    (Path(environment["FOLDER"]) / "predict.py").write_text(program)
    predict = f"'{sys.executable}' '{environment['FOLDER']}/predict.py'"
    paths = os.pathsep.join(path for path in sys.path if path)
    return subprocess.run(
        ["bash", "-c", f"set -o pipefail; {command.replace('$PREDICT', predict)}"],
        env=os.environ | environment | {"PYTHONPATH": paths},
        capture_output=True,
        check=False,
    )


def test_names_of_any_encoding_and_a_reader_that_leaves_do_not_end_a_batch(model: Path, tmp_path: Path) -> None:
    scans = tmp_path / "scans"
    for name in (b"J\xfcrgen.nii", "Jürgen2.nii".encode()):
        write_head(scans / os.fsdecode(name))
    write_head(scans / "last.nii")
    command = f"$PREDICT {model} {scans} -o {tmp_path / 'out'} --csv {tmp_path / 't.csv'} --threads 1"
    ascii_only = {"LC_ALL": "C", "PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0", "FOLDER": str(tmp_path)}
    done = shell(command, **ascii_only)
    assert done.returncode == 0, done.stderr.decode()
    assert len(os.listdir(tmp_path / "out")) == 3
    assert len(rows(tmp_path / "t.csv")) == 6
    cut = shell(f"{command.replace(str(tmp_path / 'out'), str(tmp_path / 'cut'))} -q | true", **ascii_only)
    assert cut.returncode == 0, cut.stderr.decode()
    assert cut.stderr == b""
    assert len(os.listdir(tmp_path / "cut")) == 3
    both = shell(f"{command.replace(str(tmp_path / 'out'), str(tmp_path / 'both'))} 2>&1 | true", **ascii_only)
    assert both.returncode == 0, both.stderr.decode()
    assert len(os.listdir(tmp_path / "both")) == 3


@pytest.mark.parametrize("flag", ["--version", "--list-models"])
def test_version_and_models_are_printed_without_other_arguments(
    flag: str, model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("meshnet.infer.arguments.known_models", lambda: {"bright": model})
    with pytest.raises(SystemExit) as end:
        main([flag])
    assert end.value.code == 0
    printed = capsys.readouterr().out
    if flag == "--version":
        assert printed == f"meshnet-predict {__version__}\n"
    else:
        assert printed.split() == ["bright", "tissue;", "T2w", "or", "PDw;", str(model)]


def no_room_for(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The disk is full for files with `name` in their path."""

    def full(path: Path, *rest: Any) -> None:
        if name in str(path):
            raise OSError(28, "No space left on device", str(path))
        os.rename(path, *rest)

    monkeypatch.setattr("meshnet.scan.replacing.os.replace", full)


def test_a_full_disk_fails_one_scan_and_not_the_batch(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    no_room_for(".a_", monkeypatch)
    scans = [write_head(tmp_path / f"{name}.nii") for name in "ab"]
    assert run(model, *scans, "-o", tmp_path / "out") == 1
    said = f"error: {tmp_path / 'out' / 'a_bright.nii.gz'}: No space left on device; free some space and try again"
    assert said in capsys.readouterr().err
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["b_bright.nii.gz"]


def test_a_report_or_table_without_a_place_is_found_before_the_first_network(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    scan = write_head(tmp_path / "a.nii")
    monkeypatch.setattr("meshnet.infer.predict.network_stage", lambda *_, **__: pytest.fail("the network ran"))
    for folder in (scan, scan / "below"):
        assert run(model, scan, "-o", tmp_path / "out", "--report", folder) == 2
        sentence = f"{folder}: no reports can be written there ({scan} is a file); choose another folder with --report"
        assert sentence in capsys.readouterr().err
    assert run(model, scan, "-o", tmp_path / "out", "--csv", "/dev/full") == 2
    assert "/dev/full: the table can't be written there (No space left on device)" in capsys.readouterr().err


def test_a_table_that_grows_too_large_does_not_end_the_batch(model: Path, tmp_path: Path) -> None:
    names = [f"{'scan' * 20}_{number}" for number in range(8)]
    for name in names:
        write_head(tmp_path / "scans" / f"{name}.nii")
    command = f"ulimit -f 3; $PREDICT {model} {tmp_path / 'scans'} -o {tmp_path / 'out'} --csv {tmp_path / 't.csv'} -q"
    done = shell(command, FOLDER=str(tmp_path))  # the limit is 3 KiB
    assert done.returncode == 1
    said = done.stderr.decode()
    assert f"{tmp_path / 't.csv'}: the table can't be written there (File too large)" in said
    assert "scans failed, see above" in said
    assert sorted(os.listdir(tmp_path / "out")) == [f"{name}_bright.nii.gz" for name in names]


def test_a_report_that_does_not_fit_leaves_no_half_page(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    no_room_for("a_bright.html", monkeypatch)
    scans = [write_head(tmp_path / f"{name}.nii") for name in "ab"]
    assert run(model, *scans, "-o", tmp_path / "out", "--report", tmp_path / "report") == 1
    assert "a_bright.html: No space left on device; free some space" in capsys.readouterr().err
    assert sorted(os.listdir(tmp_path / "report")) == ["b_bright.html", "index.html", "report.csv"]


def test_a_result_cut_in_the_middle_is_made_again(model: Path, tmp_path: Path) -> None:
    scan, output = write_head(tmp_path / "a.nii"), tmp_path / "out" / "a_bright.nii.gz"
    assert run(model, scan, "-o", tmp_path / "out") == 0
    whole = output.read_bytes()
    for length in (0, 200, len(whole) // 2, len(whole) - 1):
        output.write_bytes(whole[:length])
        assert run(model, scan, "-o", tmp_path / "out", "--skip-done") == 0
        assert output.read_bytes() == whole


def test_the_voxels_of_an_earlier_result_are_read_once(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scan, output = write_head(tmp_path / "a.nii"), tmp_path / "out" / "a_bright.nii.gz"
    assert run(model, scan, "-o", tmp_path / "out") == 0
    size, read = nib.load(output).shape, []
    whole = gzip.GzipFile.read

    def counted(file: gzip.GzipFile, count: int | None = -1) -> bytes:
        content = whole(file, count)
        read.append(len(content))
        return content

    monkeypatch.setattr(gzip.GzipFile, "read", counted)
    assert run(model, scan, "-o", tmp_path / "out", "--skip-done") == 0
    assert np.prod(size) < sum(read) < 1.5 * np.prod(size)


def test_an_earlier_result_that_holds_no_labels_of_the_model_is_made_again(model: Path, tmp_path: Path) -> None:
    scan, output = write_head(tmp_path / "a.nii"), tmp_path / "out" / "a_bright.nii.gz"
    assert run(model, scan, "-o", tmp_path / "out") == 0
    image = nib.load(output)
    good = np.asarray(image.dataobj)
    for other in (np.full(good.shape, 200, np.uint8), np.random.default_rng(0).random(good.shape, np.float32)):
        nib.save(nib.Nifti1Image(other, image.affine), output)
        assert run(model, scan, "-o", tmp_path / "out", "--skip-done") == 0
        assert np.array_equal(np.asarray(nib.load(output).dataobj), good)


def test_notes_of_an_earlier_result_are_found_again(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    scan = write_head(tmp_path / "a.nii", spoilt())
    for flags in ([], ["--skip-done"]):
        assert run(model, scan, "-o", tmp_path / "out", "--json", *flags) == 0
        assert [note["code"] for note in json.loads(capsys.readouterr().out)["notes"]] == ["outliers-clipped"]
    assert run(model, scan, "-o", tmp_path / "out", "--skip-done", "--strict") == 1


def test_a_result_whose_name_is_a_folders_and_a_table_without_a_place_are_found_at_the_start(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    scan = write_head(tmp_path / "a.nii")
    (tmp_path / "out" / "a_bright.nii.gz").mkdir(parents=True)
    assert run(model, scan, "-o", tmp_path / "out") == 2
    assert "is a folder, and the result has this name" in capsys.readouterr().err
    assert run(model, scan, "-o", tmp_path / "other", "--csv", scan / "t.csv") == 2
    assert "t.csv: the table can't be written there" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("m.onnx", "an ONNX model, neither a scan nor a model folder; import it with meshnet-import"),
        ("m.pt", "a PyTorch model, neither"),
        ("m.keras", "a Keras model, neither a scan nor a model folder; convert it with tensorflowjs"),
        ("m.tflite", "a TensorFlow Lite model, neither"),
    ],
)
def test_a_model_file_of_another_format_is_named(
    name: str, words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    scan, given = write_head(tmp_path / "a.nii"), tmp_path / name
    given.write_bytes(b"weights")
    assert main([str(given), str(scan), "-q"]) == 2
    assert f"{given}: is {words}" in capsys.readouterr().err


def test_a_closed_standard_output_does_not_end_a_batch(model: Path, tmp_path: Path) -> None:
    write_head(tmp_path / "a.nii")
    done = shell(f"$PREDICT {model} {tmp_path / 'a.nii'} -o {tmp_path / 'out'} -q >&-", FOLDER=str(tmp_path))
    assert (done.returncode, done.stderr) == (0, b"")
    assert len(os.listdir(tmp_path / "out")) == 1


def test_pipes_links_to_themselves_and_empty_words_neither_hang_nor_crash(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_head(tmp_path / "in" / "a.nii")
    os.mkfifo(tmp_path / "in" / "pipe.nii")
    (tmp_path / "in" / "loop").symlink_to("loop")
    assert run(model, tmp_path / "in", "-o", tmp_path / "out") == 0
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["a_bright.nii.gz"]
    assert run(model, tmp_path / "in" / "pipe.nii", "-o", tmp_path / "out") == 2
    assert "pipe.nii: is a pipe, a socket or a device; expected a file or a folder" in capsys.readouterr().err
    assert run(model, "", "-o", tmp_path / "out") == 2
    assert "an empty word stands in the place of a scan or model" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        run(model, tmp_path / "in" / "a.nii", "-o", "")
    assert "expected a path, got an empty word" in capsys.readouterr().err
    (tmp_path / "list").write_bytes(b"a.nii\0b.nii\0")
    assert run(model, "--list", tmp_path / "list") == 2
    assert "the list has zero bytes" in capsys.readouterr().err


def test_a_studys_localizer_is_left_out_and_its_scan_segmented(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_series(tmp_path / "in")
    write_series(tmp_path / "in", number=1, description="localizer", data=head()[:, :, 18:19], name="L{:04d}")
    assert run(model, tmp_path / "in", "-o", tmp_path / "out") == 0
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["in_3_T2_test_bright.nii.gz"]
    assert "1_localizer.nii: left out, it has one slice, as a localizer" in capsys.readouterr().err
