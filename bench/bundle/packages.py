"""The Python packages that a bare PyTorch machine lacks, as files of an archive.

A package that is the same for every version of Python is taken from this environment; a compiled one too, where the
archive is for this version of Python, else pip fetches its wheel. Tests and caches are left out. Of SciPy only the
modules that `scipy.ndimage` loads are taken, because the whole package would take half of the archive.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterable
from dataclasses import dataclass
from importlib.metadata import Distribution, distribution
from pathlib import Path, PurePosixPath

from bench.deno import REPO

#: Distribution -> a module that is importable where it is installed.
PACKAGES = {
    "annotated-types": "annotated_types",
    "antlr4-python3-runtime": "antlr4",
    "einops": "einops",
    "hydra-core": "hydra",
    "importlib_resources": "importlib_resources",
    "iniconfig": "iniconfig",
    "lightning": "lightning",
    "lightning-utilities": "lightning_utilities",
    "monai": "monai",
    "nibabel": "nibabel",
    "omegaconf": "omegaconf",
    "packaging": "packaging",
    "pluggy": "pluggy",
    "protobuf": "google.protobuf",
    "pydantic": "pydantic",
    "pydantic_core": "pydantic_core",
    "Pygments": "pygments",
    "pytest": "pytest",
    "pytorch_optimizer": "pytorch_optimizer",
    "PyYAML": "yaml",
    "safetensors": "safetensors",
    "scipy": "scipy.ndimage",
    "tensorboardX": "tensorboardX",
    "torchmetrics": "torchmetrics",
    "tqdm": "tqdm",
    "typing-inspection": "typing_inspection",
}

_LEFT_OUT = {"__pycache__", "tests"}
_SCIPY_MODULES = (
    "import sys, scipy.ndimage;"
    "print(*sorted({m.__file__ for n, m in sys.modules.items() if n.partition('.')[0] == 'scipy' and m.__file__}),"
    " sep='\\n')"
)


@dataclass(frozen=True)
class Package:
    """A package's files by their name in a folder of packages. python: the only version of Python that they run on, as
    `3.12`; empty for any."""

    name: str
    module: str
    python: str
    files: dict[str, Path]


def collect_packages(python: str, downloads: Path) -> list[Package]:
    """All packages for a version of Python such as `3.12`. downloads: folder for wheels of other versions.

    Raises RuntimeError with pip's message where a wheel can't be fetched.
    """
    return [_collect(name, module, python, downloads) for name, module in PACKAGES.items()]


def _collect(name: str, module: str, python: str, downloads: Path) -> Package:
    found = distribution(name)
    compiled = not _is_any_python(found)
    root = Path(str(found.locate_file("")))
    paths = [PurePosixPath(str(path)) for path in found.files or ()]
    if compiled and python != _this_python():
        root, paths = _wheel(found, python, downloads)
    if name == "scipy":
        paths = _used_of_scipy(paths, root)
    files = {str(path): root / path for path in paths if _wanted(path)}
    return Package(name, module, python if compiled else "", files)


def _wanted(path: PurePosixPath) -> bool:
    return not (path.is_absolute() or ".." in path.parts or _LEFT_OUT & set(path.parts))


def _is_any_python(found: Distribution) -> bool:
    """Whether the installed files run on every version of Python 3: pure ones, and those of the stable ABI."""
    lines = (found.read_text("WHEEL") or "").splitlines()
    tags = [line.split(": ", 1)[1] for line in lines if line.startswith("Tag: ")]
    return all("-none-any" in tag or "-abi3-" in tag for tag in tags)


def _this_python() -> str:
    return f"{sys.version_info.major}.{sys.version_info.minor}"


def _wheel(found: Distribution, python: str, downloads: Path) -> tuple[Path, list[PurePosixPath]]:
    """Folder and files of the same release's wheel for another version of Python."""
    folder = downloads / f"{found.name}-{found.version}-py{python}"
    if not folder.is_dir():
        with tempfile.TemporaryDirectory() as wheels:
            platforms = [f"--platform=manylinux_2_{n}_x86_64" for n in (28, 27, 17)]
            options = ["--no-deps", "--only-binary=:all:", f"--python-version={python}", "--dest", wheels]
            command = [sys.executable, "-m", "pip", "download", "--quiet", *options, *platforms]
            command += ["--platform=manylinux2014_x86_64", f"{found.name}=={found.version}"]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode != 0:
                raise RuntimeError(f"{found.name}=={found.version} for Python {python}: {done.stderr.strip()[-300:]}")
            (wheel,) = Path(wheels).glob("*.whl")
            with zipfile.ZipFile(wheel) as archive:
                archive.extractall(folder)
    return folder, [PurePosixPath(path.relative_to(folder).as_posix()) for path in folder.rglob("*") if path.is_file()]


def _used_of_scipy(paths: Iterable[PurePosixPath], root: Path) -> list[PurePosixPath]:
    """The modules that `scipy.ndimage` loads here, and the libraries that these are linked with."""
    here = Path(str(distribution("scipy").locate_file("")))
    command = [sys.executable, "-c", _SCIPY_MODULES]
    loaded = subprocess.run(command, capture_output=True, text=True, check=True, cwd=REPO).stdout.split()
    stems = {_stem(PurePosixPath(Path(path).relative_to(here).as_posix())) for path in loaded}
    listed = list(paths)
    kept = [path for path in listed if _stem(path) in stems or ".dist-info" in path.parts[0]]
    libraries = [path for path in listed if path.parts[0] == "scipy.libs"]
    linked = [path for path in kept if ".so" in path.name]
    while linked:
        content = (root / linked.pop()).read_bytes()
        needed = [path for path in libraries if path.name.encode() in content and path not in kept]
        kept += needed
        linked += needed
    return kept


def _stem(path: PurePosixPath) -> str:
    """`scipy/ndimage/_nd_image.cpython-311-x86_64-linux-gnu.so` and the like of another Python to one name."""
    kind = "so" if path.name.endswith(".so") else path.suffix
    return f"{path.parent}/{path.name.split('.')[0]}.{kind}"
