"""Reports of the page and of Python: equal numbers, equal pictures, equal HTML."""

from __future__ import annotations

import base64
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from scipy.ndimage import gaussian_filter

from meshnet.infer.report.facts import Report, make_report
from meshnet.infer.report.pictures import Pictures, make_pictures
from meshnet.infer.report.scan_page import scan_page
from meshnet.infer.report.summary_page import Entry, summary_page
from meshnet.infer.sidecar import Engine, Settings, Sidecar, SourceFile, make_sidecar
from meshnet.model.spec import Architecture, ModelSpec, dump_spec, make_labels
from meshnet.scan.conform import Conformed
from meshnet.scan.notes import make_note
from tests.helpers.joint_model import brain_with_lesions, joint_spec
from tests.helpers.parity.prepared import Site
from tests.helpers.paths import REPO
from tests.helpers.scan_files import GEOMETRIES, affine_of
from tests.helpers.specs import a_spec

#: Hard grids that hold a small brain.
GRIDS = {
    "oblique, flipped, anisotropic": affine_of(axes="LPS", rotation_deg=(12, -7, 31), voxel_size_mm=(4.1, 4.4, 5.3)),
    "permuted": affine_of(axes="PIR", voxel_size_mm=(3.9, 6.1, 4.2), origin_mm=(70, 80, -60)),
    "sheared": affine_of(shear=0.3, rotation_deg=(5, 0, 0), voxel_size_mm=(5.0, 5.0, 4.0)),
}
SHAPE = (27, 31, 23)


def made_by(spec: ModelSpec) -> Sidecar:
    return make_sidecar(
        spec,
        interface="Python",
        engine=Engine(backend="cpu", device="AVX2"),
        source=SourceFile(name='sub-01 <T2w> & "b".nii.gz', sha256="ab" * 32),
        settings=Settings(threshold=0.35, flip=True, remove_below_ml=0.05, keep_outside_brain=True),
        volumes=[],
        notes=[make_note("no-forms"), make_note("cut-off", 12.3, 256)],
    )


