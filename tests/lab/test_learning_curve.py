"""The learning curve of a model card."""

from __future__ import annotations

from pathlib import Path

import pytest

from meshnet.lab.learning_curve import learning_curve, main


def _run(folder: Path, steps: int) -> Path:
    folder.mkdir()
    lines = ["step,loss,lr,dice"]
    lines += [f"{s},{1 / s},0.1,{0.5 if s % 20 == 0 else ''}" for s in range(10, steps + 1, 10)]
    (folder / "log.csv").write_text("\n".join(lines) + "\n")
    return folder


def test_runs_follow_each_other_on_one_axis(tmp_path: Path) -> None:
    figure = learning_curve([_run(tmp_path / "coarse", 100), _run(tmp_path / "fine", 60)])
    dice = figure.axes[1].lines
    assert list(dice[0].get_xdata()) == [20, 40, 60, 80, 100]
    assert list(dice[1].get_xdata()) == [120, 140, 160]


def test_the_command_writes_a_picture(tmp_path: Path) -> None:
    main([str(_run(tmp_path / "run", 40)), "-o", str(tmp_path / "curve.png")])
    assert (tmp_path / "curve.png").read_bytes().startswith(b"\x89PNG")


def test_a_folder_without_a_log_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="expected a folder written by meshnet-train"):
        learning_curve([tmp_path])
