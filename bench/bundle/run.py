"""Trains, tests and measures on this machine: `python3 run.py [--out results] [--minutes 15]`.

Needs Python and PyTorch; every other package is here, and is used only where the machine lacks it. Nothing is installed
and nothing is fetched. In the results folder, at most seven files:

    summary.json        what ran, for how long, and what failed
    gpu-report.md, gpu-report.json
    train.log, log.csv  of the training
    model/              model.json and the trained weights

Without a GPU everything runs small, and the report says so.
"""

from __future__ import annotations

import argparse
import json
import lzma
import os
import shutil
import subprocess
import sys
import time
from importlib.util import find_spec
from pathlib import Path

HERE = Path(__file__).resolve().parent
CODE = HERE / "code"
#: Shares of the whole time. The rest is for starting and for a step that ends late.
TRAIN_SHARE, REPORT_SHARE = 0.4, 0.5
#: Seconds that a training takes beside its steps: starting, validation, refinement.
_TRAIN_AROUND_S = 75.0
#: Seconds that a training may take longer, where this machine starts it slowly; the report has less time then.
_LATE_S = 120.0
#: Volumes of a training step on a GPU: a step of one is bound by kernel launches.
_BATCH = 4
_SMALL = ["data.validation_subjects=1", "data.stages=[{steps: 100000, size: [24, 24, 24], voxel_size_mm: [6.0, 7.0]}]"]
_SMALL_REPORT = ["--size", "16", "--baseline-size", "32", "--models", "meshnet-5", "--networks", "meshnet5,segresnet"]


def main() -> int:
    """Exit code 0; 1 where a step failed; 2 without PyTorch or a package."""
    parser = argparse.ArgumentParser(description="Train, test and measure on this machine; see the head of this file.")
    parser.add_argument("--out", type=Path, default=Path(os.environ.get("OUT", "results")), help="folder for results")
    parser.add_argument("--minutes", type=float, default=15.0, help="time for everything (default %(default)g)")
    parser.add_argument("--skip", default="", help="train or report, to leave it out")
    args = parser.parse_args()
    out, began = args.out.resolve(), time.monotonic()
    try:
        unpack_deno()
        environment = packages_here()
        cuda = has_cuda(environment)
    except RuntimeError as error:
        print(f"run.py: {error}", file=sys.stderr)
        return 2
    out.mkdir(parents=True, exist_ok=True)
    total_s = 60 * args.minutes
    steps = []
    if args.skip != "train":
        steps.append(train(out, environment, cuda, TRAIN_SHARE * total_s))
        write(out, steps, began, cuda)
    if args.skip != "report":
        left_s = total_s - (time.monotonic() - began)
        steps.append(report(out, environment, cuda, min(left_s - 10, max(REPORT_SHARE * total_s, left_s - 60))))
    write(out, steps, began, cuda)
    return 1 if any(step["failed"] for step in steps) else 0


def unpack_deno() -> None:
    """Put Deno where the code expects it."""
    program = CODE / "bench" / "node_modules" / "@deno" / "linux-x64-glibc" / "deno"
    if program.exists():
        return
    program.parent.mkdir(parents=True, exist_ok=True)
    partial = program.with_suffix(".partial")
    with lzma.open(HERE / "deno.xz") as packed, partial.open("wb") as out:
        shutil.copyfileobj(packed, out, 2**20)
    partial.chmod(0o755)
    partial.replace(program)


def packages_here() -> dict[str, str]:
    """The environment in which the code and the packages that this Python lacks are found. Raises RuntimeError."""
    if find_spec("torch") is None or find_spec("numpy") is None:
        raise RuntimeError(
            f"{sys.executable} has no PyTorch or no NumPy; start this file with the Python that has both"
        )
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    folders = [str(CODE)]
    for package in json.loads((HERE / "packages" / "packages.json").read_text(encoding="utf-8")):
        if present(package["module"]):
            continue
        if package["python"] not in ("", version):
            raise RuntimeError(
                f"{package['name']}: packed for Python {package['python']}, this is {version}; pack again with "
                f"make gpu-bundle ARGS='--python {version}', or install {package['name']} here"
            )
        folders.append(str(HERE / "packages" / package["name"]))
    paths = [*folders, os.environ.get("PYTHONPATH", "")]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths)), "PYTHONDONTWRITEBYTECODE": "1"}


