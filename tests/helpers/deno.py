"""Trials of the WebGPU engine under Deno."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

#: The fixture `run` of `tests/engine/conftest.py`.
Run = Callable[..., dict[str, Any]]
