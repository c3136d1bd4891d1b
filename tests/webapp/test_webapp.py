"""The server: served files, headers, catalogue, refusals."""

from __future__ import annotations

import hashlib
import json
import re
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient
from safetensors.numpy import load as parse_safetensors

from meshnet.model.checkpoint import expected_shapes, load_checkpoint, save_checkpoint
from meshnet.model.graph import build_graph, check_same_graph
from meshnet.model.spec import Architecture, BatchNorm, ModelSpec, NoNorm, WeightsFile, make_labels, parse_spec
from tests.helpers.bright_model import write_bright_model
from webapp import cli
from webapp.app import Kiosk, SiteNotBuiltError, create_app, published_files
from webapp.catalogue import ModelsFolderError, read_models
from webapp.offline import kept_files, listed_files
from webapp.origins import Origins, origin
from webapp.respond import choose_coding

INDEX = b"<!doctype html><title>MeshNet</title>"
SCRIPT = b"console.log('a script');" * 20


def write_model(folder: Path, model_id: str, *, batch_norm: bool = False) -> ModelSpec:
    """A small model with random weights in `folder`."""
    architecture = Architecture(
        channels=3, classes=2, dilations=(1, 2), activation="relu", norm=BatchNorm() if batch_norm else NoNorm()
    )
    spec = ModelSpec(
        id=model_id,
        name=model_id.title(),
        modality=("T2w",),
        architecture=architecture,
        labels=make_labels(["background", "lesion"]),
        weights=WeightsFile(sha256="0" * 64),
    )
    rng = np.random.default_rng(0)
    weights = {
        name: (np.abs if name.endswith("running_var") else np.asarray)(rng.normal(size=shape).astype(np.float32))
        for name, shape in expected_shapes(architecture).items()
    }
    return save_checkpoint(folder, spec, weights)


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """A built site in miniature: a page, a hashed script with its brotli form, a sample scan."""
    folder = tmp_path / "site"
    (folder / "assets").mkdir(parents=True)
    (folder / "index.html").write_bytes(INDEX)
    (folder / "assets" / "main-BxY3k_9Q.js").write_bytes(SCRIPT)
    (folder / "assets" / "main-BxY3k_9Q.js.br").write_bytes(b"brotli bytes")
    (folder / "assets" / "main-BxY3k_9Q.js.gz").write_bytes(b"gzip bytes")
    (folder / "sample.nii.gz").write_bytes(b"\x1f\x8b scan")
    return folder


@pytest.fixture
def models(tmp_path: Path) -> Path:
    """A models folder with a plain and a BatchNorm model."""
    folder = tmp_path / "models"
    write_model(folder / "tissue", "tissue")
    write_model(folder / "fresh-from-training", "t2-lesion", batch_norm=True)
    return folder


@pytest.fixture
def client(site: Path, models: Path) -> TestClient:
    return TestClient(create_app([models], site=site))


def catalogue(client: TestClient) -> list[dict[str, Any]]:
    listed: list[dict[str, Any]] = client.get("/api/models").json()["models"]
    return listed


def test_the_root_is_the_page(client: TestClient) -> None:
    answer = client.get("/")
    assert answer.content == INDEX
    assert answer.headers["content-type"] == "text/html; charset=utf-8"


def test_the_catalogue_describes_each_model_and_chooses_the_default(client: TestClient) -> None:
    lesion, tissue = catalogue(client)
    assert (lesion["id"], lesion["default"]) == ("t2-lesion", True)
    assert (tissue["id"], tissue["default"]) == ("tissue", False)
    assert tissue["modality"] == ["T2w"]
    assert tissue["labels"][0] == {"index": 0, "name": "background", "color": [0, 0, 0]}
    assert tissue["url"] == "models/tissue/"
    assert tissue["broken"] is None
    assert tissue["card"] is None
    downloads = [client.get("/" + tissue["url"] + name).content for name in tissue["files"]]
    assert tissue["bytes"] == sum(map(len, downloads))


def test_the_catalogue_gives_the_roles_of_labels(models: Path, site: Path) -> None:
    write_bright_model(models / "joint", tissue=0.2, id="joint")
    listing = json.loads(published_files(read_models([models]), site=site)["api/models"].body)
    (joint,) = (model for model in listing["models"] if model["id"] == "joint")
    assert [label.get("role") for label in joint["labels"]] == [None, "context", "lesion"]
    assert "role" not in joint["labels"][0]


