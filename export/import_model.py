"""Import a model of another project: read the facts that the source states, ask for the others, guess none.

`meshnet-import` calls `import_model(source, answers)`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from pydantic import ValidationError

from export.importers.described import read_described
from export.importers.labels import read_json
from export.importers.own import read_bundle, read_onnx
from export.importers.source import TORCH_EPS, Norm, Source, weights_of
from export.importers.tfjs import is_tfjs, read_tfjs
from meshnet.model.checkpoint import Weights, check_weights
from meshnet.model.spec import (
    FORMAT,
    Activation,
    Architecture,
    BatchNorm,
    GroupNorm,
    InputSpec,
    Label,
    ModelSpec,
    NoNorm,
    Normalization,
    Provenance,
    SpecError,
    WeightsFile,
    slug,
)

_T = TypeVar("_T")

#: The flag that answers each question; errors name it.
_FLAGS = {
    "activation": "--activation relu|elu|gelu",
    "dilations": "--dilations 1,2,4,8,16,8,4,2,1",
    "norm": "--norm none|batch|group",
    "labels": "--labels background,lesion (or a colormap.json)",
    "normalization": "--normalize minmax|quantile:0.02,0.98",
    "orientation": "--orientation LIA|RAS",
}


@dataclass(frozen=True)
class Answers:
    """Facts that the user states; None: not stated, which is an error only if the source doesn't state the fact either.

    norm: 'none', 'batch' or 'group'. The descriptive fields (id to provenance) replace those of the source.
    """

    activation: Activation | None = None
    dilations: tuple[int, ...] | None = None
    norm: str | None = None
    labels: tuple[Label, ...] | None = None
    normalization: Normalization | None = None
    orientation: str | None = None
    id: str | None = None
    name: str | None = None
    description: str | None = None
    task: str | None = None
    modality: tuple[str, ...] | None = None
    provenance: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Imported:
    """A model ready for `save_checkpoint`. kind: the format that was read; notes: messages for the user."""

    spec: ModelSpec
    weights: Weights
    kind: str
    notes: tuple[str, ...]


def import_model(path: Path, answers: Answers) -> Imported:
    """Read the model at `path` (folder or file). The format is recognised by content.

    Accepted are TF.js layers models (brainchop's and others, Keras 2 and 3), brainchop's .pth files with their json,
    safetensors, PyTorch, TorchScript and ONNX files of plain chains, and this project's model folders and exports.

    Raises SpecError, which names the flag, if a fact is neither in the source nor in `answers` or if the two disagree,
    and for everything that a MeshNet can't express.
    """
    source = read_source(path)
    try:
        facts = _resolve(source, answers)
        weights = weights_of(source)
        check_weights(facts.architecture, weights, where=source.where)
        spec = _describe(path, source, answers, facts)
    except ValidationError as error:
        first = error.errors()[0]
        field_name = ".".join(str(part) for part in first["loc"])
        raise SpecError(f"{source.where}: {field_name}: {first['msg']} (got {first['input']!r})") from error
    return Imported(spec, weights, source.kind, (*source.notes, *facts.notes))


def read_source(path: Path) -> Source:
    """Recognise the format by content and read the model. Raises SpecError for an unknown format."""
    if not path.exists():
        raise SpecError(f"{path}: no such file or folder")
    file = _model_file(path) if path.is_dir() else path
    if file.suffix == ".json":
        content = read_json(file)
        if is_tfjs(content):
            return read_tfjs(file)
        if isinstance(content, dict) and content.get("format") == FORMAT:
            return read_bundle(file.parent)
        raise SpecError(f"{file}: neither a TF.js layers model nor a {FORMAT} description")
    if file.suffix == ".onnx":
        return read_onnx(file)
    return read_described(file)


def _model_file(folder: Path) -> Path:
    """The file to read in a folder: `model.json` if it is a model, else the only file of weights."""
    description = folder / "model.json"
    if description.exists():
        content = read_json(description)
        if is_tfjs(content) or (isinstance(content, dict) and content.get("format") == FORMAT):
            return description
    if (folder / "saved_model.pb").exists():
        raise SpecError(
            f"{folder}: a TensorFlow SavedModel, that is compiled operations instead of layers; "
            f"convert the Keras model to TF.js: tensorflowjs.converters.save_keras_model(model, FOLDER)"
        )
    files = sorted(p for p in folder.iterdir() if p.suffix in (".safetensors", ".pth", ".pt", ".ckpt", ".onnx"))
    if len(files) != 1:
        raise SpecError(
            f"{folder}: found {[p.name for p in files] or 'no model'}; expected a model.json or one file of weights "
            f"(.safetensors, .pth, .pt, .ckpt, .onnx); name the file instead of the folder"
        )
    return files[0]


@dataclass(frozen=True)
class _Facts:
    architecture: Architecture
    labels: tuple[Label, ...]
    input: InputSpec
    notes: tuple[str, ...]


def _resolve(source: Source, answers: Answers) -> _Facts:
    """Take every fact from the source or from the answers."""
    open_questions: list[str] = []

    def settle(name: str, said: _T | None, answered: _T | None) -> Any:
        if said is None and answered is None:
            open_questions.append(name)
        elif said is not None and answered is not None and said != answered:
            raise SpecError(
                f"{source.where}: {_FLAGS[name].split()[0]} contradicts the source, which states "
                f"{_show(said)}, not {_show(answered)}; leave the flag out"
            )
        return answered if said is None else said

    said_labels, notes = _labels_said(source, answers)
    given = source.spec.input if source.spec else None
    dilations = settle("dilations", source.dilations, answers.dilations)
    activation = settle("activation", source.activation, answers.activation)
    norm = settle("norm", source.norm, _norm_answered(source, answers))
    labels = settle("labels", said_labels, _same_names(said_labels, answers.labels))
    normalization = settle("normalization", given.normalization if given else None, answers.normalization)
    orientation = settle("orientation", given.orientation if given else None, answers.orientation)
    if open_questions:
        flags = ", ".join(_FLAGS[name] for name in open_questions)
        raise SpecError(
            f"{source.where}: the source does not state the {', '.join(open_questions)}; state it with {flags}"
            + "".join(f"\n  ({note})" for note in (*source.notes, *notes))
        )
    if len(dilations) != len(source.convolutions) - 1:
        raise SpecError(
            f"{source.where}: {len(dilations)} dilations for {len(source.convolutions) - 1} layers of 3x3x3; "
            f"give one for each, without the 1x1x1 classifier"
        )
    if len(labels) != source.classes:
        raise SpecError(f"{source.where}: {len(labels)} labels for {source.classes} classes; give one name per class")
    architecture = Architecture(
        in_channels=source.in_channels,
        channels=source.channels,
        classes=source.classes,
        dilations=dilations,
        activation=activation,
        norm=norm,
        conv_bias=source.convolutions[0].bias is not None,
        classifier_bias=source.convolutions[-1].bias is not None,
    )
    if source.spec is not None and architecture != source.spec.architecture:
        raise SpecError(
            f"{source.where}: the embedded description says {source.spec.architecture!r}, the file itself "
            f"{architecture!r}; the file was changed after export"
        )
    model_input = given or InputSpec(orientation=orientation, normalization=normalization)
    return _Facts(architecture, labels, model_input, notes)


def _same_names(said: tuple[Label, ...] | None, answered: tuple[Label, ...] | None) -> tuple[Label, ...] | None:
    """The source's labels, which have colours, if the answered names are the same; else the answered labels."""
    if said is not None and answered is not None and [a.name for a in said] == [b.name for b in answered]:
        return said
    return answered


def _norm_answered(source: Source, answers: Answers) -> Norm | None:
    """The norm that the user stated; with the source's parameters if the source states the same kind."""
    if answers.norm is None or (source.norm is not None and source.norm.kind == answers.norm):
        return source.norm
    if answers.norm == "batch":
        if source.norm is None:
            raise SpecError(f"{source.where}: --norm batch, but the source has no BatchNorm tensors")
        return BatchNorm()
    return NoNorm() if answers.norm == "none" else GroupNorm(affine=False, eps=TORCH_EPS)


def _labels_said(source: Source, answers: Answers) -> tuple[tuple[Label, ...] | None, tuple[str, ...]]:
    """The source's labels and notes. A colour table of another class count is refused unless the user states labels."""
    if source.spec is not None:
        return source.spec.labels, ()
    if source.labels is None or len(source.labels) == source.classes:
        return source.labels, ()
    note = f"{source.labels_file} has {len(source.labels)} labels, the model has {source.classes} classes"
    if answers.labels is None:
        raise SpecError(f"{source.where}: {note}; give the right ones with {_FLAGS['labels']}")
    return None, (f"{note}; it is not used",)


def _describe(path: Path, source: Source, answers: Answers, facts: _Facts) -> ModelSpec:
    stated = {name: getattr(answers, name) for name in ("id", "name", "description", "task", "modality")}
    fields = {name: value for name, value in stated.items() if value is not None}
    if source.spec is not None:
        fields["provenance"] = {**dict(source.spec.provenance), **answers.provenance}
        return ModelSpec.model_validate({**dict(source.spec), **fields})
    model_id = fields.pop("id", slug(path.resolve().name if path.is_dir() else path.stem))
    fields = {"name": model_id, **fields}
    return ModelSpec(
        id=model_id,
        provenance=Provenance(**{"source": f"{path.resolve().name} ({source.kind})", **answers.provenance}),
        architecture=facts.architecture,
        input=facts.input,
        labels=facts.labels,
        weights=WeightsFile(sha256="0" * 64),  # replaced when the weights are written
        **fields,
    )


def _show(value: object) -> str:
    if isinstance(value, tuple):
        parts = [f"{v.name} {v.color}" if isinstance(v, Label) else str(v) for v in value]
        return ",".join(parts[:20]) + (",…" if len(parts) > 20 else "")
    return str(getattr(value, "kind", value))
