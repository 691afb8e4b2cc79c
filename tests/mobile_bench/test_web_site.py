import http.client
import json
import re
import shutil
import ssl
import subprocess
from collections.abc import Iterator
from http.client import HTTPResponse
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from mobile_bench.browser.runtime import WASM_FILES, WEBGPU_FILES, runtime_folder
from mobile_bench.browser.server import POLICY, Site, WebServer
from mobile_bench.browser.site import PAGES, bundle_site, write_site
from mobile_bench.errors import BenchError
from mobile_bench.provider_state import FOLDER_VARIABLE
from odllm.verbs.web import web
from odllm_export.bundle import CATALOG, WEIGHTS
from odllm_export.errors import BundleError


@pytest.fixture(autouse=True)
def runtime(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Files with the runtime's names: what is in them is none of the server's business."""
    monkeypatch.setenv(FOLDER_VARIABLE, str(tmp_path / "providers"))
    runtime_folder().mkdir(parents=True)
    for name in (*WASM_FILES, *WEBGPU_FILES):
        (runtime_folder() / name).write_text(name)
    return runtime_folder()


@pytest.fixture
def server(bundle: Path) -> Iterator[WebServer]:
    with WebServer(bundle_site(bundle)) as running:
        yield running


def get(server: WebServer, path: str, headers: dict[str, str] | None = None) -> tuple[HTTPResponse, bytes]:
    host = server.address().split("//")[1].strip("/")
    connection = http.client.HTTPConnection(host, timeout=10)
    connection.request("GET", path, headers=headers or {})
    answer = connection.getresponse()
    body = answer.read()
    connection.close()
    return answer, body


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/", "text/html; charset=utf-8"),
        ("/app.js", "text/javascript; charset=utf-8"),
        ("/runtime/ort.wasm.min.mjs", "text/javascript; charset=utf-8"),
        ("/runtime/ort-wasm-simd-threaded.wasm", "application/wasm"),
        ("/bundle/manifest.json", "application/json"),
        ("/bundle/catalog.bin", "application/octet-stream"),
        ("/service-worker.js?again", "text/javascript; charset=utf-8"),
        ("/app.webmanifest", "application/manifest+json"),
    ],
)
def test_everything_is_served_with_its_type_and_what_threads_need(server: WebServer, path: str, kind: str) -> None:
    answer, body = get(server, path)
    assert answer.status == 200
    assert answer.headers["Content-Type"] == kind
    assert int(answer.headers["Content-Length"]) == len(body)
    assert answer.headers["Cross-Origin-Opener-Policy"] == "same-origin"
    assert answer.headers["Cross-Origin-Embedder-Policy"] == "require-corp"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Content-Security-Policy"].startswith(POLICY)


@pytest.mark.parametrize(
    "path",
    [
        *("/bundle/../../pyproject.toml", "/bundle/%2e%2e/x", "/..%2f..%2fetc/passwd", "//etc/passwd", "/bundle"),
        *("/bundle/", "/runtime/.hidden", "/none.js", "/bundle/none/manifest.json", "/%00"),
    ],
)
def test_nothing_else_is_served(server: WebServer, bundle: Path, path: str, runtime: Path) -> None:
    (runtime / ".hidden").write_text("secret")
    (bundle.parent / "x").write_text("secret")
    assert get(server, path)[0].status == 404


def test_what_a_browser_has_is_not_sent_again(server: WebServer) -> None:
    for path in ("/bundle/catalog.bin", "/"):
        tag = get(server, path)[0].headers["ETag"]
        answer, body = get(server, path, {"If-None-Match": tag})
        assert (answer.status, body) == (304, b"")


def test_policy_names_no_other_server() -> None:
    assert "http" not in POLICY
    assert POLICY.startswith("default-src 'none'")
    assert "unsafe-inline" not in POLICY
    assert "'unsafe-eval'" not in POLICY


def test_pages_name_no_other_server_and_have_no_inline_script() -> None:
    for path in PAGES.iterdir():
        text = path.read_text(encoding="utf-8").replace("http://www.w3.org/2000/svg", "")
        text = re.sub(r"(?m)^\s*(//|/?\*).*$|// .*$", "", text)  # comments
        assert not re.search(r"https?://\w", text), path.name
        assert not re.search(r"<script(?![^>]* src=)|\son\w+=|\sstyle=", text), path.name


def test_service_worker_keeps_every_file_there_is(bundle: Path) -> None:
    site = bundle_site(bundle)
    facts = site_facts(site)
    assert all(site.find(address.removeprefix("./")) is not None for address in facts["files"] + facts["webgpu"])
    imported = {name for path in PAGES.glob("*.js") for name in re.findall(r"'\./([\w-]+\.js)'", path.read_text())}
    assert imported <= set(facts["files"])
    assert f"bundle/{WEIGHTS}" in facts["files"]


def test_version_follows_the_bundle_and_stays_otherwise(bundle: Path, golden_bundle: Path) -> None:
    assert site_facts(bundle_site(bundle)) == site_facts(bundle_site(bundle))
    assert site_facts(bundle_site(bundle))["version"] != site_facts(bundle_site(golden_bundle))["version"]


def site_facts(site: Site) -> dict[str, list[str]]:
    text = site.made["service-worker.js"].decode().removeprefix("const SITE = ")
    facts: dict[str, list[str]] = json.JSONDecoder().raw_decode(text)[0]
    return facts


def test_damaged_bundle_is_no_site(bundle: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(bundle, tmp_path / "copy")
    (copy / CATALOG).write_bytes(b"x" * (copy / CATALOG).stat().st_size)
    with pytest.raises(BundleError, match=rf"{CATALOG} is damaged"):
        bundle_site(copy)


def test_site_without_the_runtime_says_how_to_get_it(bundle: Path, runtime: Path) -> None:
    (runtime / WASM_FILES[0]).unlink()
    with pytest.raises(BenchError, match=r"onnxruntime-web .* is not installed: `odllm providers install wasm`"):
        bundle_site(bundle)


def test_folder_has_what_the_server_serves(bundle: Path, tmp_path: Path) -> None:
    write_site(bundle, tmp_path / "site")
    facts = site_facts(bundle_site(bundle))
    for address in facts["files"] + facts["webgpu"]:
        assert (tmp_path / "site" / address.replace("./", "index.html")).is_file()
    assert "@POLICY@" not in (tmp_path / "site" / "index.html").read_text()
    assert not (tmp_path / "site" / "bench.html").exists()


def test_port_that_is_taken_is_told(server: WebServer, bundle: Path) -> None:
    port = int(server.address().rstrip("/").rpartition(":")[2])
    with pytest.raises(BenchError, match=rf"cannot listen on 127\.0\.0\.1:{port}: .*Choose another --port"):
        WebServer(bundle_site(bundle), port=port)


@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is not here to make a certificate")
def test_https_with_a_given_certificate(bundle: Path, tmp_path: Path) -> None:
    certificate, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    subject = ["-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1", "-days", "2"]
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", key, "-out", certificate]
    subprocess.run([*command, *subject], check=True, capture_output=True)
    with WebServer(bundle_site(bundle), certificate=(certificate, key)) as server:
        trusting = ssl.create_default_context(cafile=str(certificate))
        host, port = server.address().removeprefix("https://").strip("/").split(":")
        connection = http.client.HTTPSConnection(host, int(port), timeout=10, context=trusting)
        connection.request("GET", "/")
        assert connection.getresponse().status == 200
        connection.close()


def test_file_that_is_no_certificate_is_refused(bundle: Path, tmp_path: Path) -> None:
    (tmp_path / "cert.pem").write_text("none")
    with pytest.raises(BenchError, match="are no certificate and its key"):
        WebServer(bundle_site(bundle), certificate=(tmp_path / "cert.pem", tmp_path / "cert.pem"))


def test_verb_writes_the_site_and_wants_certificate_and_key_together(bundle: Path, tmp_path: Path) -> None:
    app = typer.Typer()
    app.command()(web)
    result = CliRunner().invoke(app, [str(bundle), "--out", str(tmp_path / "site")])
    assert result.exit_code == 0, result.output
    assert (tmp_path / "site" / "bundle" / "manifest.json").is_file()
    assert CliRunner().invoke(app, [str(bundle), "--cert", "c.pem"]).exit_code == 2
