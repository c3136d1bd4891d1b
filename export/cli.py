"""`meshnet-export`: a model folder to ONNX, TF.js or a web bundle, verified before it is kept."""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from export.export_model import FORMATS, export_model
from meshnet.checkpoint import load_checkpoint
from meshnet.spec import SpecError


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point; returns the exit code (2 for a model that cannot be exported as asked)."""
    arguments = _parser().parse_args(argv)
    try:
        _export(arguments)
    except SpecError as error:
        print(f"meshnet-export: {error}", file=sys.stderr)
        return 2
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="meshnet-export",
        description="Write a model folder as files that other software runs. Every file is compared with PyTorch "
        "before it is kept; on a mismatch nothing is written.",
    )
    add = parser.add_argument
    add("model", type=Path, metavar="MODEL_DIR", help="model folder (model.json + weights.safetensors)")
    add("--format", required=True, choices=(*FORMATS, "all"), help="all: each in a folder of its name inside OUT_DIR")
    add("-o", "--output", type=Path, required=True, metavar="OUT_DIR", help="folder to create")
    add(
        "--dtype",
        choices=("float32", "float16"),
        default="float32",
        help="how ONNX files and web bundles store weights; computation is float32; TF.js folders hold float32",
    )
    add("--logits", action="store_true", help="ONNX: also give the logits, [1, classes, D, H, W] at full size")
    add("--overwrite", action="store_true", help="replace OUT_DIR where it exists")
    return parser


def _export(arguments: argparse.Namespace) -> None:
    out: Path = arguments.output
    if out.exists() and not arguments.overwrite:
        raise SpecError(f"{out}: exists already; choose another folder or add --overwrite")
    spec, weights = load_checkpoint(arguments.model)
    out.parent.mkdir(parents=True, exist_ok=True)
    # Beside the target, so that it can be renamed into place when everything has been verified.
    with tempfile.TemporaryDirectory(prefix=f".{out.name}.", dir=out.parent) as scratch:
        new = Path(scratch) / out.name
        for kind in FORMATS if arguments.format == "all" else (arguments.format,):
            folder = new / kind if arguments.format == "all" else new
            for line in export_model(folder, spec, weights, kind, dtype=arguments.dtype, logits=arguments.logits):
                print(line)
        if out.exists():
            shutil.rmtree(out)
        new.rename(out)
    for path in sorted(p for p in out.rglob("*") if p.is_file()):
        print(f"{path}  {path.stat().st_size:,} bytes")


if __name__ == "__main__":
    sys.exit(main())
