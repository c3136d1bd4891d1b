"""`python -m bench.gpu`: measures every part within its share of the time and writes gpu-report.md and gpu-report.json.

Both files are written again after each part, so that an interrupted report holds what was measured.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from bench.gpu.cases import all_names, write_models
from bench.gpu.describe import describe
from bench.gpu.engine import WebGpu
from bench.gpu.markdown import markdown
from bench.gpu.parts import Clock, Measure, Outcome, Setting, run_part
from bench.gpu.peers import measure_onnxruntime, measure_torch
from bench.gpu.training import all_networks, measure_tests, measure_training
from bench.gpu.vulkan import find_adapter

#: Parts in order, and the share of the time that each may take. What a part leaves goes to the ones after it.
SHARES = {"adapter": 0.1, "pytorch": 0.15, "engine": 0.3, "onnxruntime": 0.08, "training": 0.25, "tests": 0.12}
BUDGET_S = 480.0
#: Edge of the volumes on a GPU, and without one.
SIZES = {True: 256, False: 32}
BASELINE_SIZES = {True: 64, False: 32}


def main(argv: Sequence[str] | None = None) -> int:
    """Command line. Exit code 0, failed parts included: the report names them; 130 after Ctrl-C."""
    args = _parser().parse_args(argv)
    work = args.work or args.out / "work"
    if args.models_only:
        write_models(args.models, work)
        return 0
    gpu, clock = WebGpu(), Clock(args.budget)
    if "adapter" in args.only or "engine" in args.only:
        gpu.environment, gpu.found = find_adapter(work, Clock(min(90.0, args.budget / 3)))
    setting = _setting(args, work, gpu)
    machine = describe(gpu.found, setting)
    outcomes: list[Outcome] = []
    code = 0
    try:
        for name, measure in _parts(gpu).items():
            if name not in args.only:
                continue
            print(f"gpu-report: {name}, {clock.left_s():.0f} s left", file=sys.stderr, flush=True)
            outcome = run_part(name, measure, setting, _share_s(name, args.only, clock))
            outcomes.append(outcome)
            if outcome.status != "done":
                print(f"gpu-report: {name}: {outcome.status}: {outcome.why}", file=sys.stderr, flush=True)
            _write(args.out, machine, outcomes)
    except KeyboardInterrupt:
        print("gpu-report: interrupted", file=sys.stderr)
        code = 130
    print(f"written: {_write(args.out, machine, outcomes)}")
    return code


def _parts(gpu: WebGpu) -> dict[str, Measure]:
    return {
        "adapter": gpu.measure_adapter,
        "pytorch": measure_torch,
        "engine": gpu.measure_engine,
        "onnxruntime": measure_onnxruntime,
        "training": measure_training,
        "tests": measure_tests,
    }


def _share_s(name: str, only: Sequence[str], clock: Clock) -> float:
    """Seconds for a part: its share of the time that is left, among the parts that are still to come."""
    names = [part for part in SHARES if part in only]
    to_come = names[names.index(name) :]
    return clock.left_s() * SHARES[name] / sum(SHARES[part] for part in to_come)


def _setting(args: argparse.Namespace, work: Path, gpu: WebGpu) -> Setting:
    """Full size where there is a GPU for WebGPU or for PyTorch, else small."""
    cuda = torch.cuda.is_available()
    hardware = cuda or bool(gpu.found.get("available") and not gpu.found.get("software"))
    return Setting(
        work=work,
        size=args.size or SIZES[hardware],
        baseline_size=args.baseline_size or BASELINE_SIZES[hardware],
        models=tuple(args.models),
        networks=tuple(args.networks),
        device="cuda" if cuda else "cpu",
        peak_s=args.peak_seconds,
        steps=3 if cuda else 1,
    )


def _write(out: Path, machine: dict[str, Any], outcomes: Sequence[Outcome]) -> Path:
    """Write both files; returns the Markdown's path."""
    out.mkdir(parents=True, exist_ok=True)
    content = {"machine": machine, "parts": [asdict(outcome) for outcome in outcomes]}
    (out / "gpu-report.json").write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    (out / "gpu-report.md").write_text(markdown(machine, outcomes), encoding="utf-8")
    return out / "gpu-report.md"


def _names(known: Sequence[str]) -> Any:
    """A type for argparse: names from `known`, by commas."""

    def names(text: str) -> list[str]:
        unknown = [name for name in text.split(",") if name not in known]
        if unknown:
            raise argparse.ArgumentTypeError(f"unknown {unknown[0]!r}; expected some of {', '.join(known)}")
        return text.split(",")

    return names


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="make gpu-report", description="Measure this machine's GPU; without one, a small run in software."
    )
    names, networks, parts = all_names(), all_networks(), list(SHARES)
    parser.add_argument("--out", type=Path, default=Path("gpu-report"), help="folder for the report (%(default)s)")
    parser.add_argument("--work", type=Path, help="folder for inputs and results of the parts (default: OUT/work)")
    parser.add_argument("--budget", type=float, default=BUDGET_S, help="seconds for all parts (%(default).0f)")
    parser.add_argument("--only", type=_names(parts), default=parts, help=f"parts, by commas: {', '.join(parts)}")
    parser.add_argument("--size", type=int, help="edge of the volumes in voxels (256 with a GPU, else 32)")
    parser.add_argument("--baseline-size", type=int, help="the same for the baselines' steps (64 with a GPU, else 32)")
    parser.add_argument("--models", type=_names(names), default=names, help=f"networks, by commas: {', '.join(names)}")
    parser.add_argument(
        "--networks", type=_names(networks), default=networks, help="networks to train, by commas (default: all)"
    )
    parser.add_argument(
        "--peak-seconds",
        type=float,
        default=0.05,
        help="least seconds of a dispatch that measures a peak (%(default)s)",
    )
    parser.add_argument("--models-only", action="store_true", help=argparse.SUPPRESS)
    return parser
