"""Run the scans of a BIDS data set: one after the other, in several processes, or on a Ray cluster."""

from __future__ import annotations

import argparse
import multiprocessing
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from typing import Any

from meshnet.bids.layout import Job
from meshnet.bids.process import Outcome, RunOptions, process

#: Tries of a scan after its worker was lost.
RETRIES = 3

_LOST = "the worker was lost, perhaps for lack of memory; run the command again, with fewer processes"


def run_here(jobs: Sequence[Job], options: RunOptions, *, processes: int) -> Iterator[Outcome]:
    """Outcomes in the order in which scans end. A process that dies fails the scans that had begun or waited."""
    if processes == 1 or len(jobs) == 1:
        yield from (process(job, options) for job in jobs)
        return
    # A forked copy of a process that has threads may hang.
    with ProcessPoolExecutor(min(processes, len(jobs)), multiprocessing.get_context("spawn")) as pool:
        waiting = {pool.submit(process, job, options): job for job in jobs}
        for done in as_completed(waiting):
            try:
                yield done.result()
            except BrokenProcessPool:
                yield Outcome(waiting[done], "failed", f"{waiting[done].image}: {_LOST}")


def run_on_ray(jobs: Sequence[Job], options: RunOptions, *, address: str, retries: int = RETRIES) -> Iterator[Outcome]:
    """Outcomes in the order in which scans end, from workers of a Ray cluster; a scan whose worker is lost runs again.

    address: of a running cluster; "local" starts Ray on this machine. Raises ConfigError where no cluster answers,
    ModuleNotFoundError without Ray.
    """
    import ray
    from ray.exceptions import RayError

    from meshnet.cluster.on_ray import start_ray

    wanted = argparse.Namespace(
        ray_address="" if address == "local" else address,
        cpus=0,
        cpus_each=options.threads,
        gpus_each=0,
        piece="scan",
    )
    with start_ray(wanted) as share:
        remote: Any = ray.remote(num_cpus=share.cpus, max_retries=retries)(process)
        pending = {remote.remote(job, options): job for job in jobs}
        while pending:
            (ready,), _ = ray.wait(list(pending), num_returns=1)
            job = pending.pop(ready)
            try:
                outcome: Outcome = ray.get(ready)
            except RayError:  # lost more than `retries` times
                outcome = Outcome(job, "failed", f"{job.image}: {_LOST}")
            yield outcome
