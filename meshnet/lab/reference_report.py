"""`make evaluate-report`: the lesion models on every scan of a data folder that has a reference.

    python -m meshnet.lab.reference_report --data FOLDER [--groups GROUP...] [--models MODEL...] [-o OUT] [--page FILE]

Writes the data set, runs `meshnet-evaluate --model` on it, and puts its tables into a page that says how much each
reference is worth. A second call scores only what is new.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from meshnet.cohort.bids import CohortError
from meshnet.lab import evaluate
from meshnet.lab.reference_data import COLUMN, GROUPS, group_names, write_reference_data
from meshnet.model.label_roles import lesion_indices
from meshnet.model.shipped import known_models
from meshnet.model.spec import SpecError, read_spec

_INTRODUCTION = """# The lesion models on every scan with a reference

Written by `make evaluate-report`, which runs `meshnet-evaluate --model` ([evaluation.md](../evaluation.md) defines the
measures) on the scans of `../shared/data`. None of these references is an expert's drawing on a new patient, so none of
the figures tells how good a model is on patients. Each shows something smaller:

"""

#: Tables of the page, in this order; a missing one is left out.
_TABLES = {
    "by-reference-group": "Scans with a lesion, by group",
    "volume": "Volumes, all scans with a lesion",
    "by-reference-group-lesion-free": "Scans without a stroke lesion, by group",
    "by-contrast-lesion-free": "Scans without a stroke lesion, by contrast",
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line. Exit code as of meshnet-evaluate."""
    args = _parser().parse_args(arguments)
    try:
        models = args.models or _lesion_models()
        data = write_reference_data(args.data, args.out / "data", args.cache, args.groups)
    except (CohortError, SpecError, OSError) as error:
        print(f"evaluate-report: {error}", file=sys.stderr)
        return 2
    report = args.out / "report"
    words = [word for model in models for word in ("--model", model)]
    words += ["--data", str(data), "-o", str(report), "--contrast", "T1w,T2w,FLAIR", "--centre-column", COLUMN]
    words += ["--brain-model", args.brain_model] if args.brain_model else []
    words += ["--jobs", str(args.jobs)] + (["--cpus-per-scan", str(args.cpus_each)] if args.cpus_each else [])
    code = evaluate.main(words)
    if code != 2 and args.page is not None:
        args.page.write_text(page(report, args.groups), encoding="utf-8")
        print(args.page)
    return code


def page(report: Path, groups: Sequence[str]) -> str:
    """The Markdown page with the tables that lie in `report`."""
    worth = [f"- **{group.name}.** {group.worth}" for group in GROUPS if group.name in groups]
    parts = [_INTRODUCTION + "\n".join(worth)]
    for name, title in _TABLES.items():
        table = report / f"{name}.md"
        if table.is_file():
            parts.append(f"## {title}\n\n{table.read_text(encoding='utf-8').strip()}")
    return "\n\n".join(parts) + "\n"


def _lesion_models() -> list[str]:
    """The known models with a lesion among their labels."""
    return [name for name, folder in known_models().items() if lesion_indices(read_spec(folder / "model.json"))]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="make evaluate-report", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder of scans, references and lesion masks")
    parser.add_argument("--models", nargs="+", default=[], help="ids or folders (default: all known lesion models)")
    parser.add_argument("--groups", nargs="+", default=group_names(), choices=group_names(), help="default: all")
    parser.add_argument("--brain-model", default="brainchop-mindgrab", help="default %(default)s; empty: none")
    parser.add_argument("--cache", type=Path, default=Path("runs/cache"), help="where prepared templates are kept")
    parser.add_argument("--jobs", type=int, default=1, help="scans at the same time (default 1)")
    parser.add_argument("--cpus-per-scan", dest="cpus_each", type=int, default=0, help="threads (default: all cores)")
    parser.add_argument("-o", "--out", type=Path, default=Path("runs/reference-report"), help="default %(default)s")
    parser.add_argument("--page", type=Path, help="Markdown page to write")
    return parser


if __name__ == "__main__":
    sys.exit(main())
