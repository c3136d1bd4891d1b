"""Types of options that several commands share."""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable, Hashable, Iterable
from pathlib import Path
from typing import TypeVar

from meshnet.model.folders import file_in_the_way

_H = TypeVar("_H", bound=Hashable)


def at_least(least: int) -> Callable[[str], int]:
    """A type for argparse: whole numbers from `least` on."""

    def whole_number(text: str) -> int:
        if not text.removeprefix("-").isdecimal() or int(text) < least:
            raise argparse.ArgumentTypeError(f"expected a whole number of {least} or more, got {text}")
        return int(text)

    return whole_number


def share_of_gpus(text: str) -> float:
    """A type for argparse: a number of GPUs, 0 or more; a fraction shares one."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 <= value < math.inf:
        raise argparse.ArgumentTypeError(f"expected a number of 0 or more, got {text}")
    return value


def out_folder(text: str) -> Path:
    """A type for argparse: a folder to write to, which may be missing."""
    path = Path(text)
    file = file_in_the_way(path)
    if file is not None:
        raise argparse.ArgumentTypeError(f"{file} is a file; expected a folder, or one that doesn't exist yet")
    return path


def given_twice(values: Iterable[_H]) -> _H | None:
    """The first value that has been there before; None if there is none."""
    before: set[_H] = set()
    for value in values:
        if value in before:
            return value
        before.add(value)
    return None


#: A file that tells what a folder holds.
_KINDS = {
    "index.csv": "prepared data",
    "model.json": "a model",
    "dataset_description.json": "a BIDS data set",
    "config.yaml": "a training run",
    "experiment.csv": "the runs of an experiment",
    "trials.csv": "a search",
    "report.html": "a report",
}


def kind_of_folder(folder: Path) -> str | None:
    """The folder's content for messages, such as `a model (model.json)`. None for an empty or unknown folder."""
    return next((f"{kind} ({name})" for name, kind in _KINDS.items() if (folder / name).is_file()), None)