def present(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:
        return False


def has_cuda(environment: dict[str, str]) -> bool:
    """Whether PyTorch finds a GPU. Raises RuntimeError where PyTorch itself can't be imported."""
    program = "import torch; print(torch.cuda.is_available())"
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"PyTorch can't be imported: {done.stderr.strip().splitlines()[-1]}")
    return done.stdout.strip() == "True"


def train(out: Path, environment: dict[str, str], cuda: bool, seconds: float) -> dict[str, object]:
    """One phase of the recipe, from the shipped model; the model goes to OUT/model."""
    data, run = HERE / "data", HERE / "work" / "train"
    if not (data / "heads").is_dir():
        return {"step": "train", "failed": "", "skipped": "the bundle holds no training data", "seconds": 0.0}
    stop_s = max(5.0, seconds - _TRAIN_AROUND_S)
    device = ["trainer=cuda", "data.device=cuda", f"trainer.batch_size={_BATCH}"] if cuda else ["trainer=cpu", *_SMALL]
    masks = ("soop", "lesymap") if cuda else ("lesymap",)
    overrides = [
        "recipe=recipe.yaml",
        *device,
        "data.workers=0",
        "trainer.threads=0",
        f"trainer.stop_after_s={stop_s:g}",
        f"data.anatomies={data / 'heads' if cuda else one_head(data / 'heads')}",
        f"data.lesions=[{','.join(str(data / f'lesions-{name}.npz') for name in masks)}]",
        f"data.cache={HERE / 'work' / 'cache'}",
        f"run={run}",
        f"out={out / 'model'}",
    ]
    program = "import sys; from meshnet.train.cli import main; sys.exit(main(sys.argv[1:]))"
    done = timed(
        "train", [sys.executable, "-c", program, *overrides], environment, seconds + _LATE_S, out / "train.log"
    )
    for log in sorted(run.glob("*/log.csv")):
        shutil.copy(log, out / "log.csv")
    return done


def one_head(heads: Path) -> Path:
    """A folder with the first head: preparing all of them takes minutes on a few slow cores."""
    folder = HERE / "work" / "one-head"
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copy(sorted(heads.glob("*.npz"))[0], folder)
    return folder


def report(out: Path, environment: dict[str, str], cuda: bool, seconds: float) -> dict[str, object]:
    """bench.gpu, its tests marked `gpu` among them."""
    work = HERE / "work"
    command = [sys.executable, "-m", "bench.gpu", "--out", str(out), "--work", str(work), "--budget", f"{seconds:.0f}"]
    log = work / "report.log"
    done = timed("report", command + ([] if cuda else _SMALL_REPORT), environment, seconds + 60, log)
    if not (out / "gpu-report.md").is_file():
        done["failed"] = done["failed"] or "no report was written"
    return done


def timed(step: str, command: list[str], environment: dict[str, str], limit_s: float, log: Path) -> dict[str, object]:
    """Run a command in the code's folder, its output in `log` and on this terminal; why it failed, else empty."""
    print(f"run.py: {step}, at most {limit_s:.0f} s", flush=True)
    log.parent.mkdir(parents=True, exist_ok=True)
    began, failed = time.monotonic(), ""
    with log.open("wb") as file:
        try:
            done = subprocess.run(
                command, cwd=CODE, env=environment, stdout=file, stderr=subprocess.STDOUT, check=False, timeout=limit_s
            )
            failed = f"exit code {done.returncode}" if done.returncode else ""
        except subprocess.TimeoutExpired:
            failed = f"stopped after {limit_s:.0f} s"
    lines = log.read_text(errors="replace").strip().splitlines()
    print(f"run.py: {step}: {failed or 'done'}: {lines[-1] if lines else 'no output'}", flush=True)
    return {"step": step, "failed": failed, "seconds": round(time.monotonic() - began, 1), "last": lines[-3:]}


def write(out: Path, steps: list[dict[str, object]], began: float, cuda: bool) -> None:
    content = {"cuda": cuda, "python": sys.version.split()[0], "seconds": round(time.monotonic() - began, 1)}
    (out / "summary.json").write_text(json.dumps(content | {"steps": steps}, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
