"""`meshnet-export`: writes a model as ONNX, TF.js or web bundle and verifies it, or writes a static copy of the
site."""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from export.export_model import FORMATS, export_model
from export.output import system_error
from export.replace import check_earlier, put_in_place
from export.to_site import write_site
from export.to_web import copy_picture
from meshnet.model.checkpoint import load_checkpoint
from meshnet.model.folders import file_in_the_way
from meshnet.model.shipped import default_models, find_model
from meshnet.model.spec import SpecError
from webapp.app import SiteNotBuiltError
from webapp.origins import Origins, add_arguments, origins_of


def main(argv: Sequence[str] | None = None) -> int:
    """Command line. Exit code 0; 2 if the export is impossible."""
    arguments = _parser().parse_args(argv)
    try:
        _export(arguments)
    except (SpecError, SiteNotBuiltError) as error:
        print(f"meshnet-export: {error}", file=sys.stderr)
        return 2
    except OSError as error:
        print(f"meshnet-export: {system_error(error, arguments.output)}; nothing was exported", file=sys.stderr)
        return 2
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="meshnet-export",
        description="Write a model as files that other software runs. Every file is verified against PyTorch; "
        "if one differs, nothing is kept.",
    )
    add = parser.add_argument
    add(
        "models",
        type=Path,
        nargs="*",
        metavar="MODEL_DIR",
        help="model folder (model.json + weights.safetensors) or known id; site takes several (default: all served)",
    )
    add(
        "--format",
        required=True,
        choices=(*FORMATS, "all", "site"),
        help="all: every file format, each in a folder of its name inside OUT_DIR; "
        "site: a static copy of the site with its models, for any web server",
    )
    add("-o", "--output", type=Path, required=True, metavar="OUT_DIR", help="folder to create")
    add(
        "--dtype",
        choices=("float32", "float16"),
        default="float32",
        help="dtype of the weights in ONNX files and web bundles; computation is float32; TF.js folders hold float32",
    )
    add("--logits", action="store_true", help="ONNX: add the output logits, [1, classes, D, H, W] at full size")
    add_arguments(parser.add_argument_group("with --format site (docs/embedding.md)"))
    add("--overwrite", action="store_true", help="replace OUT_DIR if it contains an earlier export and nothing else")
    return parser


def _export(arguments: argparse.Namespace) -> None:
    if arguments.format != "site" and len(arguments.models) != 1:
        raise SpecError(f"got {len(arguments.models)} models; --format {arguments.format} takes one MODEL_DIR")
    models = [find_model(model) for model in arguments.models]
    out = _checked_output(arguments.output, models or default_models(), overwrite=arguments.overwrite)
    out.parent.mkdir(parents=True, exist_ok=True)
    # Written beside the target, so that one rename puts it in place after the verification.
    with tempfile.TemporaryDirectory(prefix=f".{out.name}.", dir=out.parent) as scratch:
        new = Path(scratch) / "new"
        for line in _write(new, models, arguments):
            print(line)
        if out.exists():
            check_earlier(out, new, shown=arguments.output)
        put_in_place(new, out, aside=Path(scratch) / "earlier")
    for path in sorted(p for p in out.rglob("*") if p.is_file()):
        print(f"{path}  {path.stat().st_size:,} bytes")


def _checked_output(given: Path, sources: Sequence[Path], *, overwrite: bool) -> Path:
    """The absolute path of `given`.

    Raises SpecError if it can't be a folder, exists without --overwrite, or contains a source or the current folder.
    """
    out = given.resolve()
    blocker = file_in_the_way(out)
    if blocker is not None:
        raise SpecError(f"{given}: expected a folder to create, got the file {blocker}; choose another folder")
    here = Path.cwd()
    if out == here or out in here.parents:
        raise SpecError(f"{given}: is or contains the current folder; choose a new folder, e.g. -o exported")
    for source in sources:
        model = source.resolve()
        if out == model or out in model.parents:
            raise SpecError(f"{given}: is or contains the source {source}; choose a folder apart from it")
    if out.exists() and not overwrite:
        raise SpecError(f"{given}: exists already; choose another folder or add --overwrite")
    return out


def _write(new: Path, models: Sequence[Path], arguments: argparse.Namespace) -> Iterator[str]:
    """Write the export into the folder `new`; yields lines for the user."""
    if arguments.format == "site":
        if arguments.dtype != "float32" or arguments.logits:
            raise SpecError("--dtype and --logits shape single files; --format site copies models as they are served")
        yield from write_site(new, models, origins_of(arguments))
        return
    if origins_of(arguments) != Origins():
        raise SpecError("--scan-origin and --embed-origin are settings of the page; add --format site")
    spec, weights = load_checkpoint(models[0])
    for kind in FORMATS if arguments.format == "all" else (arguments.format,):
        folder = new / kind if arguments.format == "all" else new
        yield from export_model(folder, spec, weights, kind, dtype=arguments.dtype, logits=arguments.logits)
        if kind == "web":
            yield from copy_picture(models[0], folder)
