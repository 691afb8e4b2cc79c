"""A phone that is this host: an `adb` of ours runs a phone's commands here, in a folder that stands for its storage.

For what emulated devices are not asked: times, interleaved rounds, energy, heat. The runner, its input and output, and
the files are real; the connection is not, which the loopback device is for.
"""

from __future__ import annotations

import os
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path

from mobile_bench.phone.adb import Adb

_ADB = r"""#!/bin/bash
# Paths of a phone become paths below its folder, in commands and in what goes into them, and back in what comes out.
set -o pipefail
phone={folder}
[ "$1" = -s ] && {{ serial=$2; shift 2; }}
[ -e "$phone/unplugged" ] && {{ echo "error: device '$serial' not found" >&2; exit 1; }}
here() {{ sed -u "s#/data/local/tmp#$phone/tmp#g; s#/sdcard#$phone/sdcard#g"; }}
there() {{ sed -u "s#$phone/tmp#/data/local/tmp#g"; }}
export PATH="$phone/bin:$PATH"
case "$1" in
devices) printf 'List of devices attached\n%s\tdevice\n' local ;;
get-state) echo device ;;
push) cp "$2" "$(echo "$3" | here)" ;;
pull) cp "$(echo "$2" | here)" "$3" ;;
shell) script=$(printf '%s' "$3" | here); here | sh -c "$script" | there ;;
esac
"""

_COMMANDS = {
    "getprop": "printf '[ro.product.cpu.abi]: [host]\\n[ro.product.model]: [here]\\n'",
    "dumpsys": 'cat "{folder}/$1" 2>/dev/null',
    "cat": 'case "$1" in /sys/class/power_supply/*) /bin/cat {folder}/gauge;; *) exec /bin/cat "$@";; esac',
}


def make_local_phone(folder: Path) -> Adb:
    """Return the `adb` of a phone in a folder: cool, charged, not on a charger, with a battery that gives 2 W."""
    for name in ("bin", "tmp", "sdcard"):
        (folder / name).mkdir(parents=True)
    for name, script in _COMMANDS.items():
        _write_program(folder / "bin" / name, f"#!/bin/sh\n{script.format(folder=folder)}\n")
    (folder / "battery").write_text("  level: 80\n  status: 3\n  temperature: 300\n")
    set_thermal_status(folder, 0)
    (folder / "gauge").write_text("-500000\n4000000\n")
    program = folder / "adb"
    _write_program(program, _ADB.format(folder=folder))
    return Adb(str(program))


_INSTRUMENT = r"""#!/bin/sh
# `am instrument -w -e requests FILE -e answers FILE COMPONENT` has the app's worker answer the file, as the app does.
# What the file says lies on the phone lies below its folder.
[ "$1" = instrument ] || exit 0
shift 2
while [ "$1" = -e ]; do
    eval "$2=\$3"
    shift 3
done
sed "s#/data/local/tmp#{folder}/tmp#g" "$requests" >"{folder}/requests"
{worker} "{folder}/requests" "$answers" && echo 'INSTRUMENTATION_CODE: -1'
"""


def install_app(folder: Path, command: Sequence[str], environment: Mapping[str, str]) -> None:
    """Have a phone's app answered for by a worker on this host, which makes the phone an emulator.

    Args:
        folder: of the phone.
        command: of the worker; two files go behind it.
        environment: that it needs.
    """
    variables = [f"{name}={environment[name]}" for name in environment.keys() - os.environ.keys()]
    _write_program(
        folder / "bin" / "am", _INSTRUMENT.format(folder=folder, worker=shlex.join(["env", *variables, *command]))
    )
    _write_program(folder / "bin" / "pm", "#!/bin/sh\necho package:base.apk\n")
    properties = "[ro.kernel.qemu]: [1]\\n[ro.product.cpu.abi]: [x86_64]\\n[ro.product.model]: [here]\\n"
    _write_program(folder / "bin" / "getprop", f"#!/bin/sh\nprintf '{properties}'\n")


def set_thermal_status(folder: Path, status: int) -> None:
    (folder / "thermalservice").write_text(f"Thermal Status: {status}\nCurrent temperatures from HAL:\n")


def _write_program(path: Path, script: str) -> None:
    path.write_text(script)
    path.chmod(0o755)
