"""The list of files that the service worker keeps for use without a network, each with its hash.

The service worker is `static/src/page/offline/sw.ts`. The list is written in front of the built `sw.js`. Browsers
compare that file byte by byte, so any change of the site, of a model or of a header is a new version, fetched whole
before it is used.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from typing import Any

from webapp.files import StoredFile
from webapp.headers import security_headers
from webapp.origins import Origins

WORKER = "sw.js"

#: Files that are served but not kept for use without a network, as patterns of whole paths.
NOT_KEPT = (
    r"selftest\.html|assets/selftest-.*",  # for developers
    r"assets/tfjs-.*",  # fetched only where `?backend=tfjs` asks for it or nothing else runs
    r"models/.*\.(png|jpe?g|webp|svg)",  # pictures of the model cards, which the page links as plain text
    r".*\.map",
)

_LISTING = "self.PRECACHE = "


def is_kept(path: str) -> bool:
    """Whether the service worker keeps this file of the site."""
    return path != WORKER and not any(re.fullmatch(pattern, path) for pattern in NOT_KEPT)


def with_precache(
    files: Mapping[str, StoredFile],
    origins: Origins = Origins(),  # noqa: B008 (immutable)
) -> dict[str, StoredFile]:
    """The same files, with the list of files written into the service worker; unchanged where the site has none."""
    if WORKER not in files:
        return dict(files)
    kept = [
        {
            "path": path,
            "sha256": hashlib.sha256(file.body).hexdigest(),
            "bytes": len(file.body),
            "type": file.media_type,
        }
        for path, file in sorted(files.items())
        if is_kept(path)
    ]
    others = sorted(path for path in files if path != WORKER and not is_kept(path))
    listing = {"headers": security_headers(origins), "files": kept, "notKept": others}
    version = hashlib.sha256(json.dumps(listing).encode()).hexdigest()[:16]
    worker = files[WORKER]
    line = f"{_LISTING}{json.dumps({'version': version, **listing})};\n"
    return {**files, WORKER: StoredFile(line.encode() + worker.body, worker.media_type)}


def listed_files(worker: bytes) -> set[str]:
    """Paths of the whole site that `with_precache` wrote into this service worker; empty where it wrote none."""
    listing = _listing(worker)
    return {*listing["notKept"], *(file["path"] for file in listing["files"])}


def kept_files(worker: bytes) -> dict[str, int]:
    """Path to size in bytes of each file that this service worker keeps; empty where `with_precache` wrote no list."""
    return {file["path"]: file["bytes"] for file in _listing(worker)["files"]}


def _listing(worker: bytes) -> dict[str, Any]:
    """The list in front of a service worker. A copy that an earlier version wrote has no `notKept`."""
    line = worker.split(b"\n", 1)[0].decode(errors="replace")
    empty: dict[str, Any] = {"files": [], "notKept": []}
    try:
        found = json.loads(line.removeprefix(_LISTING).removesuffix(";"))
        return {**empty, **found} if isinstance(found["files"], list) else empty
    except (ValueError, KeyError, TypeError):
        return empty
