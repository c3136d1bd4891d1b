"""The model catalogue: reads model folders and lists them for the page.

Models are served as web bundles with BatchNorm folded, packed in memory at start, so that a model folder written by
training can be used unchanged. A folder that can't be served is listed as broken with the reason and doesn't stop the
server.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from meshnet.model.checkpoint import load_checkpoint, pack_checkpoint
from meshnet.model.graph import fold_spec, folded_weights
from meshnet.model.spec import PICTURE_FILE, BatchNorm, Label, ModelSpec, SpecError, dump_spec, parameter_count
from webapp.files import StoredFile, media_type

#: The first usable one of these is the default model.
DEFAULT_IDS = ("t2-lesion", "brainchop-t2-lesion", "tissue")

CARD = "README.md"

#: A larger picture of a model is not served: a list shows it small, and every visitor keeps it.
LARGEST_PICTURE_BYTES = 100_000

#: A picture in a model card: `![Dice by volume](dice.png)`, a file of the model's folder.
_PICTURE = re.compile(r"!\[[^\]]*\]\((?:\./)?([A-Za-z0-9][A-Za-z0-9._-]*\.(?:png|jpe?g|webp|svg))\)")


class ModelsFolderError(ValueError):
    """A folder given with --models that contains no model folders. The message says what to give instead."""


@dataclass(frozen=True)
class Model:
    """One model folder. spec, files: as served; broken: the reason if it can't be served."""

    folder: Path
    spec: ModelSpec | None = None
    files: dict[str, StoredFile] = field(default_factory=dict)
    broken: str | None = None


def read_models(folders: Sequence[Path]) -> list[Model]:
    """Every model folder in `folders`, in the order of the catalogue.

    Raises ModelsFolderError if one of `folders` doesn't exist or is a model folder itself.
    """
    return arrange([read_model(folder) for parent in folders for folder in _model_folders(parent)])


def arrange(models: Sequence[Model]) -> list[Model]:
    """Sort by `DEFAULT_IDS`, then by id, broken ones last. Of two models with one id the second becomes broken."""
    arranged: list[Model] = []
    taken: dict[str, Path] = {}
    for model in models:
        if model.spec is None or model.spec.id not in taken:
            arranged.append(model)
            if model.spec is not None:
                taken[model.spec.id] = model.folder
            continue
        first = taken[model.spec.id]
        reason = f"its id {model.spec.id!r} is taken by {first.parent.name}/{first.name}; give one another id"
        arranged.append(Model(model.folder, broken=reason))
    return sorted(arranged, key=_place)


def read_model(folder: Path) -> Model:
    """Read a model folder and pack the bundle that is served; a Model with `broken` if it can't be read."""
    try:
        spec, weights = load_checkpoint(folder)
        if isinstance(spec.architecture.norm, BatchNorm):
            spec, payload = pack_checkpoint(fold_spec(spec), folded_weights(spec, weights))
        else:
            payload = (folder / spec.weights.file).read_bytes()
        picture = read_picture(folder)
        files = {
            "model.json": StoredFile(dump_spec(spec).encode(), media_type("model.json")),
            spec.weights.file: StoredFile(payload, media_type(spec.weights.file)),
            **_card_files(folder),
            **({} if picture is None else {PICTURE_FILE: StoredFile(picture, media_type(PICTURE_FILE))}),
        }
    except (SpecError, OSError, UnicodeDecodeError) as error:
        # The page shows this message to visitors: it has the folder's name, not the server's paths.
        return Model(folder, broken=str(error).replace(f"{folder}", folder.name))
    return Model(folder, spec=spec, files=files)


def read_picture(folder: Path) -> bytes | None:
    """The picture of a model in the list; None where it is missing, no PNG or larger than a list needs."""
    picture = folder / PICTURE_FILE
    if not picture.is_file() or picture.stat().st_size > LARGEST_PICTURE_BYTES:
        return None
    body = picture.read_bytes()
    return body if body.startswith(b"\x89PNG") else None


def default_id(models: Sequence[Model]) -> str | None:
    """Id of the default model; None if no model is usable."""
    ids = [m.spec.id for m in models if m.spec]
    return next((i for i in DEFAULT_IDS if i in ids), min(ids, default=None))


def catalogue_files(models: Sequence[Model], *, extra: dict[str, Any]) -> dict[str, StoredFile]:
    """`api/models` and the files of every model by URL path. extra: further top-level fields of the catalogue."""
    default = default_id(models)
    listing = {**extra, "models": [_entry(m, default) for m in models]}
    files = {"api/models": StoredFile(json.dumps(listing, indent=1).encode(), "application/json")}
    for model in models:
        if model.spec:
            files.update({f"models/{model.spec.id}/{name}": file for name, file in model.files.items()})
    return files


def _place(model: Model) -> tuple[int, str]:
    if model.spec is None:
        return (len(DEFAULT_IDS) + 1, "")
    known = DEFAULT_IDS.index(model.spec.id) if model.spec.id in DEFAULT_IDS else len(DEFAULT_IDS)
    return (known, model.spec.id)


def _entry(model: Model, default: str | None) -> dict[str, Any]:
    """One element of the catalogue's `models` (docs/server.md)."""
    if model.spec is None:
        label = f"{model.folder.parent.name}/{model.folder.name}"
        return {"id": label, "name": model.folder.name, "default": False, "broken": model.broken}
    spec = model.spec
    url = f"models/{spec.id}/"
    return {
        "id": spec.id,
        "name": spec.name,
        "task": spec.task,
        "modality": list(spec.modality),
        "description": spec.description,
        "labels": [_label_entry(x) for x in spec.labels],
        "parameters": parameter_count(spec.architecture),
        "license": spec.provenance.license,
        "bytes": sum(len(model.files[name].body) for name in ("model.json", spec.weights.file)),
        "url": url,
        "files": ["model.json", spec.weights.file],
        "card": url + CARD if CARD in model.files else None,
        "picture": url + PICTURE_FILE if PICTURE_FILE in model.files else None,
        "default": spec.id == default,
        "broken": None,
    }


def _label_entry(label: Label) -> dict[str, Any]:
    """A label of the catalogue. As in model.json, `role` is there only where the label has one."""
    entry = {"index": label.index, "name": label.name, "color": list(label.color)}
    return entry if label.role is None else {**entry, "role": label.role}


def _model_folders(parent: Path) -> list[Path]:
    if not parent.is_dir():
        raise ModelsFolderError(f"{parent}: no such folder; --models takes a folder that holds model folders")
    if (parent / "model.json").exists():
        raise ModelsFolderError(f"{parent}: is itself a model; --models takes the folder above it: {parent.parent}")
    return sorted(
        p for p in parent.iterdir() if p.is_dir() and not p.name.startswith((".", "__")) and _has_description(p)
    )


def _has_description(folder: Path) -> bool:
    """Whether a folder is meant as a model: it has a model.json, or a broken link of that name. Other folders are
    ignored."""
    description = folder / "model.json"
    try:
        return description.is_symlink() or description.exists()
    except OSError:  # no permission; reading the model reports it
        return True


def _card_files(folder: Path) -> dict[str, StoredFile]:
    """The model card and its pictures. No other file of the folder is served."""
    card = folder / CARD
    if not card.is_file():
        return {}
    text = card.read_text(encoding="utf-8")
    pictures = [name for name in _PICTURE.findall(text) if (folder / name).is_file()]
    return {name: StoredFile((folder / name).read_bytes(), media_type(name)) for name in [CARD, *pictures]}
