import pytest

from lcrec.errors import TaskError
from lcrec.tasks.templates import RULES, TASKS, load_families, slots

GOOD = {
    "item2index": ("Which item is {title}", "{codes}"),
    "index2item": ("Name{codes}", " {title}"),
    "fusionseqrec": ("After{history}", " {title}"),
    "itemsearch": ("Find {query}", "{codes}"),
    "preferenceobtain": ("Who chose{history}?", " {preference}"),
}


def write(tmp_path, *templates, extra=""):
    lines = [f"[[{task}]]\nrequest = {request!r}\nresponse = {response!r}\n" for task, request, response in templates]
    path = tmp_path / "mine.toml"
    path.write_text("".join(lines) + extra)
    return path


def test_there_are_six_tasks():
    assert TASKS == ("seqrec", "item2index", "index2item", "fusionseqrec", "itemsearch", "preferenceobtain")


def test_every_family_has_many_templates_all_different():
    families = load_families()
    assert len(set(families.seqrec)) == len(families.seqrec) >= 10
    assert families.requests.keys() == RULES.keys()
    for templates in families.requests.values():
        assert len({template.request for template in templates}) == len(templates) >= 8


def test_the_deployed_prompt_has_the_history_last_and_no_tokens_but_codes_in_it():
    first = load_families().seqrec[0]
    assert (first.separator, first.suffix) == ("", "")


def test_seqrec_has_prompts_with_the_history_last_and_prompts_with_a_question_behind():
    last = [text.suffix == text.separator for text in load_families().seqrec]
    assert sum(last) >= 6
    assert last.count(False) >= 3


def test_words_are_asked_for_and_answered_with_and_without_a_description():
    families = load_families().requests
    for task, side in (("item2index", "request"), ("index2item", "response")):
        found = {frozenset(slots(getattr(template, side))) for template in families[task]}
        assert found >= {frozenset({"title"}), frozenset({"description"}), frozenset({"title", "description"})}


def test_fusion_goes_both_ways():
    found = {(slots(one.request)[0], slots(one.response)[0]) for one in load_families().requests["fusionseqrec"]}
    assert found >= {("history", "title"), ("titles", "codes"), ("titles", "title")}


def test_a_file_of_ones_own_replaces_the_tasks_that_it_speaks_of(tmp_path):
    path = write(
        tmp_path,
        *((task, *good) for task, good in GOOD.items()),
        extra='[[seqrec]]\nprefix = "Mine:"\nseparator = ","\nsuffix = ","\n',
    )
    mine = load_families(path)
    assert [text.prefix for text in mine.seqrec] == ["Mine:"]
    assert {task: [(one.request, one.response) for one in found] for task, found in mine.requests.items()} == {
        task: [good] for task, good in GOOD.items()
    }
    assert mine.wrapper == load_families().wrapper


def test_tasks_that_a_file_does_not_speak_of_keep_ours(tmp_path):
    mine = load_families(write(tmp_path, ("itemsearch", *GOOD["itemsearch"])))
    assert len(mine.requests["itemsearch"]) == 1
    assert mine.seqrec == load_families().seqrec
    assert mine.requests["index2item"] == load_families().requests["index2item"]


@pytest.mark.parametrize(
    ("task", "request_words", "response", "message"),
    [
        (
            "item2index",
            "Find {name}",
            "{codes}",
            r"placeholder \{name\}; allowed are \{description\}, \{title\}",
        ),
        ("item2index", "Find it", "{codes}", r"no placeholder; expected one of \{description\}, \{title\}"),
        ("item2index", "Find {title}", "it", r"no placeholder; expected one of \{codes\}"),
        ("itemsearch", "After{history}", "{codes}", r"lacks \{query\}"),
        ("item2index", "Find {title} or {title}", "{codes}", "a placeholder twice"),
        ("item2index", 'Find "{title}"', "{codes}", r"a space must stand before \{title\}"),
        ("index2item", "Name{codes}", "{title}", r"a space must stand before \{title\}"),
        ("item2index", "Find {title", "{codes}", "cannot be read: expected '}'"),
        ("item2index", "Find {title:>9}", "{codes}", "a placeholder other than a name in braces"),
        ("item2index", "Find {}", "{codes}", "a placeholder other than a name in braces"),
    ],
)
def test_a_damaged_template_is_named_with_its_file(tmp_path, task, request_words, response, message):
    with pytest.raises(TaskError, match=message) as error:
        load_families(write(tmp_path, (task, request_words, response)))
    assert str(error.value).startswith(str(tmp_path / "mine.toml"))


def test_a_template_that_is_there_twice_is_named(tmp_path):
    twice = [("itemsearch", *GOOD["itemsearch"])] * 2
    with pytest.raises(TaskError, match="template 2 of itemsearch is there twice"):
        load_families(write(tmp_path, *twice))


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("[[seqrek]]\n", "unknown field `seqrek`"),
        ('[[seqrec]]\nprefix = "x"\n', "missing required field `separator`"),
        ("[[seqrec", "are damaged"),
    ],
)
def test_a_file_of_another_form_is_refused(tmp_path, words, message):
    path = tmp_path / "mine.toml"
    path.write_text(words)
    with pytest.raises(TaskError, match=message):
        load_families(path)


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(TaskError, match=r"cannot read the templates .*none\.toml"):
        load_families(tmp_path / "none.toml")
