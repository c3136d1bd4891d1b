"""Every module is in a room, imports go one way and never in a circle: the tables here are the architecture."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Mapping
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import TypeVar

import pytest

from tests.helpers.paths import REPO

#: Our modules that each Python room may import, besides itself. `meshnet` is the public interface (docs/python.md), for
#: users alone: no room imports it.
PYTHON: dict[str, set[str]] = {
    "meshnet": {"meshnet.version", "meshnet.infer", "meshnet.scan", "meshnet.model"},
    "meshnet.version": set(),
    "meshnet.conf": set(),
    "meshnet.model": set(),
    "meshnet.scan": {"meshnet.model"},
    "meshnet.infer": {"meshnet.version", "meshnet.model", "meshnet.scan"},
    "meshnet.bids": {"meshnet.version", "meshnet.model", "meshnet.scan", "meshnet.infer", "meshnet.cluster"},
    "meshnet.cohort": {"meshnet.model", "meshnet.scan"},
    "meshnet.synth": {"meshnet.model.spec"},
    "meshnet.train": {"meshnet.model", "meshnet.scan", "meshnet.cohort", "meshnet.synth"},
    "meshnet.cluster": {"meshnet.train", "meshnet.cohort"},
    "meshnet.score": {"meshnet.version", "meshnet.model", "meshnet.scan", "meshnet.cohort", "meshnet.train"},
    "meshnet.lab": {
        f"meshnet.{room}"
        for room in ("version", "model", "scan", "infer", "cohort", "synth", "train", "cluster", "score")
    },
    "webapp": {"meshnet"},
    "export": {"meshnet", "webapp"},
    "bench": {"meshnet", "webapp", "export"},
}

Node = TypeVar("Node")

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
    dotted = dotted_name(path)
    here = python_room(dotted)
    for name in sorted(python_imports(path)):
        allowed = any(name == target or name.startswith(f"{target}.") for target in PYTHON[here])
        assert allowed or python_room(name) == here, (
            f"{dotted} (room {here}) imports {name}; allowed are {sorted(PYTHON[here])}"
        )


def test_no_python_module_stands_outside_a_room() -> None:
    beside = {path.name for path in (REPO / "meshnet").glob("*.py")}
    assert beside == {"__init__.py", "version.py"}
    assert {path.name for path in (REPO / "meshnet").iterdir() if path.is_dir() and path.name != "__pycache__"} == {
        room.removeprefix("meshnet.") for room in PYTHON if room.startswith("meshnet.") and room != "meshnet.version"
    }


def test_no_python_module_imports_itself_by_a_detour() -> None:
    """Imports for type checking and inside functions count too."""
    modules = {dotted_name(path) for path in python_files()}
    arrows = {
        dotted_name(path): {module_of(name, modules) for name in python_imports(path)} - {dotted_name(path)}
        for path in python_files()
    }
    assert circle_in(arrows) is None


def dotted_name(path: Path) -> str:
    return ".".join(path.relative_to(REPO).with_suffix("").parts).removesuffix(".__init__")


def module_of(name: str, modules: set[str]) -> str:
    """The module that an imported name is, or is in."""
    return name if name in modules or "." not in name else module_of(name.rpartition(".")[0], modules)


def circle_in(arrows: Mapping[Node, Iterable[Node]]) -> list[Node] | None:
    """Nodes of a circle in order, the first one again at the end; None where there is no circle."""
    try:
        TopologicalSorter(arrows).prepare()
    except CycleError as error:
        return list(reversed(error.args[1]))
    return None


def site_imports(path: Path) -> list[Path]:
    """Files below static/src that a TypeScript file imports, starts as a worker or loads later."""
    specifiers = re.findall(r"(?:from|import|import\(|new URL\()\s*'(\.[^'?]*)", path.read_text())
    targets = [Path(path.parent, specifier).resolve() for specifier in specifiers if specifier != "./"]
    return [target for target in targets if target.is_relative_to(REPO / "static" / "src")]


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


def test_no_site_module_imports_itself_by_a_detour() -> None:
    """Imports of types count too; the URL of a worker does not, since the worker answers to who started it."""
    arrows = {
        path: {module_file(target) for target in site_imports(path) if target.suffix != ".ts"} for path in SITE_FILES
    }
    assert circle_in(arrows) is None


def module_file(specifier: Path) -> Path:
    """File of a specifier without its ending."""
    return specifier.with_name(f"{specifier.name}.ts")


def test_a_circle_of_imports_is_found() -> None:
    assert circle_in({"a": ["b"], "b": ["c", "d"], "c": ["a"], "d": []}) in (list("abca"), list("bcab"), list("cabc"))
    assert circle_in({"a": ["b", "c"], "b": ["c"], "c": []}) is None


def test_an_arrow_that_runs_back_is_found(tmp_path: Path) -> None:
    late = tmp_path / "late.py"
    late.write_text("def f():\n    from export.cli import main\n    return main\n")
    assert python_imports(late) == {"export.cli.main"}
    assert python_room("meshnet.synth.draw.SynthConfig") == "meshnet.synth"
