import os
import signal

import pytest

from lcrec.finetune.interrupts import stop_requests


@pytest.fixture
def heard():
    """Signals that come to the handler of whoever called."""
    numbers = []
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    signal.signal(signal.SIGINT, lambda number, frame: numbers.append(number))
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    yield numbers
    for number, handler in before.items():
        signal.signal(number, handler)


def send(number):
    os.kill(os.getpid(), number)


def test_the_first_ctrl_c_is_noted_only_and_the_second_interrupts_and_is_passed_on(heard):
    with stop_requests() as asked_to_stop:
        assert not asked_to_stop()
        send(signal.SIGINT)
        assert asked_to_stop()
        assert heard == []
        with pytest.raises(KeyboardInterrupt):
            send(signal.SIGINT)
    assert heard == [signal.SIGINT]


def test_handlers_are_put_back(heard):
    with stop_requests():
        send(signal.SIGINT)
    send(signal.SIGINT)
    assert heard == [signal.SIGINT]


def test_a_signal_that_is_ignored_stays_so(heard):
    with stop_requests() as asked_to_stop:
        send(signal.SIGTERM)
        assert not asked_to_stop()


def test_the_end_of_a_jobs_time_is_noted(heard):
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    with stop_requests() as asked_to_stop:
        send(signal.SIGTERM)
        assert asked_to_stop()
