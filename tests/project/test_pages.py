"""The pages hold together: links resolve, every page is linked, paths in them exist, and the English is plain."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.helpers.paths import REPO

README = REPO / "README.md"
ARCHITECTURE = REPO / "docs" / "architecture.md"
PAGES = [
    README,
    REPO / "CHANGELOG.md",
    REPO / "CONTRIBUTING.md",
    REPO / "SECURITY.md",
    REPO / "static" / "package" / "README.md",
    *sorted((REPO / "docs").rglob("*.md")),
    *sorted((REPO / "models").glob("*/README.md")),
    REPO / "export" / "FORMAT.md",
    REPO / "static" / "public" / "sample" / "README.md",
]
#: Comments and help that people read beside the pages.
COMMENTED = [
    REPO / "Makefile",
    REPO / "pyproject.toml",
    REPO / "constraints.txt",
    REPO / "mkdocs.yml",
    REPO / "CITATION.cff",
    REPO / ".ci" / "run",
    *sorted(path for path in (REPO / "deploy").rglob("*") if path.is_file()),
]

BANNED = {
    "a sentence that starts with What": r"(?:^[\s>#|*\d.-]*|[.!?:]\s+|\|\s*)[*_]*What\b",
    "so many": r"\bso many\b",
    "is told": r"\b(?:is|are) told\b",
    "of its own": r"\bof its own\b",
    "lets go of": r"\blets? go of\b",
}


def name(path: Path) -> str:
    return path.relative_to(REPO).as_posix()


def prose(path: Path) -> str:
    """The text of a page without its fenced blocks."""
    return re.sub(r"^```.*?^```", "", path.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)


def links(path: Path) -> list[tuple[str, str]]:
    """File (empty: this page) and anchor (empty: none) of every link of a page that leads into the project."""
    targets = re.findall(r"\]\(([^)\s]+)\)", prose(path))
    parts = [target.partition("#") for target in targets if not re.match(r"[a-z]+:", target)]
    return [(file, anchor) for file, _, anchor in parts]


def anchors(path: Path) -> set[str]:
    """The anchors that headings get: lower case, punctuation removed, spaces to hyphens."""
    headings = re.findall(r"^#+ (.*)$", prose(path), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_every_link_leads_to_a_file_and_a_heading(page: Path) -> None:
    for file, anchor in links(page):
        target = (page.parent / file).resolve() if file else page
        assert target.exists(), f"{name(page)} links {file}, which does not exist"
        assert not anchor or anchor in anchors(target), f"{name(page)} links {file}#{anchor}, which is no heading there"


def test_a_heading_has_the_anchor_that_the_site_gives_it(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("## Train one network: `meshnet-train`\n\n```\n# not a heading\n```\n")
    assert anchors(page) == {"train-one-network-meshnet-train"}


@pytest.mark.parametrize(("index", "folder"), [("README.md", "docs"), ("docs/lab/README.md", "docs/lab")])
def test_every_page_of_a_folder_is_linked_from_its_index(index: str, folder: str) -> None:
    linked = {(REPO / index).parent.joinpath(file).resolve() for file, _ in links(REPO / index) if file}
    missing = [name(page) for page in sorted((REPO / folder).glob("*.md")) if page not in {*linked, REPO / index}]
    assert not missing, f"{index} links none of {missing}"


@pytest.mark.parametrize("page", [*PAGES, *COMMENTED], ids=name)
def test_the_english_is_plain(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    found = [
        f"{what}: line {text.count(chr(10), 0, match.end()) + 1}, {match.group().strip()!r}"
        for what, pattern in BANNED.items()
        for match in re.finditer(pattern, text, re.MULTILINE)
    ]
    assert not found, f"{name(page)}: {'; '.join(found)}"


def test_banned_words_are_found() -> None:
    for text in ("Done. What is left", "- What fails", "| What |", "so many bytes", "a process of its own"):
        assert any(re.search(pattern, text, re.MULTILINE) for pattern in BANNED.values()), text
    assert not any(re.search(pattern, "say what it does", re.MULTILINE) for pattern in BANNED.values())


def test_the_readme_starts_with_what_it_is_a_picture_and_two_commands() -> None:
    first_screen, _, rest = README.read_text(encoding="utf-8").partition("\n## ")
    assert first_screen.count("\n") <= 30
    assert "![" in first_screen
    assert "\n    make serve " in first_screen
    assert "\n    make test " in first_screen
    assert not re.search(r"M2265|t1_crop|times as fast|\d\.\d+ ?[x×]", first_screen)
    for term, explained in {"M2265": "**Subject M2265.**", "t1_crop": "sample scan** `t1_crop`"}.items():
        assert explained in rest
        assert rest.index(term) >= rest.index(explained), f"README.md uses {term} before it explains it"


#: The same in comments, docstrings and messages. "On its own grid" and the like are plain.
BANNED_IN_SOURCES = {
    "a sentence that starts with What": r"(?:^\s*(?:#:?|//|/?\*+|\"{3})\s*|[.!?:;] )What\b",
    "so many": BANNED["so many"],
    "is told": r"\b(?:is|are) told\b(?! apart)",
    "of its own": r"\bof its own\b(?! (?:grid|voxels?))",
    "lets go of": BANNED["lets go of"],
}


def sources() -> list[Path]:
    """Python, TypeScript, C, shaders and settings, without generated and installed files and this list itself."""
    folders = ("meshnet", "export", "webapp", "bench", "tests", "static/src")
    kinds = {".py", ".ts", ".c", ".h", ".wgsl", ".glsl", ".yaml"}
    found = [path for folder in folders for path in (REPO / folder).rglob("*") if path.suffix in kinds]
    left_out = {"node_modules", "generated"}
    return sorted(path for path in found if not left_out & set(path.parts) and path != Path(__file__))


def test_the_english_of_sources_is_plain() -> None:
    found = [
        f"{name(path)}:{number}: {what}"
        for path in sources()
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        for what, pattern in BANNED_IN_SOURCES.items()
        if re.search(pattern, line)
    ]
    assert not found, "\n".join(found)


def test_pages_that_sources_name_exist() -> None:
    named = {
        (name(path), page)
        for path in [*sources(), Path(__file__)]
        for page in re.findall(r"\bdocs/[\w/-]+\.md\b", path.read_text(encoding="utf-8"))
    }
    assert len(named) > 10
    missing = sorted(f"{path}: {page}" for path, page in named if not (REPO / page).exists())
    assert not missing, f"sources name pages that do not exist: {missing}"


def test_sources_that_sources_name_exist() -> None:
    named = {
        (name(path), source)
        for path in sources()
        for source in re.findall(
            r"(?<![\w./-])(?:meshnet|export|webapp|bench|static/src)/[\w/.-]+\.(?:py|ts|c|h)\b",
            path.read_text(encoding="utf-8"),
        )
        if not name(path).startswith("tests/helpers/")  # it makes up names
    }
    assert len(named) > 10
    missing = sorted(f"{path}: {source}" for path, source in named if not (REPO / source).exists())
    assert not missing, f"sources name sources that do not exist: {missing}"


def code_in_order(cell: str) -> list[str]:
    return re.findall(r"`([^`]+)`", cell)


def in_project(path: str) -> Path:
    """A path as architecture.md writes it: from the project's root, or from static/src."""
    return next((base / path for base in (REPO, REPO / "static" / "src") if (base / path).exists()), REPO / path)


