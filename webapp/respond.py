"""The HTTP response for a served file.

A module beside `webapp.files`, so that exporters and measurements read model folders without a web framework.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from starlette.requests import Request
from starlette.responses import Response

from webapp.files import CODINGS, StoredFile


def respond(file: StoredFile, digest: str, request: Request) -> Response:
    """The response to a GET or HEAD: the best coding that the client accepts, or 304 if it has the file already."""
    coding = choose_coding(request.headers.get("accept-encoding", ""), file.coded)
    etag = f'"{digest}-{coding}"' if coding else f'"{digest}"'
    headers = {
        "ETag": etag,
        "Cache-Control": "public, max-age=31536000, immutable" if file.immutable else "no-cache",
    }
    if file.coded:
        headers["Vary"] = "Accept-Encoding"
    if _matches(request.headers.get("if-none-match", ""), etag):
        return Response(status_code=304, headers=headers)
    if coding:
        headers["Content-Encoding"] = coding
    body = file.coded[coding] if coding else file.body
    return Response(body, media_type=None, headers={**headers, "Content-Type": file.media_type})


def choose_coding(accept_encoding: str, available: Mapping[str, bytes]) -> str | None:
    """The first of `CODINGS` that is available and that the Accept-Encoding header allows; else None."""
    accepted: dict[str, float] = {}
    for part in accept_encoding.lower().split(","):
        name, _, parameters = part.partition(";")
        quality = re.fullmatch(r"\s*q\s*=\s*([0-9.]+)\s*", parameters)
        try:
            accepted[name.strip()] = float(quality[1]) if quality else 1.0
        except ValueError:
            accepted[name.strip()] = 0.0
    for coding in CODINGS:
        if coding in available and accepted.get(coding, accepted.get("*", 0.0)) > 0:
            return coding
    return None


def _matches(if_none_match: str, etag: str) -> bool:
    candidates = {part.strip().removeprefix("W/") for part in if_none_match.split(",")}
    return etag in candidates or "*" in candidates
