"""`meshnet-import`: converts a model of another project to a model folder."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import cast

from pydantic import TypeAdapter, ValidationError

from export.import_model import Answers, import_model
from export.importers.labels import read_labels
from export.output import system_error
from meshnet.model.checkpoint import save_checkpoint
from meshnet.model.folders import file_in_the_way
from meshnet.model.spec import (
    Activation,
    Label,
    MinMax,
    Normalization,
    Quantile,
    SpecError,
    make_labels,
    parameter_count,
)


def main(argv: Sequence[str] | None = None) -> int:
    """Command line. Exit code 0; 2 for a model or a flag that can't be used."""
    arguments = _parser().parse_args(argv)
    try:
        _check_output(arguments.output, overwrite=arguments.overwrite)
        imported = import_model(arguments.source, _answers(arguments))
        spec = save_checkpoint(arguments.output, imported.spec, imported.weights)
    except SpecError as error:
        print(f"meshnet-import: {error}", file=sys.stderr)
        return 2
    except OSError as error:
        print(f"meshnet-import: {system_error(error, arguments.output)}; nothing was imported", file=sys.stderr)
        return 2
    for note in imported.notes:
        print(f"note: {note}")
    a = spec.architecture
    print(
        f"{arguments.output}: {spec.id}, {imported.kind}: {len(a.dilations)} layers of {a.channels} channels, "
        f"{a.classes} classes, {a.activation}, norm {a.norm.kind}, {parameter_count(a):,} parameters"
    )
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="meshnet-import",
        description="Convert a trained MeshNet of another project to a model folder (model.json and weights). "
        "Facts that the source states are read from it; the others have to be given with flags; "
        "a flag that contradicts the source is an error.",
    )
    add = parser.add_argument
    add(
        "source",
        type=Path,
        metavar="SOURCE",
        help="TF.js folder or model.json, .pth/.pt/.safetensors (state_dict or TorchScript), .onnx, or folder",
    )
    add("-o", "--output", type=Path, required=True, metavar="MODEL_DIR", help="model folder to write")
    add("--overwrite", action="store_true", help="replace the model that MODEL_DIR holds")
    add("--id", help="id of the model (lower case letters, digits, . _ -); default: from the source's name")
    add("--activation", choices=("relu", "elu", "gelu", "gelu_tanh"), help="gelu is the exact erf form")
    add("--dilations", metavar="1,2,4,…", help="dilation in voxels of each 3x3x3 layer, without the classifier")
    add("--norm", choices=("none", "batch", "group"), help="norm after each 3x3x3 layer; group: one group per channel")
    add(
        "--labels",
        metavar="NAMES|FILE.json",
        help="names separated by commas, or brainchop's colormap.json; index 0 first",
    )
    add(
        "--normalize",
        metavar="minmax|quantile:LOW,HIGH",
        help="how intensities are scaled to [0, 1]; quantiles are fractions; the result is clipped "
        "unless ,noclip is added",
    )
    add("--orientation", metavar="LIA|RAS", help="directions in which the network's axes D, H, W increase")
    add("--name", help="name shown to users; default: the id")
    add("--description", help="one or two sentences shown to users")
    add("--task", help="what is segmented, e.g. 'stroke lesion'")
    add("--modality", metavar="T1w,T2w", help="BIDS suffixes of the scans the model was made for, separated by commas")
    add("--license", help="licence of the weights, e.g. MIT")
    add("--citation", help="how to cite the weights")
    return parser


def _check_output(out: Path, *, overwrite: bool) -> None:
    """Raise SpecError if `out` can't be a model folder, or contains a model and --overwrite is not given."""
    blocker = file_in_the_way(out)
    if blocker is not None:
        raise SpecError(f"{out}: expected a model folder to write, got the file {blocker}; choose another folder")
    description = out / "model.json"
    if description.is_dir():
        raise SpecError(f"{description}: expected a file or nothing, got a folder; choose another folder")
    if description.exists() and not overwrite:
        raise SpecError(f"{out}: holds a model already; choose another folder or add --overwrite")


def _answers(arguments: argparse.Namespace) -> Answers:
    given = {k: v for k, v in {"license": arguments.license, "citation": arguments.citation}.items() if v is not None}
    return Answers(
        activation=cast(Activation | None, arguments.activation),
        dilations=parse_dilations(arguments.dilations) if arguments.dilations else None,
        norm=arguments.norm,
        labels=parse_labels(arguments.labels) if arguments.labels else None,
        normalization=parse_normalization(arguments.normalize) if arguments.normalize else None,
        orientation=arguments.orientation,
        id=arguments.id,
        name=arguments.name,
        description=arguments.description,
        task=arguments.task,
        modality=tuple(arguments.modality.split(",")) if arguments.modality else None,
        provenance=given,
    )


def parse_dilations(text: str) -> tuple[int, ...]:
    """Parse `1,2,4` to (1, 2, 4). Raises SpecError for anything but whole numbers from 1 to 64."""
    try:
        dilations = tuple(int(part) for part in text.split(","))
    except ValueError as error:
        raise SpecError(
            f"--dilations {text}: expected whole numbers separated by commas, e.g. 1,2,4,8,16,8,4,2,1"
        ) from error
    if not all(1 <= d <= 64 for d in dilations):
        raise SpecError(f"--dilations {text}: expected numbers from 1 to 64")
    return dilations


def parse_labels(text: str) -> tuple[Label, ...]:
    """Labels from names separated by commas (colours of the fixed palette), or from a `.json` file."""
    if text.endswith(".json"):
        return read_labels(Path(text))
    names = [name.strip() for name in text.split(",")]
    if not all(names):
        raise SpecError(f"--labels {text}: an empty name; expected names separated by commas, e.g. background,lesion")
    return make_labels(names)


def parse_normalization(text: str) -> Normalization:
    """Parse `minmax`, `quantile:LOW,HIGH` or `quantile:LOW,HIGH,noclip`; LOW and HIGH are fractions, 0 to 1."""
    if text == "minmax":
        return MinMax()
    kind, _, rest = text.partition(":")
    values = rest.split(",")
    clip = values[-1] != "noclip"
    try:
        if kind != "quantile":
            raise ValueError(f"unknown normalisation {kind!r}")
        low, high = (float(value) for value in (values if clip else values[:-1]))
        return TypeAdapter(Quantile).validate_python({"low": low, "high": high, "clip": clip})
    except (ValueError, ValidationError) as error:
        raise SpecError(f"--normalize {text}: expected minmax or quantile:LOW,HIGH, e.g. quantile:0.02,0.98") from error
