"""A process that answers one JSON line with another, as its starter sees it: time limits, and words when it dies."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import IO, Self, TypeVar, cast

import msgspec
import psutil

from mobile_bench.errors import BenchError, DeviceError, WorkerError
from mobile_bench.protocol import Answer

Reply = TypeVar("Reply")

_TAIL_BYTES = 2000
_PATIENCE_S = 5.0


class LineProcess:
    """One fresh process that answers requests; ended when the `with` block ends, however it ends.

    Args:
        name: what messages call it.
        command: that it runs.
        environment: all of its variables.
    """

    def __init__(self, name: str, command: Sequence[str], environment: Mapping[str, str]) -> None:
        self.name = name
        self._stderr = tempfile.TemporaryFile()  # noqa: SIM115 — closed by `close`
        self._buffer = b""
        self._free_at_start = psutil.virtual_memory().available
        # A session of its own: Ctrl-C reaches the starter, which then ends its workers in order.
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._stderr,
            env=dict(environment),
            start_new_session=True,
        )
        self._requests = cast(IO[bytes], self._process.stdin)
        self._answers = cast(IO[bytes], self._process.stdout)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close(kill=kind is not None)

    def ask(self, request: msgspec.Struct, reply: type[Reply], *, timeout_s: float) -> Reply:
        """Send a request and wait for its answer.

        Raises:
            BenchError: the worker refused, with its words.
            DeviceError: the same, where it is the device's doing.
            WorkerError: the worker died, took longer than `timeout_s` seconds, or answered nonsense.
        """
        try:
            self._requests.write(msgspec.json.encode(request) + b"\n")
            self._requests.flush()
        except BrokenPipeError:
            raise self._death() from None
        return read_answer(self.name, self._read_line(timeout_s), reply)

    def close(self, *, kill: bool = False) -> None:
        """End the process: by closing its input, or at once."""
        with contextlib.suppress(BrokenPipeError):
            self._requests.close()
        try:
            self._process.wait(0 if kill else _PATIENCE_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._answers.close()
        self._stderr.close()

    def _read_line(self, timeout_s: float) -> bytes:
        descriptor, deadline = self._answers.fileno(), time.monotonic() + timeout_s
        while b"\n" not in self._buffer:
            left = deadline - time.monotonic()
            if left <= 0 or not select.select([descriptor], [], [], left)[0]:
                tail = self._tail()
                self.close(kill=True)
                raise WorkerError(
                    f"{self.name}: no answer within {timeout_s:.0f} s, so the measuring process was ended. "
                    f"Allow more time, or measure a smaller bundle.{tail}"
                )
            chunk = os.read(descriptor, 1 << 16)
            if not chunk:
                raise self._death()
            self._buffer += chunk
        line, _, self._buffer = self._buffer.partition(b"\n")
        return line

    def _death(self) -> WorkerError:
        how = self.cause_of_death(self._process.wait())
        return WorkerError(f"{self.name}: the measuring process {how}.{self._tail()}")

    def cause_of_death(self, code: int) -> str:
        """Return how a process came to end with an exit code, below 0 for a signal; to follow "the process"."""
        if code == -signal.SIGKILL:
            return (
                f"was killed, most likely for want of memory: {self._free_at_start >> 20} MiB were free "
                "when it started. Close other programs, or measure fewer bundles at once"
            )
        if code < 0:
            return f"died of {signal.Signals(-code).name}"
        return f"ended with code {code} without an answer"

    def _tail(self) -> str:
        """Return the end of what the worker wrote to standard error."""
        size = self._stderr.seek(0, os.SEEK_END)
        self._stderr.seek(max(0, size - _TAIL_BYTES))
        lines = self._stderr.read().decode(errors="replace").splitlines()
        text = "\n".join(line for line in lines if line.strip(" ^~"))  # without a traceback's underlining
        return f" It said last:\n{text}" if text else ""


def read_answer(name: str, line: bytes, reply: type[Reply]) -> Reply:
    """Return the reply in one line of a worker.

    Args:
        name: what messages call the worker.
        line: that it answered.
        reply: what was asked for.

    Raises:
        BenchError: it refused, with its words.
        DeviceError: the same, where it is the device's doing.
        WorkerError: it answered nonsense.
    """
    try:
        answer = msgspec.json.decode(line, type=Answer)
        if answer.refused is None:
            return msgspec.json.decode(answer.reply, type=reply)
    except msgspec.DecodeError as error:
        raise WorkerError(f"{name}: the measuring process answered {line[:200]!r}: {error}") from error
    kind = DeviceError if answer.exit_code == DeviceError.exit_code else BenchError
    raise kind(f"{name}: {answer.refused}")
