"""Starting or joining Ray, the same way for every command that spreads work over it."""

from __future__ import annotations

import argparse
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

from meshnet.config import ConfigError

#: Read by Ray when it is imported or started: no telemetry, no metrics for a dashboard that does not run; workers
#: keep the directory the command was started in, so that relative paths in overrides mean what they say, and its
#: priority, so that training does not starve beside anything else (Ray's default is a niceness of 15).
_ENVIRONMENT = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_enable_metrics_collection": "0",
    "RAY_CHDIR_TO_TRIAL_DIR": "0",
    "RAY_worker_niceness": "0",
}


def add_ray_options(parser: argparse.ArgumentParser) -> None:
    """`--ray-address` and `--cpus`."""
    parser.add_argument(
        "--ray-address",
        default="",
        help="a running cluster, e.g. ray://HEAD:10001 or auto; folders must be on storage that all of its nodes "
        "share (default: start Ray on this machine for the time of the command)",
    )
    parser.add_argument("--cpus", type=int, default=0, help="cores that a local Ray may use (default: all)")


@contextmanager
def start_ray(address: str, cpus: int) -> Iterator[None]:
    """Join the cluster at `address`, or run Ray on this machine; left or stopped at the end.

    Raises ConfigError where no cluster answers there.
    """
    for key, value in _ENVIRONMENT.items():
        os.environ.setdefault(key, value)
    import ray

    try:
        with warnings.catch_warnings():
            # a tip on what a later Ray will do with CUDA_VISIBLE_DEVICES
            warnings.filterwarnings("ignore", category=FutureWarning, module="ray")
            if address:
                ray.init(address=address, log_to_driver=False)
            else:
                ray.init(num_cpus=cpus or None, include_dashboard=False, log_to_driver=False, logging_level="warning")
    except (ConnectionError, RuntimeError, ValueError) as error:
        raise ConfigError(f"--ray-address {address}: {error}") from error
    try:
        yield
    finally:
        ray.shutdown()


def one_gpu_where_there_is_one() -> int:
    """1 where the started Ray has a GPU, else 0."""
    import ray

    return int(ray.cluster_resources().get("GPU", 0) >= 1)


def check_resources(cpus: float, gpus: float) -> None:
    """Raise ConfigError where no piece of work could ever be placed: Ray itself would wait for ever."""
    import ray

    have = ray.cluster_resources()
    for name, wanted in (("CPU", cpus), ("GPU", gpus)):
        if wanted > have.get(name, 0):
            raise ConfigError(f"one run asks for {wanted:g} {name}, Ray has {have.get(name, 0):g}; ask for less")
