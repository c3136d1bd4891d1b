"""Starts or joins Ray, for every command that distributes work over it."""

from __future__ import annotations

import argparse
import os
import socket
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from urllib.parse import urlsplit

from meshnet.cohort.arguments import at_least, share_of_gpus
from meshnet.train.config import ConfigError

#: Environment variables that Ray reads at import or start: no telemetry, and no metrics, as no dashboard runs. Workers
#: keep the working directory of the command, so that relative paths in overrides are valid, and its priority (Ray's
#: default is a niceness of 15, with which training would get little time beside other processes).
_ENVIRONMENT = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_enable_metrics_collection": "0",
    "RAY_CHDIR_TO_TRIAL_DIR": "0",
    "RAY_worker_niceness": "0",
}

#: Seconds in which the head node of a cluster must take a connection. Ray itself tries for minutes.
CONNECT_S = 5.0

#: Addresses that name no host: Ray looks for a cluster itself, or starts one.
_WITHOUT_HOST = ("", "auto", "local")


@dataclass(frozen=True)
class Share:
    """Ray's resources for one piece of work (a run or a trial). gpus: a fraction shares a GPU."""

    cpus: int
    gpus: float


def add_ray_options(parser: argparse.ArgumentParser, piece: str) -> None:
    """Add the options that `start_ray` reads. piece: name of one piece of work, `run` or `trial`."""
    parser.set_defaults(piece=piece)
    parser.add_argument(
        f"--cpus-per-{piece}",
        dest="cpus_each",
        metavar="N",
        type=at_least(1),
        default=1,
        help=f"cores and threads of a {piece} (default 1)",
    )
    parser.add_argument(
        f"--gpus-per-{piece}",
        dest="gpus_each",
        metavar="N",
        type=share_of_gpus,
        help=f"GPUs of a {piece}, fractions share one (default: 1 where Ray has a GPU, else 0)",
    )
    parser.add_argument(
        "--ray-address",
        default="",
        help="a running cluster, e.g. ray://HEAD:10001 or auto; folders must be on storage that all of its nodes "
        "share (default: start Ray on this machine for the time of the command)",
    )
    parser.add_argument("--cpus", type=at_least(1), default=0, help="cores that a local Ray may use (default: all)")


@contextmanager
def start_ray(options: argparse.Namespace) -> Iterator[Share]:
    """Join or start Ray according to the options of `add_ray_options`; leave or stop it at the end.

    Raises ConfigError where no cluster answers, or where Ray has too few resources for one piece of work.
    """
    with _connected(options.ray_address, options.cpus):
        gpus = _one_gpu_where_there_is_one() if options.gpus_each is None else options.gpus_each
        share = Share(options.cpus_each, gpus)
        _check_resources(share, options.piece)
        yield share


@contextmanager
def _connected(address: str, cpus: int) -> Iterator[None]:
    """cpus: cores that a local Ray may use, 0 for all."""
    check_address(address)
    for key, value in _ENVIRONMENT.items():
        os.environ.setdefault(key, value)
    import ray

    try:
        with warnings.catch_warnings():
            # Ray announces a change in its use of CUDA_VISIBLE_DEVICES
            warnings.filterwarnings("ignore", category=FutureWarning, module="ray")
            if address:
                ray.init(address=address, log_to_driver=False)
            else:
                ray.init(num_cpus=cpus or None, include_dashboard=False, log_to_driver=False, logging_level="warning")
    except (ConnectionError, RuntimeError, ValueError) as error:
        raise ConfigError(f"{f'--ray-address {address}' if address else 'starting Ray here'}: {error}") from error
    try:
        yield
    finally:
        ray.shutdown()


def check_address(address: str) -> None:
    """Raise ConfigError if no host takes connections at this address of a cluster, HOST:PORT or ray://HOST:PORT.

    `auto` is the address in RAY_ADDRESS, where there is one. Addresses without a host, and those of other schemes, are
    left to Ray.
    """
    given = f"--ray-address {address}"
    if address == "auto" and (set_address := os.environ.get("RAY_ADDRESS")):
        given, address = f"{given} (RAY_ADDRESS={set_address})", set_address
    bare = address.removeprefix("ray://")
    if bare in _WITHOUT_HOST or "://" in bare:
        return
    expected = "expected HEAD:6379 or ray://HEAD:10001 of a running cluster, or auto"
    try:
        parts = urlsplit(f"//{bare}")
        host, port = parts.hostname, parts.port
    except ValueError:  # a port that is no number from 0 to 65535
        host, port = None, None
    if not host or not port:
        raise ConfigError(f"{given}: is no host and port; {expected}")
    try:
        socket.create_connection((host, port), timeout=CONNECT_S).close()
    except OSError as error:
        raise ConfigError(
            f"{given}: no Ray cluster answers there ({error.strerror or error}); {expected}; `ray start --head` starts "
            f"a cluster, and without --ray-address the work is done on this machine"
        ) from error


def _one_gpu_where_there_is_one() -> int:
    """1 where the started Ray has a GPU, else 0."""
    import ray

    return int(ray.cluster_resources().get("GPU", 0) >= 1)


def _check_resources(share: Share, piece: str) -> None:
    """Raise ConfigError where Ray has too few resources for one piece of work: Ray itself would wait without end."""
    import ray

    have = ray.cluster_resources()
    for name, wanted in (("CPU", share.cpus), ("GPU", share.gpus)):
        if wanted > have.get(name, 0):
            option = f"--{name.lower()}s-per-{piece}"
            raise ConfigError(f"{option}: expected at most {have.get(name, 0):g}, what Ray has here, got {wanted:g}")
