"""A fully static copy of the site and its models: any web server can offer it, under any path.

What a plain file server cannot send (COOP, COEP, CSP), the copy's service worker adds after the first load.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from meshnet.model.shipped import default_models
from meshnet.model.spec import SpecError
from webapp.app import default_site, published_files
from webapp.catalogue import arrange, read_model, read_models
from webapp.offline import WORKER, listed_files

#: GitHub Pages would otherwise leave out names with a leading underscore, which a content hash may have.
MARKER = ".nojekyll"


def write_site(out: Path, model_folders: Sequence[Path] = ()) -> list[str]:
    """Write the copy into the new folder `out`; returns one line per model for the user.

    `model_folders` are model folders, by default all that `meshnet-serve` offers. Raises SpecError
    where one of them is broken, and `webapp.app.SiteNotBuiltError` where the site is not built.
    """
    models = (
        arrange([read_model(folder) for folder in model_folders]) if model_folders else read_models(default_models())
    )
    broken = [f"{m.folder}: {m.broken}" for m in models if m.broken]
    if broken:
        raise SpecError("; ".join(broken) + "; mend it, or name the models to include")
    for path, file in published_files(models, site=default_site()).items():
        target = out / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(file.body)
    (out / MARKER).touch()
    return [f"model {m.spec.id}: {m.spec.name}" for m in models if m.spec]


def earlier_files(copy: Path) -> set[str]:
    """Files of a copy written earlier, as far as they are there, told from its service worker's list.

    Names that such a copy may have in any case are among them even where there is no worker.
    """
    worker = copy / WORKER
    listed = listed_files(worker.read_bytes()) if worker.is_file() else set()
    possible = {*listed, *(f"{path}.map" for path in listed), "selftest.html", WORKER, MARKER}
    return {path for path in possible if (copy / path).is_file()}
