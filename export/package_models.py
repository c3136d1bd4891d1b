"""Write the models that ship as web bundles, for the npm package: `python -m export.package_models OUT_DIR`.

`static/scripts/build-package.mjs` calls this. Without `--models` the models are those of `meshnet-predict`: the folder
`models/` of the checkout, or the one inside an installed package.
"""

from __future__ import annotations

import argparse
import shutil
from collections.abc import Sequence
from pathlib import Path

from meshnet.model.checkpoint import load_checkpoint, save_checkpoint
from meshnet.model.graph import stored_model


def write_bundles(models: Path, out: Path) -> list[str]:
    """Write `out/<id>/model.json` and its weights in float32 for every model folder in `models`; return the ids.

    Replaces `out`. Raises SpecError if a model can't be read.
    """
    shutil.rmtree(out, ignore_errors=True)
    ids = []
    for description in sorted(models.glob("*/model.json")):
        spec, weights = load_checkpoint(description.parent)
        stored, values = stored_model(spec, weights, "float32")
        save_checkpoint(out / spec.id, stored, values)
        ids.append(spec.id)
    return ids


def main(argv: Sequence[str] | None = None) -> int:
    """Command line."""
    parser = argparse.ArgumentParser(prog="python -m export.package_models", description=(__doc__ or "").split(":")[0])
    parser.add_argument("out", type=Path, help="folder to write; its content is replaced")
    parser.add_argument("--models", type=Path, default=Path(__file__).parents[1] / "models", help="folder of models")
    arguments = parser.parse_args(argv)
    print(f"package_models: {', '.join(write_bundles(arguments.models, arguments.out))}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
