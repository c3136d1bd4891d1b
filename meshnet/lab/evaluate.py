"""`meshnet-evaluate`: scores finished models on a data set (`--model`), or runs of a nested cross-validation.

meshnet-evaluate --model t2-lesion --model results/ --data DATA -o REPORT     docs/evaluation.md
meshnet-evaluate RUN... --data PREPARED -o REPORT                             meshnet.score.evaluate
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from tqdm import tqdm

from meshnet.cluster.on_ray import start_ray
from meshnet.cohort.bids import CohortError, Excluded
from meshnet.infer.backends import BACKENDS, fastest_backend
from meshnet.infer.open_model import check_input
from meshnet.lab.model_runs import Brain, Candidate, Failure, Job, run_here, run_on_ray
from meshnet.model.label_roles import context_indices, lesion_indices
from meshnet.model.shipped import find_model, is_model
from meshnet.model.spec import ModelSpec, SpecError, read_spec, slug
from meshnet.scan.scan_stream import ScanError
from meshnet.score import evaluate as runs
from meshnet.score.data_set import ReferenceScan, find_reference_scans, leave_out
from meshnet.score.label_pairs import find_labels, references_of
from meshnet.score.scan_scores import ScanScore
from meshnet.train.config import ConfigError, nearest


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line. Exit code 0; 1 if a scan failed or has no labels; 2 if nothing could be scored."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    if any(word == "--model" or word.startswith("--model=") for word in words):
        return evaluate_models(_parser().parse_args(words))
    if "-h" in words or "--help" in words:
        print(_parser().format_help())
    return runs.main(words)


def evaluate_models(args: argparse.Namespace) -> int:
    """Score the models of the command line, write the report, and print where it is."""
    try:
        if args.jobs < 1 or args.cpus_each < 1:
            raise ConfigError(f"--jobs {args.jobs}, --cpus-per-scan {args.cpus_each}: expected 1 or more")
        scans, left_out = _scans(args)
        candidates = [_candidate(given, scans, args.label) for given in args.model]
        _check_names(candidates, args.reference_model)
        brain, about_brain = _brain(args, scans, candidates)
        todo, skipped = _jobs(args, candidates, scans, brain)
        with _runner(args) as run:
            scores, failures = _results(run, todo)
        failures = [*skipped.missing, *failures]
        for failure in failures:
            print(f"error: {failure.candidate}: {failure.scan}: {failure.reason}", file=sys.stderr)
        from meshnet.score.model_report import About, write_model_report  # matplotlib takes seconds to load

        by_name = {scan.name: scan for scan in scans}
        sentences = [f"{e.name}: {e.reason}" for e in left_out] + skipped.sentences
        sentences += [f"{f.candidate}, {f.scan}: {f.reason}" for f in failures]
        models = {c.name: _described(c) for c in candidates}
        centre = args.centre_column.replace("_", " ") or "centre"
        about = About(args.data.resolve().name, models, args.reference_model, about_brain, sentences, centre)
        tables = write_model_report(scores, by_name, args.out, about)
    except (ConfigError, CohortError, SpecError, ScanError, OSError, ValueError) as error:
        print(f"meshnet-evaluate: {error}", file=sys.stderr)
        return 2
    print(f"{args.out / 'report.html'}: {len(candidates)} models, {len(scores)} scores, {len(tables)} tables")
    return 1 if failures else 0


class _Skipped:
    """Scans that a candidate isn't scored on: `missing` are errors, `sentences` are facts for the report."""

    def __init__(self) -> None:
        self.missing: list[Failure] = []
        self.sentences: list[str] = []


def _scans(args: argparse.Namespace) -> tuple[list[ReferenceScan], list[Excluded]]:
    scans, left_out = find_reference_scans(
        args.data,
        contrasts=args.contrast.split(","),
        acquisitions=[] if args.acq == "all" else args.acq.split(","),
        participants=args.participants,
        centre_column=args.centre_column,
    )
    if args.leave_out is not None:
        scans, listed = leave_out(scans, args.leave_out)
        left_out = [*left_out, *listed]
    return scans, left_out


def _candidate(given: str, scans: Sequence[ReferenceScan], label: int | None) -> Candidate:
    """A model by folder or id, or a folder of label volumes; `NAME=` before it names it in the tables.

    Raises SpecError, ConfigError or ScanError for something else, and for a model without a lesion.
    """
    name, equals, path = given.partition("=") if "=" in given and not Path(given).exists() else ("", "", given)
    source = Path(path)
    if is_model(source) or not source.is_dir():
        folder = find_model(source)
        spec = read_spec(folder / "model.json")
        check_input(spec)
        if not lesion_indices(spec):
            raise SpecError(
                f"--model {given}: {spec.id} segments {spec.task}; expected a model with a lesion among its labels"
            )
        return Candidate(slug(name) if equals else spec.id, folder)
    labels = _by_scan(source, scans)
    if not labels:
        raise ConfigError(
            f"--model {given}: none of its label files belongs to one of the {len(scans)} scans; expected names that "
            f"begin with the scan's name ({scans[0].name}) or hold its subject (sub-{scans[0].subject})"
        )
    return Candidate(slug(name or source.resolve().name), labels=tuple(sorted(labels.items())), label=label)


