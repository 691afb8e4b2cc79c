"""Are the framework's signatures true, and is each of them needed?"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping

from android_demo.tools.api_check import ApiCheck, ancestors
from android_demo.tools.class_file import ClassFile, Member

_INITIALIZERS = ("<init>", "<clinit>")
_PROPERTY = re.compile(r"(?:get|set|is)([A-Z]\w*)$")


def untrue_signatures(check: ApiCheck, framework: Iterable[ClassFile]) -> list[str]:
    """Return what the framework's signatures declare and no known Android has, sorted.

    Constructors without parameters are left out: one that is not public stands in for those that Android hides.
    """
    untrue = []
    for each in framework:
        if check.class_level(each.name) == 0:
            untrue.append(each.name)
        for member in each.declared:
            hidden = member.name == "<clinit>" or (member.name, member.descriptor) == ("<init>", "()V")
            if not hidden and check.member_level(member) == 0:
                untrue.append(_words(member))
    return sorted(untrue)


def unused_signatures(
    framework: Mapping[str, ClassFile],
    java: Mapping[str, ClassFile],
    users: Mapping[str, ClassFile],
    sources: Iterable[str],
) -> list[str]:
    """Return which of the framework's signatures our modules do not need, sorted.

    A class is needed that our classes or sources name, or a needed signature. A member is needed that they name, be it
    as a Kotlin property, that classes below must write, or that writes such a one. Constructors come with their class.

    Args:
        framework: classes of the signatures, by name.
        java: Java's own, by name.
        users: ours, by name.
        sources: texts of our source files: constants leave no other trace in what they are compiled to.
    """
    words = {word for source in sources for word in re.findall(r"\w+", source)}
    known = {**java, **framework, **users}
    needed, named = _needed_classes(framework, users, words), _named_members(users, known)
    unused = set(framework) - needed
    for name in needed:
        demanded = {member.name for above in (name, *ancestors(name, known)) for member in _abstract(known, above)}
        for member in framework[name].declared - named:
            names = {member.name, _property(member.name)}
            if not names & words and not names & {*_INITIALIZERS, *demanded}:
                unused.add(_words(member))
    return sorted(unused)


def _needed_classes(framework: Mapping[str, ClassFile], users: Mapping[str, ClassFile], words: set[str]) -> set[str]:
    named = {name for user in users.values() for name in _mentioned(user)}
    named |= {name for name in framework if set(name.rpartition("/")[2].split("$")) <= words}
    needed: set[str] = set()
    waiting = named & set(framework)
    while waiting:
        name = waiting.pop()
        needed.add(name)
        nested = {other for other in framework[name].classes if other.startswith(f"{name}$")}
        reached = {*framework[name].classes} - nested | {name.rpartition("$")[0], *framework[name].thrown}
        reached |= {*_in_types(framework[name].declared)}
        waiting |= (reached & set(framework)) - needed
    return needed


def _mentioned(each: ClassFile) -> set[str]:
    """Return the classes that a class names, in its code or in types."""
    return {*each.classes, *_in_types(each.members), *_in_types(each.declared)}


def _in_types(members: Iterable[Member]) -> Iterator[str]:
    for member in members:
        for part in member.descriptor.split("L")[1:]:
            yield part.partition(";")[0]


def _named_members(users: Mapping[str, ClassFile], known: Mapping[str, ClassFile]) -> set[Member]:
    """Return the members that classes refer to or write, of their owner and of every class above it."""
    return {
        Member(owner, member.name, member.descriptor)
        for user in users.values()
        for member in (*user.members, *user.declared)
        for owner in (member.owner, *ancestors(member.owner, known))
    }


def _abstract(known: Mapping[str, ClassFile], name: str) -> frozenset[Member]:
    return known[name].abstract if name in known else frozenset()


def _property(name: str) -> str:
    """Return the property that Kotlin makes of a getter or setter; a name that is none as it is."""
    found = _PROPERTY.match(name)
    return found[1][0].lower() + found[1][1:] if found else name


def _words(member: Member) -> str:
    return f"{member.owner}.{member.name}{member.descriptor}"
