"""What a page answers beside, or instead of, the words of `mobile_bench.protocol`.

A page knows neither the processor time nor the memory of the process that it runs in: `mobile_bench.browser.worker`
adds them.
"""

from __future__ import annotations

import msgspec


class Describe(msgspec.Struct, frozen=True, tag_field="do", tag="describe"):
    """Say what kind of browser this is, and what a provider would run on.

    Attributes:
        provider: by the command line's name; it decides how the browser is started.
    """

    provider: str


class Adapter(msgspec.Struct, frozen=True):
    """A graphics adapter, as WebGPU tells it.

    Attributes:
        name: vendor, architecture and whatever else it tells.
        software: it computes on the processor.
    """

    name: str
    software: bool


class PageFacts(msgspec.Struct, frozen=True):
    """What a page says about where it runs.

    Attributes:
        user_agent: as the browser calls itself.
        platform: as the browser calls the system.
        cores: logical processors that it tells.
        cross_origin_isolated: whether wasm may have threads, and clocks are fine.
        adapter: that WebGPU offers; None without WebGPU.
    """

    user_agent: str
    platform: str
    cores: int
    cross_origin_isolated: bool
    adapter: Adapter | None


class BrowserFacts(msgspec.Struct, frozen=True):
    """Answer to `Describe`.

    Attributes:
        browser: name and version.
        page: what a page in it says.
    """

    browser: str
    page: PageFacts


class PageMemory(msgspec.Struct, frozen=True):
    """A page's answer to `protocol.MeasureMemory`: the size of the runtime's wasm memory."""

    heap_bytes: int


class PageCalls(msgspec.Struct, frozen=True):
    """A page's answer to `protocol.Round` and `protocol.Soak`: every call's elapsed time."""

    wall_ms: list[float]
