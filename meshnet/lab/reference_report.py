"""`make evaluate-report`: the lesion models on every scan of a data folder that has a reference.

    python -m meshnet.lab.reference_report --data FOLDER [--groups GROUP...] [--models MODEL...] [--heads N]
        [-o OUT] [--page FILE]

Writes the data set, runs `meshnet-evaluate --model` on it, and puts its tables into a page that says how much each
reference is worth. A second call scores only what is new.
"""

from __future__ import annotations

import argparse
import csv
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from meshnet.cohort.arguments import at_least
from meshnet.cohort.bids import CohortError
from meshnet.lab import evaluate
from meshnet.lab.reference_data import COLUMN, GROUPS, group_names, write_reference_data
from meshnet.model.label_roles import lesion_indices
from meshnet.model.shipped import known_models
from meshnet.model.spec import SpecError, read_spec
from meshnet.train.config import ConfigError

_INTRODUCTION = """# The lesion models on every scan with a reference

Written by `make evaluate-report`, which runs `meshnet-evaluate --model` ([evaluation.md](../evaluation.md) defines the
measures) on the scans of `../shared/data` and on heads rendered from it. None of these references is an expert's
drawing on a new patient, so none of the figures tells how good a model is on patients. Each shows something smaller:

"""

#: Said of a group whose scans no model takes.
_NOT_SCORED = "No lesion model here is made for these contrasts, so there is no figure."

#: Tables of each part of the page, in this order; a missing one is left out.
_TABLES = {
    "by-reference-group": "with a lesion, by group",
    "volume": "with a lesion, volumes",
    "by-reference-group-lesion-free": "without a stroke lesion, by group",
    "by-contrast-lesion-free": "without a stroke lesion, by contrast",
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line. Exit code as of meshnet-evaluate, the highest of the parts."""
    args = _parser().parse_args(arguments)
    codes: list[int] = []
    try:
        models = args.models or _lesion_models()
        for part in _parts(args.groups):
            folder = args.out / part.folder
            data = write_reference_data(args.data, folder / "data", args.cache, part.groups, args.heads)
            codes.append(evaluate.main(_command(args, models, part, data, folder / "report")))
    except (CohortError, ConfigError, SpecError, OSError) as error:
        print(f"evaluate-report: {error}", file=sys.stderr)
        return 2
    if max(codes) < 2 and args.page is not None:
        args.page.write_text(page(args.out, args.heads), encoding="utf-8")
        print(args.page)
    return max(codes)


@dataclass(frozen=True)
class _Part:
    """Real scans or rendered heads: their tables stay apart, because no mean over both has a meaning."""

    folder: str
    title: str
    groups: tuple[str, ...]
    brain_model: bool


def _parts(groups: Sequence[str]) -> list[_Part]:
    """The parts with a group among `groups`. The brain model marks the brain of real scans only: on rendered heads, the
    marks outside the brain are those that a model's own labels show, which saves the slowest network."""
    real = tuple(g.name for g in GROUPS if g.name in groups and not g.rendered)
    rendered = tuple(g.name for g in GROUPS if g.name in groups and g.rendered)
    parts = [_Part("scans", "Scans", real, True), _Part("heads", "Rendered heads", rendered, False)]
    return [part for part in parts if part.groups]


def _command(args: argparse.Namespace, models: Sequence[str], part: _Part, data: Path, report: Path) -> list[str]:
    """Arguments of meshnet-evaluate."""
    words = [word for model in models for word in ("--model", model)]
    words += ["--data", str(data), "-o", str(report), "--contrast", "T1w,T2w,FLAIR", "--centre-column", COLUMN]
    words += ["--brain-model", args.brain_model] if args.brain_model and part.brain_model else []
    return [*words, "--jobs", str(args.jobs), *(["--cpus-per-scan", str(args.cpus_each)] if args.cpus_each else [])]


def page(out: Path, heads: int | None = None) -> str:
    """The Markdown page with the tables of the parts in `out`, those of earlier calls too.

    heads: number of heads of each kind in a rendered group, None for all.
    """
    parts = [part for part in _parts(group_names()) if (out / part.folder / "report" / "scans.csv").is_file()]
    scored = set().union(*(_in_scores(out / part.folder, "centre") for part in parts))
    shown = {name for part in parts for name in part.groups}
    worth = [
        f"- **{group.name}.** {group.worth}" + ("" if group.name in scored else f" {_NOT_SCORED}")
        for group in GROUPS
        if group.name in shown and (group.name in scored or not group.rendered)
    ]
    texts = [_INTRODUCTION + "\n".join(worth)]
    if any(group.rendered and group.name in scored for group in GROUPS):
        texts.append(_of_heads(out / "heads", heads))
    for part in parts:
        for name, title in _TABLES.items():
            table = out / part.folder / "report" / f"{name}.md"
            if table.is_file():
                texts.append(f"## {part.title} {title}\n\n{table.read_text(encoding='utf-8').strip()}")
    return "\n\n".join(texts) + "\n"


def _of_heads(part: Path, heads: int | None) -> str:
    """Which of the rendered heads were scored, and by which models."""
    models = ", ".join(f"`{model}`" for model in sorted(_in_scores(part, "model")))
    if heads is None:
        return f"All heads of the rendered groups are scored, with {models}."
    return (
        f"The rendered groups are samples (`--heads {heads}`): up to {heads} heads with a lesion, spread over the "
        f"quartiles of lesion volume, and up to {heads} without. They are scored with {models}."
    )


def _in_scores(part: Path, column: str) -> set[str]:
    """The values of a column of a part's `scans.csv`."""
    with (part / "report" / "scans.csv").open(newline="", encoding="utf-8") as file:
        return {line[column] for line in csv.DictReader(file)}


def _lesion_models() -> list[str]:
    """The known models with a lesion among their labels."""
    return [name for name, folder in known_models().items() if lesion_indices(read_spec(folder / "model.json"))]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="make evaluate-report", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder of scans, references and lesion masks")
    parser.add_argument("--models", nargs="+", default=[], help="ids or folders (default: all known lesion models)")
    parser.add_argument("--groups", nargs="+", default=group_names(), choices=group_names(), help="default: all")
    parser.add_argument(
        "--heads",
        type=at_least(1),
        help="heads with a lesion, and as many without, of each rendered group (default: all)",
    )
    parser.add_argument(
        "--brain-model", default="brainchop-mindgrab", help="for scans; default %(default)s; empty: none"
    )
    parser.add_argument("--cache", type=Path, default=Path("runs/cache"), help="where prepared templates are kept")
    parser.add_argument("--jobs", type=at_least(1), default=1, help="scans at the same time (default 1)")
    parser.add_argument(
        "--cpus-per-scan", dest="cpus_each", type=at_least(0), default=0, help="threads (default: all cores)"
    )
    parser.add_argument("-o", "--out", type=Path, default=Path("runs/reference-report"), help="default %(default)s")
    parser.add_argument("--page", type=Path, help="Markdown page to write")
    return parser


if __name__ == "__main__":
    sys.exit(main())