@pytest.mark.parametrize(
    ("ids", "default"),
    [
        (["tissue", "brainchop-t2-lesion", "t2-lesion"], "t2-lesion"),
        (["tissue", "brainchop-t2-lesion"], "brainchop-t2-lesion"),
        (["a", "tissue"], "tissue"),
        (["b", "a"], "a"),
    ],
)
def test_the_default_model_is_the_first_choice_that_is_there(
    tmp_path: Path, site: Path, ids: list[str], default: str
) -> None:
    for model_id in ids:
        write_model(tmp_path / "choice" / model_id, model_id)
    listed = catalogue(TestClient(create_app([tmp_path / "choice"], site=site)))
    assert [m["id"] for m in listed if m["default"]] == [default]
    assert listed[0]["id"] == default


def test_a_model_with_batch_norm_is_served_folded_and_equal(client: TestClient, models: Path) -> None:
    text = client.get("/models/t2-lesion/model.json").text
    payload = client.get("/models/t2-lesion/weights.safetensors").content
    served = parse_spec(text, where="served")
    assert served.architecture.norm == NoNorm()
    assert hashlib.sha256(payload).hexdigest() == served.weights.sha256
    source = build_graph(*load_checkpoint(models / "fresh-from-training"))
    check_same_graph(source, build_graph(served, parse_safetensors(payload)), what="serving")


def test_a_model_without_batch_norm_is_served_byte_for_byte(client: TestClient, models: Path) -> None:
    file = models / "tissue" / "weights.safetensors"
    assert client.get("/models/tissue/weights.safetensors").content == file.read_bytes()


def _truncate(folder: Path) -> None:
    weights = folder / "weights.safetensors"
    weights.write_bytes(weights.read_bytes()[:-4])


def _lost_link(folder: Path) -> None:
    (folder / "model.json").unlink()
    (folder / "model.json").symlink_to(folder / "annex" / "object")


def _bad_json(folder: Path) -> None:
    (folder / "model.json").write_text("{")


def _not_utf8(folder: Path) -> None:
    (folder / "model.json").write_bytes(b"\xff\xfe")


def _not_a_folder(folder: Path) -> None:
    (folder / "weights.safetensors").unlink()
    (folder / "weights.safetensors").mkdir()


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (_truncate, "SHA-256"),
        (_lost_link, "no such file"),
        (_bad_json, "not valid JSON"),
        (_not_utf8, "decode"),
        (_not_a_folder, "Is a directory"),
    ],
)
def test_a_broken_model_is_listed_with_its_reason_and_the_others_work(
    site: Path, models: Path, damage: Callable[[Path], None], reason: str
) -> None:
    write_model(models / "damaged", "damaged")
    damage(models / "damaged")
    client = TestClient(create_app([models], site=site))
    broken = catalogue(client)[-1]
    assert (broken["id"], broken["name"], broken["default"]) == ("models/damaged", "damaged", False)
    assert reason in broken["broken"]
    assert str(models) not in broken["broken"], "a visitor is shown a path of the server"
    assert client.get("/models/tissue/model.json").status_code == 200
    assert client.get("/healthz").json()["broken"] == 1


def test_a_folder_without_a_description_is_no_model_and_is_passed_over(site: Path, models: Path) -> None:
    (models / "notes").mkdir()
    (models / "notes" / "README.md").write_text("not a model")
    write_model(models / "undescribed", "undescribed")
    (models / "undescribed" / "model.json").unlink()
    client = TestClient(create_app([models], site=site))
    assert [m["id"] for m in catalogue(client)] == ["t2-lesion", "tissue"]
    assert client.get("/healthz").json()["broken"] == 0


def test_a_second_model_with_the_same_id_is_broken(site: Path, models: Path, tmp_path: Path) -> None:
    write_model(tmp_path / "more" / "again", "tissue")
    listed = catalogue(TestClient(create_app([models, tmp_path / "more"], site=site)))
    assert listed[-1]["id"] == "more/again"
    assert "taken by models/tissue" in listed[-1]["broken"]


