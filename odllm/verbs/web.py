"""`odllm web`: a bundle as a page that runs in a browser."""

from __future__ import annotations

import contextlib
import threading
from pathlib import Path
from typing import Annotated

import typer

from odllm.console import out as console
from odllm.console import say
from odllm.options import Overwrite

_EVERYWHERE = "0.0.0.0"


def web(
    bundle: Annotated[Path, typer.Argument(help="Bundle folder (`odllm export`).")],
    port: Annotated[int, typer.Option(min=0, max=65535, help="To listen on; 0: any that is free.")] = 8000,
    host: Annotated[
        str, typer.Option(help="Address to listen on; 127.0.0.1: for this machine only, and `adb reverse`.")
    ] = _EVERYWHERE,
    cert: Annotated[Path | None, typer.Option(help="Certificate as PEM file, for https; needs --key.")] = None,
    key: Annotated[Path | None, typer.Option(help="The certificate's key as PEM file.")] = None,
    out: Annotated[
        Path | None, typer.Option(help="Instead: write the site to this folder, for a web server of your own.")
    ] = None,
    overwrite: Overwrite = False,
) -> None:
    """Serve a page that runs a bundle in the browser: tap items, see recommendations, measure.

    The page works offline after the first load and sends nothing. Threads and offline use need https or localhost:
    see docs/web.md for a phone. `odllm providers install wasm` fetches what it needs first. Ctrl-C ends it.
    """
    if (cert is None) != (key is None):
        raise typer.BadParameter("--cert and --key belong together: a certificate and its key, as PEM files")
    if out is not None:
        from mobile_bench.browser.site import write_site

        write_site(bundle, out, overwrite=overwrite)
        say(f"wrote {out}; serve it over https, or try: python -m http.server --directory {out}")
        return
    _serve(bundle, host, port, None if cert is None or key is None else (cert, key))


def _serve(bundle: Path, host: str, port: int, certificate: tuple[Path, Path] | None) -> None:
    from mobile_bench.browser.server import WebServer
    from mobile_bench.browser.site import bundle_site

    with WebServer(bundle_site(bundle), host, port, certificate) as server, contextlib.suppress(KeyboardInterrupt):
        for name in ["localhost", *_other_names()] if host == _EVERYWHERE else [host]:
            console.print(server.address(name), highlight=False, soft_wrap=True)
        if certificate is None and host == _EVERYWHERE:
            say("Over plain http others get one thread and no offline use; docs/web.md says what a phone can do.")
        say("Ctrl-C ends it.")
        threading.Event().wait()


def _other_names() -> list[str]:
    """Return this machine's addresses in its networks."""
    import socket

    import psutil

    addresses = [
        one.address for found in psutil.net_if_addrs().values() for one in found if one.family == socket.AF_INET
    ]
    return [address for address in addresses if not address.startswith("127.")]
