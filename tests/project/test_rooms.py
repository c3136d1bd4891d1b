"""Every module is in a room, and imports go one way: the tables here are the architecture."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from tests.helpers.paths import REPO

#: Our modules that each Python room may import, besides itself. `meshnet` is `__version__` alone.
PYTHON: dict[str, set[str]] = {
    "meshnet": set(),
    "meshnet.conf": set(),
    "meshnet.model": {"meshnet"},
    "meshnet.scan": {"meshnet.model"},
    "meshnet.infer": {"meshnet.__version__", "meshnet.model", "meshnet.scan"},
    "meshnet.bids": {"meshnet.__version__", "meshnet.model", "meshnet.scan", "meshnet.infer", "meshnet.cluster"},
    "meshnet.cohort": {"meshnet.model", "meshnet.scan"},
    "meshnet.synth": {"meshnet.model.spec"},
    "meshnet.train": {"meshnet.model", "meshnet.scan", "meshnet.cohort", "meshnet.synth"},
    "meshnet.cluster": {"meshnet.train", "meshnet.cohort"},
    "meshnet.score": {"meshnet.__version__", "meshnet.model", "meshnet.scan", "meshnet.cohort", "meshnet.train"},
    "meshnet.lab": {
        f"meshnet.{room}"
        for room in ("__version__", "model", "scan", "infer", "cohort", "synth", "train", "cluster", "score")
    },
    "webapp": {"meshnet"},
    "export": {"meshnet", "webapp"},
    "bench": {"meshnet", "webapp", "export"},
}

#: Rooms of the site, lowest first: a room imports itself and what is below it.
SITE = ("volume", "engine", "model", "worker", "package", "page")


def python_imports(path: Path) -> set[str]:
    """Dotted names of our modules that a file imports, wherever in it the import stands."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(), filename=str(path))):
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: a relative import"
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
    return {name for name in found if name.split(".")[0] in {room.split(".")[0] for room in PYTHON}}


def python_room(name: str) -> str:
    """The room that a dotted name belongs to: the longest of `PYTHON` that it starts with."""
    return max((room for room in PYTHON if name == room or name.startswith(f"{room}.")), key=len)


def python_files() -> list[Path]:
    tops = sorted({room.split(".")[0] for room in PYTHON})
    return [path for top in tops for path in sorted((REPO / top).rglob("*.py"))]


@pytest.mark.parametrize("path", python_files(), ids=lambda path: path.relative_to(REPO).as_posix())
def test_python_imports_follow_the_arrows(path: Path) -> None:
    dotted = ".".join(path.relative_to(REPO).with_suffix("").parts).removesuffix(".__init__")
    here = python_room(dotted)
    for name in sorted(python_imports(path)):
        allowed = any(name == target or name.startswith(f"{target}.") for target in {here, *PYTHON[here]})
        assert allowed, f"{dotted} (room {here}) imports {name}; allowed are {sorted(PYTHON[here])}"


def test_no_python_module_stands_outside_a_room() -> None:
    beside = {path.name for path in (REPO / "meshnet").glob("*.py")}
    assert beside == {"__init__.py"}
    assert {path.name for path in (REPO / "meshnet").iterdir() if path.is_dir() and path.name != "__pycache__"} == {
        room.removeprefix("meshnet.") for room in PYTHON if room.startswith("meshnet.")
    }


def site_imports(path: Path) -> list[Path]:
    """Files below static/src that a TypeScript file imports, starts as a worker or loads later."""
    specifiers = re.findall(r"(?:from|import|import\(|new URL\()\s*'(\.[^'?]*)", path.read_text())
    return [Path(path.parent, specifier).resolve() for specifier in specifiers if specifier != "./"]


SITE_FILES = sorted((REPO / "static" / "src").rglob("*.ts"))


@pytest.mark.parametrize("path", SITE_FILES, ids=lambda path: path.relative_to(REPO).as_posix())
def test_site_imports_go_downwards(path: Path) -> None:
    src = REPO / "static" / "src"
    room = path.relative_to(src).parts[0]
    if room == "generated":
        assert site_imports(path) == [], "what is generated from the schema imports nothing"
        return
    assert room in SITE, f"{path} is in no room of {SITE}"
    for target in site_imports(path):
        other = target.relative_to(src).parts[0]
        below = {"generated", *SITE[: SITE.index(room) + 1]}
        assert other in below, f"{path.relative_to(src)} imports {target.relative_to(src)}, which is above it"


def test_an_arrow_that_runs_back_is_found(tmp_path: Path) -> None:
    late = tmp_path / "late.py"
    late.write_text("def f():\n    from export.cli import main\n    return main\n")
    assert python_imports(late) == {"export.cli.main"}
    assert python_room("meshnet.synth.draw.SynthConfig") == "meshnet.synth"
