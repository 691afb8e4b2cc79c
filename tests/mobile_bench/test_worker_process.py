import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
import psutil
import pytest

from mobile_bench import protocol
from mobile_bench.errors import BenchError, DeviceError, WorkerError
from mobile_bench.worker_process import WorkerProcess

HERE = Path(__file__).parent


class Say(msgspec.Struct):
    word: str


@pytest.fixture
def misbehaving(monkeypatch: pytest.MonkeyPatch) -> Iterator[WorkerProcess]:
    environment = {"PYTHONPATH": str(HERE)}
    with WorkerProcess("cell", module="misbehaving_worker", environment=environment) as worker:
        yield worker


def test_death_is_told_with_the_code_and_the_last_words(misbehaving: WorkerProcess) -> None:
    with pytest.raises(WorkerError, match=r"cell: .* code 7(.|\n)*something went wrong here"):
        misbehaving.ask(Say("die"), protocol.OpenReply, timeout_s=60)


def test_kill_is_told_with_the_memory_there_was(misbehaving: WorkerProcess) -> None:
    with pytest.raises(WorkerError, match=r"want of memory: \d+ MiB were free"):
        misbehaving.ask(Say("killed"), protocol.OpenReply, timeout_s=60)


def test_silence_ends_at_the_time_limit_and_so_does_the_process(misbehaving: WorkerProcess) -> None:
    started = time.monotonic()
    with pytest.raises(WorkerError, match="no answer within 1 s"):
        misbehaving.ask(Say("hang"), protocol.OpenReply, timeout_s=1)
    assert time.monotonic() - started < 60
    assert not running_workers("misbehaving_worker")


def test_nonsense_is_an_error(misbehaving: WorkerProcess) -> None:
    with pytest.raises(WorkerError, match="no JSON at all"):
        misbehaving.ask(Say("nonsense"), protocol.OpenReply, timeout_s=60)


def test_interrupt_ends_the_worker() -> None:
    def interrupted() -> None:
        with WorkerProcess("cell"):
            assert running_workers("mobile_bench.worker")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert not running_workers("mobile_bench.worker")


def test_refusal_keeps_its_words_and_its_exit_code(tmp_path: Path) -> None:
    with WorkerProcess("cell") as worker:
        opening = protocol.Open(str(tmp_path), "cpu", 1, [[0]])
        with pytest.raises(BenchError, match=r"cell: .*is not a bundle") as found:
            worker.ask(opening, protocol.OpenReply, timeout_s=60)
        assert not isinstance(found.value, DeviceError)
        with pytest.raises(BenchError, match="before a bundle was opened"):
            worker.ask(protocol.Round(0, 1), protocol.RoundReply, timeout_s=60)


def running_workers(module: str) -> list[psutil.Process]:
    children = psutil.Process().children(recursive=True)
    return [child for child in children if any(module in word for word in child.cmdline())]
