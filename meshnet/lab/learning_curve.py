"""Plot training loss and validation Dice of one or several consecutive runs, for model cards.

    python -m meshnet.lab.learning_curve RUN... -o curve.png

During a run, TensorBoard shows the same numbers.
"""

from __future__ import annotations

import argparse
import csv
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

_Numbers = NDArray[np.float64]

#: Rows of log.csv over which the loss is averaged (25 rows of 10 steps); the loss of one step is that of one subject.
_WINDOW = 25


def main(arguments: Sequence[str] | None = None) -> None:
    """Command line; writes the figure."""
    parser = argparse.ArgumentParser(prog="python -m meshnet.lab.learning_curve", description=__doc__)
    parser.add_argument("runs", type=Path, nargs="+", help="folders of meshnet-train, in the order they were run")
    parser.add_argument("-o", "--out", type=Path, required=True, help="picture to write (.png, .svg)")
    args = parser.parse_args(arguments)
    learning_curve(args.runs).savefig(args.out, dpi=90)


def learning_curve(runs: Sequence[Path]) -> Figure:
    """Loss (averaged over `_WINDOW` rows) and validation Dice against steps, run after run on one axis.

    Raises FileNotFoundError if a run has no log.
    """
    figure = Figure(figsize=(7, 3), layout="constrained")
    loss_axes = figure.subplots()
    dice_axes = loss_axes.twinx()
    start = 0
    for run in runs:
        steps, loss, validated, dice = _read(run / "log.csv")
        window = min(_WINDOW, len(loss))
        smooth = np.convolve(loss, np.ones(window) / window, mode="valid")
        loss_axes.plot(start + steps[window - 1 :], smooth, color="#3070c0", linewidth=1)
        dice_axes.plot(start + validated, dice, "o-", color="#c05030", markersize=3, linewidth=1)
        start += int(steps[-1])
        if run != runs[-1]:
            loss_axes.axvline(start, color="grey", linestyle=":", linewidth=1)
    loss_axes.set_xlabel("step")
    loss_axes.set_ylabel("training loss", color="#3070c0")
    dice_axes.set_ylabel("validation Dice", color="#c05030")
    dice_axes.set_ylim(0, 1)
    return figure


def _read(path: Path) -> tuple[_Numbers, _Numbers, _Numbers, _Numbers]:
    """Columns of log.csv: steps, their loss, validated steps, their Dice."""
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no log; expected a folder written by meshnet-train")
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    scored = [r for r in rows if r["dice"]]
    return (
        np.array([float(r["step"]) for r in rows]),
        np.array([float(r["loss"]) for r in rows]),
        np.array([float(r["step"]) for r in scored]),
        np.array([float(r["dice"]) for r in scored]),
    )


if __name__ == "__main__":
    main()
