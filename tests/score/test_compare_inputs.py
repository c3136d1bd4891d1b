"""`meshnet-compare` on names, terminals, tables and folders that go wrong."""

from __future__ import annotations

import csv
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from meshnet.score.compare import main
from tests.helpers.heads import head, write_head


def write_pairs(root: Path, names: list[bytes]) -> list[Path]:
    """The folders of results and of references of these names."""
    mask = (head() > 600).astype(np.uint8)
    for name in names:
        write_head(root / "results" / os.fsdecode(name + b"_lesion.nii"), mask)
        write_head(root / "references" / os.fsdecode(name + b"_mask.nii"), mask)
    return [root / "results", root / "references"]


def shell(command: str) -> subprocess.CompletedProcess[bytes]:
    """A command line, on a terminal that knows ASCII alone, that has `$COMPARE` for meshnet-compare."""
    program = "import sys; from meshnet.score.compare import main; sys.exit(main())"
    ascii_only = {"LC_ALL": "C", "PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"}
    paths = os.pathsep.join(path for path in sys.path if path)
    return subprocess.run(
        ["bash", "-c", f"set -o pipefail; {command}"],
        env=os.environ | ascii_only | {"PYTHONPATH": paths, "COMPARE": f"{sys.executable} -c '{program}'"},
        capture_output=True,
        check=False,
    )


def test_names_of_any_encoding_and_a_reader_that_leaves_do_not_end_a_comparison(tmp_path: Path) -> None:
    results, references = write_pairs(tmp_path, [b"J\xfcrgen", "Jürgen2".encode(), b"last"])
    table = tmp_path / "t.csv"
    done = shell(f"eval $COMPARE {results} {references} --csv {table} | true")
    assert (done.returncode, done.stderr) == (0, b"")
    with table.open(newline="", encoding="utf-8") as file:
        assert [float(row["dice_lesion"]) for row in csv.DictReader(file)] == [1.0] * 3


def test_a_table_without_a_place_is_found_before_the_first_pair(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pair = write_pairs(tmp_path, [b"a"])
    (tmp_path / "file").touch()
    for table, reason in (
        (tmp_path / "file" / "t.csv", f"{tmp_path / 'file'} is a file"),
        (tmp_path, "Is a directory"),
        (Path("/dev/full"), "No space left on device"),
    ):
        assert main([*map(str, pair), "--csv", str(table)]) == 2
        said = capsys.readouterr()
        assert f"{table}: the table can't be written there ({reason}); choose another file with --csv" in said.err
        assert said.out == ""


def test_linked_folders_are_searched_and_a_loop_ends(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    results, references = write_pairs(tmp_path / "store", [b"a"])
    linked = tmp_path / "linked"
    linked.mkdir()
    (linked / "sub-01").symlink_to(references)
    (linked / "loop").symlink_to(linked)
    assert main([str(results), str(linked)]) == 0
    assert capsys.readouterr().out.count("a_lesion") == 1
