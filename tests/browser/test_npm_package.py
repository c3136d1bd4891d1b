"""The npm package, installed into empty projects: checked by the usual tools, run in Chromium, Deno and Node."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from playwright.sync_api import Page, expect

import meshnet
from bench.deno import lavapipe_driver
from meshnet import __version__
from meshnet.model.checkpoint import load_checkpoint
from tests.helpers.browser.chromium import NO_GPU, WEBGPU, OpenPage
from tests.helpers.browser.serving import free_port, plain_server
from tests.helpers.browser.site import assert_same_labels, predicted, write_model, write_scan
from tests.helpers.browser.visits import PATIENCE_MS
from tests.helpers.npm_package import EXAMPLES, STATIC, Packed, install, pack, run_program
from tests.helpers.paths import REPO


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> Packed:
    return pack(tmp_path_factory.mktemp("packed"))


@pytest.fixture(scope="module")
def project(packed: Packed, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty project with the package, the programs of its examples, a small model `coarse` and a scan."""
    folder = install(packed, tmp_path_factory.mktemp("project"))
    shutil.copy(EXAMPLES / "node" / "segment.mjs", folder)
    shutil.copy(EXAMPLES / "page" / "index.html", folder)
    write_model(folder, "coarse")
    write_scan(folder / "scan.nii.gz")
    return folder


