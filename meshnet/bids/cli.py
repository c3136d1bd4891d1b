"""`meshnet-bids BIDS_DIR OUT_DIR participant|group`: a BIDS app. docs/bids.md documents it."""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from tqdm import tqdm

from meshnet.bids.layout import Job, find_jobs, write_dataset_files
from meshnet.bids.process import Outcome, RunOptions
from meshnet.bids.report import write_group_report, write_subject_reports
from meshnet.bids.run_jobs import run_here, run_on_ray
from meshnet.infer.arguments import component_volume_ml, cores, probability
from meshnet.infer.backends import BACKENDS
from meshnet.infer.confidence import Confidence, check_confidence
from meshnet.infer.open_model import open_model
from meshnet.infer.sidecar import Settings
from meshnet.model.label_roles import context_indices
from meshnet.model.shipped import DEFAULT_MODEL
from meshnet.scan.file_errors import check_folder, sentence_of
from meshnet.scan.lasting_streams import lasting_streams
from meshnet.version import __version__


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line. Exit code 0; 1 if a scan failed; 2 if the run could not start; 130 after Ctrl-C."""
    with lasting_streams():
        return _run(arguments)


def _run(arguments: Sequence[str] | None) -> int:
    args = make_parser().parse_args(arguments)
    args.command = shlex.join(["meshnet-bids", *(sys.argv[1:] if arguments is None else arguments)])
    try:
        if args.level == "group":
            for path in write_group_report(args.out_dir):
                print(path)
            return 0
        return _participants(args)
    except ModuleNotFoundError as error:
        print(
            f"error: {error.name} is not installed; --ray-address needs pip install 'meshnet[train]'", file=sys.stderr
        )
        return 2
    except (ValueError, OSError) as error:  # ScanError, SpecError, ConfigError
        print(f"error: {sentence_of(error)}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("interrupted; the same command takes up the rest", file=sys.stderr)
        return 130


def _participants(args: argparse.Namespace) -> int:
    """Segment every scan that has no result, then write the report of each subject."""
    check_folder(args.out_dir, "results", "choose another OUT_DIR")
    threads = args.threads or max(1, cores() // args.n_procs)
    model = open_model(Path(args.model), backend=args.backend, threads=threads)
    settings = Settings(
        threshold=args.threshold,
        flip=args.flip,
        remove_below_ml=args.remove_below,
        keep_outside_brain=args.keep_outside_brain,
        all_labels=bool(context_indices(model.spec)),  # the _dseg has them
    )
    check_confidence(model.spec, Confidence(threshold=args.threshold, flip=args.flip))
    jobs = find_jobs(
        args.bids_dir,
        args.out_dir,
        model.spec,
        subjects=args.participant_label or (),
        sessions=args.session_label or (),
    )
    write_dataset_files(args.out_dir, args.bids_dir, model.spec)
    options = RunOptions(_absolute(args.model), args.backend, threads, settings, args.command)
    failed = _report(_outcomes(jobs, options, args), len(jobs))
    write_subject_reports(args.out_dir, list(dict.fromkeys(job.subject for job in jobs)))
    if failed:
        print(f"error: {failed} of {len(jobs)} scans failed, see above", file=sys.stderr)
    return 1 if failed else 0


def _outcomes(jobs: Sequence[Job], options: RunOptions, args: argparse.Namespace) -> Iterator[Outcome]:
    if args.ray_address:
        shared = [_with_absolute_paths(job) for job in jobs]  # workers may have another working directory
        return run_on_ray(shared, options, address=args.ray_address)
    return run_here(jobs, options, processes=args.n_procs)


def _report(outcomes: Iterator[Outcome], total: int) -> int:
    """Print each outcome as it comes; returns the number of failures."""
    failed = 0
    with tqdm(total=total, unit="scan", disable=None) as bar:
        for outcome in outcomes:
            name = outcome.job.image.name
            if outcome.state == "failed":
                failed += 1
                bar.write(f"error: {outcome.reason}", file=sys.stderr)
            else:
                before = " (from an earlier run)" if outcome.state == "before" else ""
                notes = f"; notes: {', '.join(outcome.notes)}" if outcome.notes else ""
                bar.write(f"{name} -> {outcome.job.labels}{before}{notes}", file=sys.stdout)
            bar.update()
    return failed


def _absolute(model: str) -> Path:
    """A model folder by its absolute path; an id stays an id."""
    return Path(model).resolve() if Path(model).exists() else Path(model)


def _with_absolute_paths(job: Job) -> Job:
    return replace(job, image=job.image.resolve(), folder=job.folder.resolve())


def make_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="meshnet-bids",
        description="Segment the scans of a BIDS data set into a BIDS derivative. For research, not for diagnosis.",
        epilog="The participant level skips scans whose results are there, made by the same model with the same "
        "settings. Exit code: 0; 1 if a scan failed; 2 if the run could not start; 130 after Ctrl-C.",
    )
    parser.add_argument("bids_dir", metavar="BIDS_DIR", type=Path, help="root of a BIDS data set")
    parser.add_argument(
        "out_dir", metavar="OUT_DIR", type=Path, help="root of the derivative, such as BIDS_DIR/derivatives/meshnet"
    )
    parser.add_argument(
        "level",
        choices=("participant", "group"),
        help="participant: segment, and write a page per subject; group: table and page of all results in OUT_DIR",
    )
    parser.add_argument(
        "--participant-label", metavar="LABEL", nargs="+", help="subjects, with or without sub- (default: all)"
    )
    parser.add_argument(
        "--session-label", metavar="LABEL", nargs="+", help="sessions, with or without ses- (default: all)"
    )
    parser.add_argument(
        "--model",
        default=DEFAULT_MODEL,
        help="id, model folder or model.json (default: %(default)s); its contrasts decide which scans are taken",
    )
    parser.add_argument("--threshold", metavar="T", type=probability, help="on the lesion's probability, 0 to 1")
    parser.add_argument("--flip", action="store_true", help="average with the left-right mirror image")
    parser.add_argument(
        "--remove-below", metavar="ML", type=component_volume_ml, help="drop components below this volume"
    )
    parser.add_argument(
        "--keep-outside-brain", action="store_true", help="keep what the brain rule drops, as for meshnet-predict"
    )
    parser.add_argument("--n-procs", metavar="N", type=_count, default=1, help="scans at a time (default: 1)")
    parser.add_argument(
        "--threads", metavar="N", type=_count, help="CPU threads of a scan (default: the cores, shared by --n-procs)"
    )
    parser.add_argument("--backend", choices=BACKENDS, help="as for meshnet-predict (default: the fastest)")
    parser.add_argument(
        "--ray-address",
        metavar="ADDRESS",
        help="run on a Ray cluster (ray://HEAD:10001, auto, or local for one on this machine); folders must be on "
        "storage that all nodes share",
    )
    parser.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    return parser


def _count(text: str) -> int:
    if (value := int(text)) < 1:
        raise argparse.ArgumentTypeError(f"expected 1 or more, got {text}")
    return value
