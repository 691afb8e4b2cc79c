"""The dex files of an APK, run on this machine's JVM: turned back into class files by enjarify.

Of Android there are a few classes with bodies under `device/`, enough for the app's instrumentation.
"""

from __future__ import annotations

import os
import struct
import subprocess
import sys
import zipfile
from pathlib import Path

from android_demo.tools.class_file import INTERFACE_METHOD, METHOD, read_constants, read_jar
from android_demo.tools.compilers import compile_java
from android_demo.tools.java_platform import java_platform_jar
from android_demo.tools.jvm_tests import java_command, loadable_runtime
from android_demo.tools.packages import ENJARIFY
from android_demo.tools.steps import Steps
from android_demo.tools.toolchain import run_tool

_DEVICE = Path(__file__).with_name("device")
_JAVA_8 = 52
_RUN = """
import sys
from enjarify.main import enjarify
enjarify(sys.argv[1], sys.argv[2], raise_translation_errors=True)
"""


def class_files(package: Path, jar: Path, platform: Path) -> None:
    """Turn every class of an APK back into a class file; an error in one of them is an error.

    Args:
        package: the APK.
        jar: to write.
        platform: a jar of Java's own classes.
    """
    environment = {**os.environ, "PYTHONPATH": str(ENJARIFY.folder)}
    plain = jar.with_name("plain.jar")
    run_tool([sys.executable, "-c", _RUN, str(package), str(plain)], "turning dex into class files", environment)
    classes = {**read_jar(platform), **read_jar(plain)}
    interfaces = {name for name, each in classes.items() if each.is_interface}
    with zipfile.ZipFile(plain) as opened, zipfile.ZipFile(jar, "w") as made:
        for name in opened.namelist():
            made.writestr(name, _of_java_8(opened.read(name), interfaces))


def _of_java_8(content: bytes, interfaces: set[str]) -> bytes:
    """Return a class file of Java 5, as enjarify writes it, as one of Java 8, whose interfaces may have code, too."""
    data = bytearray(content)
    struct.pack_into(">H", data, 6, _JAVA_8)
    constants, _ = read_constants(content)
    for kind, place in constants.values():
        if kind == METHOD:
            (owner,) = struct.unpack_from(">H", content, place)
            (name,) = struct.unpack_from(">H", content, constants[owner][1])
            begin = constants[name][1]
            (size,) = struct.unpack_from(">H", content, begin)
            if content[begin + 2 : begin + 2 + size].decode() in interfaces:
                data[place - 1] = INTERFACE_METHOD
    return bytes(data)


def run_instrumentation(
    package: Path, steps: Steps, arguments: dict[str, str], folder: Path
) -> subprocess.CompletedProcess[str]:
    """Run the instrumentation of an APK as `am instrument` would.

    Args:
        package: the APK; only its dex files are read.
        steps: keep the runtime that this machine can load.
        arguments: of the instrumentation.
        folder: an empty one, which is also the app's own files.
    """
    jar, device = folder / "app.jar", folder / "device"
    class_files(package, jar, java_platform_jar(steps))
    compile_java(sorted(_DEVICE.rglob("*.java")), [], device, "the device")
    # What D8 writes satisfies Android's verifier; enjarify's class files have no types for Java's.
    options = ["-XX:+UnlockDiagnosticVMOptions", "-XX:-BytecodeVerificationRemote", f"-Dfolder={folder}"]
    command, environment = java_command(loadable_runtime(steps), [device, jar], options)
    words = [word for pair in arguments.items() for word in pair]
    return subprocess.run(
        [*command, "RunInstrumentation", "org.odllm.demo.BenchInstrumentation", *words],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
    )
