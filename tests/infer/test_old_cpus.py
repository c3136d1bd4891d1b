"""The kernel on CPUs that this machine is not: under emulation (qemu-user), and compiled for Windows."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from meshnet.infer.kernel.build import TARGETS, compile_library
from meshnet.infer.kernel.library import FUNCTIONS, Kernel, KernelMissingError, load_all_kernels
from meshnet.infer.kernel.run import run_cpu
from meshnet.model.graph import Graph, Layer
from tests.helpers.paths import REPO

QEMU = shutil.which("qemu-x86_64") or shutil.which("qemu-x86_64-static")


def kernels_here() -> dict[str, Kernel]:
    """By name of the vectors; empty where there is no library."""
    try:
        return {kernel.cpu: kernel for kernel in load_all_kernels()}
    except KernelMissingError:
        return {}


needs_qemu = pytest.mark.skipif(
    QEMU is None or sys.platform != "linux" or "AVX2" not in kernels_here(),
    reason="needs qemu-x86_64 (Debian: apt-get install qemu-user) and an x86-64 machine with AVX2 to compare with",
)

#: Run by the emulated Python. It writes the logits and prints the kernel's name.
SCRIPT = """
import sys
import numpy as np
from meshnet.infer.kernel.library import load_kernel
from tests.infer.test_old_cpus import logits_of
kernel = load_kernel()
np.save(sys.argv[1], logits_of(kernel))
print(kernel.cpu)
"""


def logits_of(kernel: Kernel) -> NDArray[np.float32]:
    """Logits of a randomly initialised network with direct layers, Winograd along one axis and along both."""
    rng = np.random.default_rng(5)

    def layer(inputs: int, outputs: int, dilation: int, activation: str) -> Layer:
        weight = rng.standard_normal((outputs, inputs, 3, 3, 3), np.float32) / np.float32(np.sqrt(13 * inputs))
        return Layer("layer", weight, rng.random(outputs, np.float32), dilation, None, activation)

    to_classes = rng.standard_normal((3, 8, 1, 1, 1), np.float32)
    layers = (layer(1, 8, 1, "elu"), layer(8, 8, 1, "gelu"), layer(8, 8, 4, "relu"), layer(8, 8, 3, "elu"))
    graph = Graph((*layers, Layer("classifier", to_classes, np.zeros(3, np.float32), 1, None, "none")))
    image = rng.random((5, 18, 64), np.float32)
    logits = np.empty((3, *image.shape), np.float32)
    run_cpu(kernel, graph, image, threads=2, logits=logits)
    return logits


@needs_qemu
@pytest.mark.parametrize(("cpu", "vectors"), [("Nehalem", "SSE4.1"), ("Haswell", "AVX2")])
def test_an_emulated_cpu_picks_its_kernel_and_gives_the_same_bits(tmp_path: Path, cpu: str, vectors: str) -> None:
    """Nehalem is of 2008 and has SSE4.1 but no AVX; the same kernel runs on this machine too."""
    wanted = logits_of(kernels_here()[vectors])
    assert QEMU is not None
    # NumPy's OpenBLAS takes the emulated CPU for a newer one unless it is named.
    done = subprocess.run(
        [QEMU, "-cpu", cpu, sys.executable, "-W", "ignore", "-c", SCRIPT, tmp_path / "logits.npy"],
        cwd=REPO, env={**os.environ, "OPENBLAS_CORETYPE": cpu}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.split() == [vectors]
    np.testing.assert_array_equal(np.load(tmp_path / "logits.npy"), wanted)


@needs_qemu
def test_a_cpu_without_sse41_is_refused_with_the_reason() -> None:
    script = "from meshnet.infer.kernel.library import load_kernel; load_kernel()"
    assert QEMU is not None
    done = subprocess.run(
        [QEMU, "-cpu", "Conroe", sys.executable, "-c", script], cwd=REPO, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert "KernelMissingError: this CPU lacks SSE4.1, which the kernel needs" in done.stderr


def test_the_kernel_compiles_for_windows_and_exports_every_function(tmp_path: Path) -> None:
    library = tmp_path / "_kernel.dll"
    compile_library(TARGETS["win32-AMD64"], library)
    content = library.read_bytes()
    assert content.startswith(b"MZ")
    missing = [name for name in FUNCTIONS if name.encode() + b"\0" not in content]
    assert missing == []
