import re

import pytest

from odllm import console


@pytest.fixture
def lines(monkeypatch, capsys):
    """Report progress at given seconds; return the lines."""

    def report(*reports):
        clock = iter([0.0, *(seconds for seconds, _, _ in reports)])
        monkeypatch.setattr(console.time, "monotonic", lambda: next(clock))
        with console.progress_bar("work") as bar:
            for _, done, total in reports:
                bar(done, total)
        return capsys.readouterr().err.splitlines()

    return report


def left(line):
    found = re.search(r"about (\d+) s left", line)
    return found and int(found[1])


def test_time_left_is_what_the_rate_so_far_says(lines):
    assert [left(line) for line in lines((0, 0, 10), (20, 2, 10), (40, 4, 10))] == [None, 80, 60]


def test_time_left_of_a_run_that_goes_on_does_not_count_what_was_there(lines):
    assert [left(line) for line in lines((1, 50, 100), (11, 52, 100), (21, 54, 100))] == [None, 240, 230]


def test_the_end_is_always_said_and_little_else(lines):
    said = lines((0, 0, 10), (1, 1, 10), (2, 2, 10), (3, 10, 10))
    assert [line.split(" after")[0] for line in said] == ["work: 0 %", "work: 100 %"]


def test_in_a_log_a_line_stays_one_line(capsys):
    console.say("word " * 60 + "end")
    assert capsys.readouterr().err == "word " * 60 + "end\n"