def test_only_files_the_spec_or_the_card_names_are_served(client: TestClient, models: Path, site: Path) -> None:
    folder = models / "tissue"
    (folder / "README.md").write_text("# Card\n![Dice](dice.png) ![up](../../secret.png) ![gone](gone.png)")
    (folder / "dice.png").write_bytes(b"\x89PNG")
    (folder / "training.log").write_text("private")
    (models.parent / "secret.png").write_bytes(b"\x89PNG")
    client = TestClient(create_app([models], site=site))
    assert catalogue(client)[1]["card"] == "models/tissue/README.md"
    assert client.get("/models/tissue/README.md").headers["content-type"] == "text/markdown; charset=utf-8"
    assert client.get("/models/tissue/dice.png").content == b"\x89PNG"
    for path in ("training.log", "gone.png", "../../secret.png", "%2e%2e/%2e%2e/secret.png", ""):
        assert client.get("/models/tissue/" + path).status_code == 404, path


def test_a_small_png_beside_the_model_is_its_picture(models: Path, site: Path) -> None:
    picture = models / "tissue" / "picture.png"
    served = "models/tissue/picture.png"
    for body, address in ((b"\x89PNG", served), (b"\x89PNG" + bytes(100_000), None), (b"GIF8", None)):
        picture.write_bytes(body)
        client = TestClient(create_app([models], site=site))
        assert catalogue(client)[1]["picture"] == address
        assert client.get(f"/{served}").status_code == (404 if address is None else 200)
    assert catalogue(client)[0]["picture"] is None


def test_hashed_assets_are_immutable_and_the_rest_is_revalidated(client: TestClient) -> None:
    asset = client.head("/assets/main-BxY3k_9Q.js").headers
    assert asset["cache-control"] == "public, max-age=31536000, immutable"
    for path in ("/", "/api/models", "/models/tissue/weights.safetensors", "/sample.nii.gz"):
        first = client.get(path)
        assert first.headers["cache-control"] == "no-cache"
        again = client.get(path, headers={"If-None-Match": f'"other", W/{first.headers["etag"]}'})
        assert (again.status_code, again.content) == (304, b"")
        assert again.headers["etag"] == first.headers["etag"]
        changed = client.get(path, headers={"If-None-Match": '"other"'})
        assert changed.status_code == 200


@pytest.mark.parametrize(
    ("accept", "coding", "body"),
    [
        ("gzip, deflate, br", "br", b"brotli bytes"),
        ("gzip", "gzip", b"gzip bytes"),
        ("br;q=0, gzip;q=0.5", "gzip", b"gzip bytes"),
        ("identity", None, SCRIPT),
    ],
)
def test_precompressed_assets_are_negotiated(client: TestClient, accept: str, coding: str | None, body: bytes) -> None:
    request = client.build_request("GET", "/assets/main-BxY3k_9Q.js", headers={"Accept-Encoding": accept})
    answer = client.send(request, stream=True)
    assert answer.headers.get("content-encoding") == coding
    assert b"".join(answer.iter_raw()) == body
    assert answer.headers["vary"] == "Accept-Encoding"
    assert client.get("/assets/main-BxY3k_9Q.js.br").status_code == 404


def test_each_coding_has_its_own_etag(client: TestClient) -> None:
    codings = ("br", "gzip", "identity")
    tags = {
        client.send(
            client.build_request("GET", "/assets/main-BxY3k_9Q.js", headers={"Accept-Encoding": c}), stream=True
        ).headers["etag"]
        for c in codings
    }
    assert len(tags) == len(codings)


def test_a_malformed_accept_encoding_means_uncompressed() -> None:
    assert choose_coding("br;q=1.2.3", {"br": b""}) is None
    assert choose_coding("*;q=0", {"br": b""}) is None
    assert choose_coding("*", {"br": b""}) == "br"


@pytest.mark.parametrize("path", ["/", "/api/models", "/healthz", "/models/tissue/model.json", "/nothing-here"])
def test_every_answer_carries_the_security_headers(client: TestClient, path: str) -> None:
    headers = client.get(path).headers
    assert headers["cross-origin-opener-policy"] == "same-origin"
    assert headers["cross-origin-embedder-policy"] == "require-corp"
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"
    assert "camera=()" in headers["permissions-policy"]
    policy = headers["content-security-policy"]
    assert policy.startswith("default-src 'self'; ")
    assert "'unsafe-eval'" not in policy
    assert "http" not in policy, "the policy lets the page talk to another host"


