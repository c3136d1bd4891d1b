"""`meshnet-serve`: serves the site and its models on this machine."""

from __future__ import annotations

import argparse
import contextlib
import errno
import socket
import sys
from collections.abc import Sequence
from pathlib import Path

import uvicorn

from webapp.app import LANGUAGES, Kiosk, SiteNotBuiltError, create_app
from webapp.catalogue import ModelsFolderError
from webapp.origins import add_arguments, origins_of

SHORTEST_IDLE_SECONDS = 20
HIGHEST_PORT = 65535

#: Settings of a kiosk that are on or off, fields of `Kiosk`, and their help.
SWITCHES = {
    "queue": "on: visitors may open several scans and segment all of them; off: one scan at a time",
    "confidence": "on: visitors may look at probabilities, move the threshold and average with the mirror image; off: "
    "they may not",
    "compare": "on: visitors may compare a result with a mask or another result; off: they may not",
    "edit": "on: visitors may correct a result by hand; off: they may not",
    "report": "on: visitors may save reports, where --saving allows it; off: they may not",
    "links": "on: an address with ?scan=URL opens that scan; off: it does not",
    "embed": "on: the origins of --embed-origin may embed the page; off: none may",
    "mesh": "on: visitors may save labels as meshes, with --saving folder; off: they may not",
    "keep": "on: visitors may keep scans and results in the browser, until they are deleted after --idle; off: they "
    "may not",
}


def parser() -> argparse.ArgumentParser:
    """The command line of `meshnet-serve`."""
    p = argparse.ArgumentParser(
        prog="meshnet-serve",
        description="Serve the MeshNet site and its models. Scans are opened in the visitor's browser and never sent.",
    )
    p.add_argument(
        "--models",
        type=Path,
        action="append",
        metavar="DIR",
        help="folder that holds model folders; may be given several times; replaces the default, the models that ship",
    )
    p.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s, this machine only)")
    p.add_argument("--port", type=_port, default=8000, help="TCP port, 0 for a free one (default: %(default)s)")
    add_arguments(
        p.add_argument_group("other sites: links to scans, and pages that embed this one (docs/embedding.md)")
    )
    kiosk = p.add_argument_group("kiosk: a machine in a public place, one visitor after another")
    kiosk.add_argument(
        "--kiosk",
        action="store_true",
        help="delete scan and results after a time without input, offer the listed models, show a full-screen button",
    )
    kiosk.add_argument(
        "--idle",
        type=int,
        metavar="SECONDS",
        help=f"seconds without input until scan and results are deleted, at least 20 (default: {Kiosk.idle_seconds})",
    )
    kiosk.add_argument(
        "--saving",
        choices=["folder", "off"],
        help="folder: visitors choose where results are saved; off: no save buttons (default: off)",
    )
    kiosk.add_argument(
        "--language",
        choices=LANGUAGES,
        help="the page's language, without a choice for visitors (default: the browser's, and visitors may choose)",
    )
    for name, text in SWITCHES.items():
        kiosk.add_argument(f"--{name}", choices=["on", "off"], help=f"{text} (default: {getattr(Kiosk, name)})")
    return p


def _port(text: str) -> int:
    if not text.isdecimal() or int(text) > HIGHEST_PORT:
        raise argparse.ArgumentTypeError(f"expected a port from 0 to {HIGHEST_PORT}, got {text}")
    return int(text)


def main(argv: Sequence[str] | None = None) -> int:
    """Command line. Exit code 0 after Ctrl-C; 2 if the server can't start."""
    p = parser()
    args = p.parse_args(argv)
    names = ["idle", "saving", "language", *SWITCHES]
    given = {name: value for name in names if (value := getattr(args, name)) is not None}
    if given and not args.kiosk:
        listed = ", ".join(f"--{name}" for name in names[:-1])
        p.error(f"{listed} and --{names[-1]} are settings of a kiosk; add --kiosk")
    if args.idle is not None and args.idle < SHORTEST_IDLE_SECONDS:
        p.error(f"--idle {args.idle}: a visitor needs at least {SHORTEST_IDLE_SECONDS} seconds to read the page")
    if "idle" in given:
        given["idle_seconds"] = given.pop("idle")
    kiosk = Kiosk(**given) if args.kiosk else None
    try:
        app = create_app(args.models, kiosk=kiosk, origins=origins_of(args))
        listener = listen(args.host, args.port)
    except (SiteNotBuiltError, ModelsFolderError, OSError) as error:
        print(f"meshnet-serve: {error}", file=sys.stderr)
        return 2
    with listener:
        host, port = listener.getsockname()[:2]
        print(f"MeshNet: http://{f'[{host}]' if ':' in host else host}:{port}  (Ctrl-C stops it)", flush=True)
        config = uvicorn.Config(app, log_level="warning", server_header=False)
        # After Ctrl-C uvicorn shuts down and raises KeyboardInterrupt again.
        with contextlib.suppress(KeyboardInterrupt):
            uvicorn.Server(config).run(sockets=[listener])
    return 0


def listen(host: str, port: int) -> socket.socket:
    """A listening socket. Raises OSError, which names the remedy, if the address can't be used."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family)
    except (OSError, UnicodeError) as error:  # UnicodeError: text that can't be a host name
        what = (isinstance(error, OSError) and error.strerror) or error
        if isinstance(error, OSError) and error.errno in (errno.EADDRINUSE, errno.EACCES):
            remedy = "stop what uses it or choose another --port"
        else:
            remedy = "expected --host to be a name or an address of this machine, e.g. 127.0.0.1 or 0.0.0.0"
        raise OSError(f"cannot listen on {host}:{port} ({what}); {remedy}") from error
