"""Measure the cost of one training step of each network: `make bench-train`.

Runs optimiser steps on a random volume and prints seconds, peak memory and GFLOP/s. Each measurement runs in a new
process, so that its peak memory is that of one network. Before them, the loader is timed: the items per second that it
offers, beside those that each network consumes, show which side waits.

The operations of the forward pass are counted while it runs (`torch.utils.flop_counter`: convolutions, matrix products
and attention; a multiply-add is two operations). The backward pass counts as two forward passes; activation
checkpointing adds one more.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode

from meshnet.cohort.prepare import Row
from meshnet.scan.nifti import new_header, save_labels, save_volume
from meshnet.train.baselines import BASELINES
from meshnet.train.config import ConfigError, compose_config
from meshnet.train.items import Item, Source
from meshnet.train.loader import make_loader, worker_count
from meshnet.train.losses import segmentation_loss
from meshnet.train.networks import build_network
from meshnet.train.sources import load_case, open_source

_MESHNETS = ("meshnet5", "meshnet16")
_GIB = 2**30


@dataclass(frozen=True)
class Setup:
    """One measurement: a training step of `model` on a volume of size^3 voxels."""

    model: str
    size: int
    channels_last: bool
    checkpoint_activations: bool

    def __str__(self) -> str:
        layout = "channels_last_3d" if self.channels_last else "plain"
        activations = "checkpointed" if self.checkpoint_activations else "kept"
        return f"{self.model:11} {self.size:4}^3  {layout:16}  activations {activations:12}"


@dataclass(frozen=True)
class Cost:
    """step_s: median of the timed steps. gflop: operations of one step. peak_bytes: of the process (CPU) or the GPU."""

    step_s: float
    gflop: float
    peak_bytes: int


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line. Exit code 0; 1 if a measurement failed; 2 for an unknown model."""
    args = _parser().parse_args(arguments)
    if args.one:
        print(json.dumps(asdict(measure(Setup(**json.loads(args.one)), args.device, args.threads, args.steps))))
        return 0
    models = args.models.split(",")
    unknown = set(models) - {*_MESHNETS, "meshnet26", "small", *BASELINES}
    if unknown:
        print(f"bench_train: --models: unknown {', '.join(sorted(unknown))}", file=sys.stderr)
        return 2
    device = torch.device(args.device or ("cuda" if torch.cuda.is_available() else "cpu"))
    try:
        offered = {
            size: measure_offer(args.source.split(), size, device, args.items)
            for size in sorted({_size_of(model, args) for model in models})
        }
    except (ConfigError, OSError) as error:
        print(f"bench_train: --source: {error}", file=sys.stderr)
        return 2
    for offer in offered.values():
        print(offer, flush=True)
    failed = 0
    for setup in setups(models, args.size, args.baseline_size):
        cost = _in_new_process(setup, args)
        failed += isinstance(cost, str)
        text = cost if isinstance(cost, str) else f"{line(cost)}  {balance(cost, offered[setup.size])}"
        print(f"{setup}  {text}", flush=True)
    return 1 if failed else 0


def _size_of(model: str, args: argparse.Namespace) -> int:
    return int(args.baseline_size if model in BASELINES else args.size)


def setups(models: Sequence[str], size: int, baseline_size: int) -> Iterator[Setup]:
    """MeshNets at `size` in both memory layouts, baselines at `baseline_size`; each with and without activation
    checkpointing."""
    for model in models:
        for checkpoint_activations in (True, False):
            if model in BASELINES:
                yield Setup(model, baseline_size, True, checkpoint_activations)
            else:
                yield Setup(model, size, True, checkpoint_activations)
                yield Setup(model, size, False, checkpoint_activations)


def line(cost: Cost) -> str:
    """The cost as one line of text."""
    return (
        f"{cost.step_s:8.2f} s/step  {cost.peak_bytes / _GIB:6.2f} GiB peak  {cost.gflop:9.1f} GFLOP  "
        f"{cost.gflop / cost.step_s:7.1f} GFLOP/s"
    )


@dataclass(frozen=True)
class Offer:
    """Items per second that the loader gives. shape: of an item; workers: processes, 0 for the training's own."""

    items_per_s: float
    shape: tuple[int, ...]
    workers: int

    def __str__(self) -> str:
        shape = "x".join(map(str, self.shape))
        return f"offered: {self.items_per_s:.3g} items/s of {shape} voxels, {self.workers} workers"


def balance(cost: Cost, offer: Offer) -> str:
    """The items per second that a network consumes, and which side of the training waits.

    Without workers nothing waits: loading and network take turns, and the loading's share of the time is given.
    """
    consumed = f"{1 / cost.step_s:.3g} items/s consumed"
    if offer.workers == 0:
        load_s = 1 / offer.items_per_s
        return f"{consumed}, loading takes {100 * load_s / (load_s + cost.step_s):.0f} % of the time"
    return f"{consumed}, the {'network' if offer.items_per_s > 1 / cost.step_s else 'loader'} is slower"


