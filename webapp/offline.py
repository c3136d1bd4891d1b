"""What the service worker (`static/src/page/offline/sw.ts`) is told: every file of this version, with its hash.

The list is written in front of the built `sw.js`. Browsers compare that file byte by byte, so that any
change of the site, of a model or of a header is a new version, fetched whole before it is used.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping

from webapp.files import StoredFile
from webapp.headers import SECURITY_HEADERS

WORKER = "sw.js"

#: Parts of the site that only developers open.
NOT_KEPT = ("selftest.html",)

_LISTING = "self.PRECACHE = "


def with_precache(files: Mapping[str, StoredFile]) -> dict[str, StoredFile]:
    """The same files, the service worker knowing all the others; unchanged where the site has no worker."""
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
        if path != WORKER and path not in NOT_KEPT and not path.endswith(".map")
    ]
    listing = {"headers": SECURITY_HEADERS, "files": kept}
    version = hashlib.sha256(json.dumps(listing).encode()).hexdigest()[:16]
    worker = files[WORKER]
    line = f"{_LISTING}{json.dumps({'version': version, **listing})};\n"
    return {**files, WORKER: StoredFile(line.encode() + worker.body, worker.media_type)}


def listed_files(worker: bytes) -> set[str]:
    """Paths that `with_precache` wrote in front of a worker; none where it is no such worker."""
    line = worker.split(b"\n", 1)[0].decode(errors="replace")
    try:
        return {file["path"] for file in json.loads(line.removeprefix(_LISTING).removesuffix(";"))["files"]}
    except (ValueError, KeyError, TypeError):
        return set()
