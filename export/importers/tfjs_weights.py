"""Read the binary weight shards of a TF.js model."""

from __future__ import annotations

import math
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from export.importers.source import Array
from meshnet.model.spec import SpecError


def read_weights(path: Path, content: Any) -> dict[str, Array]:
    """Tensors float32 by name, from the shards that the `weightsManifest` of `path` (`model.json`) lists.

    They may be stored as float16, and those of a graph model as int32. Raises SpecError if a shard is missing, its
    length differs from the manifest, or the encoding is another one.
    """
    tensors: dict[str, Array] = {}
    try:
        for group in content["weightsManifest"]:
            payload = b"".join(_read_shard(path, name) for name in group["paths"])
            offset = 0
            for entry in group["weights"]:
                dtype = _stored_dtype(path, entry)
                count = math.prod(entry["shape"])
                end = offset + count * dtype.itemsize
                if end > len(payload):
                    raise SpecError(
                        f"{path}: {', '.join(group['paths'])} has {len(payload)} bytes, {entry['name']!r} ends at "
                        f"{end}; the file is truncated, copy it again"
                    )
                array = np.frombuffer(payload, dtype, count, offset).astype(np.float32)
                tensors[entry["name"]] = array.reshape(entry["shape"])
                offset = end
            if offset != len(payload):
                raise SpecError(
                    f"{path}: {', '.join(group['paths'])} has {len(payload)} bytes, the manifest describes {offset}; "
                    f"model.json and .bin belong to different models"
                )
    except (KeyError, TypeError) as error:
        raise SpecError(f"{path}: malformed weightsManifest ({type(error).__name__}: {error})") from error
    return tensors


def _read_shard(path: Path, name: str) -> bytes:
    parts = PurePosixPath(name).parts
    if PurePosixPath(name).is_absolute() or ".." in parts:
        raise SpecError(f"{path}: shard {name!r} lies outside the model's folder")
    shard = path.parent.joinpath(*parts)
    if not shard.is_file():
        raise SpecError(f"{shard}: missing, though {path.name} names it; copy the whole folder")
    return shard.read_bytes()


def _stored_dtype(path: Path, entry: dict[str, Any]) -> np.dtype[Any]:
    stored = entry.get("quantization", {}).get("dtype", entry["dtype"])
    if entry["dtype"] == stored == "int32":  # shapes and paddings of a graph model
        return np.dtype("<i4")
    if entry["dtype"] != "float32" or stored not in ("float32", "float16"):
        raise SpecError(
            f"{path}: {entry['name']!r} is stored as {stored}; float32 and float16 are supported, "
            f"convert the model again without quantization to integers"
        )
    return np.dtype("<f4" if stored == "float32" else "<f2")
