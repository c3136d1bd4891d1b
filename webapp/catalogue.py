"""The model catalogue: model folders on disk to what the page lists and downloads.

Models are served as folded web bundles (BatchNorm folded into its convolution), packed in memory at
start, so a training checkpoint can be put into a models folder as it is. A folder that cannot be
served is listed as broken with its reason; it never stops the server.
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
from meshnet.model.spec import BatchNorm, ModelSpec, SpecError, dump_spec, parameter_count
from webapp.files import StoredFile, media_type

#: The first of these that is usable is what a visitor gets without choosing.
DEFAULT_IDS = ("t2-lesion", "brainchop-t2-lesion", "tissue")

CARD = "README.md"

#: Pictures of a model card: `![Dice by volume](dice.png)`, in the model's own folder.
_PICTURE = re.compile(r"!\[[^\]]*\]\((?:\./)?([A-Za-z0-9][A-Za-z0-9._-]*\.(?:png|jpe?g|webp|svg))\)")


class ModelsFolderError(ValueError):
    """A folder given as a models folder is none; the message says what to give instead."""


@dataclass(frozen=True)
class Model:
    """One model folder: its spec and files as served, or the reason why it cannot be."""

    folder: Path
    spec: ModelSpec | None = None
    files: dict[str, StoredFile] = field(default_factory=dict)
    broken: str | None = None


def read_models(folders: Sequence[Path]) -> list[Model]:
    """Every model folder inside `folders`, arranged for the catalogue.

    Raises ModelsFolderError where one of `folders` does not exist or is itself a model.
    """
    return arrange([read_model(folder) for parent in folders for folder in _model_folders(parent)])


def arrange(models: Sequence[Model]) -> list[Model]:
    """In the order of `DEFAULT_IDS`, then by id, broken ones last; of two with the same id the second is broken."""
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
    """A model folder as the folded bundle that is served; broken with its reason where it cannot be read."""
    try:
        spec, weights = load_checkpoint(folder)
        if isinstance(spec.architecture.norm, BatchNorm):
            spec, payload = pack_checkpoint(fold_spec(spec), folded_weights(spec, weights))
        else:
            payload = (folder / spec.weights.file).read_bytes()
        files = {
            "model.json": StoredFile(dump_spec(spec).encode(), media_type("model.json")),
            spec.weights.file: StoredFile(payload, media_type(spec.weights.file)),
            **_card_files(folder),
        }
    except (SpecError, OSError, UnicodeDecodeError) as error:
        # The page shows this to visitors: the folder's name helps them, the server's paths do not.
        return Model(folder, broken=str(error).replace(f"{folder}", folder.name))
    return Model(folder, spec=spec, files=files)


def default_id(models: Sequence[Model]) -> str | None:
    """Id of the model that is chosen for the visitor; None where no model is usable."""
    ids = [m.spec.id for m in models if m.spec]
    return next((i for i in DEFAULT_IDS if i in ids), min(ids, default=None))


def catalogue_files(models: Sequence[Model], *, extra: dict[str, Any]) -> dict[str, StoredFile]:
    """`api/models` and every model's files by URL path; `extra` joins the top level of the catalogue."""
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
    """One element of the catalogue's `models`, as documented in docs/server.md."""
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
        "labels": [{"index": x.index, "name": x.name, "color": list(x.color)} for x in spec.labels],
        "parameters": parameter_count(spec.architecture),
        "license": spec.provenance.license,
        "bytes": sum(len(model.files[name].body) for name in ("model.json", spec.weights.file)),
        "url": url,
        "files": ["model.json", spec.weights.file],
        "card": url + CARD if CARD in model.files else None,
        "default": spec.id == default,
        "broken": None,
    }


def _model_folders(parent: Path) -> list[Path]:
    if not parent.is_dir():
        raise ModelsFolderError(f"{parent}: no such folder; --models takes a folder that holds model folders")
    if (parent / "model.json").exists():
        raise ModelsFolderError(f"{parent}: is itself a model; --models takes the folder above it: {parent.parent}")
    return sorted(
        p for p in parent.iterdir() if p.is_dir() and not p.name.startswith((".", "__")) and _has_description(p)
    )


def _has_description(folder: Path) -> bool:
    """Whether it is meant as a model. Other folders (notes, scans) are nobody's mistake; a lost link is."""
    description = folder / "model.json"
    try:
        return description.is_symlink() or description.exists()
    except OSError:  # no right to look: reading the model says so
        return True


def _card_files(folder: Path) -> dict[str, StoredFile]:
    """The model card and the pictures it shows; nothing else of the folder is ever served."""
    card = folder / CARD
    if not card.is_file():
        return {}
    text = card.read_text(encoding="utf-8")
    pictures = [name for name in _PICTURE.findall(text) if (folder / name).is_file()]
    return {name: StoredFile((folder / name).read_bytes(), media_type(name)) for name in [CARD, *pictures]}
