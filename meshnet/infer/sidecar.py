"""The JSON file beside a result that says how it was made. docs/sidecar.md documents the keys.

The page writes the same keys: `static/src/generated/sidecar.ts` is generated from these classes
(`python -m meshnet.infer.sidecar` prints the JSON Schema), and `static/src/volume/sidecar.ts` fills them.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from meshnet.model.spec import Label, ModelSpec
from meshnet.scan.notes import Note
from meshnet.scan.replacing import replacing
from meshnet.version import __version__

FORMAT = "meshnet-result"


class SidecarPart(BaseModel):
    model_config = ConfigDict(
        extra="forbid", frozen=True, populate_by_name=True, json_schema_serialization_defaults_required=True
    )


class Software(SidecarPart):
    name: Literal["MeshNet"] = "MeshNet"
    version: str
    interface: Literal["command line", "page", "Python"] = Field(description="what the user ran")


class ModelUsed(SidecarPart):
    id: str
    name: str
    sha256: str = Field(pattern="^[0-9a-f]{64}$", description="of the weights file")


class Engine(SidecarPart):
    backend: str = Field(description="'cpu', 'onnx' or 'torch'; in the page 'webgpu', 'webgl2', 'cpu' or 'tfjs'")
    device: str = Field(description="the processor or graphics device, as the engine names it")


class SourceFile(SidecarPart):
    """The scan."""

    name: str = Field(description="file name without folders; of a DICOM series the name of its converted file")
    sha256: str | None = Field(
        default=None,
        pattern="^[0-9a-f]{64}$",
        description="of the file as it lies on disk; of several files (a pair, a DICOM series) the SHA-256 of their "
        "digests in hex, sorted and joined by line feeds; null for a scan that came from no file",
    )
    frame: int | None = Field(default=None, ge=0, description="frame of a 4-D scan, counted from 0")


class Settings(SidecarPart):
    """Options that change the labels; the defaults are those of a plain run."""

    threshold: float | None = Field(
        default=None, ge=0, le=1, description="on the lesion's probability; null: the most probable label wins"
    )
    flip: bool = Field(default=False, description="averaged with the left-right mirror image")
    remove_below_ml: float | None = Field(
        default=None, gt=0, description="components below this volume became background; null: none did"
    )
    keep_outside_brain: bool = Field(
        default=False,
        description="lesions or pieces outside the brain were kept; concerns models with lesion and tissue labels, and "
        "models of one brain",
    )
    all_labels: bool = Field(default=False, description="the file has the tissue around the lesion too")


class VolumeOfLabel(SidecarPart):
    """Counted on the scan's own grid, whatever grid the labels are saved on."""

    index: int = Field(ge=0, le=255)
    name: str
    voxels: int = Field(ge=0)
    volume_ml: float = Field(ge=0)


class NoteText(SidecarPart):
    code: str
    text: str


class Sidecar(SidecarPart):
    """How a result was made, and what was found."""

    format: Literal["meshnet-result"] = "meshnet-result"
    version: Literal[1] = 1
    software: Software
    created: str = Field(description="ISO 8601, UTC")
    command: str | None = Field(default=None, description="the command line, null elsewhere")
    model: ModelUsed
    engine: Engine
    source: SourceFile
    space: Literal["native", "conformed"] = Field(default="native", description="grid of the saved labels")
    settings: Settings
    edits: tuple[str, ...] = Field(default=(), description="tools that changed the labels by hand; empty: none did")
    volumes: tuple[VolumeOfLabel, ...]
    notes: tuple[NoteText, ...]
    bids_description: str | None = Field(default=None, alias="Description", exclude_if=lambda value: value is None)
    bids_sources: tuple[str, ...] | None = Field(
        default=None, alias="Sources", exclude_if=lambda value: value is None, description="BIDS URIs"
    )
    bids_spatial_reference: str | None = Field(
        default=None, alias="SpatialReference", exclude_if=lambda value: value is None
    )
    bids_type: str | None = Field(default=None, alias="Type", exclude_if=lambda value: value is None)


def make_sidecar(
    spec: ModelSpec,
    *,
    interface: Literal["command line", "Python"],
    engine: Engine,
    source: SourceFile,
    settings: Settings,
    volumes: Sequence[tuple[Label, int, float]],
    notes: Sequence[Note],
    command: str | None = None,
    space: Literal["native", "conformed"] = "native",
) -> Sidecar:
    """The sidecar of a result that is made now. volumes: `(label, voxels, volume_ml)` of each label."""
    return Sidecar(
        software=Software(version=__version__, interface=interface),
        created=datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        command=None if command is None else _encodable(command),
        model=ModelUsed(id=spec.id, name=spec.name, sha256=spec.weights.sha256),
        engine=engine,
        source=source,
        space=space,
        settings=settings,
        volumes=tuple(
            VolumeOfLabel(index=label.index, name=label.name, voxels=voxels, volume_ml=round(ml, 4))
            for label, voxels, ml in volumes
        ),
        notes=tuple(NoteText(code=note.code, text=note.text) for note in notes),
    )


def dump_sidecar(sidecar: Sidecar) -> str:
    """The text of the file: keys in fixed order, indented by two spaces, with a final newline."""
    return sidecar.model_dump_json(by_alias=True, indent=2) + "\n"


def source_file(name: str, files: Sequence[Path], *, frame: int | None = None) -> SourceFile:
    """The scan of this name, which was read from these files; none for a scan in memory."""
    digest = sha256_of_files(files) if files else None
    return SourceFile(name=_encodable(name), sha256=digest, frame=frame)


def write_sidecar(path: Path, sidecar: Sidecar) -> None:
    """Write the file, replacing it atomically."""
    with replacing(path) as partial:
        partial.write_text(dump_sidecar(sidecar), encoding="utf-8")


def read_sidecar(path: Path) -> Sidecar | None:
    """The sidecar, or None for a file that is missing, damaged or no sidecar."""
    try:
        return Sidecar.model_validate_json(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, ValidationError):
        return None


def is_free_for_sidecar(path: Path) -> bool:
    """Whether a sidecar may be written there: nothing is there, or a sidecar of any version."""
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return True
    except (OSError, UnicodeDecodeError, json.JSONDecodeError):
        return False
    return isinstance(data, dict) and data.get("format") == FORMAT


def sha256_of_files(files: Sequence[Path]) -> str:
    """SHA-256 in hex of a file; of several files that of their digests (`SourceFile.sha256` says how)."""
    digests = []
    for file in files:
        with file.open("rb") as stream:
            digests.append(hashlib.file_digest(stream, "sha256").hexdigest())
    return digests[0] if len(digests) == 1 else hashlib.sha256("\n".join(sorted(digests)).encode()).hexdigest()


def _encodable(text: str) -> str:
    """The text with bytes of a file name that are not UTF-8 as escapes."""
    return text.encode("utf-8", "backslashreplace").decode()


if __name__ == "__main__":
    print(json.dumps(Sidecar.model_json_schema(mode="serialization"), indent=2))
