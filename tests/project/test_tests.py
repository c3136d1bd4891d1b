"""The tests themselves: in rooms, apart from each other, and without a trace in the checkout."""

from __future__ import annotations

import ast
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.helpers.locks import shared_machine
from tests.helpers.order import LONGEST_FIRST
from tests.helpers.paths import REPO

TESTS = REPO / "tests"
TEST_FILES = sorted(TESTS.rglob("test_*.py"))
FILES = sorted(path for path in TESTS.rglob("*.py"))

#: Rooms of the packages, and what goes through several of them.
ROOMS = {
    *("model", "scan", "infer", "bids", "cohort", "synth", "train", "cluster", "score", "lab"),
    *("export", "webapp", "bench"),
    *("project", "parity", "browser", "engine"),
}

#: Methods and functions that write to what they are called on, to their first and to their second argument.
WRITE_TO_RECEIVER = {
    "write_text",
    "write_bytes",
    "mkdir",
    "touch",
    "unlink",
    "rmdir",
    "rename",
    "replace",
    "symlink_to",
}
WRITE_TO_FIRST = {"save", "savefig", "save_checkpoint", "write_web", "write_tfjs", "rmtree", "remove", "write_scan"}
WRITE_TO_SECOND = {"copy", "copyfile", "copy2", "copytree", "move"}


def _name(path: Path) -> str:
    return path.relative_to(TESTS).as_posix()


def _imported(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)


def shared_code_outside_helpers(tree: ast.Module) -> list[str]:
    """Imports of a file from `tests` outside `tests.helpers`."""
    ours = {name for name in _imported(tree) if name.split(".")[0] == "tests"}
    return sorted(name for name in ours if not name.startswith("tests.helpers."))


def writes_into_the_checkout(tree: ast.Module) -> list[str]:
    """Calls of a file that write to a path made from `REPO`, `STATIC` or `DIST`, directly or through a name."""
    ours = {"REPO", "STATIC", "DIST"}
    for node in tree.body:
        if isinstance(node, ast.Assign) and _is_path_from(node.value, ours):
            ours |= {target.id for target in node.targets if isinstance(target, ast.Name)}
    return [ast.unparse(call) for call in ast.walk(tree) if isinstance(call, ast.Call) and _writes_to(call, ours)]


def _writes_to(call: ast.Call, ours: set[str]) -> bool:
    name = getattr(call.func, "attr", getattr(call.func, "id", ""))
    written: list[ast.expr] = []
    if name in WRITE_TO_RECEIVER and isinstance(call.func, ast.Attribute):
        written.append(call.func.value)
    if name in WRITE_TO_FIRST:
        written += call.args[:1]
    if name in WRITE_TO_SECOND:
        written += call.args[1:2]
    if name == "open" and any(isinstance(a, ast.Constant) and str(a.value)[:1] in "wax" for a in call.args):
        written.append(call.func.value if isinstance(call.func, ast.Attribute) else call.args[0])
    return any(_is_path_from(path, ours) for path in written)


def _is_path_from(path: ast.expr, ours: set[str]) -> bool:
    """Whether the path begins with one of the names; a text that is read from there does not count."""
    while isinstance(path, ast.BinOp):
        path = path.left
    return isinstance(path, ast.Name) and path.id in ours


@pytest.mark.parametrize("path", FILES, ids=_name)
def test_no_file_imports_a_test_or_a_conftest(path: Path) -> None:
    assert shared_code_outside_helpers(ast.parse(path.read_text())) == []


@pytest.mark.parametrize("path", TEST_FILES, ids=_name)
def test_no_test_writes_into_the_checkout(path: Path) -> None:
    assert writes_into_the_checkout(ast.parse(path.read_text())) == []


def test_every_test_stands_in_a_room_and_every_helper_in_helpers() -> None:
    assert {path.relative_to(TESTS).parts[0] for path in TEST_FILES} == ROOMS
    beside = [path for path in FILES if path not in TEST_FILES and path.name not in ("conftest.py", "__init__.py")]
    assert beside
    assert [path for path in beside if path.relative_to(TESTS).parts[0] != "helpers"] == []


def test_the_files_that_start_first_are_there() -> None:
    assert [name for name in LONGEST_FIRST if not (TESTS / name).is_file()] == []


def test_an_import_of_a_test_and_a_write_are_found() -> None:
    found = ast.parse("from tests.model.test_spec import a_spec\nfrom tests.helpers.specs import a_model\n")
    assert shared_code_outside_helpers(found) == ["tests.model.test_spec.a_spec"]
    written = (
        'PAGE = REPO / "docs" / "page.md"\nPAGE.write_text("x")\nshutil.copy(PAGE, tmp_path)\n'
        '(REPO / "x").open("w")\nopen(PAGE, "a")\nshutil.copy("x", PAGE)\nnp.save(PAGE, [])\n'
    )
    assert writes_into_the_checkout(ast.parse(written)) == [
        "PAGE.write_text('x')",
        "(REPO / 'x').open('w')",
        "open(PAGE, 'a')",
        "shutil.copy('x', PAGE)",
        "np.save(PAGE, [])",
    ]


def test_a_test_that_measures_time_runs_alone_and_is_not_overtaken() -> None:
    """One test runs, a second waits to be alone, a third starts only after the second."""
    order: list[str] = []
    first_runs, first_may_end = threading.Event(), threading.Event()

    def run(name: str, *, alone: bool, until: threading.Event | None = None) -> None:
        with shared_machine(alone=alone, name="test-of-locks"):
            order.append(f"{name} begins")
            first_runs.set()
            if until is not None:
                until.wait(60)
            order.append(f"{name} ends")

    first = threading.Thread(target=run, args=("first",), kwargs={"alone": False, "until": first_may_end})
    second = threading.Thread(target=run, args=("timed",), kwargs={"alone": True})
    third = threading.Thread(target=run, args=("third",), kwargs={"alone": False})
    first.start()
    assert first_runs.wait(60)
    second.start()
    second.join(0.5)
    third.start()
    third.join(0.5)
    assert order == ["first begins"]
    first_may_end.set()
    for thread in (first, second, third):
        thread.join(60)
    assert order == ["first begins", "first ends", "timed begins", "timed ends", "third begins", "third ends"]