@pytest.fixture(scope="module")
def wanted(project: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The labels that `meshnet-predict` writes for the scan."""
    return predicted(project / "coarse", project / "scan.nii.gz", tmp_path_factory.mktemp("wanted"))


@pytest.fixture(scope="module")
def served(project: Path) -> Iterator[str]:
    """URL of the project behind a plain file server."""
    port = free_port()
    with plain_server(project, port):
        yield f"http://127.0.0.1:{port}"


@pytest.mark.parametrize(
    "check",
    [
        ("publint", "run", "--strict"),
        ("attw", "--profile", "esm-only", "--no-emoji", "--no-color"),
    ],
    ids=["publint", "are-the-types-wrong"],
)
def test_the_archive_passes(packed: Packed, check: tuple[str, ...]) -> None:
    tool, *options = check
    command = [STATIC / "node_modules" / ".bin" / tool, *options[:1], packed.archive, *options[1:]]
    if tool == "attw":
        command = [STATIC / "node_modules" / ".bin" / tool, packed.archive, *options]
    done = subprocess.run(command, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stdout + done.stderr


def test_its_version_is_the_projects_and_its_readme_states_its_size(packed: Packed) -> None:
    stated = re.search(r"takes ([\d.]+) MB packed and ([\d.]+) MB unpacked", (STATIC / "package/README.md").read_text())

    assert packed.archive.name == f"meshnet-{__version__}.tgz"
    assert stated is not None
    assert packed.size / 1e6 == pytest.approx(float(stated[1]), rel=0.1)
    assert packed.unpacked_size / 1e6 == pytest.approx(float(stated[2]), rel=0.1)


def test_its_types_hold_in_a_strict_project(project: Path) -> None:
    (project / "use.ts").write_text(
        "import { encodeNifti, segment, SegmentError, type Segmentation } from 'meshnet';\n"
        "const result: Segmentation = await segment(new File([], 'scan.nii'), 'tissue', { backend: 'cpu' });\n"
        "const voxel: number | undefined = result.labels.data[0];\n"
        "const millilitres: number[] = result.volumes.map(({ volumeMl }) => volumeMl);\n"
        "const file = new Blob([encodeNifti(result)]);\n"
        "// @ts-expect-error: no such engine\n"
        "await segment([], 'tissue', { backend: 'tfjs' });\n"
        "export const frames = (error: SegmentError): number | null => error.frames;\n"
        "export { file, millilitres, voxel };\n"
    )
    options = ["--strict", "--noEmit", "--module", "nodenext", "--target", "es2022", "--lib", "es2022,dom"]
    tsc = STATIC / "node_modules" / ".bin" / "tsc"
    done = subprocess.run([tsc, *options, "use.ts"], cwd=project, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("runtime", ["node", "deno"])
def test_the_program_of_the_examples_writes_the_labels_of_meshnet_predict(
    project: Path, wanted: Path, runtime: str
) -> None:
    out = project / f"{runtime}.nii.gz"
    done = run_program(runtime, project / "segment.mjs", "scan.nii.gz", out, project / "coarse")

    assert done.returncode == 0, done.stderr
    labels = assert_same_labels(out, wanted, agreement=1, smallest_dice=1)
    spec, _ = load_checkpoint(project / "coarse")
    rows = [line.split("\t") for line in done.stdout.splitlines()]
    assert [name for name, _ in rows] == [label.name for label in spec.labels]
    assert all(float(volume_ml) > 0 for _, volume_ml in rows)
    assert len(set(labels.flat)) == len(rows)


def test_threshold_mirror_image_and_probability_are_those_of_the_python_package(project: Path) -> None:
    write_model(project, "lesion", classes=2)
    (project / "confidence.mjs").write_text(
        "import { readFileSync, writeFileSync } from 'node:fs';\n"
        "import { encodeNifti, segment } from 'meshnet';\n"
        "const scan = { name: 'scan.nii.gz', bytes: readFileSync('scan.nii.gz') };\n"
        "const options = { threshold: 0.6, flip: true, probability: true, removeBelowMl: 60 };\n"
        "const result = await segment(scan, new URL('lesion', import.meta.url), options);\n"
        "writeFileSync('labels.nii.gz', encodeNifti(result));\n"
        "writeFileSync('probability.nii.gz', encodeNifti(result, 'probability'));\n"
        "console.log(result.volumes[1].volumeMl, result.removedMl);\n"
    )
    done = run_program("node", project / "confidence.mjs")
    assert done.returncode == 0, done.stderr
    wanted = meshnet.segment(
        project / "scan.nii.gz", project / "lesion", threshold=0.6, flip=True, probability=True, remove_below_ml=60
    )

    volume_ml, removed_ml = map(float, done.stdout.split())
    (wanted_ml,) = wanted.volumes_ml.values()
    assert volume_ml == pytest.approx(wanted_ml)
    assert removed_ml > 0
    labels, probability = (np.asanyarray(nib.load(project / f"{n}.nii.gz").dataobj) for n in ("labels", "probability"))
    np.testing.assert_array_equal(labels, np.asanyarray(wanted.labels.dataobj))
    assert wanted.probability is not None
    np.testing.assert_allclose(probability, np.asanyarray(wanted.probability.dataobj), atol=1.01 / 255)


def test_under_deno_it_runs_on_webgpu(project: Path, wanted: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VK_ICD_FILENAMES", lavapipe_driver() or "")
    (project / "webgpu.mjs").write_text(
        "import { readFileSync, writeFileSync } from 'node:fs';\n"
        "import { encodeNifti, segment } from 'meshnet';\n"
        "const scan = { name: 'scan.nii.gz', bytes: readFileSync('scan.nii.gz') };\n"
        "const result = await segment(scan, new URL('coarse/', import.meta.url), { backend: 'webgpu' });\n"
        "writeFileSync('webgpu.nii.gz', encodeNifti(result));\n"
        "console.log(result.run.backend);\n"
    )
    done = run_program("deno", project / "webgpu.mjs")

    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "webgpu"
    assert_same_labels(project / "webgpu.nii.gz", wanted)


def test_shipped_models_are_found_by_id_and_a_run_ends_where_it_is_aborted(project: Path) -> None:
    (project / "abort.mjs").write_text(
        "import { readFileSync } from 'node:fs';\n"
        "import { segment, shippedModels } from 'meshnet';\n"
        "const scan = { name: 'scan.nii.gz', bytes: readFileSync('scan.nii.gz') };\n"
        "const controller = new AbortController();\n"
        "const onProgress = ({ stage, fraction }) => stage === 'layers' && fraction > 0 && controller.abort();\n"
        "const outcome = segment(scan, 'tissue', { onProgress, signal: controller.signal });\n"
        "console.log(shippedModels().join(' '));\n"
        "console.log(await outcome.catch((error) => error.name));\n"
        "const refused = await segment(scan, 'no-such').catch((error) => error);\n"
        "console.log(`${refused.name} ${refused.kind}: ${refused.message}`);\n"
    )
    done = run_program("node", project / "abort.mjs")

    ids = sorted(path.parent.name for path in (REPO / "models").glob("*/model.json"))
    listed, aborted, unknown = done.stdout.splitlines()
    assert listed.split() == ids
    assert aborted == "AbortError"
    assert unknown.startswith(f"SegmentError model: model: the package has no no-such; give one of {', '.join(ids)}")


def chosen(page: Page, scan: Path) -> str:
    """Chooses the scan in an example's page; its result, or its error."""
    page.locator("input").set_input_files(scan)
    expect(page.locator("output")).not_to_have_text(re.compile(r"^(\d+ %)?$"), timeout=PATIENCE_MS)
    return page.locator("output").inner_text()


def test_the_plain_page_saves_the_labels_of_meshnet_predict(
    project: Path, wanted: Path, served: str, open_page: OpenPage, tmp_path: Path
) -> None:
    page = open_page("/index.html?model=/coarse", flags=NO_GPU, url=served)
    shown = chosen(page, project / "scan.nii.gz")
    with page.expect_download() as download:
        page.locator("a").click()
    download.value.save_as(tmp_path / "labels.nii.gz")

    assert " mL" in shown
    assert_same_labels(tmp_path / "labels.nii.gz", wanted, agreement=1, smallest_dice=1)


def test_the_plain_page_says_what_is_wrong_with_a_scan(served: str, open_page: OpenPage, tmp_path: Path) -> None:
    (tmp_path / "cut.nii").write_bytes(b"\0" * 400)
    page = open_page("/index.html?model=/coarse", flags=NO_GPU, url=served)

    assert chosen(page, tmp_path / "cut.nii").startswith("cut.nii: ")


def write_frames(path: Path) -> None:
    """A 4-D file of three volumes."""
    volumes = np.random.default_rng(0).integers(0, 900, (20, 21, 22, 3)).astype(np.int16)
    nib.save(nib.Nifti1Image(volumes, np.diag([8.0, 8.0, 8.0, 1.0])), path)


def test_a_page_chooses_engine_frame_and_thread(project: Path, served: str, open_page: OpenPage) -> None:
    write_frames(project / "frames.nii.gz")
    page = open_page("/index.html", flags=WEBGPU, url=served)
    program = """async () => {
      const { segment, releaseWorker } = await import('/node_modules/meshnet/dist/index.js');
      const scan = { name: 'frames.nii.gz', bytes: await (await fetch('/frames.nii.gz')).arrayBuffer() };
      const run = (options) => segment(scan, '/coarse', { frame: 1, ...options });
      const refused = await segment(scan, '/coarse').catch((error) => error);
      const aborted = await run({ signal: AbortSignal.abort() }).catch((error) => error);
      const [gpu, cpu] = await Promise.all([run({ backend: 'webgpu' }), run({ backend: 'cpu' })]);
      releaseWorker();
      const here = await segment(scan, 'coarse', { frame: 1, models: '/', worker: false });
      const share = (a, b) => a.filter((label, voxel) => label === b[voxel]).length / a.length;
      const same = (a, b) => share(a.labels.data, b.labels.data);
      return {
        refused: [refused.name, refused.kind, refused.frames], aborted: aborted.name, dims: gpu.labels.dims,
        engines: [gpu.run.backend, cpu.run.backend, here.run.backend], same: [same(gpu, cpu), same(here, cpu)],
      };
    }"""

    got = page.evaluate(program)

    assert got["refused"] == ["SegmentError", "scan", 3]
    assert got["aborted"] == "AbortError"
    assert got["dims"] == [20, 21, 22]
    assert got["engines"] == ["webgpu", "cpu", "cpu"]
    assert got["same"][0] >= 0.9999
    assert got["same"][1] == 1


def test_the_vite_project_builds_and_runs(project: Path, open_page: OpenPage) -> None:
    folder = Path(shutil.copytree(EXAMPLES / "vite", project / "vite"))  # finds the package in the project around it
    (project / "node_modules" / "vite").symlink_to(STATIC / "node_modules" / "vite")
    vite = [STATIC / "node_modules" / ".bin" / "vite", "build"]
    built = subprocess.run(vite, cwd=folder, capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stderr
    shutil.copytree(project / "coarse", folder / "dist" / "coarse")
    port = free_port()
    with plain_server(folder / "dist", port):
        page = open_page("/?model=/coarse", flags=NO_GPU, url=f"http://127.0.0.1:{port}")
        assert re.search(r"thread.*: .* mL", chosen(page, project / "scan.nii.gz"))
