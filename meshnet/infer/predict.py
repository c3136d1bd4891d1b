"""`meshnet-predict`: segments scans and writes one label file per scan.

Each scan goes through the stages of `scan_stages.py`, which overlap those of its neighbours (`overlap.py`).
"""

from __future__ import annotations

import argparse
import io
import shlex
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, redirect_stdout
from pathlib import Path

from tqdm import tqdm

from meshnet.infer.arguments import make_parser
from meshnet.infer.backends import backend_line
from meshnet.infer.confidence import check_confidence
from meshnet.infer.one_scan import StrictError
from meshnet.infer.open_model import OpenModel, model_and_scans, open_model
from meshnet.infer.outcome import CSV_COLUMNS, Outcome, Reporter, say
from meshnet.infer.outputs import (
    check_folders,
    result_paths,
    searched_without,
    too_long,
    without_results,
)
from meshnet.infer.overlap import Stages, run_overlapped
from meshnet.infer.report.folder import ReportFolder, check_pillow
from meshnet.infer.scan_stages import (
    ComputedScan,
    EarlierResult,
    LeftOutError,
    Progress,
    ReadyScan,
    ScanJob,
    confidence_of,
    earlier_stage,
    finish_stage,
    network_stage,
    read_stage,
    steps_per_scan,
)
from meshnet.infer.sources import Source, expand, find_sources
from meshnet.model.shipped import DEFAULT_MODEL
from meshnet.model.spec import SpecError
from meshnet.scan.file_errors import sentence_of
from meshnet.scan.lasting_streams import lasting_streams
from meshnet.scan.notes import Note
from meshnet.scan.scan_stream import ScanError

__all__ = ["CSV_COLUMNS", "main"]

#: Exit code after Ctrl-C: 128 + SIGINT, as in shells.
INTERRUPTED = 130


def main(argv: Sequence[str] | None = None) -> int:
    """Command line. Exit code 0; 1 if a scan failed; 2 if the run could not start; 130 after Ctrl-C."""
    with lasting_streams():
        args = make_parser().parse_intermixed_args(argv)
        args.command = shlex.join(["meshnet-predict", *(sys.argv[1:] if argv is None else argv)])
        return _run(args)


def _run(args: argparse.Namespace) -> int:
    with tempfile.TemporaryDirectory(prefix="meshnet-") as scratch:
        try:
            with _said_at_the_start(args.json):
                model, jobs = _prepare(args, Path(scratch))
            return _predict_all(args, model, jobs)
        except (SpecError, ScanError, OSError) as error:
            print(f"error: {sentence_of(error)}", file=sys.stderr)
            return 2


def _prepare(args: argparse.Namespace, scratch: Path) -> tuple[OpenModel, list[tuple[Source, Path]]]:
    """The opened model, and each scan with the path of its result. Prints what was chosen and left out.

    Raises SpecError, ScanError or OSError if the run can't start.
    """
    if args.report is not None:
        check_pillow()
    given, words = model_and_scans(args.words, args.model, lists=bool(args.lists))
    paths = expand(words, args.lists)
    model = open_model(given, backend=args.backend, threads=args.threads)
    check_confidence(model.spec, confidence_of(args))
    if args.model is None and len(words) == len(args.words):
        print(f"model: {DEFAULT_MODEL}, the default")
    if model.reason is not None:
        print(backend_line(model.backend, model.reason))
    model_id = model.spec.id
    found, labels = find_sources(paths, out=searched_without(args.out), model_id=model_id, scratch=scratch)
    sources, results = without_results(found, model_id, args)
    outputs = result_paths(sources, model_id, args)
    check_folders(outputs)
    if labels := [*labels, *results]:
        files = "label file" if len(labels) == 1 else "label files"
        print(f"{len(labels)} {files} left out, the first is {labels[0]}; name a file to segment it anyway")
    if not sources:
        raise ScanError(f"{labels[0]}: no scan among these files, label files only; name one to segment it anyway")
    return model, list(zip(sources, outputs, strict=True))