def measure_offer(source: Sequence[str], size: int, device: torch.device, items: int) -> Offer:
    """Time `items` items of the training data, loaded as in a training on `device`.

    source: overrides of meshnet-train that name the data; none: a made-up prepared scan of size^3 voxels. The first
    item, during which workers start, is not timed. Raises ConfigError or FileNotFoundError.
    """
    config = compose_config([*source, "run=none"])
    workers = worker_count(config.data, device)
    with tempfile.TemporaryDirectory(prefix="meshnet-") as folder:
        opened: Source = open_source(config) if source else _MadeUp(Path(folder), size, items + 1)
        times, shape = [time.perf_counter()], (0,)
        # As in a training, workers run ahead of the network; with enough items, the mean is their rate.
        for image, *_ in make_loader(opened, config.data, device, 0, items + 1):
            times.append(time.perf_counter())
            shape = tuple(image.shape[2:])
    return Offer((len(times) - 2) / (times[-1] - times[1]), shape, workers)


class _MadeUp:
    """A source whose items are all one prepared scan of random voxels: no real scan is slower to decompress."""

    voxel_size_mm = 1.0
    description = "random voxels"
    cases: Sequence[str] = ()

    def __init__(self, folder: Path, size: int, steps: int) -> None:
        self.size, self.steps, self.steps_per_epoch = size, steps, steps
        self._folder = folder
        rng = np.random.default_rng(0)
        image = rng.integers(0, 256, (size, size, size), np.uint8)
        header = new_header(np.eye(4), image.shape, code=1)
        save_volume(folder / "image.nii.gz", image, header)
        save_labels(folder / "labels.nii.gz", (image > 250).astype(np.uint8), header)
        self._row = Row("random", "random", "", "", "", "image.nii.gz", "labels.nii.gz", 1, 0, 0, 0, 0, 0)

    def item(self, step: int) -> Item:
        return load_case(self._folder, self._row, "LIA")

    def validation_count(self) -> int:
        return 0

    def validation_item(self, index: int) -> Item:
        return self.item(index)


def measure(setup: Setup, device: str, threads: int, steps: int) -> Cost:
    """Time `steps` optimiser steps after a first one, during which operations are counted.

    With steps=0 the first step is timed: useful where a step takes minutes and the first call's overhead is small.
    """
    if threads:
        torch.set_num_threads(threads)
    torch.manual_seed(0)
    place = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
    config = compose_config(
        [f"model={setup.model}", f"trainer.checkpoint_activations={str(setup.checkpoint_activations).lower()}"]
    )
    network = build_network(config, (setup.size,) * 3).to(place).train()
    layout = torch.channels_last_3d if setup.channels_last else torch.contiguous_format
    network = network.to(memory_format=layout)  # type: ignore[call-overload]
    image = torch.rand(1, 1, setup.size, setup.size, setup.size, device=place).to(memory_format=layout)
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
    operations = counter.get_total_flops() * (4 if setup.checkpoint_activations else 3)
    return Cost(times[len(times) // 2], operations / 1e9, peak)


def _in_new_process(setup: Setup, args: argparse.Namespace) -> Cost | str:
    """The cost, or the reason why it could not be measured."""
    options = ["--one", json.dumps(asdict(setup)), "--threads", str(args.threads), "--steps", str(args.steps)]
    command = [sys.executable, "-m", "meshnet.lab.bench_train", *options, "--device", args.device]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    if result.returncode < 0:
        return f"not measured: killed by signal {-result.returncode} (out of memory?)"
    if result.returncode:
        lines = result.stderr.strip().splitlines()
        return f"not measured: {lines[-1] if lines else f'exit code {result.returncode}'}"
    return Cost(**json.loads(result.stdout.strip().splitlines()[-1]))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="make bench-train", description="Measure the cost of one training step of each network."
    )
    parser.add_argument(
        "--models",
        default=",".join([*_MESHNETS, *BASELINES]),
        help="values of model= of meshnet-train, by commas (default: MeshNet-5, MeshNet-16 and every baseline)",
    )
    parser.add_argument("--size", type=int, default=256, help="voxels along each axis for MeshNets (default 256)")
    parser.add_argument("--baseline-size", type=int, default=64, help="the same for the baselines (default 64)")
    parser.add_argument("--steps", type=int, default=1, help="steps timed after the first; 0: time that (default 1)")
    parser.add_argument("--threads", type=int, default=0, help="CPU threads (default: all cores)")
    parser.add_argument("--device", default="", help="cpu, cuda, cuda:1, ... (default: cuda if there is one)")
    parser.add_argument(
        "--source",
        default="",
        help="settings of meshnet-train that name the data to offer, in one string "
        "(default: a made-up prepared scan as large as the network's volume)",
    )
    parser.add_argument("--items", type=int, default=4, help="items to time (default %(default)s)")
    parser.add_argument("--one", default="", help=argparse.SUPPRESS)
    return parser


if __name__ == "__main__":
    sys.exit(main())
