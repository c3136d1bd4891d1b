"""meshnet-toy-data: a data set for newcomers."""

from __future__ import annotations

from pathlib import Path

import pytest

from meshnet.cohort.bids import SPACE, find_bids
from meshnet.cohort.toy_data import main


def test_the_toy_data_set_is_a_cohort_without_a_fault(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(tmp_path / "toy"), "--subjects", "5"]) == 0
    assert capsys.readouterr().out == f"{tmp_path / 'toy'}: 6 scans of 5 subjects\n"
    cases, excluded = find_bids(tmp_path / "toy", SPACE)
    assert len(cases) == 6
    assert excluded == []


def test_a_folder_in_use_and_too_few_subjects_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    assert main([str(tmp_path)]) == 2
    assert f"{tmp_path}: not empty; expected a new folder" in capsys.readouterr().err
    assert main([str(tmp_path / "toy"), "--subjects", "2"]) == 2
    assert "--subjects 2: expected 5 or more" in capsys.readouterr().err
    assert main([str(tmp_path / "mine.txt" / "toy")]) == 2
    assert "cannot write the data set" in capsys.readouterr().err
