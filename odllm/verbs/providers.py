"""`odllm providers`: which execution providers this machine has, and environments for those that need one."""

from __future__ import annotations

from typing import Annotated

import typer

from odllm.console import print_json, print_table, say

app = typer.Typer(no_args_is_help=True)

_WORDS = {
    "installed": "here",
    "environment": "in an environment of its own",
    "installable": "not installed",
    "elsewhere": "not for this machine",
}
Name = Annotated[str, typer.Argument(help="Provider, such as webgpu.")]


@app.command("list")
def list_providers(
    json_output: Annotated[bool, typer.Option("--json", help="Print the result as JSON on standard output.")] = False,
) -> None:
    """List execution providers, and where each is to be had.

    Being here is no proof that a provider takes a node: `odllm bench --provider` shows what it took.
    """
    import msgspec

    from mobile_bench.environments import provider_state
    from odllm_export.providers import PROVIDERS

    states = [provider_state(name) for name in PROVIDERS]
    if json_output:
        print_json([msgspec.to_builtins(state) for state in states])
        return
    print_table(
        "Execution providers",
        ["provider", "where", ""],
        [[state.provider, _WORDS[state.state], state.where] for state in states],
    )


@app.command("install")
def install_provider(name: Name) -> None:
    """Make the environment of a provider whose onnxruntime cannot lie beside the installed one.

    For wasm and webgpu-browser that is onnxruntime-web, from npm. It goes to $ODLLM_PROVIDERS, or
    ~/.cache/odllm/providers.
    """
    from mobile_bench.environments import install

    say(f"installing {name}: downloads its onnxruntime …")
    say(f"{name} is in {install(name)}")


@app.command("remove")
def remove_provider(name: Name) -> None:
    """Remove the environment of a provider."""
    from mobile_bench.environments import remove

    remove(name)
    say(f"removed the environment of {name}")