def brain(seed: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Labels of a brain with two balls and crumbs of lesion, and probabilities of the lesion."""
    labels = brain_with_lesions(SHAPE, ((9.0, 14.0, 12.0), 3.2), ((19.0, 18.0, 10.0), 2.1))
    noise = np.random.default_rng(seed)
    labels[(noise.random(SHAPE) < 0.01) & (labels > 0)] = 4
    return labels, noise.integers(0, 256, SHAPE).astype(np.uint8)


def facts_job(
    tmp_path: Path, spec: ModelSpec, labels: NDArray[np.uint8], affine: NDArray[np.float64], probability: Any
) -> dict[str, Any]:
    (tmp_path / "labels.u8").write_bytes(labels.tobytes(order="F"))
    if probability is not None:
        (tmp_path / "probability.u8").write_bytes(probability.tobytes(order="F"))
    return {
        "facts": str(tmp_path / "labels.u8"),
        "dims": labels.shape,
        "affine": affine.ravel().tolist(),
        "spec": json.loads(dump_spec(spec)),
        "probability": None if probability is None else str(tmp_path / "probability.u8"),
    }


def assert_same(page: Any, python: Any, where: str = "") -> None:
    """Equal JSON, numbers to twelve digits."""
    if isinstance(python, dict):
        assert set(page) == set(python), where
        for key, value in python.items():
            assert_same(page[key], value, f"{where}.{key}")
    elif isinstance(python, list):
        assert len(page) == len(python), where
        for n, (a, b) in enumerate(zip(page, python, strict=True)):
            assert_same(a, b, f"{where}[{n}]")
    elif isinstance(python, float):
        assert page == pytest.approx(python, rel=1e-12, abs=1e-9), where
    else:
        assert page == python, where


@pytest.mark.parametrize("grid", GRIDS)
def test_both_measure_the_same_of_a_brain_with_lesions(grid: str, site: Site, tmp_path: Path) -> None:
    spec, affine = joint_spec(), GRIDS[grid]
    labels, probability = brain(1)
    report = make_report(spec, made_by(spec), labels, affine, probability)
    (page,) = site([facts_job(tmp_path, spec, labels, affine, probability)])
    python = report.model_dump(mode="json", exclude={"format", "version", "made"})
    assert_same(page, python)
    assert len(report.lesions) > 10
    assert {lesion.side for lesion in report.lesions} == {"left", "right", "midline"}
    assert report.brain is not None
    assert report.brain.lesion_percent == pytest.approx(sum(one.percent_of_brain or 0 for one in report.lesions))


@pytest.mark.parametrize("grid", ["thin", "permuted ASL, anisotropic"])
def test_both_measure_the_same_of_labels_without_a_lesion_or_a_brain(grid: str, site: Site, tmp_path: Path) -> None:
    affine, shape = GEOMETRIES[grid]
    spec = a_spec(
        task="tissue",
        labels=make_labels(["background", "fluid", "grey", "white"]),
        architecture=Architecture(channels=3, classes=4, dilations=(1, 2), activation="relu"),
    )
    smooth = gaussian_filter(np.random.default_rng(2).standard_normal(shape), 1)
    labels = np.where(smooth > 0.1, 1, 0).astype(np.uint8)
    labels[smooth < -0.2] = 2  # and nothing is white
    report = make_report(spec, made_by(spec), labels, affine)
    (page,) = site([facts_job(tmp_path, spec, labels, affine, None)])
    assert_same(page, report.model_dump(mode="json", exclude={"format", "version", "made"}))
    assert (report.brain, report.lesions, report.histogram) == (None, (), None)
    assert report.labels[2].centre_ras_mm is None


@pytest.fixture
def pictured() -> tuple[ModelSpec, Conformed, NDArray[np.uint8], NDArray[np.float64], Report]:
    spec, affine = joint_spec(), GRIDS["oblique, flipped, anisotropic"]
    labels, probability = brain(3)
    cube = np.zeros((48, 48, 48), np.uint8)
    cube[6:40, 5:44, 8:41] = np.random.default_rng(5).integers(20, 250, (34, 39, 33))
    grid = affine_of(axes="LIA", voxel_size_mm=(4.0, 4.0, 4.0), origin_mm=(110, 20, -30))
    centre = affine @ [*(np.array(SHAPE) / 2), 1]
    grid[:3, 3] += centre[:3] - (grid @ [24, 24, 24, 1])[:3]
    return spec, Conformed(cube, grid), labels, affine, make_report(spec, made_by(spec), labels, affine, probability)


def pictures_of(pictured: Any) -> Pictures:
    spec, conformed, labels, affine, report = pictured
    return make_pictures(spec, conformed, labels, affine, [one.centre_ras_mm for one in report.lesions])


def test_both_draw_the_same_pictures(pictured: Any, site: Site, tmp_path: Path) -> None:
    spec, conformed, labels, affine, report = pictured
    python = pictures_of(pictured)
    (tmp_path / "cube.u8").write_bytes(conformed.data.tobytes(order="F"))
    job = facts_job(tmp_path, spec, labels, affine, None)
    job = {
        "pictures": str(tmp_path / "cube.u8"),
        "dims": conformed.data.shape,
        "affine": conformed.affine_vox2ras.ravel().tolist(),
        "spec": job["spec"],
        "labels": {"path": job["facts"], "dims": job["dims"], "affine": job["affine"]},
        "centres": [one.centre_ras_mm for one in report.lesions],
    }
    (page,) = site([job])
    assert page["mmPerPixel"] == pytest.approx(python.mm_per_pixel) == 4
    assert len(page["lesions"]) == len(python.lesions) == 8
    assert len(page["mosaic"]) == len(python.mosaic) > 10
    pairs = [*zip(page["mosaic"], python.mosaic, strict=True)]
    for ours, theirs in zip(page["lesions"], python.lesions, strict=True):
        pairs += zip(ours, theirs, strict=True)
    for ours, theirs in pairs:
        assert (ours["plane"], ours["width"], ours["height"]) == (theirs.plane, theirs.width, theirs.height)
        assert ours["positionMm"] == pytest.approx(theirs.position_mm)
        assert ours["at"] == (None if theirs.at is None else list(theirs.at))
        one, other = (Image.open(io.BytesIO(base64.b64decode(png))) for png in (ours["png"], theirs.png))
        assert np.array_equal(np.asarray(one.convert("RGB")), np.asarray(other.convert("RGB")))
    lesion = np.array(spec.labels[4].color)
    first = np.asarray(Image.open(io.BytesIO(base64.b64decode(python.lesions[0][0].png))).convert("RGB"))
    assert (first == lesion).all(-1).sum() > 4, "the lesion is outlined in its colour"


def test_both_write_the_same_html(pictured: Any, site: Site) -> None:
    *_, report = pictured
    python = pictures_of(pictured)

    def as_json(picture: Any) -> dict[str, Any]:
        return {
            **{name: getattr(picture, name) for name in ("plane", "width", "height", "png", "at")},
            "positionMm": picture.position_mm,
        }

    pictures = {
        "mmPerPixel": python.mm_per_pixel,
        "lesions": [[as_json(one) for one in slices] for slices in python.lesions],
        "mosaic": [as_json(one) for one in python.mosaic],
    }
    facts = json.loads(report.model_dump_json(by_alias=True))
    bare = report.model_copy(
        update={
            "made": report.made.model_copy(
                update={"notes": (), "edits": ("brush", "erase"), "source": SourceFile(name="x.nii", frame=3)}
            ),
            "brain": None,
            "histogram": None,
            "lesions": (),
        }
    )
    others = json.loads(bare.model_dump_json(by_alias=True))
    entries = [
        Entry("a.nii.gz", "a.html", report),
        Entry("b <2>.nii", "", None, "b: damaged & cut"),
        Entry("c", "c.html", bare),
    ]
    jobs = [
        {"scanPage": facts, "pictures": pictures, "summary": "index.html"},
        {"scanPage": others, "pictures": None, "summary": ""},
        {
            "summaryPage": [
                [
                    {"scan": one.scan, "href": one.href, "reason": one.reason, "report": found}
                    for one, found in zip(entries, (facts, None, others), strict=True)
                ],
                "0.1.0",
                "2026-01-02T03:04:05Z",
            ]
        },
    ]
    whole, short, summary = site(jobs)
    assert without_facts(str(whole)) == without_facts(scan_page(report, python, summary="index.html"))
    assert without_facts(str(short)) == without_facts(scan_page(bare, None))
    assert str(summary) == summary_page(entries, version="0.1.0", created="2026-01-02T03:04:05Z")
    assert "&lt;T2w&gt; &amp; &quot;b&quot;" in str(whole)
    assert "not edited" in str(whole)
    assert "brush, erase" in str(short)


def without_facts(html: str) -> str:
    """A page without its JSON, which must be equal as JSON alone."""
    before, _, rest = html.partition('<script type="application/json" id="facts">')
    facts, _, after = rest.partition("</script>")
    return before + json.dumps(json.loads(facts.replace("\\u003c", "<")), sort_keys=True) + after


@pytest.mark.parametrize("name", ["report.css", "sort.js"])
def test_both_have_the_same_style_and_script(name: str) -> None:
    ours, page = (REPO / folder / name for folder in ("meshnet/infer/report", "static/src/page/report"))
    assert ours.read_text() == page.read_text(), f"copy {ours} to {page}"
