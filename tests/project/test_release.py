"""Ready to publish: one version everywhere, wheels for every platform from one machine, and metadata that holds."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import yaml

from hatch_build import compile_kernel
from meshnet import __version__
from meshnet.infer.kernel.build import TARGETS
from tests.helpers.browser.serving import build_site
from tests.helpers.paths import REPO

#: By platform of `MESHNET_WHEEL`: the wheel's platform tag, the kernel's name and the first bytes of such a library.
WHEELS = {
    "linux-aarch64": ("manylinux_2_17_aarch64", "_kernel.so", b"\x7fELF"),
    "darwin-arm64": ("macosx_11_0_arm64", "_kernel.dylib", b"\xcf\xfa\xed\xfe"),
    "any": ("any", None, b""),
}


@pytest.fixture(scope="module")
def release(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Wheels as `make release` builds them, of platforms that this machine is not."""
    build_site()
    folder = tmp_path_factory.mktemp("release")
    for platform in WHEELS:
        done = subprocess.run(
            [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", folder],
            cwd=REPO,
            env={**os.environ, "MESHNET_WHEEL": platform, "MESHNET_SITE_BUILT": "1"},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr[-2000:]
    return folder


@pytest.mark.parametrize("platform", WHEELS)
def test_a_wheel_holds_the_kernel_of_its_platform_the_site_and_the_models(release: Path, platform: str) -> None:
    tag, library, magic = WHEELS[platform]
    wheel = zipfile.ZipFile(release / f"meshnet-{__version__}-py3-none-{tag}.whl")
    names = wheel.namelist()

    assert [name for name in names if "/_kernel." in name] == ([f"meshnet/infer/kernel/{library}"] if library else [])
    if library:
        assert wheel.read(f"meshnet/infer/kernel/{library}").startswith(magic)
    assert {"webapp/site/index.html", "webapp/models/t2-lesion/model.json"} <= set(names)


def test_the_metadata_passes_twine(release: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "twine", "check", "--strict", *sorted(release.iterdir())],
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stdout
    assert done.stdout.count("PASSED") == len(WHEELS)


def test_an_unknown_platform_is_refused_with_the_known_ones() -> None:
    with pytest.raises(RuntimeError, match=f"MESHNET_WHEEL=linux-riscv64: expected one of {', '.join(TARGETS)}, any"):
        compile_kernel(REPO, "linux-riscv64")


def test_the_version_is_the_same_everywhere() -> None:
    citation = yaml.safe_load((REPO / "CITATION.cff").read_text(encoding="utf-8"))
    site = json.loads((REPO / "static" / "package.json").read_text(encoding="utf-8"))
    locked = json.loads((REPO / "static" / "package-lock.json").read_text(encoding="utf-8"))

    assert citation["version"] == site["version"] == locked["version"] == __version__


def test_the_citation_has_every_field_that_the_format_requires() -> None:
    citation = yaml.safe_load((REPO / "CITATION.cff").read_text(encoding="utf-8"))

    assert citation["cff-version"] == "1.2.0"
    assert {"message", "title", "authors"} <= set(citation)
    assert all("name" in author or "family-names" in author for author in citation["authors"])
    assert all({"type", "title", "authors"} <= set(reference) for reference in citation["references"])


def test_the_checklist_names_every_wheel_and_the_makefile_builds_them() -> None:
    page = (REPO / "docs" / "releasing.md").read_text(encoding="utf-8")
    built = re.search(r"^WHEELS := (.*)$", (REPO / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)

    assert built is not None
    assert built[1].split() == [*TARGETS, "any"]
    assert all(f"`{platform}`" in page for platform in built[1].split())
