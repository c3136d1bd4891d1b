"""`meshnet-experiment --data FOLDER -o RUNS --models meshnet26,segresnet`: models x folds x restarts, trained on Ray.

`RUNS/MODEL/foldF-restartR` is the run folder of each, as meshnet-train writes it. Finished runs are skipped and
half-done ones resumed; a run whose worker is lost continues from its last saved step. `RUNS/experiment.csv` lists the
outcome of every run. The folder of a failed run holds the traceback in `error.txt`; the same command tries it again.
"""

from __future__ import annotations

import argparse
import csv
import sys
import time
import traceback
from collections import Counter
from collections.abc import Hashable, Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

from tqdm import tqdm

from meshnet.cluster.on_ray import Share, add_ray_options, check_address, start_ray
from meshnet.cohort.arguments import at_least, given_twice, out_folder
from meshnet.cohort.bids import CohortError
from meshnet.cohort.splits import OUTER_FOLDS
from meshnet.train.baselines import BASELINES
from meshnet.train.config import ConfigError, TrainConfig, compose_config
from meshnet.train.run_folder import check_same_run, collapse_of, is_finished
from meshnet.train.sources import open_source

_SET_BY_THE_EXPERIMENT = {
    "model": "--models",
    "data": "--data",
    "fold": "--folds",
    "restart": "--restarts",
    "run": "-o",
}


#: Restarts of a MeshNet in the paper; a baseline is trained once.
_RESTARTS = 10


