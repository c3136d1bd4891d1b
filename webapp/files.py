"""The served files, held in memory.

All served files are in one mapping from URL path to `StoredFile`, read once at start. A path that is not in the mapping
doesn't exist, so that no request can reach the disk.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

#: Media types by suffix. Fixed here, because the operating system's table differs between machines.
MEDIA_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".ico": "image/x-icon",
    ".jpeg": "image/jpeg",
    ".jpg": "image/jpeg",
    ".js": "text/javascript; charset=utf-8",
    ".json": "application/json",
    ".md": "text/markdown; charset=utf-8",
    ".mjs": "text/javascript; charset=utf-8",
    ".png": "image/png",
    ".svg": "image/svg+xml",
    ".txt": "text/plain; charset=utf-8",
    ".wasm": "application/wasm",
    ".webmanifest": "application/manifest+json",
    ".webp": "image/webp",
}

#: Content codings of the files that the site's build compressed, best first, with their suffix.
CODINGS = {"br": ".br", "gzip": ".gz"}

#: Names with a hash of Vite, e.g. `assets/main-BxY3k_9Q.js`, whose content never changes.
_HASHED = re.compile(r"^assets/.+-[A-Za-z0-9_-]{8}\.[a-z0-9]+$")


@dataclass(frozen=True)
class StoredFile:
    """One served file. coded: the same bytes in other content codings."""

    body: bytes
    media_type: str
    immutable: bool = False
    coded: Mapping[str, bytes] = field(default_factory=dict)

    @property
    def digest(self) -> str:
        return hashlib.sha256(self.body).hexdigest()[:32]


def media_type(path: str) -> str:
    """Media type of a URL path; application/octet-stream for an unknown suffix (scans, weights)."""
    return MEDIA_TYPES.get(PurePosixPath(path).suffix.lower(), "application/octet-stream")


def read_site(folder: Path) -> dict[str, StoredFile]:
    """Every file of a built site by its URL path; the `.br` and `.gz` files become its `coded` forms."""
    paths = {p.relative_to(folder).as_posix(): p for p in sorted(folder.rglob("*")) if p.is_file()}
    variants = {
        path: {coding: paths[path + suffix] for coding, suffix in CODINGS.items() if path + suffix in paths}
        for path in paths
    }
    coded_paths = {path + CODINGS[coding] for path, found in variants.items() for coding in found}
    return {
        path: StoredFile(
            body=paths[path].read_bytes(),
            media_type=media_type(path),
            immutable=_HASHED.match(path) is not None,
            coded={coding: file.read_bytes() for coding, file in variants[path].items()},
        )
        for path in paths
        if path not in coded_paths
    }
