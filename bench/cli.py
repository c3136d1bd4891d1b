"""`python -m bench`: measures every runtime, prints one table, writes bench-results/bench.json and bench.md."""

from __future__ import annotations

import argparse
import json
import signal
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench import browser, child
from bench.cell import Cell, Schedule, blank, cell_from_visits, known_from, schedule_cell
from bench.deno import build_deno_engine
from bench.estimate import SHORTEST_PREFIX, Known
from bench.inputs import Model, paper_model, published_model, reference
from bench.machine import cores, describe
from bench.report import markdown
from bench.runtimes import Runtime, all_runtimes
from bench.server import BENCH, Server, serving
from bench.targets import check_targets, must_finish
from bench.visit import Job, Setting, Visit
from meshnet.model.spec import SpecError

REPO = BENCH.parent
SIZES = (64, 128, 256)
CHANNELS = (5, 11, 16, 26)
#: Names of imported models that `--full` adds: the one of 25 layers and the one of 30 channels.
PUBLISHED = ("mindgrab", "model30chan18cls")
CAP_S = 120.0
#: Caps that a cell gets if a target needs it to finish.
FINISHING_CAPS = 5.0

Measure = Callable[[Job], Visit]


def main(argv: Sequence[str] | None = None) -> int:
    """Command line. Exit code 0 (missed targets and failed cells are results too); 2 without models; 130 after
    Ctrl-C."""
    runtimes = all_runtimes()
    args = _parser(runtimes).parse_args(argv)
    if args.list:
        for runtime in runtimes:
            print(f"{runtime.id:<20} {runtime.title}")
        return 0
    chosen = [runtime for runtime in runtimes if not args.only or runtime.id in args.only]
    work = args.out / "work"
    setting = Setting(work=work, site=args.site, threads=cores(), cap_s=None if args.full else args.cap)
    machine = describe()
    if not machine["idle"]:
        busy = f"{100 * machine['busy_before']:.0f} %"
        print(f"bench: warning: other processes use {busy} of the CPU time; ratios will be rough", file=sys.stderr)
    try:
        models = _models(args, work)
    except SpecError as error:
        print(f"bench: error: {error}", file=sys.stderr)
        return 2
    settings = {
        "sizes": args.sizes,
        "models": [model.name for model in models],
        "runtimes": [runtime.id for runtime in chosen],
        "threads": setting.threads,
        "rounds": args.rounds,
        "cap_s": setting.cap_s,
    }
    bench = Bench(setting, chosen, args.rounds)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: bench.stop())
    code = 0
    try:
        with serving(setting.site, work) as server:
            bench.measure = lambda job: _visit(job, setting, server)
            for model in models:
                for size in sorted(args.sizes):
                    bench.group(model, size)
                    _write(args.out, machine, settings, bench.cells, runtimes)
    except KeyboardInterrupt:
        print("bench: interrupted; the results so far:", file=sys.stderr)
        code = 130
    print(_write(args.out, machine, settings, bench.cells, runtimes))
    print(f"written: {args.out / 'bench.json'}, {args.out / 'bench.md'}")
    return code


