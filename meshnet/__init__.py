"""MeshNet: small dilated 3-D convolutional networks for whole-brain MRI segmentation.

`meshnet.segment(scan)` segments a scan (docs/python.md). Importing this package imports nothing else: `segment` and the
types below are loaded when they are first used, and torch only by the modules that train.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from meshnet.version import __version__

if TYPE_CHECKING:
    from meshnet.infer.lesions import Lesion as Lesion
    from meshnet.infer.segmentation import Segmentation as Segmentation
    from meshnet.infer.segmentation import segment as segment
    from meshnet.model.spec import SpecError as SpecError
    from meshnet.scan.scan_stream import ScanError as ScanError

#: Public name -> module that has it.
_LAZY = {
    "segment": "meshnet.infer.segmentation",
    "Segmentation": "meshnet.infer.segmentation",
    "Lesion": "meshnet.infer.lesions",
    "ScanError": "meshnet.scan.scan_stream",
    "SpecError": "meshnet.model.spec",
}

__all__ = ["Lesion", "ScanError", "Segmentation", "SpecError", "__version__", "segment"]


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_LAZY[name]), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_LAZY])