def _by_scan(folder: Path, scans: Sequence[ReferenceScan]) -> dict[str, Path]:
    """The label file of each scan. Raises ConfigError where two files belong to one scan."""
    files, _ = find_labels(folder)
    of_reference = {scan.mask: scan.name for scan in scans}
    named = {scan.name: scan.name for scan in scans}
    found: dict[str, list[Path]] = {}
    for file in files:
        fitting = references_of(file, list(of_reference))
        names = {of_reference[mask] for mask in fitting} or ({named[file.stem]} if file.stem in named else set())
        if len(names) == 1:
            found.setdefault(names.pop(), []).append(file)
    for name, paths in found.items():
        if len(paths) > 1:
            both = " and ".join(str(path) for path in paths[:2])
            raise ConfigError(f"{folder}: {both} both belong to the scan {name}; keep one label file per scan")
    return {name: paths[0] for name, paths in found.items()}


def _check_names(candidates: Sequence[Candidate], reference_model: str) -> None:
    names = [candidate.name for candidate in candidates]
    double = next((name for name in names if names.count(name) > 1), None)
    if double is not None:
        raise ConfigError(f"--model: two are called {double}; name one of them: --model NAME=FOLDER")
    if reference_model and reference_model not in names:
        raise ConfigError(
            f"--reference-model {reference_model}: expected one of the models, {', '.join(names)}"
            f"{nearest(reference_model, names)}"
        )


def _brain(
    args: argparse.Namespace, scans: Sequence[ReferenceScan], candidates: Sequence[Candidate]
) -> tuple[Brain, str]:
    """Where the brain is known from, and a sentence about it. Raises ConfigError, SpecError or ScanError."""
    if args.brain_masks is not None and args.brain_model:
        raise ConfigError("--brain-masks and --brain-model: give one of them")
    if args.brain_masks is not None:
        masks = _by_scan(args.brain_masks, scans)
        without = [scan.name for scan in scans if scan.name not in masks]
        if without:
            raise ConfigError(
                f"--brain-masks {args.brain_masks}: no mask for {len(without)} of the {len(scans)} scans, the first is "
                f"{without[0]}; expected one for each"
            )
        return Brain(tuple(sorted(masks.items()))), f"The brain is that of the masks in {args.brain_masks.name}."
    if args.brain_model:
        folder = find_model(Path(args.brain_model))
        spec = read_spec(folder / "model.json")
        check_input(spec)
        if set(lesion_indices(spec)) == {label.index for label in spec.labels if label.index}:
            raise SpecError(f"--brain-model {args.brain_model}: has lesion labels only; expected labels of the brain")
        return Brain(model=folder), f"The brain is every label above 0 of the model {spec.id}, with the reference."
    own = [c.name for c in candidates if c.model is not None and context_indices(read_spec(c.model / "model.json"))]
    if not own:
        return Brain(), ""
    return Brain(), f"The brain is the largest connected part of the model's own labels, for {', '.join(own)} only."


def _jobs(
    args: argparse.Namespace, candidates: Sequence[Candidate], scans: Sequence[ReferenceScan], brain: Brain
) -> tuple[list[list[Job]], _Skipped]:
    """Jobs in two stages, the brain model first, and the scans that a candidate isn't scored on."""
    backend = args.backend
    if backend is None and (brain.model is not None or any(c.model is not None for c in candidates)):
        backend = fastest_backend()
    skipped = _Skipped()
    jobs: list[Job] = []
    out = args.out.resolve()
    for candidate in candidates:
        own = _suitable(candidate, scans, skipped)
        jobs += [Job(candidate, scan, brain, out, backend or "cpu", args.cpus_each) for scan in own]
    first: list[Job] = []
    if brain.model is not None:
        of_brain = Candidate(read_spec(brain.model / "model.json").id, brain.model)
        used = {job.scan.name for job in jobs}
        first = [
            Job(of_brain, scan, brain, out, backend or "cpu", args.cpus_each, segment_only=True)
            for scan in scans
            if scan.name in used
        ]
    return [first, jobs], skipped


def _suitable(candidate: Candidate, scans: Sequence[ReferenceScan], skipped: _Skipped) -> list[ReferenceScan]:
    """The scans that a candidate is scored on: a model's contrasts, or the scans with a label file."""
    if candidate.model is None:
        files = dict(candidate.labels)
        reason = "no label file of this scan in the folder"
        skipped.missing += [Failure(candidate.name, s.name, reason) for s in scans if s.name not in files]
        return [scan for scan in scans if scan.name in files]
    spec = read_spec(candidate.model / "model.json")
    other = [scan for scan in scans if not _takes(spec, scan)]
    if other:
        contrasts = ", ".join(sorted({scan.contrast for scan in other}))
        skipped.sentences.append(
            f"{candidate.name}: {len(other)} scans of another contrast than it was made for ({contrasts})"
        )
    return [scan for scan in scans if _takes(spec, scan)]


