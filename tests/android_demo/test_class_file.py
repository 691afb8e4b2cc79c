import shutil
import struct
import subprocess

import pytest

from android_demo.tools.api_levels import _hash_text
from android_demo.tools.class_file import Member, read_class, read_jar
from android_demo.tools.compilers import write_jar
from android_demo.tools.dex_file import package_classes, read_dex_classes
from android_demo.tools.errors import AndroidBuildError
from android_demo.tools.package_file import Entry, write_package

SOURCE = """
package org.example;
public abstract class Small extends java.util.ArrayList<String> implements Runnable {
    public static final long COUNT = 1L << 40;
    private int hidden;
    public abstract void write(String[][] text) throws java.io.IOException;
    public int twice() { return size() + Integer.parseInt("é"); }
}
"""


@pytest.fixture(scope="module")
def compiled(tmp_path_factory):
    if shutil.which("javac") is None:
        pytest.skip("javac is not here: the class file to read is compiled")
    folder = tmp_path_factory.mktemp("java")
    (folder / "Small.java").write_text(SOURCE, encoding="utf-8")
    command = ["javac", "--release", "8", "-Xlint:-options", "-encoding", "UTF-8", "-d", "out", "Small.java"]
    subprocess.run(command, cwd=folder, check=True)
    return folder / "out"


def test_declared_names_are_read_without_private_ones(compiled):
    found = read_class((compiled / "org/example/Small.class").read_bytes(), "Small")
    assert not found.is_interface
    assert (found.name, found.parents) == ("org/example/Small", ("java/util/ArrayList", "java/lang/Runnable"))
    assert {(each.name, each.descriptor) for each in found.declared} == {
        ("COUNT", "J"),
        ("<init>", "()V"),
        ("write", "([[Ljava/lang/String;)V"),
        ("twice", "()I"),
    }
    assert {each.name for each in found.abstract} == {"write"}
    assert found.thrown == {"java/io/IOException"}


def test_names_that_are_used_are_read(compiled):
    found = read_class((compiled / "org/example/Small.class").read_bytes(), "Small")
    assert found.members == {
        Member("java/util/ArrayList", "<init>", "()V"),
        Member("org/example/Small", "size", "()I"),
        Member("java/lang/Integer", "parseInt", "(Ljava/lang/String;)I"),
    }
    assert "java/lang/Integer" in found.classes


def test_jar_is_read_by_name_and_its_bytes_depend_on_files_alone(compiled, tmp_path):
    for name in ("one.jar", "two.jar"):
        write_jar(tmp_path / name, [compiled])
    assert list(read_jar(tmp_path / "one.jar")) == ["org/example/Small"]
    assert (tmp_path / "one.jar").read_bytes() == (tmp_path / "two.jar").read_bytes()


def test_other_file_is_refused():
    with pytest.raises(AndroidBuildError, match="Some is no class file"):
        read_class(b"text that is long enough", "Some")


def test_hash_is_the_one_of_the_database():
    assert _hash_text("V") == 3634  # 7 · 1 + 31 · (31 · 1 + 86) + 0


def dex(*names):
    """A dex file with nothing but names of classes."""
    texts = [f"L{name};".encode() for name in names]
    count = len(texts)
    strings = 112
    types = strings + 4 * count
    classes = types + 4 * count
    data = classes + 32 * count
    places = [data + sum(len(text) + 2 for text in texts[:number]) for number in range(count)]
    header = bytearray(112)
    header[:8] = b"dex\n037\0"
    for place, begin in ((56, strings), (64, types), (96, classes)):
        struct.pack_into("<II", header, place, count, begin)
    body = struct.pack(f"<{count}I", *places) + struct.pack(f"<{count}I", *range(count))
    body += b"".join(struct.pack("<8I", number, *[0] * 7) for number in range(count))
    return bytes(header) + body + b"".join(bytes([len(text)]) + text + b"\0" for text in texts)


def test_classes_of_a_dex_file_are_read():
    assert read_dex_classes(dex("org/A", "org/B$C"), "classes.dex") == ["org/A", "org/B$C"]


def test_classes_of_all_dex_files_of_an_apk_are_read(tmp_path):
    entries = [Entry("classes.dex", dex("A")), Entry("classes2.dex", dex("B")), Entry("assets/x", b"")]
    write_package(tmp_path / "app.apk", entries)
    assert package_classes(tmp_path / "app.apk") == {"A", "B"}


def test_other_file_than_dex_is_refused():
    with pytest.raises(AndroidBuildError, match=r"classes\.dex is no dex file"):
        read_dex_classes(b"PK" + bytes(200), "classes.dex")
