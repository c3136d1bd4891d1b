"""dciodvfy, David Clunie's checker of DICOM objects (Debian's dicom3tools)."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest


def dicom_errors(path: Path) -> list[str]:
    """The errors that dciodvfy finds in a file; skips the test where it is not installed."""
    program = shutil.which("dciodvfy")
    if program is None:
        pytest.skip("dciodvfy is not installed (Debian's dicom3tools)")
    done = subprocess.run([program, str(path)], capture_output=True, text=True, errors="replace", check=False)
    lines = (done.stdout + done.stderr).splitlines()
    assert any(line.strip() == "Segmentation" for line in lines), f"dciodvfy does not know the object: {lines}"
    return [line for line in lines if line.startswith("Error")]
