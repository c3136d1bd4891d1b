"""The application: answers GET and HEAD from files held in memory, and nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from fastapi import FastAPI, HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from meshnet import __version__
from meshnet.model.shipped import ROOT, default_models, in_checkout
from webapp.catalogue import Model, catalogue_files, read_models
from webapp.files import StoredFile, read_site, respond
from webapp.headers import SecurityHeaders
from webapp.offline import with_precache

PACKAGE = Path(__file__).resolve().parent


class SiteNotBuiltError(RuntimeError):
    """There is no built site to serve; the message says how to build one."""


@dataclass(frozen=True)
class Kiosk:
    """A machine in a public place: what the page does for one visitor after another."""

    idle_seconds: int = 120
    """After so long without input the page warns, then wipes scan and results."""
    saving: Literal["folder", "off"] = "off"
    """`folder`: results are saved where the visitor chooses; `off`: no save buttons."""


def create_app(
    models: Sequence[Path] | None = None, *, site: Path | None = None, kiosk: Kiosk | None = None
) -> FastAPI:
    """The server's application.

    `models` are folders of model folders (default: those that ship with the software), `site` is the
    built site (default: the installed one, or `static/dist` of a checkout). Raises SiteNotBuiltError or
    `webapp.catalogue.ModelsFolderError`; a broken model is no error, it is listed as broken.
    """
    found = read_models(default_models() if models is None else models)
    files = published_files(found, site=site or default_site(), kiosk=kiosk)
    digests = {path: file.digest for path, file in files.items()}

    # No documentation pages: FastAPI's load their scripts from another host.
    app = FastAPI(title="MeshNet", version=__version__, docs_url=None, redoc_url=None, openapi_url=None)
    app.add_middleware(SecurityHeaders)

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


def published_files(models: Sequence[Model], *, site: Path, kiosk: Kiosk | None = None) -> dict[str, StoredFile]:
    """Everything that is served, by URL path: the site, `api/models`, and `models/<id>/…`."""
    if not (site / "index.html").is_file():
        raise SiteNotBuiltError(
            f"{site}: no built site here (index.html is missing); run `make serve`, "
            f"or `npm ci && npm run build` in static/, and start again"
        )
    settings = None if kiosk is None else {"idle_seconds": kiosk.idle_seconds, "saving": kiosk.saving}
    return with_precache(
        {**read_site(site), **catalogue_files(models, extra={"version": __version__, "kiosk": settings})}
    )


def default_site() -> Path:
    """`static/dist` in a checkout, else the site inside the installed package."""
    return ROOT / "static" / "dist" if in_checkout() else PACKAGE / "site"
