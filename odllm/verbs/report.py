"""`odllm report`: records of any number of runs and devices as one HTML page, or as a table for a README."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from odllm.console import say

_FORMATS = ("html", "md")


def report(
    files: Annotated[list[Path], typer.Argument(help="Files that `odllm bench --out` wrote, of one or more devices.")],
    out_file: Annotated[
        Path | None, typer.Option("--out", help="File to write; only md may go to standard output instead.")
    ] = None,
    output: Annotated[
        str | None, typer.Option("--format", help="html or md; html unless --out ends in .md or is missing.")
    ] = None,
    title: Annotated[str | None, typer.Option(help="Title of the page.")] = None,
) -> None:
    """Show records: one HTML page that needs no network, or a Markdown table fit for a README.

    The page has the cells of every device in a table, quality against time and size with the Pareto front, every call,
    a call taken apart, memory, placement and provenance. Times of stand-ins (emulators, software GPUs) are never shown.
    """
    from mobile_bench.collection import read_collection
    from mobile_bench.readme_table import readme_table
    from odllm_artifact import write_text

    form = _form(output, out_file)
    if title is not None and form != "html":
        raise typer.BadParameter("--title is the page's; a table has none")
    _check_out(out_file, files)
    collection = read_collection(files)
    if form == "html" and out_file is not None:
        from mobile_bench.report.records import write_records

        write_records(collection, out_file, title)
    elif out_file is not None:
        out_file.parent.mkdir(parents=True, exist_ok=True)
        write_text(out_file, readme_table(collection))
    else:
        sys.stdout.write(readme_table(collection))
        return
    say(f"{_counted(len(collection.cells))}, {len(collection.failed)} failed: {out_file}")


def _form(output: str | None, out_file: Path | None) -> str:
    """Return the format that was asked for, or the one that the name of the file says.

    Raises:
        typer.BadParameter: it is unknown, or a page would go to standard output.
    """
    if output is None:
        return "html" if out_file is not None and out_file.suffix != ".md" else "md"
    if output not in _FORMATS:
        raise typer.BadParameter(
            f"--format is {output!r}; expected {' or '.join(_FORMATS)}. csv, json and jsonl are `odllm compare`'s."
        )
    if output == "html" and out_file is None:
        raise typer.BadParameter("a page is written to a file: give --out report.html")
    return output


def _check_out(out_file: Path | None, files: list[Path]) -> None:
    """Refuse to write where records lie: they cannot be made again.

    Raises:
        typer.BadParameter: it is one of the files of records, or a folder.
    """
    if out_file is None:
        return
    if out_file.is_dir():
        raise typer.BadParameter(f"--out {out_file} is a folder; give the file to write")
    if out_file.absolute() in [path.absolute() for path in files]:
        raise typer.BadParameter(f"--out {out_file} is one of the files of records; choose another name")


def _counted(cells: int) -> str:
    return f"{cells} cell{'s' * (cells != 1)}"
