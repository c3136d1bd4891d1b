"""`make gpu-bundle`: packs code, packages, Deno, models and training data into gpu-bundle/meshnet-gpu.tar.xz.

The archive unpacks to one folder:

    run.py            trains, tests, measures, and collects the results; needs Python and PyTorch only
    deno.xz           Deno, which run.py unpacks into code/
    code/             the parts of the checkout that these need, with the built engine and the shipped models
    packages/NAME/    Python packages, each used only where the machine lacks it
    data/             prepared heads and packed lesion masks, with their licences
    work/models/      the networks of the report as web bundles and ONNX files
"""

from __future__ import annotations

import argparse
import json
import lzma
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from bench.bundle.packages import Package, collect_packages
from bench.bundle.recipe import one_phase
from bench.deno import DENO, ENGINE, REPO
from bench.gpu.cases import all_names, write_models
from meshnet.synth.label_maps import pack_heads
from meshnet.synth.lesion_masks import pack_masks

#: The most that the archive may take.
LIMIT_BYTES = 60_000_000
TOP = "meshnet-gpu"
#: Of the checkout, as patterns; every other file stays behind.
CODE = (
    "meshnet/**/*.py",
    "meshnet/conf/**/*.yaml",
    "meshnet/conf/*.json",
    "export/**/*.py",
    "webapp/*.py",
    "bench/*.py",
    "bench/gpu/*",
    "models/*/model.json",
    "models/*/*.safetensors",
    "static/package.json",
    "static/public/sample/sample_T2w.nii.gz",
    "tests/__init__.py",
    "tests/conftest.py",
    "tests/helpers/*.py",
    "tests/engine/run_deno.ts",
    "tests/train/__init__.py",
    "tests/train/test_gpu.py",
    "tests/synth/__init__.py",
    "tests/synth/test_torch_render.py",
    "pyproject.toml",
    "LICENSE",
)
#: The Vulkan loader and what drivers link with, for a machine without them.
LIBRARIES = ("libvulkan.so.1", "libEGL.so.1", "libGLX.so.0", "libGLdispatch.so.0", "libX11.so.6", "libXext.so.6",
             "libxcb.so.1", "libXau.so.6", "libXdmcp.so.6", "libbsd.so.0", "libmd.so.0")  # fmt: skip
_LIBRARY_FOLDERS = ("/usr/lib/x86_64-linux-gnu", "/lib/x86_64-linux-gnu", "/usr/lib64")
#: Sources of the training data, all of which may be passed on.
NOTICE = """\
heads/                Label maps of SynthSeg (https://github.com/BBillot/SynthSeg, data/training_label_maps), prepared
                      for rendering. Apache License 2.0, https://www.apache.org/licenses/LICENSE-2.0
lesions-soop.npz      Lesion masks of the Stroke Outcome Optimization Project, a bit per voxel
                      (https://github.com/neurolabusc/StrokeOutcomeOptimizationProjectDemo).
                      BSD 2-Clause, Copyright (c) 2023, Chris Rorden; see LICENSE-soop
lesions-lesymap.npz   Lesion masks of LESYMAP (https://github.com/dorianps/LESYMAP), a bit per voxel.
                      Apache License 2.0
"""
Entries = dict[str, Path]


def main(argv: Sequence[str] | None = None) -> int:
    """Command line. Exit code 0; 1 where the archive is larger than it may be; 2 where a part of it is missing."""
    args = _parser().parse_args(argv)
    try:
        entries = collect(args.out / "parts", args.data, args.python)
    except (FileNotFoundError, RuntimeError) as error:
        print(f"gpu-bundle: {error}", file=sys.stderr)
        return 2
    if args.dry_run:
        for name, path in sorted(entries.items()):
            print(f"{path.stat().st_size:>12,}  {name}")
        return 0
    archive = args.out / f"{TOP}.tar.xz"
    size = write_archive(archive, entries)
    print(f"written: {archive}, {size / 1e6:.1f} MB of {LIMIT_BYTES / 1e6:.0f} MB, {len(entries)} files")
    return 0 if size <= LIMIT_BYTES else 1


def collect(parts: Path, data: Path | None, python: str) -> Entries:
    """Every file of the archive by its name there. parts: folder for what is made for it. data: folder of
    `anatomy/synthseg`, `lesions/soop` and `lesions/lesymap`; None or absent: the archive can't train.

    Raises FileNotFoundError for what isn't built, RuntimeError where a wheel can't be fetched.
    """
    parts.mkdir(parents=True, exist_ok=True)
    entries = code_entries() | {"run.py": Path(__file__).with_name("run.py"), "deno.xz": compressed_deno(parts)}
    packages = collect_packages(python, parts / "wheels")
    for package in packages:
        entries |= {f"packages/{package.name}/{name}": path for name, path in package.files.items()}
    entries |= {name: _written(parts / name, text) for name, text in _texts(packages)}
    write_models(all_names(), parts / "work")
    for path in sorted((parts / "work" / "models").rglob("*")):
        if path.is_file() and path.suffix != ".zip":
            entries[f"work/models/{path.relative_to(parts / 'work' / 'models').as_posix()}"] = path
    return entries | (data_entries(parts, data) if data is not None and data.is_dir() else {})


