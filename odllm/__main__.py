"""Entry point: assembles the verbs and turns errors into words and exit codes."""

from __future__ import annotations

import errno
import sys

import typer
from rich.markup import escape

from odllm.console import err
from odllm_artifact import OdllmError

app = typer.Typer(
    name="odllm",
    help="LLM recommenders that run on the phone: import data, train, compress, export, verify, benchmark.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
    rich_markup_mode=None,
)


def _register() -> None:
    """Attach the verbs, in the order of the pipeline."""
    from odllm.verbs import data

    app.add_typer(data.app, name="data", help="Import interaction data and look at it.")


def main() -> None:
    """Run `odllm` and exit: 0 done, 1 our defect, 2 usage or bad input, 3 verification failed, 4 device."""
    _register()
    try:
        app(standalone_mode=True)
    except OdllmError as error:
        err.print(f"[bold red]error:[/] {escape(str(error))}", highlight=False, soft_wrap=True)
        sys.exit(error.exit_code)
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EROFS):
            raise
        where = f" ({error.filename})" if error.filename else ""
        err.print(f"[bold red]error:[/] {escape((error.strerror or str(error)) + where)}", soft_wrap=True)
        sys.exit(2)
    except KeyboardInterrupt:
        err.print("stopped; finished stages are kept, the next run goes on from there")
        sys.exit(130)


if __name__ == "__main__":
    main()
