"""What tests of pages share: skipping where no browser is, and scripts that run in a page beside a bundle."""

from pathlib import Path
from typing import Any

import pytest

from mobile_bench.browser.runtime import provider_state, require_browser, require_runtime
from mobile_bench.browser.server import Site, WebServer
from mobile_bench.browser.site import PAGES


def require_browser_here() -> None:
    state = provider_state("wasm")
    if state.state == "installable":
        pytest.skip(f"pages cannot be measured here: {state.where}")


def evaluated(bundle: Path, script: str, argument: object = None) -> Any:
    """What a script returns in an empty page that a bundle is served beside."""
    from playwright.sync_api import sync_playwright

    site = Site({"": PAGES, "runtime/": require_runtime(), "bundle/": bundle}, {"empty.html": b"<!doctype html>"})
    with WebServer(site) as server, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=require_browser("wasm"), args=["--disable-gpu"])
        page = browser.new_page()
        page.goto(f"{server.address()}empty.html")
        return page.evaluate(script, argument)
