"""Write a web bundle (`model.json` and `weights.safetensors`, and `<id>.zip` of both), specified in FORMAT.md."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from meshnet.model.checkpoint import save_checkpoint
from meshnet.model.graph import stored_model
from meshnet.model.spec import PICTURE_FILE, ModelSpec
from webapp.catalogue import LARGEST_PICTURE_BYTES, read_picture

#: The earliest time that a zip can store, so that the same model gives the same bytes on any day.
_ZIP_TIME = (1980, 1, 1, 0, 0, 0)


def write_web(
    folder: Path,
    spec: ModelSpec,
    weights: Mapping[str, NDArray[np.float32]],
    *,
    dtype: Literal["float32", "float16"] = "float32",
) -> None:
    """Write the bundle and its zip: BatchNorm folded, weights in `dtype`.

    Raises SpecError if a weight overflows `dtype`.
    """
    stored, values = stored_model(spec, weights, dtype)
    written = save_checkpoint(folder, stored, values)
    names = ("model.json", written.weights.file)
    (folder / f"{spec.id}.zip").write_bytes(zip_files({name: (folder / name).read_bytes() for name in names}))


def copy_picture(source: Path, folder: Path) -> list[str]:
    """Copy the picture of the model folder `source` beside its bundle in `folder`; returns lines for the user."""
    if not (source / PICTURE_FILE).is_file():
        return []
    picture = read_picture(source)
    if picture is None:
        limit_kb = LARGEST_PICTURE_BYTES // 1000
        return [f"web: {PICTURE_FILE} is left out: the page shows only PNG files of at most {limit_kb} KB"]
    (folder / PICTURE_FILE).write_bytes(picture)
    return []


def zip_files(files: Mapping[str, bytes]) -> bytes:
    """A zip archive; its bytes depend on names and contents alone."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, payload in files.items():
            entry = zipfile.ZipInfo(name, _ZIP_TIME)
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.external_attr = 0o644 << 16
            archive.writestr(entry, payload)
    return buffer.getvalue()
