"""Write a static copy of the site and its models, which any web server can serve under any path.

A plain file server doesn't send the headers COOP, COEP and CSP; the copy's service worker adds them after the first
load.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from meshnet.model.shipped import default_models
from meshnet.model.spec import SpecError
from webapp.app import default_site, published_files
from webapp.catalogue import arrange, read_model, read_models
from webapp.offline import WORKER, listed_files
from webapp.origins import Origins

#: Without this file GitHub Pages omits names with a leading underscore, which a content hash may have.
MARKER = ".nojekyll"


def write_site(
    out: Path,
    model_folders: Sequence[Path] = (),
    origins: Origins = Origins(),  # noqa: B008 (immutable)
) -> list[str]:
    """Write the copy into the new folder `out`; returns one line per model for the user.

    model_folders: the models to include; empty: all that `meshnet-serve` offers. origins: other sites that the page
    exchanges scans with. Raises SpecError if a model is broken,
    `webapp.app.SiteNotBuiltError` if the site is not built.
    """
    models = (
        arrange([read_model(folder) for folder in model_folders]) if model_folders else read_models(default_models())
    )
    broken = [f"{m.folder}: {m.broken}" for m in models if m.broken]
    if broken:
        raise SpecError("; ".join(broken) + "; repair it, or name the models to include")
    for path, file in published_files(models, site=default_site(), origins=origins).items():
        target = out / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(file.body)
    (out / MARKER).touch()
    return [f"model {m.spec.id}: {m.spec.name}" for m in models if m.spec]


def earlier_files(copy: Path) -> set[str]:
    """Existing files of an earlier copy: those in its service worker's list, and names that every copy may have."""
    worker = copy / WORKER
    listed = listed_files(worker.read_bytes()) if worker.is_file() else set()
    possible = {*listed, *(f"{path}.map" for path in listed), "selftest.html", WORKER, MARKER}
    return {path for path in possible if (copy / path).is_file()}
