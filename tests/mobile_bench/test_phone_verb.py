"""`odllm phone` and what phones are asked, on a phone that is this host; nothing is measured here."""

import json
import os

import local_phone
import pytest
import typer.testing

from mobile_bench.phone.facts import read_conditions, read_facts, screen_warning
from odllm.__main__ import build_app


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "phone"


@pytest.fixture
def adb(folder, monkeypatch):
    made = local_phone.make_local_phone(folder)
    monkeypatch.setenv("PATH", str(folder), prepend=os.pathsep)
    return made


def invoke(*words):
    return typer.testing.CliRunner().invoke(build_app(), ["phone", *words])


def test_list_says_what_each_phone_tells(adb):
    (phone,) = json.loads(invoke("list", "--json").stdout)
    assert (phone["serial"], phone["state"], phone["model"], phone["abi"]) == ("local", "device", "here", "host")
    assert "local" in invoke("list").output


def test_doctor_says_what_is_wrong_and_ends_with_4(adb, monkeypatch, tmp_path):
    monkeypatch.setenv("ODLLM_RUNNERS", str(tmp_path / "none"))
    ended = invoke("doctor")
    assert ended.exit_code == 4
    assert "✗ runner: the runner for host was not built: `odllm phone build --abi host" in ended.output
    assert "✓ heat and battery: 30.0 °C, thermal status none, battery 80 %" in ended.output


@pytest.mark.parametrize(("verb", "exit_code"), [("doctor", 4), ("list", 0)])
def test_without_a_phone_it_is_said_how_to_attach_one(adb, folder, verb, exit_code):
    program = folder / "adb"
    program.write_text("#!/bin/sh\necho 'List of devices attached'\n")
    ended = invoke(verb)
    assert ended.exit_code == exit_code
    assert "allow USB debugging" in ended.output


def test_phone_that_has_not_allowed_this_computer_is_told_what_to_do(adb, folder):
    (folder / "adb").write_text("#!/bin/sh\nprintf 'List of devices attached\\nnew\\tunauthorized\\n'\n")
    findings = json.loads(invoke("doctor", "--json").stdout)["new"]
    assert [finding["verdict"] for finding in findings] == ["wrong"]
    assert "accept the question" in findings[0]["said"]


def test_state_of_a_phone_is_read(adb, folder):
    now = read_conditions(adb.device("local"))
    assert (now.temperature_c, now.thermal_status, now.battery_percent, now.charging) == (30.0, "none", 80.0, False)
    (folder / "battery").unlink()
    (folder / "thermalservice").unlink()
    nothing = read_conditions(adb.device("local"))
    assert (nothing.thermal_status, nothing.battery_percent, nothing.charging) == (None, None, None)


def test_facts_of_a_phone_are_read(adb):
    facts = read_facts(adb.device("local"))
    assert facts.cores == len(os.sched_getaffinity(0))
    assert facts.memory_bytes > 1 << 28


@pytest.mark.parametrize(
    ("service", "text", "words"),
    [
        ("power", "  mWakefulness=Awake\n", None),
        ("power", "  mWakefulness=Asleep\n", "screen is off"),
        ("window", "    mDreamingLockscreen=true mShowingLockscreen=true\n", "screen is locked"),
    ],
)
def test_screen_that_is_off_or_locked_is_a_warning(adb, folder, service, text, words):
    (folder / service).write_text(text)
    warning = screen_warning(adb.device("local"))
    assert warning is None if words is None else words in warning
