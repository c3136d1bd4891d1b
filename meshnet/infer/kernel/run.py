"""Run a layer graph with the site's own CPU kernel (static/src/engine/cpu/), compiled for this machine.

docs/engine.md has the method and the figures, native_plan.py the memory: one activation volume at the peak.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from meshnet.infer.kernel.library import Kernel, Pass
from meshnet.infer.kernel.plan import Program, make_program
from meshnet.model.graph import Graph

#: Members of the control block (native.c): what is to be set, what is to be read, how much comes before the counters.
CANCEL, STEPS_DONE, FIRST_COUNTER = range(3)
POLL_SECONDS = 0.02


def run_native(
    kernel: Kernel,
    graph: Graph,
    image: NDArray[np.float32],
    *,
    threads: int,
    on_layer: Callable[[], object] = lambda: None,
    logits: NDArray[np.float32] | None = None,
) -> NDArray[np.uint8]:
    """Labels uint8 [D, H, W] of a normalised image float32 [D, H, W]; the lowest class wins a tie.

    `on_layer` is called after each layer; the classifier is part of the last. `logits` float32 [classes, D, H, W],
    contiguous, is filled too where given. Raises MemoryError where the volume doesn't fit.
    """
    program = make_program(kernel, graph, image, threads=threads, logits=logits)
    _run(kernel, program, on_layer)
    return program.labels


def _run(kernel: Kernel, program: Program, on_layer: Callable[[], object]) -> None:
    """All passes on threads of their own; this one reports. An exception here, Ctrl-C too, ends them within an item."""
    passes = (Pass * len(program.passes))(*program.passes)
    steps = [item.steps for item in program.passes]
    control = np.zeros(FIRST_COUNTER + 2 * sum(steps), np.int32)
    ends = [int(end) for end, last in zip(np.cumsum(steps), program.completes, strict=True) if last]

    def work(scratch: NDArray[np.float32]) -> None:
        kernel.run_passes(passes, len(passes), len(program.scratch), control.ctypes.data, scratch.ctypes.data)

    threads = [threading.Thread(target=work, args=(scratch,)) for scratch in program.scratch]
    reported = 0
    try:
        for thread in threads:
            thread.start()
        while reported < len(ends):
            if control[STEPS_DONE] >= ends[reported]:
                reported += 1
                on_layer()
            else:
                threads[0].join(POLL_SECONDS)
    finally:
        if reported < len(ends):
            control[CANCEL] = 1
        for thread in threads:
            if thread.ident is not None:
                thread.join()
