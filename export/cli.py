"""`meshnet-export`: a model folder to ONNX, TF.js or a web bundle, verified before it is kept; or the whole site."""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from export.export_model import FORMATS, export_model
from export.output import file_in_the_way, system_error
from export.replace import check_earlier, put_in_place
from export.to_site import write_site
from meshnet.model.checkpoint import load_checkpoint
from meshnet.model.shipped import default_models, find_model
from meshnet.model.spec import SpecError
from webapp.app import SiteNotBuiltError


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point; returns the exit code (2 for a model that cannot be exported as asked)."""
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
        description="Write a model folder as files that other software runs. Every file is compared with PyTorch "
        "before it is kept; on a mismatch nothing is written.",
    )
    add = parser.add_argument
    add(
        "models",
        type=Path,
        nargs="*",
        metavar="MODEL_DIR",
        help="model folder (model.json + weights.safetensors) or known id; site takes several, default: all served",
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
        help="how ONNX files and web bundles store weights; computation is float32; TF.js folders hold float32",
    )
    add("--logits", action="store_true", help="ONNX: also give the logits, [1, classes, D, H, W] at full size")
    add("--overwrite", action="store_true", help="replace OUT_DIR where it is an earlier export, and nothing but that")
    return parser


def _export(arguments: argparse.Namespace) -> None:
    if arguments.format != "site" and len(arguments.models) != 1:
        raise SpecError(f"got {len(arguments.models)} models; --format {arguments.format} takes one MODEL_DIR")
    models = [find_model(model) for model in arguments.models]
    out = _checked_output(arguments.output, models or default_models(), overwrite=arguments.overwrite)
    out.parent.mkdir(parents=True, exist_ok=True)
    # Beside the target, so that it can be renamed into place when everything has been verified.
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
    """`given` in full; raises SpecError where it cannot be a folder, or replacing it would delete what is needed."""
    out = given.resolve()
    blocker = file_in_the_way(out)
    if blocker is not None:
        raise SpecError(f"{given}: expected a folder to create, got the file {blocker}; choose another folder")
    here = Path.cwd()
    if out == here or out in here.parents:
        raise SpecError(f"{given}: is the folder you are in, or one around it; choose a new folder, e.g. -o exported")
    for source in sources:
        model = source.resolve()
        if out == model or out in model.parents:
            raise SpecError(f"{given}: is or contains the source {source}; choose a folder apart from it")
    if out.exists() and not overwrite:
        raise SpecError(f"{given}: exists already; choose another folder or add --overwrite")
    return out


def _write(new: Path, models: Sequence[Path], arguments: argparse.Namespace) -> Iterator[str]:
    """Write what was asked for into `new`; yields lines for the user."""
    if arguments.format == "site":
        if arguments.dtype != "float32" or arguments.logits:
            raise SpecError("--dtype and --logits shape single files; --format site copies models as they are served")
        yield from write_site(new, models)
        return
    spec, weights = load_checkpoint(models[0])
    for kind in FORMATS if arguments.format == "all" else (arguments.format,):
        folder = new / kind if arguments.format == "all" else new
        yield from export_model(folder, spec, weights, kind, dtype=arguments.dtype, logits=arguments.logits)
