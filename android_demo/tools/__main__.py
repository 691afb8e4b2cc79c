"""The build's command line."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from android_demo.tools.build import build
from android_demo.tools.jvm_tests import run_tests
from android_demo.tools.modules import MODULES
from android_demo.tools.packages import CACHE_VARIABLE, EVERY_PACKAGE, cache_folder, fetch
from android_demo.tools.project import OUTPUTS, Project
from android_demo.tools.steps import Steps
from android_demo.tools.toolchain import require_jdk
from odllm_artifact import OdllmError

_INTERRUPTED = 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a verb and return the exit code: 0, 2 with a message, or 130 after Ctrl-C."""
    parser = _parser()
    chosen = parser.parse_args(arguments)
    try:
        chosen.run(chosen)
    except OdllmError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("stopped. Finished steps are kept; the same command goes on from there.", file=sys.stderr)
        return _INTERRUPTED
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m android_demo.tools", description="The demo app without an SDK.")
    parser.add_argument("--out", type=Path, default=OUTPUTS, help=f"folder of what is built ({OUTPUTS.name})")
    verbs = parser.add_subparsers(required=True, metavar="VERB")
    verb = verbs.add_parser("fetch", help=f"download every package (330 MB) into ${CACHE_VARIABLE} or .android")
    verb.set_defaults(run=_fetch)
    verb = verbs.add_parser("build", help="debug APK, release APKs and app bundle; steps already done are not repeated")
    verb.set_defaults(run=_build)
    verb = verbs.add_parser("test-jvm", help="compile modules and run their JUnit tests on this machine's JVM")
    verb.add_argument("--module", choices=MODULES, action="append", help="one of the modules (both)")
    bundles = "folder of bundles that the app's tests open; those of the library's tests are made by make test-android"
    verb.add_argument("--bundles", type=Path, help=bundles)
    verb.add_argument("classes", nargs="*", metavar="CLASS", help="full names of test classes (all called …Test)")
    verb.set_defaults(run=_test_jvm)
    return parser


def _fetch(_: argparse.Namespace) -> None:
    require_jdk()
    fetch(EVERY_PACKAGE)
    print(f"the build's packages are in {cache_folder()}")


def _build(chosen: argparse.Namespace) -> None:
    built = build(Project(), Steps(chosen.out))
    for path in (*built.packages, built.bundle):
        print(f"{path.stat().st_size / 1e6:6.1f} MB  {path}")


def _test_jvm(chosen: argparse.Namespace) -> None:
    steps = Steps(chosen.out)
    print(run_tests(Project(), steps, chosen.module or MODULES, chosen.bundles, chosen.classes))


if __name__ == "__main__":
    sys.exit(main())
