"""`make evaluate-report`: the lesion models on the scans of a data folder, with the worth of every reference."""

from __future__ import annotations

import gzip
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from meshnet.lab import reference_data, reference_report
from meshnet.lab.cases import Volumes
from meshnet.lab.reference_data import COLIN, GROUPS, SYNTHETIC, _Head, _spread
from meshnet.scan.nifti import new_header, save_labels
from tests.helpers.heads import HEAD_AFFINE, bright_model, head, write_head


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder with the names of the real one: a patient's scan with its reference, and heads without a stroke."""
    root = tmp_path_factory.mktemp("data")
    for name in ("M2265_T2w", "t1_crop", "oms/patient01_study1_T2W", "oms/patient01_study1_FLAIR"):
        scan = write_head(root / "scans" / f"{name}.nii.gz")
        scan.write_bytes(gzip.compress(scan.read_bytes()))
    mask = (head() > 700).astype(np.uint8)
    (root / "expected").mkdir()
    reference = root / "expected" / "M2265_T2w__brainchop_t2_lesion.nii.gz"
    save_labels(reference, mask, new_header(HEAD_AFFINE, mask.shape, code=1))
    return root


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models") / "bright"
    bright_model(folder, modality=("T2w",), task="stroke lesion")
    return folder


def _heads(_data: Path, _cache: Path, groups: Sequence[str], _count: int | None) -> list[_Head]:
    """Two rendered heads: one with a lesion, one without."""
    image = (head() // 5).astype(np.uint8)
    with_lesion = Volumes(image, (head() > 700).astype(np.uint8))
    heads = [
        _Head(SYNTHETIC, "sub-lesion1_acq-synthetic_T2w", lambda: with_lesion),
        _Head(COLIN, "sub-colin1_acq-synthetic_T2w", lambda: Volumes(image, np.zeros_like(image))),
    ]
    return [rendered for rendered in heads if rendered.group.name in groups]


def test_the_page_says_what_every_reference_is_worth_and_keeps_scans_and_heads_apart(
    data: Path, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reference_data, "_heads", _heads)
    out, written = tmp_path / "out", tmp_path / "page.md"
    words = ["--data", str(data), "--models", str(model), "-o", str(out), "--page", str(written), "--heads", "1"]
    more = ["--brain-model", "", "--cpus-per-scan", "1"]
    assert reference_report.main([*words, *more, "--groups", "M2265", "oms", "healthy head"]) == 0
    assert "synthetic, held out" not in written.read_text()
    assert reference_report.main([*words, *more, "--groups", SYNTHETIC.name, COLIN.name]) == 0
    page = written.read_text()
    for group in GROUPS:
        if group.name != "label maps, test persons":  # not asked for
            assert f"- **{group.name}.** {group.worth}" in page
    assert page.count("No lesion model here is made for these contrasts") == 1  # the T1w head
    scans, heads = page.split("## Rendered heads with a lesion, by group")
    assert "| M2265 | bright | 1 (1) |" in scans
    assert "| oms | bright | 1 (1) |" in scans
    assert "| synthetic, held out | bright | 1 (1) |" in heads
    assert "| Colin27, other contrast | bright | 1 (1) |" in heads
    assert "samples (`--heads 1`)" in scans
    assert "They are scored with `bright`." in scans
    assert "All heads of the rendered groups are scored, with `bright`." in reference_report.page(out)


def test_mistakes_are_errors_in_one_line(
    data: Path, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(reference_data, "_heads", _heads)
    words = ["--data", str(data), "--models", str(model), "-o", str(tmp_path)]
    for option, least in (("--heads", 1), ("--jobs", 1), ("--cpus-per-scan", 0)):
        with pytest.raises(SystemExit, match="2"):
            reference_report.main([*words, option, str(least - 1)])
        sentence = f"{option}: expected a whole number of {least} or more, got {least - 1}"
        assert sentence in capsys.readouterr().err
    (tmp_path / "heads" / "data" / "sub-other").mkdir(parents=True)
    assert reference_report.main([*words, "--groups", SYNTHETIC.name]) == 2
    assert "1 persons that are not in this selection, such as sub-other; use another -o" in capsys.readouterr().err
    assert reference_report.main(["--data", str(tmp_path), "-o", str(tmp_path / "o"), "--groups", "oms"]) == 2
    assert "none of the groups oms is there" in capsys.readouterr().err


def test_a_sample_takes_one_of_every_quartile_of_a_list_sorted_by_volume() -> None:
    assert _spread(range(60), 4) == [7, 22, 37, 52]
    assert _spread(range(3), 4) == [0, 1, 2]
    assert _spread(range(3), None) == [0, 1, 2]