def _takes(spec: ModelSpec, scan: ReferenceScan) -> bool:
    """Whether a model was made for a scan's contrast; an unknown contrast fits every model."""
    return not spec.modality or not scan.contrast or scan.contrast.lower() in {m.lower() for m in spec.modality}


@contextmanager
def _runner(args: argparse.Namespace) -> Iterator[object]:
    """Yields the function that runs jobs: in this process, or on Ray for several at a time."""
    if args.jobs == 1 and not args.ray_address:
        yield run_here
        return
    args.piece, args.gpus_each, args.cpus = "scan", 0.0, args.jobs * args.cpus_each
    with start_ray(args) as share:
        yield lambda jobs: run_on_ray(jobs, cpus=share.cpus)


def _results(run: object, stages: Sequence[Sequence[Job]]) -> tuple[list[ScanScore], list[Failure]]:
    """The scores in the order of the jobs, and the failures. A brain that failed fails the scores that need it."""
    scores: dict[tuple[str, str], ScanScore] = {}
    failures: list[Failure] = []
    total = sum(len(stage) for stage in stages)
    with tqdm(total=total, unit="scan", disable=None) as bar:
        for stage in stages:
            for result in run(stage):  # type: ignore[operator]
                if isinstance(result, Failure):
                    failures.append(result)
                elif result is not None:
                    scores[result.model, result.scan] = result
                bar.update()
    order = [(job.candidate.name, job.scan.name) for job in stages[-1]]
    return [scores[key] for key in order if key in scores], failures


def _described(candidate: Candidate) -> str:
    if candidate.model is None:
        return f"label volumes of another tool, {len(candidate.labels)} files"
    spec = read_spec(candidate.model / "model.json")
    contrasts = ", ".join(spec.modality) or "any contrast"
    return (
        f"{spec.name}, {spec.task}, {contrasts}; trained on: {spec.provenance.data}; weights {spec.weights.sha256[:12]}"
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="meshnet-evaluate",
        usage="meshnet-evaluate --model MODEL [--model MODEL ...] --data DATA -o REPORT [options]",
        description="Score finished models, or the label volumes of any tool, on a data set with reference masks.",
        epilog="Labels and scores of each scan stay in REPORT; the same command scores only what is new. Exit code: 0; "
        "1 if a scan failed or has no labels; 2 if nothing could be scored.",
    )
    parser.add_argument(
        "--model",
        action="append",
        required=True,
        help="a model folder, a known id, or a folder of label volumes; NAME=FOLDER names it; may be repeated",
    )
    parser.add_argument(
        "--data",
        type=Path,
        required=True,
        help="folder of meshnet-prepare, BIDS folder with derivatives/lesion_masks, or folder of pairs",
    )
    parser.add_argument("-o", "--out", type=Path, required=True, help="folder for labels, scores, tables, report.html")
    parser.add_argument(
        "--reference-model", default="", help="name of the model that the others are tested against (default: no tests)"
    )
    parser.add_argument("--leave-out", type=Path, help="text file of subject ids to leave out, one on a line")
    parser.add_argument("--brain-model", default="", help="model whose labels above 0 are the brain of each scan")
    parser.add_argument("--brain-masks", type=Path, help="folder with a brain mask of each scan")
    parser.add_argument("--label", type=int, help="number of the lesion in label volumes (default: all labels above 0)")
    parser.add_argument(
        "--contrast", default="T2w", help="BIDS suffixes of the scans to score, by commas (default %(default)s)"
    )
    parser.add_argument("--acq", default="all", help="BIDS acq labels to score, by commas (default: all)")
    parser.add_argument(
        "--participants", type=Path, help="table of persons (default: participants.tsv of the data set)"
    )
    parser.add_argument("--centre-column", default="", help="its column with the centres (default: centre, site, ...)")
    parser.add_argument(
        "--backend", choices=BACKENDS, help="as for meshnet-predict (default: cpu, or onnx if there is no kernel)"
    )
    parser.add_argument("--jobs", type=int, default=1, help="scans at the same time, on Ray (default %(default)s)")
    parser.add_argument(
        "--cpus-per-scan",
        dest="cpus_each",
        metavar="N",
        type=int,
        default=_cores(),
        help="CPU threads of each scan (default: all cores, here %(default)s)",
    )
    parser.add_argument(
        "--ray-address", default="", help="a running Ray cluster, e.g. auto; its nodes must share the folders"
    )
    return parser


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
