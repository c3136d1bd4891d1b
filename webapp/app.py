"""The FastAPI application: answers GET and HEAD requests from files held in memory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from fastapi import FastAPI, HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from meshnet import __version__
from meshnet.model.shipped import ROOT, default_models, in_checkout
from webapp.catalogue import Model, catalogue_files, read_models
from webapp.files import StoredFile, read_site
from webapp.headers import SecurityHeaders, security_headers
from webapp.offline import with_precache
from webapp.origins import Origins
from webapp.respond import respond

PACKAGE = Path(__file__).resolve().parent


class SiteNotBuiltError(RuntimeError):
    """The site is not built. The message says how to build it."""


#: Languages of the page's texts (static/src/page/texts).
LANGUAGES = ("en", "de", "es")


@dataclass(frozen=True)
class Kiosk:
    """Settings for a machine in a public place, used by one visitor after another."""

    idle_seconds: int = 120
    """Seconds without input after which the page warns, then deletes scan and results."""
    saving: Literal["folder", "off"] = "off"
    """`folder`: visitors choose where results are saved; `off`: no save buttons."""
    queue: Literal["on", "off"] = "on"
    """`on`: several scans may be open and segmented one after the other; `off`: one scan at a time."""
    confidence: Literal["on", "off"] = "on"
    """`on`: probabilities, a threshold on them and the average with the mirror image; `off`: none of these."""
    compare: Literal["on", "off"] = "on"
    """`on`: results can be compared with masks and with each other."""
    edit: Literal["on", "off"] = "on"
    """`on`: results can be corrected by hand."""
    report: Literal["on", "off"] = "on"
    """`on`: reports can be saved, where results can."""
    mesh: Literal["on", "off"] = "on"
    """`on`: labels can be saved as meshes, where saving is on."""
    keep: Literal["on", "off"] = "off"
    """`on`: visitors can keep scans and results in the browser, until the page is wiped."""
    language: str | None = None
    """One of LANGUAGES, without a choice for visitors; None: the browser's language, and visitors may choose."""
    links: Literal["on", "off"] = "on"
    """`on`: an address with `?scan=` opens that scan."""
    embed: Literal["on", "off"] = "on"
    """`on`: pages of the origins that are allowed to embed the page can; `off`: none can."""


def create_app(
    models: Sequence[Path] | None = None,
    *,
    site: Path | None = None,
    kiosk: Kiosk | None = None,
    origins: Origins = Origins(),  # noqa: B008 (immutable)
) -> FastAPI:
    """Create the application.

    models: folders that contain model folders (default: those that ship). site: the built site (default: the installed
    one, or `static/dist` of a checkout). origins: other sites that the page exchanges scans with. A broken model is
    listed as broken. Raises SiteNotBuiltError, and `webapp.catalogue.ModelsFolderError` for a wrong folder in
    `models`.
    """
    found = read_models(default_models() if models is None else models)
    origins = allowed_origins(origins, kiosk)
    files = published_files(found, site=site or default_site(), kiosk=kiosk, origins=origins)
    digests = {path: file.digest for path, file in files.items()}

    # No documentation pages, because FastAPI's load scripts from another host.
    app = FastAPI(title="MeshNet", version=__version__, docs_url=None, redoc_url=None, openapi_url=None)
    app.add_middleware(SecurityHeaders, headers=security_headers(origins))

    @app.api_route("/healthz", methods=["GET", "HEAD"])
    def healthz() -> JSONResponse:
        usable = sum(m.spec is not None for m in found)
        health = {"status": "ok", "version": __version__, "models": usable, "broken": len(found) - usable}
        return JSONResponse(health, headers={"Cache-Control": "no-store"})

    @app.api_route("/{path:path}", methods=["GET", "HEAD"])
    def file(path: str, request: Request) -> Response:
        key = path or "index.html"
        if key not in files:
            raise HTTPException(404, f"/{path}: no such file on this server")
        return respond(files[key], digests[key], request)

    return app


def allowed_origins(origins: Origins, kiosk: Kiosk | None) -> Origins:
    """`origins` without those that the kiosk's settings switch off."""
    if kiosk is None:
        return origins
    return Origins(scan=origins.scan if kiosk.links == "on" else (), embed=origins.embed if kiosk.embed == "on" else ())


def published_files(
    models: Sequence[Model],
    *,
    site: Path,
    kiosk: Kiosk | None = None,
    origins: Origins = Origins(),  # noqa: B008 (immutable)
) -> dict[str, StoredFile]:
    """Every served file by URL path: the site, `api/models` and `models/<id>/…`. Raises SiteNotBuiltError."""
    if not (site / "index.html").is_file():
        raise SiteNotBuiltError(
            f"{site}: the site is not built (index.html is missing); run `make serve`, "
            f"or `npm ci && npm run build` in static/, and start again"
        )
    settings = None if kiosk is None else asdict(kiosk)
    extra = {
        "version": __version__,
        "kiosk": settings,
        "scan_origins": list(origins.scan),
        "embed_origins": list(origins.embed),
    }
    return with_precache({**read_site(site), **catalogue_files(models, extra=extra)}, origins)


def default_site() -> Path:
    """`static/dist` in a checkout, else the site in the installed package."""
    return ROOT / "static" / "dist" if in_checkout() else PACKAGE / "site"
