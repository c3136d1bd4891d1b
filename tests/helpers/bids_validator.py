"""The official BIDS validator, on a data set or derivative."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path


def errors_of(dataset: Path) -> list[str]:
    """The official validator's errors."""
    validator = Path(sys.executable).with_name("bids-validator-deno")
    done = subprocess.run([validator, dataset, "--format", "json"], capture_output=True, text=True, check=False)
    issues = json.loads(done.stdout)["issues"]["issues"]
    return [f"{x['code']} {x.get('subCode')} {x.get('location')}" for x in issues if x["severity"] == "error"]
