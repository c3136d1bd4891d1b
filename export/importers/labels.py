"""Read label tables: brainchop's `colormap.json` and plain lists of names."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from meshnet.model.spec import Label, SpecError, make_labels


def read_labels(path: Path) -> tuple[Label, ...]:
    """Labels from brainchop's `{"R": [...], "G": [...], "B": [...], "labels": [...]}` or from `["name", ...]`.

    A list of names gets the fixed palette. Raises SpecError for any other content.
    """
    content = read_json(path)
    if isinstance(content, list) and all(isinstance(name, str) for name in content):
        return make_labels(content)
    keys = ("R", "G", "B", "labels")
    if not isinstance(content, dict) or not all(isinstance(content.get(key), list) for key in keys):
        raise SpecError(f"{path}: expected brainchop's colour table with lists R, G, B and labels, or a list of names")
    lengths = {key: len(content[key]) for key in keys}
    if len(set(lengths.values())) != 1:
        raise SpecError(f"{path}: R, G, B and labels differ in length: {lengths}")
    rows = zip(content["labels"], content["R"], content["G"], content["B"], strict=True)
    try:
        return tuple(Label(index=i, name=name, color=(r, g, b)) for i, (name, r, g, b) in enumerate(rows))
    except ValidationError as error:
        first = error.errors()[0]
        raise SpecError(
            f"{path}: {'.'.join(map(str, first['loc']))}: {first['msg']} (got {first['input']!r})"
        ) from error


def colour_table(labels: Sequence[Label]) -> dict[str, list[Any]]:
    """These labels as brainchop's colour table."""
    return {
        "R": [label.color[0] for label in labels],
        "G": [label.color[1] for label in labels],
        "B": [label.color[2] for label in labels],
        "labels": [label.name for label in labels],
    }


def read_json(path: Path) -> Any:
    """The content of a JSON file. Raises SpecError if it is missing or malformed."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise SpecError(f"{path}: no such file") from error
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise SpecError(f"{path}: not valid JSON ({error})") from error
