"""`--sidecar` writes how a result was made; `--skip-done` reads it."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from meshnet import __version__
from meshnet.infer.predict import main
from meshnet.infer.sidecar import Sidecar, read_sidecar, sha256_of_files
from meshnet.model.spec import read_spec
from tests.helpers.dicom_series import write_series
from tests.helpers.heads import bright_model, head, write_head
from tests.helpers.paths import REPO


@pytest.fixture
def model(tmp_path: Path) -> Path:
    bright_model(tmp_path / "model", modality=("T2w", "PDw"), task="tissue")
    return tmp_path / "model"


def run(model: Path, *words: object) -> int:
    return main([str(model), *map(str, words), "-q"])


def test_a_sidecar_says_model_engine_scan_settings_volumes_notes_and_command(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    scan = write_head(tmp_path / "a_T1w.nii")
    out = tmp_path / "out" / "lesion.nii.gz"
    words = [scan, "-o", out, "--sidecar", "--json", "--remove-below", "0.5"]
    assert run(model, *words) == 0
    printed = json.loads(capsys.readouterr().out)
    sidecar = json.loads((tmp_path / "out" / "lesion.json").read_text())
    spec = read_spec(model / "model.json")
    assert sidecar["software"] == {"name": "MeshNet", "version": __version__, "interface": "command line"}
    assert sidecar["model"] == {"id": "bright", "name": spec.name, "sha256": spec.weights.sha256}
    assert sidecar["engine"]["backend"] == "cpu"
    assert sidecar["engine"]["device"]
    digest = hashlib.sha256(scan.read_bytes()).hexdigest()
    assert sidecar["source"] == {"name": "a_T1w.nii", "sha256": digest, "frame": None}
    kept = {"keep_outside_brain": False, "all_labels": False}
    assert sidecar["settings"] == {"threshold": None, "flip": False, "remove_below_ml": 0.5, **kept}
    assert (sidecar["space"], sidecar["edits"]) == ("native", [])
    assert sidecar["volumes"] == printed["volumes"]
    assert sidecar["notes"] == printed["notes"] != []
    assert sidecar["command"] == " ".join(["meshnet-predict", str(model), *map(str, words), "-q"])
    assert not {"Description", "Sources", "Type"} & sidecar.keys()


def test_without_the_option_none_is_written_but_one_that_is_there_is_renewed(model: Path, tmp_path: Path) -> None:
    scan = write_head(tmp_path / "a.nii")
    path = tmp_path / "out" / "a_bright.json"
    assert run(model, scan, "-o", tmp_path / "out") == 0
    assert not path.exists()
    assert run(model, scan, "-o", tmp_path / "out", "--sidecar") == 0
    write_head(scan, head() * 2)
    assert run(model, scan, "-o", tmp_path / "out") == 0
    renewed = read_sidecar(path)
    assert renewed is not None
    assert renewed.source.sha256 == sha256_of_files([scan])


def test_another_json_file_of_that_name_is_never_replaced(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    scan = write_head(tmp_path / "sub-1_T2w.nii")
    (tmp_path / "lesion.json").write_text('{"EchoTime": 0.1}')
    assert run(model, scan, "-o", tmp_path / "lesion.nii.gz", "--sidecar") == 2
    assert "lesion.json: is there and is no sidecar of MeshNet" in capsys.readouterr().err
    assert (tmp_path / "lesion.json").read_text() == '{"EchoTime": 0.1}'


def test_skipped_scans_have_the_notes_of_their_first_run(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    spoilt = head()
    spoilt[3, 3, 3] = -32768  # noted while conforming
    scan = write_head(tmp_path / "a.nii", spoilt)
    words = (scan, "-o", tmp_path / "out", "--json", "--sidecar")
    assert run(model, *words) == 0
    first = json.loads(capsys.readouterr().out)
    assert [note["code"] for note in first["notes"]] == ["outliers-clipped"]
    assert run(model, *words, "--skip-done") == 0
    assert json.loads(capsys.readouterr().out) == first


@pytest.mark.parametrize("change", ["scan", "model", "settings"])
def test_a_result_whose_sidecar_says_another_origin_is_made_again(
    change: str, model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    scan = write_head(tmp_path / "a.nii")
    words = [scan, "-o", tmp_path / "r.nii.gz", "--sidecar", "--skip-done"]
    assert run(model, *words) == run(model, *words) == 0
    assert "(from an earlier run)" in capsys.readouterr().out
    if change == "scan":
        write_head(scan, head() + 7)
    elif change == "model":
        bright_model(model, above=0.6, modality=("T2w",), task="tissue")
    else:
        words += ["--remove-below", "0.1"]
    assert run(model, *words) == 0
    assert "(from an earlier run)" not in capsys.readouterr().out


def test_the_digest_of_a_dicom_series_is_that_of_all_its_files(model: Path, tmp_path: Path) -> None:
    slices = write_series(tmp_path / "study")
    assert run(model, tmp_path / "study", "-o", tmp_path / "out", "--sidecar") == 0
    sidecar = read_sidecar(tmp_path / "out" / "study_3_T2_test_bright.json")
    assert sidecar is not None
    assert sidecar.source.name == "study_3_T2_test.nii"
    assert sidecar.source.sha256 == sha256_of_files(slices[::-1])


def test_a_name_that_is_not_utf8_is_written_as_an_escape(model: Path, tmp_path: Path) -> None:
    scan = write_head(tmp_path / os.fsdecode(b"J\xfcrgen.nii"))
    assert run(model, scan, "-o", tmp_path / "a.nii.gz", "--sidecar") == 0
    sidecar = read_sidecar(tmp_path / "a.json")
    assert sidecar is not None
    assert sidecar.source.name == "J\\udcfcrgen.nii"


def test_the_committed_schema_and_the_documented_keys_are_those_of_the_class() -> None:
    command = [sys.executable, "-m", "meshnet.infer.sidecar"]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert printed == (REPO / "static/src/generated/sidecar.schema.json").read_text(), (
        "run: python -m meshnet.infer.sidecar > static/src/generated/sidecar.schema.json; npm run types"
    )
    page = (REPO / "docs" / "sidecar.md").read_text()
    schema = json.loads(printed)
    keys = {key for part in [schema, *schema["$defs"].values()] for key in part["properties"]}
    assert [key for key in keys if f"`{key}`" not in page] == []
    example = page.split("```json\n")[1].split("```")[0]
    Sidecar.model_validate_json(example)