@dataclass(frozen=True)
class Outcome:
    """The outcome of one run.

    state: `finished`, `skipped` (finished earlier) or `failed`; empty before the run. seconds: that this command took
    for it. reason: of a failure, one line. collapsed: why a finished run counts as collapsed, else empty.
    """

    model: str
    fold: int
    restart: int
    folder: str
    state: str = ""
    seconds: float = 0.0
    reason: str = ""
    collapsed: str = ""


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line; 0 when every run is finished, 1 where some failed, 2 where nothing could be started."""
    args = _parser().parse_args(arguments)
    try:
        folds = _numbers("--folds", args.folds)
        restarts = _numbers("--restarts", args.restarts) if args.restarts else None
        _check_once("--models", args.models.split(","))
        if set(folds) - set(range(OUTER_FOLDS)):
            raise ConfigError(f"--folds: expected some of 0..{OUTER_FOLDS - 1}, got {args.folds}")
        check_address(args.ray_address)
        planned = plan(args.models.split(","), folds, restarts, args.out.resolve())
        configs = [_config(run, args.overrides, args.data, args.cpus_each) for run in planned]
        before = [_state_before(run, config) for run, config in zip(planned, configs, strict=True)]
        waiting = [(run, config) for run, config in zip(before, configs, strict=True) if not run.state]
        outcomes = [run for run in before if run.state]
        if waiting:
            with start_ray(args) as share:
                outcomes += run_all(waiting, share, args.retries)
    except (ConfigError, CohortError, OSError) as error:
        print(f"meshnet-experiment: {error}", file=sys.stderr)
        return 2
    return _finish(args.out, sorted(outcomes, key=lambda o: (o.model, o.fold, o.restart)))


def plan(models: Sequence[str], folds: Sequence[int], restarts: Sequence[int] | None, out: Path) -> list[Outcome]:
    """The runs of an experiment in their order: every model on every fold, one restart after the other.

    A full table of the first restart is complete as early as possible. restarts: None for the paper's, ten of a MeshNet
    and one of a baseline.
    """
    return [
        Outcome(model, fold, restart, str(out / model / f"fold{fold}-restart{restart}"))
        for restart in (range(_RESTARTS) if restarts is None else restarts)
        for model in models
        for fold in folds
        if restarts is not None or restart == 0 or model not in BASELINES
    ]


def run_all(runs: Sequence[tuple[Outcome, TrainConfig]], share: Share, retries: int) -> list[Outcome]:
    """Train all runs on the connected Ray. retries: per run, after a lost worker."""
    import ray
    from ray.exceptions import RayError

    # max_calls: a new process for every run, so that its memory is free when it ends
    remote: Any = ray.remote(num_cpus=share.cpus, num_gpus=share.gpus, max_retries=retries, max_calls=1)(_run)
    pending = {remote.remote(run, config): run for run, config in runs}
    outcomes: list[Outcome] = []
    with tqdm(total=len(pending), desc="runs", unit="run", disable=None) as bar:
        while pending:
            ready, _ = ray.wait(list(pending), num_returns=1)
            run = pending.pop(ready[0])
            try:
                outcome: Outcome = ray.get(ready[0])
            except RayError as error:  # lost more than `retries` times
                outcome = replace(run, state="failed", reason=f"worker lost: {_last_line(str(error))}")
            outcomes.append(outcome)
            if outcome.state == "failed":
                bar.write(f"failed: {outcome.folder}: {outcome.reason}", file=sys.stderr)
            bar.update()
    return outcomes


def _run(run: Outcome, config: TrainConfig) -> Outcome:
    """One run, in a Ray worker. Every error is the failure of this run; the experiment continues."""
    from meshnet.train.loop import train  # slow, and only the workers train

    began = time.monotonic()
    trace = Path(run.folder) / "error.txt"
    try:
        trace.unlink(missing_ok=True)
        progress = train(config, command=f"meshnet-experiment, {run.model} fold={run.fold} restart={run.restart}")
    except Exception as error:
        trace.parent.mkdir(parents=True, exist_ok=True)
        trace.write_text(traceback.format_exc(), encoding="utf-8")
        reason = f"{type(error).__name__}: {_first_line(str(error))}"
        return replace(run, state="failed", seconds=round(time.monotonic() - began, 1), reason=reason)
    seconds = round(time.monotonic() - began, 1)
    return replace(run, state="finished", seconds=seconds, collapsed=progress.collapsed)


def _config(run: Outcome, overrides: Sequence[str], data: Path, threads: int) -> TrainConfig:
    """The checked settings of a run, data included. Raises ConfigError or CohortError."""
    for override in overrides:
        key = override.lstrip("+~").partition("=")[0]
        if key in _SET_BY_THE_EXPERIMENT:
            raise ConfigError(f"{override}: meshnet-experiment sets this itself; see {_SET_BY_THE_EXPERIMENT[key]}")
    own = [f"model={run.model}", f"data={data}", f"fold={run.fold}", f"restart={run.restart}", f"run='{run.folder}'"]
    config = compose_config([*own, f"id={run.model}", f"trainer.threads={threads}", *overrides])
    if config.trainer.devices != 1 or config.trainer.nodes != 1:
        raise ConfigError(
            "trainer.devices: a run of meshnet-experiment takes one device; train runs of several with meshnet-train"
        )
    open_source(config)
    return config


def _state_before(run: Outcome, config: TrainConfig) -> Outcome:
    """The run as `skipped` where it is finished, as `failed` where its folder holds other settings, else unchanged."""
    folder = Path(run.folder)
    try:
        check_same_run(folder, config)
    except ConfigError as error:
        return replace(run, state="failed", reason=str(error))
    return replace(run, state="skipped", collapsed=collapse_of(folder)) if is_finished(folder) else run


def _finish(out: Path, outcomes: Sequence[Outcome]) -> int:
    """Write `experiment.csv`, keeping the lines of other runs, and print a summary; returns the exit code."""
    out.mkdir(parents=True, exist_ok=True)
    table = out / "experiment.csv"
    lines: list[dict[str, Any]] = [asdict(o) for o in outcomes]
    if table.is_file():
        with table.open(newline="", encoding="utf-8") as file:
            lines += [line for line in csv.DictReader(file) if line["folder"] not in {o.folder for o in outcomes}]
    with table.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, [f.name for f in fields(Outcome)])
        writer.writeheader()
        writer.writerows(lines)
    count = Counter(o.state for o in outcomes)
    print(
        f"{out / 'experiment.csv'}: {count['finished']} finished, {count['skipped']} were before, "
        f"{count['failed']} failed"
    )
    for o in outcomes:
        if o.state == "failed":
            print(f"meshnet-experiment: {o.folder}: {o.reason}", file=sys.stderr)
        if o.collapsed:
            print(f"meshnet-experiment: {o.folder}: collapsed: {o.collapsed}", file=sys.stderr)
    return 1 if count["failed"] else 0


def _numbers(option: str, text: str) -> list[int]:
    """`0,2` or `0-9` to numbers."""
    numbers: list[int] = []
    for part in text.split(","):
        first, _, last = part.partition("-")
        if not first.isdigit() or (last and not last.isdigit()):
            raise ConfigError(f"{option}: expected numbers or ranges joined by commas (0,2 or 0-9), got {text!r}")
        if last and int(last) < int(first):
            raise ConfigError(f"{option}: expected a range from low to high such as 0-2, got {part}")
        numbers += range(int(first), int(last or first) + 1)
    _check_once(option, numbers)
    return numbers


def _check_once(option: str, values: Sequence[Hashable]) -> None:
    """Raise ConfigError for a value that is given twice: two runs would write to one folder."""
    double = given_twice(values)
    if double is not None:
        raise ConfigError(f"{option}: {double} is in it twice; expected each once")


def _first_line(text: str) -> str:
    return next((line.strip() for line in text.splitlines() if line.strip()), "no message")


def _last_line(text: str) -> str:
    return _first_line("\n".join(reversed(text.splitlines())))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="meshnet-experiment",
        description="Train models on every fold with several restarts. Starting the same command again skips what "
        "is finished and resumes the rest.",
        epilog="@FILE takes overrides from a file of meshnet-tune. Then: meshnet-evaluate RUNS --data FOLDER -o OUT.",
    )
    parser.add_argument("overrides", nargs="*", help="Hydra overrides that every run shares, as for meshnet-train")
    parser.add_argument("--data", type=Path, required=True, help="folder of meshnet-prepare")
    parser.add_argument("-o", "--out", type=out_folder, required=True, help="folder for the runs and experiment.csv")
    parser.add_argument(
        "--models", default="meshnet5,meshnet16,meshnet26", help="choices of model=, by commas (default %(default)s)"
    )
    parser.add_argument("--folds", default="0-2", help="outer folds (default %(default)s)")
    parser.add_argument(
        "--restarts",
        default="",
        help="restarts of each: 0,2 or 0-9 (default: the paper's, 0-9 of a MeshNet and 0 of a baseline)",
    )
    parser.add_argument(
        "--retries", type=at_least(0), default=3, help="of a run whose worker is lost (default %(default)s)"
    )
    add_ray_options(parser, "run")
    return parser
