"""What adb says when something is wrong, said by a program that says it."""

from pathlib import Path

import pytest

from mobile_bench.errors import BenchError, DeviceError
from mobile_bench.phone.adb import Adb, AdbDevice, ListedDevice
from mobile_bench.phone.phones import choose_serials


@pytest.fixture
def make_adb(tmp_path: Path):
    def make(script: str) -> Adb:
        program = tmp_path / "adb"
        program.write_text(f"#!/bin/sh\n{script}\n")
        program.chmod(0o755)
        return Adb(str(program))

    return make


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ("error: device unauthorized.", "accept the question about USB debugging"),
        ("error: device offline", "is offline: unplug it"),
        ("error: device 'one' not found", "is gone: is its cable in"),
        ("error: closed", "went away in the middle"),
        ("adb: error: failed to copy 'x' to 'y': remote couldn't create file: No space left on device", "no room left"),
    ],
)
def test_what_adb_says_becomes_words_that_say_what_to_do(make_adb, said, words) -> None:
    device = make_adb(f'echo "{said}" >&2; exit 1').device("one")
    with pytest.raises(DeviceError, match=f"one .*{words}"):
        device.shell("true")


def test_serial_is_always_named_and_the_script_goes_as_one_word(make_adb, tmp_path) -> None:
    device = make_adb(f'printf "%s|" "$@" > {tmp_path}/seen').device("one")
    device.shell("rm", "a b")
    assert (tmp_path / "seen").read_text() == "-s|one|shell|-T|rm 'a b'|"


def test_what_a_phone_need_not_tell_is_empty_but_a_phone_that_is_gone_is_an_error(make_adb) -> None:
    failing = 'case "$3" in get-state) echo device;; *) echo "no such file: not found" >&2; exit 1;; esac'
    assert make_adb(failing).device("one").told("cat /nothing") == ""
    with pytest.raises(DeviceError, match="is gone"):
        make_adb("echo \"error: device 'one' not found\" >&2; exit 1").device("one").told("cat /nothing")


def test_silence_is_given_up(make_adb) -> None:
    with pytest.raises(DeviceError, match="did not answer within 1 s"):
        make_adb("sleep 60").device("one").run("true", timeout_s=1)


def test_copy_that_arrives_damaged_is_refused_and_removed(make_adb, tmp_path) -> None:
    local = tmp_path / "file"
    local.write_bytes(b"content")
    script = f"""
echo "$*" >> {tmp_path}/seen
case "$*" in *sha256sum*) echo "{"0" * 64}  /there.partial";; esac
"""
    with pytest.raises(DeviceError, match="file arrived with another hash"):
        make_adb(script).device("one").push(local, "/there")
    seen = (tmp_path / "seen").read_text()
    assert "rm -f /there.partial" in seen
    assert "mv" not in seen


def test_a_phone_that_takes_no_hashes_is_too_old(make_adb) -> None:
    with pytest.raises(DeviceError, match="Android 8 or later"):
        make_adb("exit 127").device("one").hashes(["/there"])


def test_devices_are_listed_in_every_state(make_adb) -> None:
    adb = make_adb(r'printf "List of devices attached\none\tdevice\ntwo\tunauthorized\n\n"')
    assert adb.devices() == [ListedDevice("one", "device"), ListedDevice("two", "unauthorized")]
    assert choose_serials(adb, None) == ["one"]
    assert choose_serials(adb, "two, three") == ["two", "three"]


def test_the_phone_must_be_named_where_there_are_several(make_adb) -> None:
    adb = make_adb(r'printf "List of devices attached\none\tdevice\ntwo\tdevice\n"')
    with pytest.raises(BenchError, match="--serial one,two"):
        choose_serials(adb, None)
    assert choose_serials(adb, "all") == ["one", "two"]


def test_no_phone_is_told_with_what_is_there(make_adb) -> None:
    with pytest.raises(DeviceError, match="two is unauthorized"):
        choose_serials(make_adb(r'printf "List of devices attached\ntwo\tunauthorized\n"'), None)
    with pytest.raises(DeviceError, match="nothing is attached"):
        choose_serials(make_adb('echo "List of devices attached"'), "all")


def test_adb_that_is_missing_is_told() -> None:
    with pytest.raises(DeviceError, match="adb-that-is-not-there is not there"):
        AdbDevice("adb-that-is-not-there", "one").shell("true")
