"""`meshnet-evaluate`: scores finished models on a data set (`--model`), or runs of a nested cross-validation.

meshnet-evaluate --model t2-lesion --model results/ --data DATA -o REPORT     docs/evaluation.md
meshnet-evaluate RUN... --data PREPARED -o REPORT                             meshnet.score.evaluate
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from tqdm import tqdm

from meshnet.cluster.on_ray import start_ray
from meshnet.cohort.arguments import at_least, out_folder
from meshnet.cohort.bids import CohortError, Excluded
from meshnet.infer.backends import BACKENDS, fastest_backend
from meshnet.lab.candidates import Skipped, check_names, described, find_brain, find_candidate, suitable_scans
from meshnet.lab.model_runs import Brain, Candidate, Failure, Job, run_here, run_on_ray
from meshnet.model.spec import SpecError, read_spec
from meshnet.scan.file_errors import check_folder, sentence_of
from meshnet.scan.lasting_streams import lasting_streams
from meshnet.scan.scan_stream import ScanError
from meshnet.score import evaluate as runs
from meshnet.score.data_set import ReferenceScan, find_reference_scans, leave_out
from meshnet.score.scan_scores import ScanScore
from meshnet.train.config import ConfigError

#: Runs jobs; yields a score or a failure of each, None of one that only segments.
Runner = Callable[[Sequence[Job]], Iterable[ScanScore | Failure | None]]


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line. Exit code 0; 1 if a scan failed or has no labels; 2 if nothing could be scored."""
    with lasting_streams():
        return _run(list(sys.argv[1:] if arguments is None else arguments))


def _run(words: list[str]) -> int:
    if any(word == "--model" or word.startswith("--model=") for word in words):
        return evaluate_models(_parser().parse_args(words))
    if "-h" in words or "--help" in words:
        print(_parser().format_help())
    return runs.main(words)


def evaluate_models(args: argparse.Namespace) -> int:
    """Score the models of the command line, write the report, and print where it is."""
    try:
        scans, left_out = _scans(args)
        candidates = [find_candidate(given, scans, args.label) for given in args.model]
        if args.label is not None and all(candidate.model is not None for candidate in candidates):
            raise ConfigError(
                f"--label {args.label}: expected a folder of label volumes among --model; leave --label out, a model "
                f"folder names its lesion"
            )
        check_names(candidates, args.reference_model)
        brain, about_brain = find_brain(args.brain_masks, args.brain_model, scans, candidates)
        todo, skipped = _jobs(args, candidates, scans, brain)
        check_folder(args.out, "report", "choose another folder with --out")
        with _runner(args) as run:
            scores, failures = _results(run, todo)
        failures = [*skipped.missing, *failures]
        for failure in failures:
            print(f"error: {failure.candidate}: {failure.scan}: {failure.reason}", file=sys.stderr)
        from meshnet.score.model_report import About, write_model_report  # matplotlib takes seconds to load

        by_name = {scan.name: scan for scan in scans}
        sentences = [f"{e.name}: {e.reason}" for e in left_out] + skipped.sentences
        sentences += [f"{f.candidate}, {f.scan}: {f.reason}" for f in failures]
        models = {c.name: described(c) for c in candidates}
        centre = args.centre_column.replace("_", " ") or "centre"
        about = About(args.data.resolve().name, models, args.reference_model, about_brain, sentences, centre)
        tables = write_model_report(scores, by_name, args.out, about)
    except (ConfigError, CohortError, SpecError, ScanError, OSError, ValueError) as error:
        print(f"meshnet-evaluate: {sentence_of(error)}", file=sys.stderr)
        return 2
    print(f"{args.out / 'report.html'}: {len(candidates)} models, {len(scores)} scores, {len(tables)} tables")
    return 1 if failures else 0


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


def _jobs(
    args: argparse.Namespace, candidates: Sequence[Candidate], scans: Sequence[ReferenceScan], brain: Brain
) -> tuple[list[list[Job]], Skipped]:
    """Jobs in two stages, the brain model first, and the scans that a candidate isn't scored on."""
    backend = args.backend
    if backend is None and (brain.model is not None or any(c.model is not None for c in candidates)):
        backend = fastest_backend()
    skipped = Skipped()
    jobs: list[Job] = []
    out = args.out.resolve()
    for candidate in candidates:
        own = suitable_scans(candidate, scans, skipped)
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


@contextmanager
def _runner(args: argparse.Namespace) -> Iterator[Runner]:
    """Yields the function that runs jobs: in this process, or on Ray for several at a time."""
    if args.jobs == 1 and not args.ray_address:
        yield run_here
        return
    args.piece, args.gpus_each, args.cpus = "scan", 0.0, args.jobs * args.cpus_each
    with start_ray(args) as share:
        yield lambda jobs: run_on_ray(jobs, cpus=share.cpus)


def _results(run: Runner, stages: Sequence[Sequence[Job]]) -> tuple[list[ScanScore], list[Failure]]:
    """The scores in the order of the jobs, and the failures. A brain that failed fails the scores that need it."""
    scores: dict[tuple[str, str], ScanScore] = {}
    failures: list[Failure] = []
    total = sum(len(stage) for stage in stages)
    with tqdm(total=total, unit="scan", disable=None) as bar:
        for stage in stages:
            for result in run(stage):
                if isinstance(result, Failure):
                    failures.append(result)
                elif result is not None:
                    scores[result.model, result.scan] = result
                bar.update()
    order = [(job.candidate.name, job.scan.name) for job in stages[-1]]
    return [scores[key] for key in order if key in scores], failures


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
    parser.add_argument(
        "-o", "--out", type=out_folder, required=True, help="folder for labels, scores, tables, report.html"
    )
    parser.add_argument(
        "--reference-model", default="", help="name of the model that the others are tested against (default: no tests)"
    )
    parser.add_argument("--leave-out", type=Path, help="text file of subject ids to leave out, one on a line")
    parser.add_argument("--brain-model", default="", help="model whose labels above 0 are the brain of each scan")
    parser.add_argument("--brain-masks", type=Path, help="folder with a brain mask of each scan")
    parser.add_argument(
        "--label", type=at_least(1), help="number of the lesion in label volumes (default: all labels above 0)"
    )
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
    parser.add_argument(
        "--jobs", type=at_least(1), default=1, help="scans at the same time, on Ray (default %(default)s)"
    )
    parser.add_argument(
        "--cpus-per-scan",
        dest="cpus_each",
        metavar="N",
        type=at_least(1),
        default=_cores(),
        help="CPU threads of each scan (default: all cores, here %(default)s)",
    )
    parser.add_argument(
        "--ray-address", default="", help="a running Ray cluster, e.g. auto; its nodes must share the folders"
    )
    return parser


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