def test_the_files_and_functions_of_the_two_walks_exist() -> None:
    walks = ARCHITECTURE.read_text(encoding="utf-8").split("## The walk of a voxel")[1].split("## Five places")[0]
    checked = 0
    for cell in walks.replace("\n", "|").split("|"):
        file: Path | None = None
        for code in code_in_order(cell):
            if "/" in code:
                file = in_project(code)
                assert file.exists(), f"architecture.md names {code}, which does not exist"
            elif "." in code:
                file = None  # a file by its bare name, told by the text around it
            elif file is not None and file.is_file() and re.fullmatch(r"\w+", code):
                assert re.search(rf"\b{code}\b", file.read_text(encoding="utf-8")), f"{name(file)} has no {code}"
                checked += 1
    assert checked > 25


def test_the_five_paths_lead_from_the_readme_to_the_line() -> None:
    table = ARCHITECTURE.read_text(encoding="utf-8").split("## Five places")[1].split("\n## ")[0]
    rows = [row.strip("|").split(" | ") for row in re.findall(r"^\|.*\|$", table, re.MULTILINE)[2:]]
    assert len(rows) >= 5
    for _, path, code in rows:
        hops = [code_in_order(hop)[0] for hop in path.split("→")]
        assert hops[0] == "README.md"
        assert len(hops) <= 5, f"{path}: more than four hops"
        assert all((REPO / hop).exists() for hop in hops), path
        line = code_in_order(code)[0]
        assert line in (REPO / hops[-1]).read_text(encoding="utf-8"), f"{hops[-1]} has no line with {line}"
