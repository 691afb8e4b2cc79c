"""The page for people in a real browser, where one is installed (`make browser`)."""

import contextlib
import http.server
import json
import shutil
import socket
import threading
from functools import partial

import psutil
import pytest
from bench_browser import require_browser_here

from mobile_bench.browser.runtime import find_chromium
from mobile_bench.browser.server import WebServer
from mobile_bench.browser.site import bundle_site, write_site
from odllm_export.bundle import GOLDEN, MANIFEST, file_facts
from odllm_export.catalog_edit import remove_items
from odllm_export.export import ExportOptions, export_bundle
from odllm_export.runtime import Recommender

LOAD_MS = 120_000

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.timeout(600)]


@pytest.fixture
def bundle(make_model_folder, make_dataset, tmp_path):
    require_browser_here()
    folder, _ = make_model_folder()
    export_bundle(folder, make_dataset(), tmp_path / "toy", ExportOptions(num_beams=6, top_k=5, golden=4))
    return tmp_path / "toy"


@pytest.fixture
def page():
    """A page of a fresh browser on a phone's screen; what it complains about fails the test."""
    require_browser_here()
    from playwright.sync_api import sync_playwright

    complaints = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=find_chromium(), args=["--disable-gpu"])
        page = browser.new_page(viewport={"width": 390, "height": 844})
        page.set_default_timeout(LOAD_MS)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        yield page
        browser.close()
    assert not complaints


def opened(page, address):
    page.goto(address)
    page.wait_for_selector("#main:not([hidden])")


def tap(page, title):
    page.fill("#search", title)
    page.locator("#results button", has_text=title).first.click()
    page.wait_for_selector("#next[aria-busy=false]")


def recommended(page):
    return page.locator("#recommendations .title").all_inner_texts()


def expected(bundle, *history):
    with Recommender.open(bundle) as recommender:
        return [item.title for item in recommender.recommend(history, exclude_seen=True)]


def test_taps_give_the_lists_that_python_gives(bundle, page):
    with WebServer(bundle_site(bundle)) as server:
        opened(page, server.address())
        tap(page, "Item number 7")
        assert recommended(page) == expected(bundle, "i7")
        tap(page, "Item number 11")
        assert recommended(page) == expected(bundle, "i7", "i11")
        assert " ms · " in page.inner_text("#cost")
        page.get_by_label("Remove Item number 7").click()
        page.click("#clear")
        assert recommended(page) == []


def test_page_works_without_its_server_once_it_was_loaded(bundle, page):
    with WebServer(bundle_site(bundle)) as server:
        address = server.address()
        opened(page, address)
        tap(page, "Item number 7")
        page.get_by_text("Works offline.").wait_for()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", int(address.strip("/").rpartition(":")[2])), timeout=5)
    opened(page, address)
    assert page.locator("#history .chip").count() == 1  # remembered
    tap(page, "Item number 11")
    assert page.locator("#history .chip").count() == 2
    assert page.evaluate("crossOriginIsolated")


def test_other_bundle_at_the_same_address_replaces_the_kept_one(bundle, page):
    site = bundle_site(bundle)
    with WebServer(site) as server:
        opened(page, server.address())
        page.get_by_text("Works offline.").wait_for()
        remove_items(bundle, ["i59"])
        newer = bundle_site(bundle)
        site.made.update(newer.made)
        page.reload()
        page.get_by_text("59 items ·").wait_for()


def test_golden_lists_are_compared(bundle, page):
    with WebServer(bundle_site(bundle)) as server:
        opened(page, server.address())
        page.click("#self-test")
        page.get_by_text("4 of 4 lists are equal, 100.0 % of the items came back").wait_for()


def test_other_golden_lists_are_told(bundle, page):
    golden = json.loads((bundle / GOLDEN).read_text())
    golden["cases"][1]["scores"] = [score - 1 for score in golden["cases"][1]["scores"]]
    (bundle / GOLDEN).write_text(json.dumps(golden))
    rewrite_manifest(bundle)
    with WebServer(bundle_site(bundle)) as server:
        opened(page, server.address())
        page.click("#self-test")
        page.get_by_text("✗ 3 of 4 lists are equal").wait_for()
        assert "case 2: item" in page.inner_text("#device-status")


def rewrite_manifest(bundle):
    manifest = json.loads((bundle / MANIFEST).read_text())
    facts = file_facts(bundle, list(manifest["files"]))
    manifest["files"] = {name: {"bytes": fact.bytes, "sha256": fact.sha256} for name, fact in facts.items()}
    (bundle / MANIFEST).write_text(json.dumps(manifest))