@contextmanager
def _said_at_the_start(as_json: bool) -> Iterator[None]:
    """Holds printed lines back to the end of the block; with --json they go to standard error."""
    said = io.StringIO()
    try:
        with redirect_stdout(said):
            yield
    finally:
        if as_json:
            sys.stderr.write(said.getvalue())
        elif said.getvalue():
            say(said.getvalue().rstrip())


def _predict_all(args: argparse.Namespace, model: OpenModel, jobs: list[tuple[Source, Path]]) -> int:
    """Segment scan by scan. A failing scan is reported and the next one is taken; Ctrl-C ends the run."""
    with ExitStack() as stack:
        steps = steps_per_scan(model, args)
        bar = stack.enter_context(tqdm(total=len(jobs) * steps, unit="step", disable=args.quiet))
        reporter = Reporter(stack, bar, table=args.csv, as_json=args.json)
        reports = None if args.report is None else ReportFolder(args.report, scans=len(jobs))
        if reports is not None:
            stack.callback(reports.finish)
        batch = _Batch(args, model, Progress(bar, steps), reporter, reports)
        kept = []
        for source, output in jobs:
            if reason := too_long(output, probability=args.probability):
                batch.fail(source, output, f"{source.name}: {reason}")
            else:
                kept.append(ScanJob(source, output))
        try:
            run_overlapped(kept, Stages(batch.read, batch.compute, batch.finish))
        except KeyboardInterrupt:
            bar.write(f"interrupted; {batch.done} of {len(jobs)} scans are done", file=sys.stderr)
            return INTERRUPTED
    if batch.failed:
        print(f"error: {batch.failed} of {len(jobs)} scans failed, see above", file=sys.stderr)
    return 1 if batch.failed else 0


class _Batch:
    """The stages of `run_overlapped` with their settings, and the counts of scans that are done and that failed."""

    def __init__(
        self,
        args: argparse.Namespace,
        model: OpenModel,
        progress: Progress,
        reporter: Reporter,
        reports: ReportFolder | None,
    ) -> None:
        self.args, self.model, self.progress, self.reporter, self.reports = args, model, progress, reporter, reports
        self.done = self.failed = 0

    def read(self, job: ScanJob) -> ReadyScan | EarlierResult:
        return read_stage(job, self.args, self.model, self.progress)

    def compute(self, job: ScanJob, scan: ReadyScan | EarlierResult) -> ComputedScan | EarlierResult:
        self.progress.name(job.source.name.name)
        if isinstance(scan, EarlierResult):
            return scan
        return network_stage(job, scan, self.args, self.model, self.progress, reported=self.reports is not None)

    def finish(self, job: ScanJob, result: ComputedScan | EarlierResult | Exception) -> None:
        args, model, reports = self.args, self.model, self.reports
        try:
            if isinstance(result, Exception):
                raise result
            if isinstance(result, EarlierResult):
                outcome = earlier_stage(job, result, args, model, reports=reports)
            else:
                outcome = finish_stage(job, result, args, model, self.progress, reports=reports)
            self.reporter.report(outcome)
        except LeftOutError as error:
            self.progress.write(str(error))
        except Exception as error:  # an error in one scan must not stop the others
            notes = error.notes if isinstance(error, StrictError) else ()
            self.fail(job.source, job.output, _message(job.source.name, error), notes)
        else:
            self.done += 1
        self.progress.end(job)

    def fail(self, source: Source, output: Path, message: str, notes: Sequence[Note] = ()) -> None:
        self.failed += 1
        self.reporter.report(Outcome(source.name, self.model.spec.id, output, notes=notes, error=message))
        if self.reports is not None:
            self.reports.add_failure(source.name, message)


def _message(path: Path, error: Exception) -> str:
    if isinstance(error, ScanError | OSError | MemoryError):
        return sentence_of(error) or f"{path}: not enough memory"
    return f"{path}: {type(error).__name__}: {error}; please report it"
