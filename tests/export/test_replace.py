"""An earlier export is replaced on request; nothing else is, and a failure leaves it as it was."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest

from export.cli import main
from meshnet.model.checkpoint import save_checkpoint
from tests.helpers.export_models import small_model
from tests.helpers.exports import export_all


def test_an_earlier_export_is_replaced_on_request_and_no_other_folder_is(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    spec, weights = small_model()
    out = export_all(tmp_path, spec, weights, format="web")
    arguments = [str(tmp_path / "model"), "--format", "web", "-o", str(out)]
    assert main(arguments) == 2
    assert "exists already" in capsys.readouterr().err
    (out / "small.zip").write_bytes(b"of an earlier run")
    assert main([*arguments, "--overwrite"]) == 0
    assert zipfile.is_zipfile(out / "small.zip")
    (out / "notes").mkdir()
    (out / "notes" / "mine.txt").write_text("precious")
    (out / "small.zip").write_bytes(b"of an earlier run")
    assert main([*arguments, "--overwrite"]) == 2
    said = capsys.readouterr().err
    assert f"{out / 'notes' / 'mine.txt'}: not a file of this export, and --overwrite would delete it" in said
    assert (out / "notes" / "mine.txt").read_text() == "precious"
    assert (out / "small.zip").read_bytes() == b"of an earlier run"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["model", "out"]


def test_a_model_folder_or_an_export_of_another_model_is_not_taken_for_an_earlier_export(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    save_checkpoint(tmp_path / "model", *small_model())
    save_checkpoint(tmp_path / "trained", *small_model("other"))
    weights = (tmp_path / "trained" / "weights.safetensors").read_bytes()
    overwrite = [str(tmp_path / "model"), "--format", "web", "--overwrite", "-o"]
    assert main([*overwrite, str(tmp_path / "trained")]) == 2
    assert "trained: has no small.zip, so it is no earlier export of this kind" in capsys.readouterr().err
    assert (tmp_path / "trained" / "weights.safetensors").read_bytes() == weights
    assert main([str(tmp_path / "trained"), "--format", "web", "-o", str(tmp_path / "exported")]) == 0
    assert main([*overwrite, str(tmp_path / "exported")]) == 2
    assert "other.zip: not a file of this export" in capsys.readouterr().err
    (tmp_path / "empty").mkdir()
    assert main([*overwrite, str(tmp_path / "empty")]) == 0


def test_a_copy_of_the_site_is_known_by_what_its_own_worker_lists(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    site = tmp_path / "site"
    (site / "assets").mkdir(parents=True)
    for name in ("index.html", "selftest.html", "sw.js", "assets/main-1.js", "assets/main-1.js.map"):
        (site / name).write_text(name)
    monkeypatch.setattr("export.to_site.default_site", lambda: site)
    for name in ("small", "tiny"):
        save_checkpoint(tmp_path / name, *small_model(name))
    copy = tmp_path / "copy"
    arguments = ["--format", "site", "-o", str(copy), "--overwrite"]
    assert main([str(tmp_path / "small"), *arguments]) == 0
    # Another build of the site, and another model: other names.
    for ending in ("js", "js.map"):
        (site / "assets" / f"main-1.{ending}").rename(site / "assets" / f"main-2.{ending}")
    assert main([str(tmp_path / "tiny"), *arguments]) == 0
    assert sorted(p.name for p in (copy / "models").iterdir()) == ["tiny"]
    assert sorted(p.name for p in (copy / "assets").iterdir()) == ["main-2.js", "main-2.js.map"]
    (copy / "CNAME").write_text("brain.example")
    assert main([str(tmp_path / "small"), *arguments]) == 2
    assert f"{copy / 'CNAME'}: not a file of this export" in capsys.readouterr().err
    assert sorted(p.name for p in (copy / "models").iterdir()) == ["tiny"]
    # A folder without a service worker that lists its files is no copy of the site.
    (copy / "CNAME").unlink()
    (copy / "sw.js").write_text("self.addEventListener('fetch', () => {});")
    assert main([str(tmp_path / "small"), *arguments]) == 2
    assert "not a file of this export" in capsys.readouterr().err


def test_where_the_new_export_cannot_be_put_in_place_the_earlier_one_comes_back(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    out = export_all(tmp_path, *small_model(), format="web")
    before = {p.name: p.read_bytes() for p in out.iterdir()}
    rename = Path.rename

    def full(path: Path, target: Path) -> Path:
        if path.name == "new":
            raise OSError(28, "No space left on device", str(target))
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", full)
    assert main([str(tmp_path / "model"), "--format", "web", "-o", str(out), "--overwrite"]) == 2
    assert "nothing was exported" in capsys.readouterr().err
    assert {p.name: p.read_bytes() for p in out.iterdir()} == before
    assert sorted(p.name for p in tmp_path.iterdir()) == ["model", "out"]
