"""Entry point: assembles the verbs and turns errors into words and exit codes."""

from __future__ import annotations

import errno
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

import typer
from rich.markup import escape

from odllm.console import err
from odllm_artifact import OdllmError

_INTERRUPTED = 130
"""What a shell reports for a program that Ctrl-C ended."""

_STOPPED = "stopped. Finished stages are kept; the same command goes on from there."

_NOT_OURS = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EACCES, errno.EROFS, errno.EPERM)
"""What the machine refuses, not what we did wrong: a disk that is full, read-only or limits files, a missing right."""


def build_app() -> typer.Typer:
    """Return the program with its verbs, in the order of the pipeline."""
    from odllm.verbs import (
        base,
        baseline,
        bench,
        catalog,
        check,
        codes,
        compress,
        data,
        demo,
        evaluate,
        export,
        finetune,
        phone,
        providers,
        recommend,
        recover,
        study,
        train,
        verify,
        web,
    )
    from odllm.verbs.compare import compare
    from odllm.verbs.export_processor import export_processor
    from odllm.verbs.precisions import precisions
    from odllm.verbs.report import report

    app = typer.Typer(
        name="odllm",
        help="LLM recommenders that run on the phone: import data, train, compress, export, verify, benchmark.",
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        add_completion=False,
        rich_markup_mode=None,
    )
    app.add_typer(data.app, name="data", help="Import interaction data and look at it.")
    app.command("codes", help="Give every item of a dataset its codes.")(codes.codes)
    app.command("train", help="Train a recommender on a dataset's codes.")(train.train)
    app.command("base", help="Make an untrained recommender of a pretrained language model.")(base.base)
    app.command("finetune", help="Fine-tune a pretrained language model into a recommender.")(finetune.finetune)
    app.command("evaluate", help="Measure a model's or a bundle's quality.")(evaluate.evaluate)
    app.command("compress", help="Turn a dense model into a low-rank one.")(compress.compress)
    app.command("recover", help="Distil a compressed model from the dense one.")(recover.recover)
    app.add_typer(baseline.app, name="baseline", help="Make what a compressed model is held against.")
    app.command("export", help="Write a bundle that a phone can open.")(export.export)
    app.command("export-processor", help="Write the constrained decoding as a piece for other decoders.")(
        export_processor
    )
    app.add_typer(catalog.app, name="catalog", help="List, add, remove, block and unblock a bundle's items.")
    app.command("verify", help="Compare a bundle with the model it came from.")(verify.verify)
    app.command("precisions", help="Compare a model's precisions: lists, quality, size.")(precisions)
    app.command("check", help="Say what phones' providers should take of a bundle, and its memory.")(check.check)
    app.command("recommend", help="Ask a bundle for the next items.")(recommend.recommend)
    app.command("bench", help="Measure bundles: time to top-k, load, memory.")(bench.bench)
    app.add_typer(phone.app, name="phone", help="Measure bundles on phones over adb.")
    app.command("web", help="Make a page that runs a bundle in a phone's browser, and serve it.")(web.web)
    app.command("compare", help="Compare records of bench: equal, faster or slower.")(compare)
    app.command("report", help="Show records of bench: an HTML page, or a table for a README.")(report)
    app.add_typer(providers.app, name="providers", help="Execution providers: what is here, and how to get more.")
    app.add_typer(study.app, name="study", help="Studies of the compression, each a table and a plot.")
    app.command("demo", help="The whole pipeline on MovieLens, with a report.")(demo.demo)
    return app


def main() -> None:
    """Run `odllm` and exit: 0 done, 1 our defect, 2 usage or bad input, 3 verification failed, 4 device."""
    # Threads that wait by spinning cost more than they give as soon as another process wants a core: with small
    # matrices five times the time, and training fifty times (measured). OpenMP reads this when torch is loaded.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    # Libraries' own bars fill logs with carriage returns; transformers' reader of GGUF files has no other switch. tqdm
    # reads this when it is loaded.
    os.environ.setdefault("TQDM_DISABLE", "1")
    app = build_app()
    with _noted_interrupts() as interrupts:
        try:
            _run(app)
        except Exception:
            # Native code that calls back into Python makes an error of its own of a KeyboardInterrupt that meets it
            # there (seen: "could not determine the shape of object type 'torch.storage.UntypedStorage'").
            if not interrupts:
                raise
            _complain(_STOPPED)
            sys.exit(_INTERRUPTED)


@contextmanager
def _noted_interrupts() -> Iterator[list[int]]:
    """Yield a list that grows with every Ctrl-C, which raises KeyboardInterrupt as ever; what ignores it still does."""
    interrupts: list[int] = []
    before = signal.getsignal(signal.SIGINT)

    def note(number: int, frame: FrameType | None) -> None:
        interrupts.append(number)
        signal.default_int_handler(number, frame)

    if before is signal.default_int_handler:
        signal.signal(signal.SIGINT, note)
    try:
        yield interrupts
    finally:
        signal.signal(signal.SIGINT, before)


def _run(app: typer.Typer) -> None:
    """Run a command, and turn errors that the user can mend into words and an exit code."""
    try:
        app()
    except SystemExit as end:
        if end.code == _INTERRUPTED:
            _complain(_STOPPED)
        raise
    except OdllmError as error:
        _complain(str(error))
        sys.exit(error.exit_code)
    except OSError as error:
        if error.errno not in _NOT_OURS:
            raise
        where = f": {error.filename}" if error.filename else ""
        _complain(f"{error.strerror}{where}. Make room there, or choose another folder.")
        sys.exit(2)
    except MemoryError as error:
        _complain(f"the memory is not enough: {error}. Close other programs, or take a smaller model.")
        sys.exit(2)


def _complain(message: str) -> None:
    err.print(f"[bold red]odllm:[/] {escape(message)}", highlight=False, soft_wrap=True)


if __name__ == "__main__":
    main()
