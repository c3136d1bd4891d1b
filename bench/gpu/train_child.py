"""Training steps one after the other: `python -m bench.gpu.train_child training JOBS.json ROWS.jsonl`.

One process measures all of them, because starting PyTorch on a GPU takes longer than most steps. On a CPU the peak is
that of the process, not of one network, so it is left out.
"""

from __future__ import annotations

import gc
import json
import sys
from pathlib import Path
from typing import Any

import torch

from meshnet.lab.bench_train import Setup, measure


def main(jobs: Path, out: Path) -> None:
    """Run all jobs; an exception becomes the error of its row."""
    with out.open("w", encoding="utf-8") as file:
        for job in json.loads(jobs.read_text(encoding="utf-8")):
            file.write(json.dumps(run(job)) + "\n")
            file.flush()


def run(job: dict[str, Any]) -> dict[str, Any]:
    """Seconds, operations and, on a GPU, peak memory of one step."""
    cuda = job["device"] == "cuda"
    if cuda:
        torch.cuda.reset_peak_memory_stats()
    try:
        cost = measure(Setup(**job["setup"]), job["device"], 0, job["steps"])
    except Exception as error:
        return {"error": f"{type(error).__name__}: {str(error).splitlines()[0][:300]}"}
    finally:
        gc.collect()
        if cuda:
            torch.cuda.empty_cache()
    row = {"seconds": cost.step_s, "gflop": cost.gflop, "gflops": cost.gflop / cost.step_s}
    return row | ({"peak_bytes": cost.peak_bytes} if cuda else {})


if __name__ == "__main__":
    main(Path(sys.argv[2]), Path(sys.argv[3]))
