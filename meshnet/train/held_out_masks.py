"""The lesion masks that no training may draw: the file that `data.held_out` names."""

from __future__ import annotations

import json
from pathlib import Path

from meshnet.train.config import ConfigError

#: The folder that holds the package `meshnet`: paths in meshnet/conf are relative to it.
_PACKAGES = Path(__file__).resolve().parents[2]


def held_out_masks(name: str) -> list[str]:
    """File names of the masks; none if `name` is empty. Raises ConfigError where there is no such file.

    name: path of the JSON file, from the current folder or from the folder that holds the package.
    """
    if not name:
        return []
    path = Path(name) if Path(name).is_file() else _PACKAGES / name
    if not path.is_file():
        raise ConfigError(
            f"data.held_out: {name}: no such file; pass the JSON file that lists the held-out masks, as "
            f"data.held_out=FILE"
        )
    names: list[str] = json.loads(path.read_text())["lesions"]
    return names
