"""Hooks of MkDocs (mkdocs.yml): pages from outside docs/ join the site, and links between pages follow.

In the repository, pages link each other by their paths there. Here each of those links is rewritten to the place of its
target in the site. A link to a file that the site does not hold, such as a source, becomes plain text.
"""

from __future__ import annotations

import posixpath
import re
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parents[1]

#: Pages outside docs/: path in the repository -> path in the site. Model cards are added by `outside`.
PAGES = {
    "README.md": "index.md",
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "contributing.md",
    "SECURITY.md": "security.md",
    "export/FORMAT.md": "format.md",
    "static/package/README.md": "package.md",
}

_LINK = re.compile(r"(!?)\[((?:[^\[\]]|\[[^\]]*\])*)\]\(([^)\s]+)\)")
_FENCE = re.compile(r"^```.*?^```", re.DOTALL | re.MULTILINE)


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Add pages of docs/ that the navigation does not name, model cards and docs/lab/ to it."""
    assert config.nav is not None
    named = set(re.findall(r"[\w/-]+\.md", str(config.nav)))
    rest = sorted(path.name for path in (ROOT / "docs").glob("*.md") if path.name not in named)
    config.nav[-1]["Project"].extend(rest)
    config.nav.append({"Models that ship": sorted(path for path in outside().values() if path.startswith("models/"))})
    config.nav.append({"Measurements": sorted(f"lab/{path.name}" for path in (ROOT / "docs" / "lab").glob("*.md"))})
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages from outside docs/, and the pictures of the model cards."""
    for source, path in outside().items():
        files.append(File.generated(config, path, content=(ROOT / source).read_text(encoding="utf-8")))
    for picture in sorted(ROOT.glob("models/*/*.png")):
        files.append(File.generated(config, picture.relative_to(ROOT).as_posix(), abs_src_path=str(picture)))
    return files


def on_page_markdown(markdown: str, *, page: Page, **_: Any) -> str:
    """Rewrite the links of a page; fenced blocks stay as they are."""
    here = page.file.src_uri
    source = next((source for source, path in outside().items() if path == here), f"docs/{here}")
    kept: list[str] = []

    def keep(block: re.Match[str]) -> str:
        kept.append(block[0])
        return f"\0{len(kept) - 1}\0"

    rewritten = _LINK.sub(lambda link: rewrite(link, source, here), _FENCE.sub(keep, markdown))
    return re.sub(r"\0(\d+)\0", lambda mark: kept[int(mark[1])], rewritten)


def rewrite(link: re.Match[str], source: str, here: str) -> str:
    """One Markdown link of the repository's page `source`, as it reads on the site's page `here`."""
    picture, text, target = link.groups()
    file, _, anchor = target.partition("#")
    if not file or re.match(r"[a-z]+:", target):
        return link[0]
    path = site_path(posixpath.normpath(posixpath.join(posixpath.dirname(source), file)))
    if path is None:
        return text
    relative = posixpath.relpath(path, posixpath.dirname(here) or ".")
    return f"{picture}[{text}]({relative}{'#' if anchor else ''}{anchor})"


def site_path(repository_path: str) -> str | None:
    """Where the site has a file of the repository; None where it does not have it."""
    if repository_path in outside():
        return outside()[repository_path]
    path = ROOT / repository_path
    if repository_path.startswith("docs/") and path.is_file():
        return repository_path.removeprefix("docs/")
    return repository_path if path.match("models/*/*.png") and path.is_file() else None


def outside() -> dict[str, str]:
    """`PAGES` that exist, and the model cards."""
    cards = sorted(ROOT.glob("models/*/README.md"))
    pages = {source: path for source, path in PAGES.items() if (ROOT / source).is_file()}
    return {**pages, **{card.relative_to(ROOT).as_posix(): f"models/{card.parent.name}.md" for card in cards}}