def code_entries() -> Entries:
    """The checkout's files, the built engine, and libraries of this machine. Raises FileNotFoundError."""
    entries: Entries = {}
    for pattern in CODE:
        found = [path for path in REPO.glob(pattern) if path.is_file() and "__pycache__" not in path.parts]
        if not found:
            raise FileNotFoundError(f"{REPO / pattern}: no such file")
        entries |= {f"code/{path.relative_to(REPO).as_posix()}": path for path in found}
    engine = sorted(ENGINE.glob("*.js"))
    if not engine:
        raise FileNotFoundError(f"{ENGINE}: not there; `make gpu-bundle` builds it")
    for path in engine:
        entries[f"code/{path.relative_to(REPO).as_posix()}"] = path
    for name in LIBRARIES:
        found = [Path(folder, name) for folder in _LIBRARY_FOLDERS if Path(folder, name).is_file()]
        entries |= {f"code/lib/{name}": path for path in found[:1]}
    return entries


def compressed_deno(parts: Path) -> Path:
    """Deno by xz with the filter for x86 programs, which saves 3 %. It takes minutes and is kept for the next archive.

    Raises FileNotFoundError.
    """
    if not DENO.is_file():
        raise FileNotFoundError(f"{DENO}: not there; `make gpu-bundle` installs it")
    path = parts / f"deno-{DENO.stat().st_size}.xz"
    if not path.is_file():
        filters = [{"id": lzma.FILTER_X86}, {"id": lzma.FILTER_LZMA2, "preset": 9 | lzma.PRESET_EXTREME}]
        partial = path.with_suffix(".partial")
        with DENO.open("rb") as deno, lzma.open(partial, "wb", filters=filters) as out:
            shutil.copyfileobj(deno, out, 2**20)
        partial.replace(path)
    return path


def data_entries(parts: Path, data: Path) -> Entries:
    """Heads of the training and the choosing split, and all lesion masks; packed where that isn't done yet."""
    heads = parts / "heads"
    if not heads.is_dir():
        pack_heads(data / "anatomy" / "synthseg", parts / "cache", heads)
    entries = {f"data/heads/{path.name}": path for path in sorted(heads.glob("*.npz"))}
    for name in ("soop", "lesymap"):
        packed = parts / f"lesions-{name}.npz"
        if not packed.is_file():
            pack_masks(data / "lesions" / name, packed)
        entries[f"data/lesions-{name}.npz"] = packed
    entries["data/LICENSE-soop"] = data / "lesions" / "LICENSE"
    entries["data/NOTICE"] = _written(parts / "NOTICE", NOTICE)
    return entries


def _texts(packages: Sequence[Package]) -> Iterator[tuple[str, str]]:
    """Small files that are written for the archive: name and content."""
    listed = [{"name": each.name, "module": each.module, "python": each.python} for each in packages]
    yield "packages/packages.json", json.dumps(listed, indent=1) + "\n"
    yield "code/recipe.yaml", one_phase(REPO / "meshnet" / "conf" / "recipe" / "t2-lesion.yaml", "label-maps-again")
    said = subprocess.run(
        ["git", "-C", str(REPO), "describe", "--always", "--dirty"], capture_output=True, text=True, check=False
    )
    yield "code/COMMIT", (said.stdout.strip() or "unknown") + "\n"


def _written(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def write_archive(archive: Path, entries: Entries) -> int:
    """Write the archive and return its bytes. Files of a kind lie side by side, so that they compress together."""
    names = sorted(entries, key=lambda name: (Path(name).suffix, name))
    if shutil.which("xz") is None:
        with tarfile.open(archive, "w:xz", preset=6) as tar:
            _add(tar, names, entries)
        return archive.stat().st_size
    with archive.open("wb") as out:
        xz = subprocess.Popen(["xz", "-6", "-T2", "-c"], stdin=subprocess.PIPE, stdout=out)
        assert xz.stdin is not None
        with tarfile.open(fileobj=xz.stdin, mode="w|") as tar:
            _add(tar, names, entries)
        xz.stdin.close()
        if xz.wait() != 0:
            raise RuntimeError(f"xz ended with code {xz.returncode}; is the disk full?")
    return archive.stat().st_size


def _add(tar: tarfile.TarFile, names: Sequence[str], entries: Entries) -> None:
    for name in names:
        tar.add(entries[name].resolve(), f"{TOP}/{name}", recursive=False, filter=_plain)


def _plain(info: tarfile.TarInfo) -> tarfile.TarInfo:
    """Without this machine's users; programs stay executable."""
    info.uid = info.gid = 0
    info.uname = info.gname = ""
    info.mode = 0o755 if info.mode & 0o100 else 0o644
    return info


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="make gpu-bundle", description="Pack an archive that trains, tests and measures on a machine with a GPU."
    )
    here = f"{sys.version_info.major}.{sys.version_info.minor}"
    parser.add_argument("--out", type=Path, default=Path("gpu-bundle"), help="folder for the archive (%(default)s)")
    parser.add_argument("--data", type=Path, help="folder with anatomy/synthseg and lesions/ (default: no training)")
    parser.add_argument("--python", default=here, help="version of Python on that machine (%(default)s)")
    parser.add_argument("--dry-run", action="store_true", help="list the files and their bytes, and write no archive")
    return parser