class Bench:
    """A run of the bench: the finished cells, and the times that predict the next ones."""

    def __init__(self, setting: Setting, runtimes: Sequence[Runtime], rounds: int) -> None:
        self.setting = setting
        self.runtimes = runtimes
        self.rounds = rounds
        self.cells: list[Cell] = []
        self.measure: Measure = lambda job: Visit(error="nothing measures")
        self._stopping = False
        self._known: dict[str, list[Known]] = {}
        self._absent = {runtime.id: _missing(runtime, setting) for runtime in runtimes}

    def stop(self) -> None:
        """End the run after the current visit, because Playwright swallows exceptions within one. A second call ends it
        at once."""
        if self._stopping:
            raise KeyboardInterrupt
        self._stopping = True
        print("bench: stopping after this visit; interrupt again to stop at once", file=sys.stderr)

    def group(self, model: Model, size: int) -> None:
        """Visit every runtime with one model and size, interleaved: A B C, A B C. Raises KeyboardInterrupt after
        `stop`."""
        wanted = reference(model, size, self.setting.work, self.setting.threads)
        caps = {runtime.id: self._cap_s(runtime, model, size) for runtime in self.runtimes}
        schedules = {
            runtime.id: schedule_cell(runtime, model, size, self._known.get(runtime.id, []), caps[runtime.id])
            for runtime in self.runtimes
            if self._absent[runtime.id] is None
        }
        visits: dict[str, list[Visit]] = {name: [] for name in schedules}
        try:
            for turn in range(self.rounds):
                for runtime in self.runtimes:
                    schedule = schedules.get(runtime.id)
                    if (
                        schedule is None
                        or schedule.cell is not None
                        or not _worth_another(visits[runtime.id], self.setting)
                    ):
                        continue
                    _say(f"{model.name} {size}³ {runtime.id}, turn {turn + 1}")
                    job = Job(runtime, model, size, caps[runtime.id], schedule.layers)
                    visit = self._visit(job)
                    if not (self._stopping and visit.error):  # Ctrl-C ends the browser too: its error is no result
                        visits[runtime.id].append(visit)
                    if self._stopping:
                        raise KeyboardInterrupt
        finally:  # an interrupted run keeps its finished visits
            self._collect(model, size, schedules, visits, wanted)

    def _collect(
        self,
        model: Model,
        size: int,
        schedules: Mapping[str, Schedule],
        visits: Mapping[str, Sequence[Visit]],
        wanted: NDArray[np.uint8],
    ) -> None:
        """Turn the visits of a group into cells, in the order of the table."""
        for runtime in self.runtimes:
            schedule = schedules.get(runtime.id)
            if schedule is None:
                self.cells.append(blank(runtime, model, size, self._absent[runtime.id] or ""))
            elif schedule.cell is not None:
                self.cells.append(schedule.cell)
            elif not visits[runtime.id]:
                self.cells.append(blank(runtime, model, size, "interrupted before its turn"))
            else:
                self.cells.append(cell_from_visits(runtime, model, size, visits[runtime.id], wanted))
            known = known_from(self.cells[-1], model.macs(size))
            if known is not None:
                self._known.setdefault(runtime.id, []).append(known)

    def _cap_s(self, runtime: Runtime, model: Model, size: int) -> float | None:
        cap_s = self.setting.cap_s
        if cap_s is None or not must_finish(runtime.id, model.architecture.channels, size):
            return cap_s
        return FINISHING_CAPS * cap_s

    def _visit(self, job: Job) -> Visit:
        visit = self.measure(job)
        if visit.timed_out and job.runtime.capping == "prefix" and job.layers is None and job.cap_s:
            return self.measure(replace(job, layers=SHORTEST_PREFIX))
        return visit


def _worth_another(visits: Sequence[Visit], setting: Setting) -> bool:
    """Whether to visit again: not after a failure, an extrapolated run or a long one."""
    if not visits:
        return True
    last = visits[-1]
    return last.error is None and last.share == 1 and (last.first_s or 0) <= setting.warm_within_s


def _visit(job: Job, setting: Setting, server: Server) -> Visit:
    match job.runtime.host:
        case "site" | "peer":
            return browser.visit_browser(job, setting, server)
        case "deno":
            return child.visit_deno(job, setting)
        case "python":
            return child.visit_python(job, setting)


def _missing(runtime: Runtime, setting: Setting) -> str | None:
    """Why a runtime can't be measured on this machine, for the note of its row; None if it can."""
    if runtime.host == "python":
        return child.missing_python(runtime)
    return build_deno_engine() if runtime.host == "deno" else browser.missing(runtime, setting)


