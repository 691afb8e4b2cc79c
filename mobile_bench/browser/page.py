"""A page in a fresh browser, served by ourselves, that answers requests. Needs Playwright."""

from __future__ import annotations

import os
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

import msgspec
import psutil
from playwright.sync_api import Browser, Page, sync_playwright
from playwright.sync_api import Error as PlaywrightError

from mobile_bench.browser.page_process import PageProcess, find_page_process
from mobile_bench.browser.protocol import BrowserFacts, PageFacts
from mobile_bench.browser.runtime import browser_flags, require_browser, require_runtime
from mobile_bench.browser.server import Site, WebServer
from mobile_bench.browser.site import PAGES
from mobile_bench.errors import BenchError, DeviceError, WorkerError

Reply = TypeVar("Reply")

_BUNDLE = "bundle/"


class BrowserPage:
    """One page of one browser with an empty profile; both end with the `with` block.

    Args:
        provider: that will be asked for: it decides whether the browser uses a graphics processor.

    Attributes:
        process: that the page runs in.
        facts: what browser and page say about themselves.

    Raises:
        BenchError: the browser, its driver or the runtime is not installed.
        WorkerError: the browser does not start.
    """

    process: PageProcess
    facts: BrowserFacts

    def __init__(self, provider: str) -> None:
        self._program = require_browser(provider)
        self._flags = browser_flags(provider)
        self._site = Site({"": PAGES, "runtime/": require_runtime()})
        self._ending = ExitStack()
        self._free_at_start = psutil.virtual_memory().available
        self._crashed = False

    def __enter__(self) -> BrowserPage:
        with ExitStack() as starting:
            server = starting.enter_context(WebServer(self._site))
            playwright = starting.enter_context(sync_playwright())
            try:
                browser = playwright.chromium.launch(
                    executable_path=self._program, args=self._flags, chromium_sandbox=os.geteuid() != 0
                )
                starting.callback(_close, browser)
                self._page = self._open(browser, server)
            except PlaywrightError as error:
                raise WorkerError(f"{self._program} does not show a page: {error.message}") from error
            facts = self.ask({"do": "describe"}, PageFacts)
            self.process = find_page_process()  # its worker has answered
            self.facts = BrowserFacts(f"Chromium {browser.version}, headless", facts)
            self._ending = starting.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ending.close()

    def serve(self, bundle: Path) -> str:
        """Serve a bundle beside the page, and return its address there."""
        self._site.folders[_BUNDLE] = bundle
        return _BUNDLE

    def ask(self, request: dict[str, Any], reply: type[Reply]) -> Reply:
        """Put a request to the page and return its answer.

        Raises:
            BenchError: the page refused, with its words.
            DeviceError: the same, where it is the device's doing.
            WorkerError: the page has died, or answered nonsense.
        """
        try:
            answer = self._page.evaluate("request => ask(request)", request)
        except PlaywrightError as error:
            raise self._death(error) from error
        if refused := answer.get("refused"):
            raise (DeviceError if answer["exit_code"] == DeviceError.exit_code else BenchError)(refused)
        try:
            return msgspec.convert(answer["reply"], reply)
        except msgspec.ValidationError as error:
            raise WorkerError(f"the page answered {str(answer)[:200]}: {error}") from error

    def _open(self, browser: Browser, server: WebServer) -> Page:
        page = browser.new_page()
        page.on("crash", self._note_crash)
        # Nothing of what is measured may wait longer than the starter of this process does.
        page.set_default_timeout(0)
        page.goto(f"{server.address()}bench.html")  # returns once the page's modules have run
        return page

    def _note_crash(self, page: Page) -> None:
        self._crashed = True

    def _death(self, error: PlaywrightError) -> WorkerError:
        if self._crashed or "crashed" in error.message:
            return WorkerError(
                f"the page crashed, most likely for want of memory: {self._free_at_start >> 20} MiB were free when its "
                "browser started. Close other programs, or measure fewer bundles at once"
            )
        return WorkerError(f"the page failed: {error.message}")


def _close(browser: Browser) -> None:
    if browser.is_connected():
        browser.close()
