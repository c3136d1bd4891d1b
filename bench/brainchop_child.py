"""Run one visit of brainchop's network (tinygrad, CPU) with our weights, under the Python of its environment.

`python bench/brainchop_child.py JOB.json` writes labels.u8 and report.json beside JOB.json. brainchop's command line
would conform and download first; only its network is used here, on the same volume as the other runtimes.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent))
from repeat import repeated, write_result  # type: ignore[import-not-found]


def main(path: Path) -> None:
    """Run the job and write its report; an exception becomes the report's error."""
    job = json.loads(path.read_text(encoding="utf-8"))
    os.environ["DEV"] = "CPU"
    os.environ.setdefault("CC", str(Path(sys.executable).with_name("clang")))
    image = np.fromfile(job["volume"], np.float32).reshape([1, 1] + [job["size"]] * 3)

    def open_brainchop() -> Any:
        from brainchop.tiny_meshnet import load_meshnet  # type: ignore[import-not-found]
        from tinygrad import Tensor  # type: ignore[import-not-found]

        config, weights = job["brainchop"]
        model = load_meshnet(config, weights)
        return lambda volume: model(Tensor(volume)).numpy()

    write_result(path.parent, lambda: repeated(open_brainchop, image, job["atMost"], job["withinS"]))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