def _models(args: argparse.Namespace, work: Path) -> list[Model]:
    published = args.models or (PUBLISHED if args.full and not args.channels else ())
    channels = args.channels or (() if args.models else CHANNELS)
    found = [published_model(name, REPO / ".models", work) for name in published]
    return [*(paper_model(count, work) for count in channels), *found]


def _write(
    out: Path, machine: dict[str, Any], settings: dict[str, Any], cells: Sequence[Cell], runtimes: Sequence[Runtime]
) -> str:
    """Write bench.json and bench.md; returns the Markdown."""
    f16 = [runtime.id for runtime in runtimes if runtime.f16]
    ours = [runtime.id for runtime in runtimes if runtime.ours]
    targets = check_targets(cells, f16, ours)
    titles = {runtime.id: runtime.title for runtime in runtimes}
    text = markdown(machine, settings, cells, titles, targets)
    content = {
        "machine": machine,
        "settings": settings,
        "cells": [cell.as_json() for cell in cells],
        "targets": [asdict(line) for line in targets],
    }
    out.mkdir(parents=True, exist_ok=True)
    (out / "bench.json").write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    (out / "bench.md").write_text(text, encoding="utf-8")
    return text


def _say(text: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {text}", file=sys.stderr, flush=True)


def _parser(runtimes: Sequence[Runtime]) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m bench",
        description="Measure this project's engines and other runtimes in one run and one table.",
        epilog="Results: OUT/bench.json and OUT/bench.md. OUT/work keeps models, volumes and PyTorch's labels.",
    )
    ids = [runtime.id for runtime in runtimes]
    parser.add_argument(
        "--sizes",
        metavar="N,…",
        type=_listed(int, lambda n: 16 <= n <= 256, "sizes are 16 to 256"),
        default=list(SIZES),
        help="edges of the cubic volumes, voxels (default: 64,128,256)",
    )
    parser.add_argument(
        "--channels",
        metavar="N,…",
        type=_listed(int, lambda n: 1 <= n <= 64, "channels are 1 to 64"),
        help="widths of the paper's MeshNet-X (default: 5,11,16,26; none with --models)",
    )
    parser.add_argument(
        "--models",
        metavar="NAME,…",
        type=_listed(str, lambda name: True, ""),
        help="imported models of .models/brainchop-NAME (default: none; with --full mindgrab,model30chan18cls)",
    )
    parser.add_argument(
        "--only",
        metavar="ID,…",
        type=_listed(str, lambda name: name in ids, f"runtimes are {', '.join(ids)}"),
        help="runtimes to measure (default: all; see --list)",
    )
    parser.add_argument("--rounds", metavar="N", type=int, default=2, help="visits of each runtime (default: 2)")
    parser.add_argument(
        "--cap", metavar="S", type=float, default=CAP_S, help="stop a run after this many seconds (default: 120)"
    )
    parser.add_argument("--full", action="store_true", help="no cap, and the published models too: hours to days")
    parser.add_argument(
        "--out", metavar="DIR", type=Path, default=REPO / "bench-results", help="folder (default: bench-results)"
    )
    parser.add_argument(
        "--site", metavar="DIR", type=Path, default=REPO / "static" / "dist", help="built site (default: static/dist)"
    )
    parser.add_argument("--list", action="store_true", help="print the runtimes and exit")
    return parser


def _listed(of: Callable[[str], Any], allowed: Callable[[Any], bool], rule: str) -> Callable[[str], list[Any]]:
    """A parser of comma-separated values for argparse; its error states `rule` if a value is not `allowed`."""

    def parse(text: str) -> list[Any]:
        try:
            values = [of(part) for part in text.split(",") if part]
        except ValueError as error:
            raise argparse.ArgumentTypeError(f"{text!r}: {error}") from error
        wrong = [value for value in values if not allowed(value)]
        if wrong or not values:
            raise argparse.ArgumentTypeError(f"{', '.join(map(str, wrong)) or 'nothing'} given; {rule}")
        return values

    return parse
