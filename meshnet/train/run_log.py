"""`log.csv` and the TensorBoard events of a training run."""

from __future__ import annotations

import csv
import math
from pathlib import Path

import torch
from tensorboardX import SummaryWriter
from torch import Tensor


class LogFile:
    """Appends rows to `log.csv` and writes the same numbers for TensorBoard.

    write: true on one device only; the others write nothing.
    """

    _COLUMNS = ("step", "loss", "lr", "dice")

    def __init__(self, folder: Path, *, write: bool = True) -> None:
        self._write = write
        if not write:
            return
        path = folder / "log.csv"
        new = not path.is_file() or path.stat().st_size == 0
        self._board = SummaryWriter(str(folder / "tensorboard"))
        self._file = path.open("a", newline="")
        self._writer = csv.DictWriter(self._file, self._COLUMNS)
        if new:
            self._writer.writeheader()
            self._file.flush()

    def __enter__(self) -> LogFile:
        return self

    def __exit__(self, *_: object) -> None:
        if not self._write:
            return
        self._file.close()
        self._board.close()

    def row(self, values: dict[str, float]) -> None:
        if not self._write:
            return
        self._writer.writerow(values)
        self._file.flush()
        for name, value in values.items():
            if name != "step":
                self._board.add_scalar(name, value, int(values["step"]))


class UnreadLosses:
    """The losses of the last steps, on the device. Reading one waits for the GPU, so they are read together."""

    def __init__(self) -> None:
        self._losses: list[Tensor] = []

    def add(self, loss: Tensor) -> None:
        """Keep the loss of a step, a scalar."""
        self._losses.append(loss)

    def read(self, folder: Path, step: int) -> float:
        """The loss of `step`, the last one added. Raises FloatingPointError for the first one since the last reading
        that is not finite; folder: of the run, for the message."""
        values: list[float] = torch.stack(self._losses).tolist()
        self._losses.clear()
        for number, value in enumerate(values, start=step - len(values) + 1):
            if not math.isfinite(value):
                raise FloatingPointError(f"{folder}: loss is {value} at step {number}; lower optimizer.lr")
        return values[-1]


def keep_log_until(path: Path, step: int) -> None:
    """Remove the rows after `step`: a resumed run does those steps again."""
    if path.is_file():
        with path.open(newline="") as file:
            rows = list(csv.reader(file))
        partial = path.with_suffix(".partial")
        with partial.open("w", newline="") as file:
            # a killed run may have left no header, or half a line
            csv.writer(file).writerows(row for i, row in enumerate(rows) if i == 0 or (row and int(row[0]) <= step))
        partial.replace(path)
