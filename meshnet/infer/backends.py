"""The backends of `meshnet-predict`: open a model on one of them, and choose the fastest one."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from meshnet.infer.kernel.library import KernelMissingError, load_kernel
from meshnet.infer.kernel.run import run_cpu
from meshnet.model.checkpoint import Weights
from meshnet.model.graph import build_graph
from meshnet.model.spec import ModelSpec, SpecError

if TYPE_CHECKING:
    import onnxruntime


class Network(Protocol):
    """A model that is ready to run."""

    def __call__(
        self,
        image: NDArray[np.float32],
        step: Callable[[], object],
        probabilities: NDArray[np.uint8] | None = None,
        /,
    ) -> NDArray[np.uint8]:
        """Labels uint8 [D, H, W] of a normalised image float32 [D, H, W]; calls `step` as it goes on.

        `probabilities`, if given, contiguous uint8 [classes - 1, D, H, W], is filled (`meshnet.infer.probabilities`).
        """


#: Values of `--backend`; all run on the CPU.
BACKENDS = ("cpu", "onnx", "torch")


def open_network(spec: ModelSpec, weights: Weights, *, backend: str, threads: int) -> tuple[Network, int]:
    """Prepare the model to run on `backend` (one of `BACKENDS`).

    Returns the network and the number of times it calls its progress callback. Raises SpecError if the backend is not
    available on this machine.
    """
    graph = build_graph(spec, weights)
    if backend == "cpu":
        try:
            kernel = load_kernel()
        except KernelMissingError as error:
            raise SpecError(f"--backend cpu: {error}; or use --backend onnx") from error
        layers = len(graph.layers) - 1  # the classifier is computed together with the last convolution

        def on_kernel(
            image: NDArray[np.float32], step: Callable[[], object], probabilities: NDArray[np.uint8] | None = None
        ) -> NDArray[np.uint8]:
            return run_cpu(kernel, graph, image, threads=threads, on_layer=step, probabilities=probabilities)

        return on_kernel, layers
    if backend == "torch":
        try:
            from meshnet.infer.run_torch import run_torch
        except ModuleNotFoundError as error:
            raise SpecError(
                f"--backend torch: {error.name} is not installed; pip install 'meshnet[export]', or use --backend onnx"
            ) from error

        def on_torch(
            image: NDArray[np.float32], step: Callable[[], object], probabilities: NDArray[np.uint8] | None = None
        ) -> NDArray[np.uint8]:
            return run_torch(graph, image, threads=threads, on_layer=step, probabilities=probabilities)

        return on_torch, len(graph.layers)
    from meshnet.infer.run_onnx import open_session, run_onnx, run_onnx_logits

    sessions: dict[bool, onnxruntime.InferenceSession] = {}  # by whether they give logits; opened at the first use

    def on_onnx(
        image: NDArray[np.float32], step: Callable[[], object], probabilities: NDArray[np.uint8] | None = None
    ) -> NDArray[np.uint8]:
        with_logits = probabilities is not None
        if with_logits not in sessions:
            sessions[with_logits] = open_session(spec, weights, threads=threads, logits=with_logits)
        session = sessions[with_logits]
        labels = run_onnx(session, image) if probabilities is None else run_onnx_logits(session, image, probabilities)
        step()
        return labels

    return on_onnx, 1


def choose_backend() -> tuple[str, str]:
    """The fastest backend for every model, and the reason: `cpu`, or `onnx` if this machine has no kernel."""
    try:
        return "cpu", load_kernel().cpu
    except KernelMissingError as error:
        return "onnx", f"cpu is faster, but {error}"


def fastest_backend() -> str:
    """The backend of `choose_backend`; prints it with the reason."""
    backend, reason = choose_backend()
    print(backend_line(backend, reason))
    return backend


def backend_line(backend: str, reason: str) -> str:
    """A line that says which backend runs and why."""
    return f"backend: {backend}{', ' if backend == 'cpu' else '; '}{reason}"
