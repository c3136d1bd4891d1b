"""Settings that let the page exchange scans with other sites: none by default."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import urlsplit

#: In place of an origin to embed: pages of the server's own origin.
SELF = "self"


@dataclass(frozen=True)
class Origins:
    """Origins (`https://host` or `https://host:port`) of other sites."""

    scan: tuple[str, ...] = ()
    """The page may fetch scans from these for links with `?scan=`, besides its own origin."""
    embed: tuple[str, ...] = ()
    """Pages of these may show the page in a frame and send it messages; `self`: pages of its own origin."""


def origin(text: str) -> str:
    """An origin, in lower case. Raises ValueError for anything else: a path, a wildcard, another scheme."""
    parts = urlsplit(text)
    try:
        port = parts.port
    except ValueError:
        port = -1
    host = parts.hostname or ""
    plain = f"{parts.scheme}://{f'[{host}]' if ':' in host else host}{'' if port is None else f':{port}'}"
    if parts.scheme not in ("http", "https") or not _is_host(host) or plain != text.lower().rstrip("/"):
        raise ValueError(f"expected an origin such as https://lab.example or http://127.0.0.1:8080, got {text!r}")
    return plain


def embedder(text: str) -> str:
    """An origin, or `self`."""
    return SELF if text == SELF else origin(text)


def add_arguments(parser: argparse.ArgumentParser | argparse._ArgumentGroup) -> None:
    """`--scan-origin` and `--embed-origin`, of `meshnet-serve` and `meshnet-export --format site`."""
    parser.add_argument(
        "--scan-origin",
        type=_argument(origin),
        action="append",
        default=[],
        metavar="ORIGIN",
        help="links with ?scan=URL may open scans of this origin (https://host[:port]); may be given several times; "
        "always allowed: the site's own origin",
    )
    parser.add_argument(
        "--embed-origin",
        type=_argument(embedder),
        action="append",
        default=[],
        metavar="ORIGIN",
        help="pages of this origin may show the page in a frame and send it scans; self: pages of the site's own "
        "origin; may be given several times (default: none)",
    )


def origins_of(arguments: argparse.Namespace) -> Origins:
    """The settings that the command line has."""
    return Origins(tuple(arguments.scan_origin), tuple(arguments.embed_origin))


def _argument(check: Callable[[str], str]) -> Callable[[str], str]:
    def checked(text: str) -> str:
        try:
            return check(text)
        except ValueError as error:
            raise argparse.ArgumentTypeError(str(error)) from error

    return checked


def _is_host(host: str) -> bool:
    """Whether the characters are those of a host's name or address: the text goes into a header."""
    return host != "" and all(c.isascii() and (c.isalnum() or c in "-._:") for c in host)
