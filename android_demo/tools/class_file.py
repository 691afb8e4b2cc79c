"""Class files, as far as names go: what a class declares, and what it refers to.

Source: The Java Virtual Machine Specification, chapter 4.
"""

from __future__ import annotations

import struct
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from android_demo.tools.errors import AndroidBuildError

_MAGIC = 0xCAFEBABE
UTF8, CLASS, FIELD, METHOD, INTERFACE_METHOD = 1, 7, 9, 10, 11
"""Kinds of constants."""
_SIZES = {3: 4, 4: 4, 5: 8, 6: 8, 7: 2, 8: 2, 9: 4, 10: 4, 11: 4, 12: 4, 15: 3, 16: 2, 17: 4, 18: 4, 19: 2, 20: 2}
"""Bytes of a constant after its kind."""
_TWO_PLACES = (5, 6)
_PRIVATE, _INTERFACE, _ABSTRACT = 0x0002, 0x0200, 0x0400


@dataclass(frozen=True, order=True)
class Member:
    """A field or method.

    Attributes:
        owner: the class, as `java/lang/String`.
        name: its name.
        descriptor: its type, as `I` or `(I)V`.
    """

    owner: str
    name: str
    descriptor: str

    @property
    def is_method(self) -> bool:
        """Whether it is a method."""
        return self.descriptor.startswith("(")


@dataclass(frozen=True)
class ClassFile:
    """The names in a class file.

    Attributes:
        name: of the class, as `java/lang/String`.
        is_interface: whether it is an interface.
        parents: superclass and interfaces.
        declared: fields and methods that are not private.
        abstract: those of them that have to be written by a class below.
        thrown: exceptions that its methods say they throw.
        classes: those referred to, itself among them.
        members: those referred to.
    """

    name: str
    is_interface: bool
    parents: tuple[str, ...]
    declared: frozenset[Member]
    abstract: frozenset[Member]
    thrown: frozenset[str]
    classes: frozenset[str]
    members: frozenset[Member]


def read_jar(jar: Path) -> dict[str, ClassFile]:
    """Read every class of a jar, by name.

    Raises:
        AndroidBuildError: a file is no class file.
    """
    with zipfile.ZipFile(jar) as opened:
        found = (read_class(opened.read(name), name) for name in opened.namelist() if name.endswith(".class"))
        return {each.name: each for each in found}


def read_class(content: bytes, where: str) -> ClassFile:
    """Read a class file; `where` it came from is for the message.

    Raises:
        AndroidBuildError: it is none.
    """
    if len(content) < 10 or struct.unpack_from(">I", content)[0] != _MAGIC:
        raise AndroidBuildError(f"{where} is no class file")
    return _Reader(content).read()


def read_constants(content: bytes) -> tuple[dict[int, tuple[int, int]], int]:
    """Return the kind and the place of every constant by its number, and where the constants end."""
    (count,) = struct.unpack_from(">H", content, 8)
    constants, number, place = {}, 1, 10
    while number < count:
        kind = content[place]
        constants[number] = (kind, place + 1)
        (text_bytes,) = struct.unpack_from(">H", content, place + 1)
        place += 3 + text_bytes if kind == UTF8 else 1 + _SIZES[kind]
        number += 2 if kind in _TWO_PLACES else 1
    return constants, place


class _Reader:
    """Walks through a class file once."""

    def __init__(self, content: bytes) -> None:
        self._content = content
        self._constants, self._place = read_constants(content)
        self._thrown: set[str] = set()

    def read(self) -> ClassFile:
        is_interface = bool(self._take(2) & _INTERFACE)
        name, parent = self._class(self._take(2)), self._take(2)
        interfaces = [self._class(self._take(2)) for _ in range(self._take(2))]
        parents = ([self._class(parent)] if parent else []) + interfaces
        declared = self._read_members(name) | self._read_members(name)  # fields, then methods
        return ClassFile(
            name=name,
            is_interface=is_interface,
            parents=tuple(parents),
            declared=frozenset(declared),
            abstract=frozenset(member for member, flags in declared.items() if flags & _ABSTRACT),
            thrown=frozenset(self._thrown),
            classes=frozenset(self._class(number) for number, (kind, _) in self._constants.items() if kind == CLASS),
            members=frozenset(self._references()),
        )

    def _take(self, count: int) -> int:
        value = int.from_bytes(self._content[self._place : self._place + count], "big")
        self._place += count
        return value

    def _read_members(self, owner: str) -> dict[Member, int]:
        """Return members and their flags."""
        found = {}
        for _ in range(self._take(2)):
            flags, name, descriptor = self._take(2), self._text(self._take(2)), self._text(self._take(2))
            for _ in range(self._take(2)):
                self._read_attribute()
            if not flags & _PRIVATE:
                found[Member(owner, name, descriptor)] = flags
        return found

    def _read_attribute(self) -> None:
        name, size = self._text(self._take(2)), self._take(4)
        end = self._place + size
        if name == "Exceptions":
            self._thrown |= {self._class(self._take(2)) for _ in range(self._take(2))}
        self._place = end

    def _references(self) -> Iterator[Member]:
        for kind, place in self._constants.values():
            if kind in (FIELD, METHOD, INTERFACE_METHOD):
                _, pair = self._constants[self._number(place + 2)]
                name, descriptor = self._text(self._number(pair)), self._text(self._number(pair + 2))
                yield Member(self._class(self._number(place)), name, descriptor)

    def _number(self, place: int) -> int:
        return int.from_bytes(self._content[place : place + 2], "big")

    def _text(self, number: int) -> str:
        _, place = self._constants[number]
        return self._content[place + 2 : place + 2 + self._number(place)].decode("utf-8", "surrogatepass")

    def _class(self, number: int) -> str:
        """Return a class's name; of an array, its elements' class."""
        _, place = self._constants[number]
        name = self._text(self._number(place))
        return name.lstrip("[").removeprefix("L").removesuffix(";") if name.startswith("[") else name
