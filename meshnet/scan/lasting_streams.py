"""Standard output and error for commands that work through many scans."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from typing import TextIO


@contextmanager
def lasting_streams() -> Iterator[None]:
    """Keeps the run going when standard output is closed early (`| head`) or can't encode a character.

    Characters that the encoding lacks are printed as escapes.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    # A stream is None if the shell closed it (>&-).
    out, err = (_Lasting(stream) if stream else io.StringIO() for stream in (sys.stdout, sys.stderr))
    with redirect_stdout(out), redirect_stderr(err):
        try:
            yield
        finally:
            out.flush()
            err.flush()


class _Lasting(io.TextIOBase):
    """A stream that discards its output once the reader has closed it."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    @property
    def encoding(self) -> str:  # type: ignore[override]
        return self._stream.encoding

    def write(self, text: str) -> int:
        with self._unless_left():
            self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        with self._unless_left():
            self._stream.flush()

    def fileno(self) -> int:
        return self._stream.fileno()

    def isatty(self) -> bool:
        return self._stream.isatty()

    @contextmanager
    def _unless_left(self) -> Iterator[None]:
        try:
            yield
        except BrokenPipeError:
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, self._stream.fileno())  # also for the buffer, which Python flushes at the end
            os.close(nowhere)
