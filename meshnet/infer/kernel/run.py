"""Run a layer graph on the CPU kernel that the site uses (static/src/engine/cpu/), compiled for this machine.

docs/engine.md has the method and the figures. Peak memory: one activation volume and a small ring.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from meshnet.infer.kernel.library import Kernel
from meshnet.infer.kernel.plan import Program, make_program
from meshnet.model.graph import Graph

POLL_SECONDS = 0.02


def run_cpu(
    kernel: Kernel,
    graph: Graph,
    image: NDArray[np.float32],
    *,
    threads: int,
    on_layer: Callable[[], object] = lambda: None,
    probabilities: NDArray[np.uint8] | None = None,
    logits: NDArray[np.float32] | None = None,
) -> NDArray[np.uint8]:
    """Labels uint8 [D, H, W] of a normalised image float32 [D, H, W]; the lowest class wins a tie.

    `on_layer` is called after each layer; the classifier is part of the last. Where given, contiguous:
    `probabilities` uint8 [classes - 1, D, H, W] receives the probabilities of the classes 1, 2, ... by the rule of
    `meshnet.infer.probabilities`, `logits` float32 [classes, D, H, W] the logits.

    Raises MemoryError if the volume doesn't fit.
    """
    program = make_program(kernel, graph, image, threads=threads, probabilities=probabilities, logits=logits)
    _run(kernel, program, on_layer)
    return program.labels


def _run(kernel: Kernel, program: Program, on_layer: Callable[[], object]) -> None:
    """Runs the plan on new threads while this one reports. An exception here, Ctrl-C too, ends them within an item."""
    library, plan = kernel.library, program.address
    threads = [
        threading.Thread(target=library.run_plan, args=(kernel.address, plan, thread))
        for thread in range(program.threads)
    ]
    reported = 0
    try:
        for thread in threads:
            thread.start()
        while reported < len(program.layer_ends):
            if library.steps_done(plan) >= program.layer_ends[reported]:
                reported += 1
                on_layer()
            else:
                threads[0].join(POLL_SECONDS)
    finally:
        if reported < len(program.layer_ends):
            library.cancel(plan)
        for thread in threads:
            if thread.ident is not None:
                thread.join()
