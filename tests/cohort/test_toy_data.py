"""meshnet-toy-data: a data set for newcomers."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
import torch

from meshnet.cohort import prepare
from meshnet.cohort.bids import SPACE, find_bids
from meshnet.cohort.toy_data import main
from meshnet.score import evaluate
from meshnet.train import cli as train


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
    for mistake, said in (
        (["toy", "--subjects=2"], "--subjects: expected a whole number of 5 or more, got 2"),
        (["toy", "--seed=-1"], "--seed: expected a whole number of 0 or more, got -1"),
        (["mine.txt/toy"], f"{tmp_path / 'mine.txt'} is a file; expected a folder, or one that doesn't exist yet"),
    ):
        with pytest.raises(SystemExit, match="2"):
            main([str(tmp_path / mistake[0]), *mistake[1:]])
        assert said in capsys.readouterr().err


def test_the_tutorial_runs_as_written_to_its_report(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    commands: dict[str, Callable[[Sequence[str]], int]] = {
        "meshnet-toy-data": main,
        "meshnet-prepare": prepare.main,
        "meshnet-train": train.main,
        "meshnet-evaluate": evaluate.main,
    }
    page = (Path(__file__).parents[2] / "docs" / "training.md").read_text(encoding="utf-8")
    lines = re.findall(r"^    (meshnet-.*)$", page.partition("## Try it")[2].partition("\n## ")[0], re.MULTILINE)
    assert [line.split()[0] for line in lines] == list(commands)
    monkeypatch.chdir(tmp_path)
    threads = torch.get_num_threads()
    try:
        for line in lines:
            name, *arguments = shlex.split(line)
            assert commands[name](arguments) == 0, line
    finally:
        torch.set_num_threads(threads)
    assert (tmp_path / "toy-report" / "report.html").is_file()