def test_measurement_by_hand_is_a_file_with_a_records_names(bundle, page):
    with WebServer(bundle_site(bundle)) as server:
        opened(page, server.address())
        page.click("#measure")
        page.wait_for_selector("#measured:not([hidden])")
        with page.expect_download() as download:
            page.click("#download")
        found = json.loads(download.value.path().read_text())
    assert found["kind"] == "odllm web measurement"
    assert found["agreement"] == {"cases": 4, "equal_lists": 4, "overlap": 1, "passed": True}
    assert len(found["time_to_top_k"]["wall_ms"]) == sum(found["time_to_top_k"]["round_calls"]) >= 50
    assert set(found["execution"]["nodes"]) == {"CPUExecutionProvider"}
    assert found["device"]["onnxruntime"] == "1.30.0"
    assert found["memory"]["wasm_heap_bytes"] >= 2**24
    assert page.inner_text("#figures").startswith("Time to the list, median")


def test_plain_http_in_the_network_works_with_less_and_says_so(bundle, page):
    others = [
        one.address
        for found in psutil.net_if_addrs().values()
        for one in found
        if one.family == socket.AF_INET and not one.address.startswith("127.")
    ]
    if not others:
        pytest.skip("this machine has no address but its own")
    with WebServer(bundle_site(bundle), others[0]) as server:
        opened(page, server.address())
        assert not page.evaluate("isSecureContext || crossOriginIsolated")
        assert page.inner_text("#notice").startswith("Opened over plain http: one thread")
        tap(page, "Item number 7")
        assert recommended(page) == expected(bundle, "i7")
        page.get_by_text("Needs its server").wait_for()
        refusal = page.evaluate(
            """async () => {
                const { Client } = await import('./client.js');
                const request = { do: 'open', provider: 'wasm', threads: 2, histories: [[0]], warm_up_calls: 1 };
                return new Client().ask({ ...request, bundle: 'bundle/' }).then(() => null, (error) => error.message);
            }"""
        )
        assert "2 threads were asked for, and this page may use one" in refusal


def test_plain_static_hosting_gets_threads_from_the_second_load_on(bundle, page, tmp_path):
    write_site(bundle, tmp_path / "site")
    with plain_server(tmp_path / "site") as address:
        page.goto(address)
        page.get_by_text("This server does not allow threads").wait_for()
        page.locator("#notice").wait_for(state="hidden")  # the service worker is there: the page loaded itself anew
        page.wait_for_selector("#main:not([hidden])")
        assert page.evaluate("crossOriginIsolated")
        tap(page, "Item number 7")
        assert recommended(page) == expected(bundle, "i7")


@contextlib.contextmanager
def plain_server(folder):
    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *words):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder))) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()


def test_damaged_file_is_told_by_name(bundle, page):
    served = shutil.copytree(bundle, bundle.with_name("served"))
    with WebServer(bundle_site(served)) as server:
        with (served / "recommend.onnx.data").open("r+b") as file:
            file.write(b"\xff\xff")
        page.goto(server.address())
        alert = page.get_by_role("alert")
        alert.wait_for()
        assert "recommend.onnx.data is damaged: its SHA-256 is not the manifest's" in alert.inner_text()


def test_nothing_leaves_and_everything_has_a_name(bundle, page):
    asked = []
    page.context.on("request", lambda request: asked.append(request.url))
    with WebServer(bundle_site(bundle)) as server:
        opened(page, server.address())
        tap(page, "Item number 7")
        page.get_by_text("Works offline.").wait_for()
        assert asked
        assert all(url.startswith((server.address(), f"blob:{server.address()}")) for url in asked)
        nameless = page.evaluate(
            """() => [...document.querySelectorAll('button, input, select, progress, a')]
                .filter((one) => !one.hidden && !one.textContent.trim() && !one.ariaLabel && !one.labels?.length)
                .map((one) => one.outerHTML)"""
        )
        assert nameless == []


def test_larger_letters_and_narrow_screens_need_no_sideways_scrolling(bundle, page):
    with WebServer(bundle_site(bundle)) as server:
        page.set_viewport_size({"width": 320, "height": 600})
        opened(page, server.address())
        page.click("#example")
        page.wait_for_selector("#recommendations li")
        page.evaluate("document.documentElement.style.fontSize = '200%'")
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_keyboard_alone_is_enough(bundle, page):
    with WebServer(bundle_site(bundle)) as server:
        opened(page, server.address())
        page.focus("#search")
        page.keyboard.type("number 12")
        page.keyboard.press("Tab")
        page.keyboard.press("Enter")
        page.wait_for_selector("#recommendations li")
        assert page.evaluate("document.activeElement.closest('ul').id") == "results"  # the next tap is one key away
        page.focus("#history button")
        page.keyboard.press("Enter")
        assert page.evaluate("document.activeElement.id") == "history-title"
