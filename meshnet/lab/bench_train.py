"""`python -m meshnet.lab.bench_train` (`make bench-train`): what a training step costs.

One optimiser step of every network of the paper's table on a random volume: seconds, peak memory, and GFLOP/s.
Each measurement has a process of its own, so that its peak memory is its own. Operations of the forward pass
are counted while it runs (`torch.utils.flop_counter`: convolutions, matrix products and attention; one multiply-add is
two); the backward pass counts twice that, and checkpointing repeats the forward pass.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass

import torch
from torch.utils.flop_counter import FlopCounterMode

from meshnet.train.baselines import BASELINES
from meshnet.train.config import compose_config
from meshnet.train.losses import segmentation_loss
from meshnet.train.networks import build_network

_MESHNETS = ("meshnet5", "meshnet16")
_GIB = 2**30


@dataclass(frozen=True)
class Case:
    """What is measured: a step of `model` on one volume of size^3 voxels."""

    model: str
    size: int
    channels_last: bool
    checkpointing: bool

    def __str__(self) -> str:
        layout = "channels_last_3d" if self.channels_last else "plain"
        kept = "checkpointing" if self.checkpointing else "no checkpointing"
        return f"{self.model:11} {self.size:4}^3  {layout:16}  {kept:16}"


@dataclass(frozen=True)
class Cost:
    """step_s: median of the timed steps. gflop: of one step. peak_bytes: of the process (CPU) or the device."""

    step_s: float
    gflop: float
    peak_bytes: int


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line; 0 when every case was measured, 1 where one was not."""
    args = _parser().parse_args(arguments)
    if args.one:
        print(json.dumps(asdict(measure(Case(**json.loads(args.one)), args.device, args.threads, args.steps))))
        return 0
    models = args.models.split(",")
    unknown = set(models) - {*_MESHNETS, "meshnet26", "small", *BASELINES}
    if unknown:
        print(f"bench_train: --models: unknown {', '.join(sorted(unknown))}", file=sys.stderr)
        return 2
    failed = 0
    for case in cases(models, args.size, args.baseline_size):
        cost = _in_own_process(case, args)
        failed += isinstance(cost, str)
        print(f"{case}  {cost if isinstance(cost, str) else line(cost)}", flush=True)
    return 1 if failed else 0


def cases(models: Sequence[str], size: int, baseline_size: int) -> Iterator[Case]:
    """MeshNets at `size` in both memory layouts, baselines at `baseline_size`, each with and without checkpointing."""
    for model in models:
        for checkpointing in (True, False):
            if model in BASELINES:
                yield Case(model, baseline_size, True, checkpointing)
            else:
                yield Case(model, size, True, checkpointing)
                yield Case(model, size, False, checkpointing)


def line(cost: Cost) -> str:
    """A cost for people."""
    return (
        f"{cost.step_s:8.2f} s/step  {cost.peak_bytes / _GIB:6.2f} GiB peak  {cost.gflop:9.1f} GFLOP  "
        f"{cost.gflop / cost.step_s:7.1f} GFLOP/s"
    )


def measure(case: Case, device: str, threads: int, steps: int) -> Cost:
    """Time `steps` optimiser steps after a first one, in which operations are counted; with steps=0 that one
    is timed itself (first calls cost little beside a step of minutes)."""
    if threads:
        torch.set_num_threads(threads)
    torch.manual_seed(0)
    place = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
    config = compose_config(
        [f"model={case.model}", f"trainer.checkpoint_activations={str(case.checkpointing).lower()}"]
    )
    network = build_network(config, (case.size,) * 3).to(place).train()
    layout = torch.channels_last_3d if case.channels_last else torch.contiguous_format
    network = network.to(memory_format=layout)  # type: ignore[call-overload]
    image = torch.rand(1, 1, case.size, case.size, case.size, device=place).to(memory_format=layout)
    labels = (image[:, 0] > 0.98).long()
    optimizer = torch.optim.AdamW(network.parameters())

    counter = FlopCounterMode(display=False)

    def step(count: AbstractContextManager[object]) -> float:
        began = time.perf_counter()
        with count, torch.autocast(place.type, dtype=torch.float16, enabled=place.type == "cuda"):
            logits = network(image)
        segmentation_loss(logits, labels, config.loss).backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        if place.type == "cuda":
            torch.cuda.synchronize(place)
        return time.perf_counter() - began

    first = step(counter)
    times = sorted([step(nullcontext()) for _ in range(steps)] or [first])
    peak = (
        torch.cuda.max_memory_allocated(place)
        if place.type == "cuda"
        else resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    )
    operations = counter.get_total_flops() * (4 if case.checkpointing else 3)
    return Cost(times[len(times) // 2], operations / 1e9, peak)


def _in_own_process(case: Case, args: argparse.Namespace) -> Cost | str:
    """The cost, or in a few words why there is none."""
    own = ["--one", json.dumps(asdict(case)), "--threads", str(args.threads), "--steps", str(args.steps)]
    command = [sys.executable, "-m", "meshnet.lab.bench_train", *own, "--device", args.device]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    if result.returncode < 0:
        return f"not measured: killed by signal {-result.returncode} (out of memory?)"
    if result.returncode:
        lines = result.stderr.strip().splitlines()
        return f"not measured: {lines[-1] if lines else f'exit code {result.returncode}'}"
    return Cost(**json.loads(result.stdout.strip().splitlines()[-1]))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="make bench-train", description="What a training step costs.")
    parser.add_argument(
        "--models",
        default=",".join([*_MESHNETS, *BASELINES]),
        help="choices of model= of meshnet-train, by commas (default: MeshNet-5, MeshNet-16 and every baseline)",
    )
    parser.add_argument("--size", type=int, default=256, help="voxels along each axis for MeshNets (default 256)")
    parser.add_argument("--baseline-size", type=int, default=64, help="the same for baselines (default 64)")
    parser.add_argument("--steps", type=int, default=1, help="steps timed after a first one; 0: the first (default 1)")
    parser.add_argument("--threads", type=int, default=0, help="CPU threads (default: all cores)")
    parser.add_argument("--device", default="", help="cpu, cuda, cuda:1 ... (default: cuda where there is one)")
    parser.add_argument("--one", default="", help=argparse.SUPPRESS)
    return parser


if __name__ == "__main__":
    sys.exit(main())