def test_no_route_accepts_data(site: Path, models: Path) -> None:
    app = create_app([models], site=site)
    for route in app.routes:
        assert getattr(route, "methods", None) == {"GET", "HEAD"}, f"{route} takes more than GET and HEAD"
    client = TestClient(app)
    for path in ("/", "/api/models", "/healthz", "/models/tissue/model.json", "/upload", "/docs", "/openapi.json"):
        for method in ("POST", "PUT", "PATCH", "DELETE"):
            answer = client.request(method, path, content=b"scan")
            assert answer.status_code == 405, f"{method} {path}"
            assert answer.headers["x-content-type-options"] == "nosniff"


def test_head_has_the_headers_and_no_body(client: TestClient) -> None:
    answer = client.head("/")
    assert answer.content == b""
    assert answer.headers["content-length"] == str(len(INDEX))


def test_a_site_that_is_not_built_says_how_to_build_it(tmp_path: Path, models: Path) -> None:
    with pytest.raises(SiteNotBuiltError, match="make serve"):
        create_app([models], site=tmp_path)


def test_a_models_folder_that_is_missing_or_a_model_itself_is_refused(tmp_path: Path, site: Path, models: Path) -> None:
    with pytest.raises(ModelsFolderError, match="no such folder"):
        create_app([tmp_path / "nowhere"], site=site)
    with pytest.raises(ModelsFolderError, match=f"the folder above it: {models}"):
        create_app([models / "tissue"], site=site)


def test_kiosk_settings_reach_the_page_only_in_kiosk_mode(site: Path, models: Path) -> None:
    plain = TestClient(create_app([models], site=site))
    settings = Kiosk(60, "folder", *["off"] * 6, keep="on", language="de", links="off", embed="off")
    kiosk = TestClient(create_app([models], site=site, kiosk=settings))
    assert plain.get("/api/models").json()["kiosk"] is None
    assert kiosk.get("/api/models").json()["kiosk"] == {
        "idle_seconds": 60,
        "saving": "folder",
        "queue": "off",
        "confidence": "off",
        "compare": "off",
        "edit": "off",
        "report": "off",
        "mesh": "off",
        "keep": "on",
        "language": "de",
        "links": "off",
        "embed": "off",
    }


def test_other_sites_are_allowed_just_what_their_setting_says(site: Path, models: Path) -> None:
    origins = Origins(scan=("https://lab.example", "http://127.0.0.1:9"), embed=("https://ward.example:8443", "self"))
    answer = TestClient(create_app([models], site=site, origins=origins)).get("/")
    policy = answer.headers["content-security-policy"].split("; ")
    assert "connect-src 'self' https://lab.example http://127.0.0.1:9" in policy
    assert "frame-ancestors https://ward.example:8443 'self'" in policy
    assert answer.headers["cross-origin-resource-policy"] == "cross-origin"
    plain = TestClient(create_app([models], site=site, origins=Origins(embed=("self",))))
    assert plain.get("/").headers["cross-origin-resource-policy"] == "same-origin"
    assert "connect-src" not in plain.get("/").headers["content-security-policy"]
    catalogue = plain.get("/api/models").json()
    assert (catalogue["scan_origins"], catalogue["embed_origins"]) == ([], ["self"])


def test_a_static_copy_has_the_settings_in_its_catalogue_and_its_service_worker(site: Path, models: Path) -> None:
    (site / "sw.js").write_text("// worker\n")
    origins = Origins(scan=("https://lab.example",), embed=("https://ward.example",))
    files = published_files(read_models([models]), site=site, origins=origins)
    catalogue = json.loads(files["api/models"].body)
    assert catalogue["scan_origins"] == ["https://lab.example"]
    assert catalogue["embed_origins"] == ["https://ward.example"]
    assert b"connect-src 'self' https://lab.example" in files["sw.js"].body
    assert b"frame-ancestors https://ward.example" in files["sw.js"].body


