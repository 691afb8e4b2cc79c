"""The words of the tasks: prompt families from TOML files, checked before anything is made of them.

`templates/*.toml` hold the families of this package, one file a task. A file of a user's own has the same form; the
tasks it speaks of replace ours, one by one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from string import Formatter

import msgspec

from lcrec.errors import TaskError
from lcrec.prompt import PromptText

SEQREC = "seqrec"
CODE_SLOTS = frozenset({"codes", "history"})
"""Placeholders that are filled with code tokens; all others are filled with words."""

_OURS = Path(__file__).parent / "templates"


@dataclass(frozen=True)
class TaskRule:
    """What the templates of a task may hold.

    Attributes:
        request: placeholders that a request may hold; one of them at least it must.
        response: placeholders that a response may hold; one of them at least it must.
        needed: placeholders that the request of every template must hold.
    """

    request: frozenset[str]
    response: frozenset[str]
    needed: frozenset[str] = frozenset()


RULES: Mapping[str, TaskRule] = {
    "item2index": TaskRule(frozenset({"title", "description"}), frozenset({"codes"})),
    "index2item": TaskRule(frozenset({"codes", "title"}), frozenset({"title", "description"}), frozenset({"codes"})),
    "fusionseqrec": TaskRule(frozenset({"history", "titles"}), frozenset({"codes", "title", "description"})),
    "itemsearch": TaskRule(frozenset({"query", "history", "preference"}), frozenset({"codes"}), frozenset({"query"})),
    "preferenceobtain": TaskRule(frozenset({"history"}), frozenset({"preference"})),
}
"""The tasks with a request and a response; `seqrec` has prompts of another form, for devices."""

TASKS = (SEQREC, *RULES)
"""All tasks by name."""


class RequestTemplate(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A request and its response, with placeholders such as `{title}`."""

    request: str
    response: str


class Wrapper(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What stands around a request.

    Attributes:
        before: words before it.
        after: words between it and the response.
        separator: between the codes of two items of a history.
        title_separator: between the titles of two items of a history.
    """

    before: str
    after: str
    separator: str
    title_separator: str


class _TemplateFile(msgspec.Struct, forbid_unknown_fields=True):
    """A file of templates; what it does not speak of, is left as it is."""

    wrapper: Wrapper | None = None
    seqrec: list[PromptText] = []
    item2index: list[RequestTemplate] = []
    index2item: list[RequestTemplate] = []
    fusionseqrec: list[RequestTemplate] = []
    itemsearch: list[RequestTemplate] = []
    preferenceobtain: list[RequestTemplate] = []


@dataclass(frozen=True)
class Families:
    """The prompt families of all tasks.

    Attributes:
        wrapper: around every request.
        seqrec: prompts of the task that is deployed; the first is the one to deploy.
        requests: templates of the other tasks by name.
    """

    wrapper: Wrapper
    seqrec: tuple[PromptText, ...]
    requests: Mapping[str, tuple[RequestTemplate, ...]]


def load_families(path: Path | None = None) -> Families:
    """Return the prompt families.

    Args:
        path: a TOML file whose families take the place of ours, task by task.

    Raises:
        TaskError: a file cannot be read, or a template is twice there, has an unknown placeholder, or lacks one.
    """
    files = [_read(one) for one in sorted(_OURS.glob("*.toml"))]
    if path is not None:
        files.append(_read(path))
    wrapper = [file.wrapper for file in files if file.wrapper is not None][-1]
    seqrec = [file.seqrec for file in files if file.seqrec][-1]
    requests = {task: tuple([found for file in files if (found := getattr(file, task))][-1]) for task in RULES}
    return Families(wrapper, tuple(seqrec), requests)


def parts(text: str) -> list[tuple[str, str | None]]:
    """Split a template into (words, placeholder behind them or None).

    Raises:
        TaskError: braces that do not match, or a placeholder with a format.
    """
    try:
        found = list(Formatter().parse(text))
    except ValueError as error:
        raise TaskError(f"the template {text!r} cannot be read: {error}") from error
    for _, name, format_spec, conversion in found:
        if name == "" or format_spec or conversion:
            raise TaskError(f"the template {text!r} has a placeholder other than a name in braces, such as {{title}}")
    return [(words, name) for words, name, _, _ in found]


def slots(text: str) -> list[str]:
    """Return the placeholders of a template in their order."""
    return [name for _, name in parts(text) if name is not None]


def _read(path: Path) -> _TemplateFile:
    try:
        file = msgspec.toml.decode(path.read_bytes(), type=_TemplateFile)
    except OSError as error:
        raise TaskError(f"cannot read the templates {path}: {error.strerror}") from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise TaskError(f"the templates {path} are damaged: {error}") from error
    try:
        _check(file)
    except TaskError as error:
        raise TaskError(f"{path}: {error}") from error
    return file


def _check(file: _TemplateFile) -> None:
    _check_distinct(SEQREC, file.seqrec)
    for task, rule in RULES.items():
        templates: Sequence[RequestTemplate] = getattr(file, task)
        _check_distinct(task, templates)
        for template in templates:
            _check_slots(task, "request", template.request, rule.request, rule.needed)
            _check_slots(task, "response", template.response, rule.response, frozenset())


def _check_distinct(task: str, templates: Sequence[msgspec.Struct]) -> None:
    for i, template in enumerate(templates):
        if template in templates[:i]:
            raise TaskError(f"template {i + 1} of {task} is there twice: {template}")


def _check_slots(task: str, kind: str, text: str, allowed: frozenset[str], needed: frozenset[str]) -> None:
    found = slots(text)
    unknown, missing = set(found) - allowed, needed - set(found)
    if unknown:
        raise TaskError(
            f"the {kind} {text!r} of {task} has the placeholder {{{min(unknown)}}}; allowed are {_listed(allowed)}"
        )
    if missing:
        raise TaskError(f"the {kind} {text!r} of {task} lacks {_listed(missing)}")
    if not found:
        raise TaskError(f"the {kind} {text!r} of {task} has no placeholder; expected one of {_listed(allowed)}")
    if len(found) != len(set(found)):
        raise TaskError(f"the {kind} {text!r} of {task} has a placeholder twice")
    _check_spaces(task, kind, text)


def _check_spaces(task: str, kind: str, text: str) -> None:
    """Words that fill a placeholder are read with the space before them, once for all templates."""
    for words, name in parts(text):
        if name is not None and name not in CODE_SLOTS and not words.endswith(" "):
            raise TaskError(f"the {kind} {text!r} of {task}: a space must stand before {{{name}}}")


def _listed(names: frozenset[str] | set[str]) -> str:
    return ", ".join(f"{{{name}}}" for name in sorted(names))