@pytest.mark.parametrize(
    "text",
    [
        "lab.example",
        "https://lab.example/scans",
        "https://*.example",
        "ftp://lab",
        "https://a b",
        "https://lab:x",
        "'none'",
    ],
)
def test_what_is_no_origin_is_refused(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        cli.main(["--scan-origin", text])
    assert "expected an origin such as https://lab.example or http://127.0.0.1:8080, got" in capsys.readouterr().err
    assert origin("HTTPS://Lab.example/") == "https://lab.example"
    assert origin("http://[::1]:80") == "http://[::1]:80"


def test_the_command_reports_what_is_wrong_and_stops(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["--models", str(tmp_path / "nowhere")]) == 2
    assert "no such folder" in capsys.readouterr().err
    with cli.listen("127.0.0.1", 0) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(OSError, match="choose another --port"):
            cli.listen("127.0.0.1", port)


@pytest.mark.parametrize("port", ["70000", "-1", "http"])
def test_a_port_that_cannot_be_is_refused(port: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        cli.main([f"--port={port}"])
    assert f"expected a port from 0 to 65535, got {port}" in capsys.readouterr().err


@pytest.mark.parametrize("host", ["no-such-host.invalid", "192.0.2.1", "two..dots"])
def test_a_host_that_is_not_of_this_machine_is_not_answered_with_another_port(host: str) -> None:
    with pytest.raises(OSError, match="expected --host to be a name or an address of this machine") as refused:
        cli.listen(host, 0)
    assert "--port" not in str(refused.value)


def test_the_server_runs_without_torch_or_tensorflow(site: Path, models: Path) -> None:
    """A real process on a free port; it must not even import the training frameworks."""
    program = (
        "import sys, pathlib, uvicorn\n"
        "from webapp.app import create_app\n"
        "from webapp import cli\n"
        "app = create_app([pathlib.Path(sys.argv[1])], site=pathlib.Path(sys.argv[2]))\n"
        "heavy = [m for m in ('torch', 'tensorflow', 'onnxruntime', 'scipy') if m in sys.modules]\n"
        "assert not heavy, heavy\n"
        "with cli.listen('127.0.0.1', 0) as listener:\n"
        "    print(listener.getsockname()[1], flush=True)\n"
        "    uvicorn.Server(uvicorn.Config(app, log_level='warning', server_header=False)).run(sockets=[listener])\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program, str(models), str(site)], stdout=subprocess.PIPE, text=True
    ) as server:
        try:
            assert server.stdout is not None
            line = server.stdout.readline().strip()
            assert line.isdigit(), "the server did not start"
            base = f"http://127.0.0.1:{line}"
            with urllib.request.urlopen(f"{base}/healthz", timeout=20) as answer:
                assert json.load(answer)["models"] == 2
                assert "server" not in answer.headers
            with pytest.raises(urllib.error.HTTPError, match="405") as refused:
                urllib.request.urlopen(f"{base}/api/models", data=b"scan", timeout=20)
            refused.value.close()
        finally:
            server.terminate()


def test_ctrl_c_ends_the_server_in_good_order(site: Path, models: Path) -> None:
    program = (
        "import functools, pathlib, sys\n"
        "from webapp import cli\n"
        "cli.create_app = functools.partial(cli.create_app, site=pathlib.Path(sys.argv[2]))\n"
        "sys.exit(cli.main(['--models', sys.argv[1], '--port', '0']))\n"
    )
    command = [sys.executable, "-c", program, str(models), str(site)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout is not None
            address = re.search(r"http://\S+", server.stdout.readline())
            assert address is not None, "the server did not start"
            # After the first answer the server handles signals.
            with urllib.request.urlopen(f"{address[0]}/healthz", timeout=20) as answer:
                assert json.load(answer)["status"] == "ok"
            server.send_signal(signal.SIGINT)
            _, complaints = server.communicate(timeout=20)
        finally:
            server.kill()
    assert (server.returncode, complaints) == (0, "")


def test_the_service_worker_keeps_the_files_that_the_page_uses_and_lists_the_others(site: Path, models: Path) -> None:
    others = {"selftest.html", "assets/tfjs-BxY3k_9Q.js", "assets/selftest-worker-BxY3k_9Q.js", "assets/main.js.map"}
    for path in {"sw.js", "models.png"} | others:
        (site / path).write_text(path)
    (models / "tissue" / "README.md").write_text("![an example](example.png)")
    (models / "tissue" / "example.png").write_bytes(b"picture")
    files = published_files(read_models([models]), site=site)
    worker = files["sw.js"].body
    assert listed_files(worker) == files.keys() - {"sw.js"}
    assert files.keys() - kept_files(worker).keys() - {"sw.js"} == {*others, "models/tissue/example.png"}
    assert kept_files(worker)["index.html"] == len(INDEX)
    assert listed_files(b"self.addEventListener('fetch', () => {});") == set()
