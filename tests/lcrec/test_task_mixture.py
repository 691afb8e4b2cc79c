import dataclasses
import re

import numpy as np
import pytest
import torch
from small_tokenizers import small_tokenizer

from lcrec.dataset import Dataset, Item, ItemCodes
from lcrec.errors import ItemCodesError, TaskError
from lcrec.prompt import PromptText
from lcrec.tasks.item_pieces import TokenBudgets
from lcrec.tasks.mixture import TaskMixture, deployed_text
from lcrec.tasks.preview import preview
from lcrec.tasks.templates import TASKS, load_families
from lcrec.user_texts import Intention, UserTexts

TEXT = PromptText("<s>The user has chosen:", ",", ",")
ITEM_TASKS = ("item2index", "index2item")


@pytest.fixture
def tokenizer():
    return small_tokenizer()


@pytest.fixture
def apart():
    """Users whose last two items nobody else has and they have not had before."""
    items, users = 60, 10
    random = np.random.default_rng(0)
    sequences = tuple(
        np.append(random.integers(0, 40, random.integers(2, 30)), [40 + user, 50 + user]).astype(np.int32)
        for user in range(users)
    )
    codes = np.stack(np.unravel_index(np.arange(items), (4, 4, 4)), axis=1).astype(np.int32)
    table = tuple(Item(f"i{row}", f"Thing {row}", f"Words about {row}") for row in range(items))
    return Dataset("apart", table, tuple(f"u{i}" for i in range(users)), sequences, ItemCodes(codes, (4, 4, 4)))


@pytest.fixture
def told(apart):
    """The same with texts about users, one of them a wish for an item that is held out."""
    texts = {}
    for number, (user, sequence) in enumerate(zip(apart.users, apart.sequences, strict=True)):
        item, held_out = apart.items[sequence[-3]].id, apart.items[sequence[-1]].id
        wishes = (Intention(item, (f"wish {user}", f"hope {user}")), Intention(held_out, ("a look ahead",)))
        texts[user] = UserTexts(user, (f"taste {user}",) if number % 2 else (), wishes)
    return dataclasses.replace(apart, user_texts=texts)


def things_in(sample, tokenizer):
    """Return the items whose titles a sample holds."""
    return {int(row) for row in re.findall(r"Thing (\d+)", tokenizer.decode(sample.ids))}


def rows_in(sample, prompt):
    """Return the items whose codes a sample holds, in order."""
    codes = sample.ids[sample.ids >= prompt.first_code_token] - prompt.first_code_token
    return (codes.reshape(-1, 3) % 4 @ np.array([16, 4, 1])).tolist()


@pytest.mark.parametrize(
    ("tasks", "every_target"),
    [(("seqrec",), True), (("seqrec",), False), (("fusionseqrec",), True), (("itemsearch", "preferenceobtain"), True)],
)
def test_held_out_items_are_in_no_sample_made_of_histories(told, tokenizer, tasks, every_target):
    mixture = TaskMixture(told, tokenizer, TEXT, tasks=tasks, every_target=every_target)
    learned = {row for sequence in told.sequences for row in sequence[:-2].tolist()}
    found = set()
    for seed in range(5):
        for sample in mixture.epoch(seed):
            found |= {*rows_in(sample, mixture.prompt), *things_in(sample, tokenizer)}
    assert found <= learned
    assert tasks != ("seqrec",) or found == learned


def test_without_every_target_each_item_after_the_first_is_asked_for_once(apart, tokenizer):
    mixture = TaskMixture(apart, tokenizer, TEXT, every_target=False, max_items=3, vary=False)
    found = sorted(rows_in(sample, mixture.prompt) for sample in mixture.epoch(0))
    expected = [
        sequence[max(end - 3, 0) : end + 1].tolist()
        for sequence in (one[:-2] for one in apart.sequences)
        for end in range(1, len(sequence))
    ]
    assert found == sorted(expected)


def test_behind_a_question_every_item_after_the_first_is_learned_too(apart, tokenizer):
    text = PromptText("<s>The user has chosen:", ",", ". Which item is next?")
    for sample in TaskMixture(apart, tokenizer, text, vary=False).epoch(0):
        codes = sample.ids >= tokenizer.convert_tokens_to_ids("<a_0>")
        assert sample.learned.tolist() == (codes & (np.cumsum(codes) > 3)).tolist()
        assert tokenizer.decode(sample.ids[-20:-3]).endswith(". Which item is next?")


def test_validation_asks_for_the_last_but_one_item_behind_the_deployed_prompt(apart, tokenizer):
    mixture = TaskMixture(apart, tokenizer, TEXT, max_items=4)
    samples = mixture.validation(users=3)
    assert len(samples) == 3
    for sample, sequence in zip(samples, apart.sequences, strict=False):
        codes = apart.codes.codes
        prompt = mixture.prompt.encode(codes[sequence[:-2]])
        assert sample.ids.tolist() == [*prompt, *mixture.prompt.code_tokens(codes[sequence[-2]])]
        assert np.flatnonzero(sample.learned).tolist() == list(range(len(prompt), len(prompt) + 3))


@pytest.mark.parametrize("text", [TEXT, PromptText("<s>The user has chosen:", "", "")], ids=["separator", "nothing"])
def test_a_window_has_the_loss_of_one_sample_a_prefix(apart, tokenizer, make_model, text):
    short = dataclasses.replace(apart, sequences=tuple(sequence[-9:] for sequence in apart.sequences))
    model = make_model(len(tokenizer)).double()
    surprises = []
    for every_target in (True, False):
        mixture = TaskMixture(short, tokenizer, text, every_target=every_target, vary=False)
        total = {}
        for sample in mixture.epoch(0):
            ids = torch.from_numpy(sample.ids)
            with torch.no_grad():
                log_probs = model(ids[None]).logits[0].log_softmax(-1)
            for place in np.flatnonzero(sample.learned):
                user = tuple(ids[: place + 1].tolist())
                total[user] = log_probs[place - 1, ids[place]].item()
        surprises.append(total)
    together, apart_each = surprises
    assert together.keys() == apart_each.keys()
    assert sum(together.values()) == pytest.approx(sum(apart_each.values()), rel=1e-12)
    assert together == pytest.approx(apart_each, rel=1e-9)


def test_templates_are_drawn_anew_every_epoch_and_by_the_seed(apart, tokenizer):
    mixture = TaskMixture(apart, tokenizer, TEXT, tasks=("seqrec", *ITEM_TASKS))
    one, same, other = ([sample.ids.tolist() for sample in mixture.epoch(seed)] for seed in (1, 1, 2))
    assert one == same
    assert sorted(one) != sorted(other)


def test_every_template_of_the_family_is_used_the_deployed_one_first(apart, tokenizer):
    mixture = TaskMixture(apart, tokenizer, TEXT)
    assert mixture.templates[0] == TEXT
    assert len(mixture.templates) == 1 + len(load_families().seqrec)
    prefixes = {tokenizer.decode(sample.ids).split("<a_")[0] for seed in range(20) for sample in mixture.epoch(seed)}
    assert prefixes == {text.prefix for text in mixture.templates}


def test_a_deployed_prompt_of_the_family_is_not_there_twice(apart, tokenizer):
    mixture = TaskMixture(apart, tokenizer, deployed_text(tokenizer))
    assert len(mixture.templates) == len(load_families().seqrec)


def test_items_are_asked_for_by_their_words_and_words_by_codes(apart, tokenizer):
    mixture = TaskMixture(apart, tokenizer, TEXT, tasks=ITEM_TASKS)
    counts = dict.fromkeys(ITEM_TASKS, 0)
    for sample in mixture.epoch(0):
        counts[sample.task] += 1
        request, response = (tokenizer.decode(sample.ids[part]) for part in (~sample.learned, sample.learned))
        (row,) = rows_in(sample, mixture.prompt)
        words, codes = (request, response) if sample.task == "item2index" else (response, request)
        assert f" {row}" in words
        assert "<a_" in codes
    assert counts == {"item2index": 60, "index2item": 60}


def test_words_end_with_the_end_of_sequence_token_and_codes_do_not(apart, tokenizer):
    for sample in TaskMixture(apart, tokenizer, TEXT, tasks=ITEM_TASKS).epoch(0):
        assert (sample.ids[-1] == tokenizer.eos_token_id) == (sample.task == "index2item")
        assert sample.learned[-1]


def test_a_tokenizer_without_end_of_sequence_teaches_none(apart):
    tokenizer = small_tokenizer(end=None)
    for sample in TaskMixture(apart, tokenizer, TEXT, tasks=("index2item",)).epoch(0):
        assert tokenizer.decode(sample.ids)[-1].isdigit()


def test_items_without_a_title_are_left_out(apart, tokenizer):
    items = (Item("i0", "Item i0"), Item("i1", "<b></b>"), *apart.items[2:])
    mixture = TaskMixture(dataclasses.replace(apart, items=items), tokenizer, TEXT, tasks=("item2index",))
    assert sorted(rows_in(sample, mixture.prompt)[0] for sample in mixture.epoch(0)) == list(range(2, 60))


def test_a_dataset_without_words_is_refused(apart, tokenizer):
    bare = dataclasses.replace(apart, items=tuple(Item(item.id, "") for item in apart.items))
    with pytest.raises(TaskError, match="apart has no titles and no descriptions: leave index2item out"):
        TaskMixture(bare, tokenizer, TEXT, tasks=("seqrec", "index2item"))


def test_templates_that_no_item_can_fill_are_refused(apart, tokenizer, tmp_path):
    (tmp_path / "mine.toml").write_text('[[item2index]]\nrequest = "Find {description}"\nresponse = "{codes}"\n')
    titles_only = dataclasses.replace(apart, items=tuple(Item(item.id, item.title) for item in apart.items))
    with pytest.raises(TaskError, match="no template of item2index can be filled"):
        TaskMixture(titles_only, tokenizer, TEXT, tasks=("item2index",), families=load_families(tmp_path / "mine.toml"))


def test_without_seqrec_only_the_deployed_prompt_is_recorded(apart, tokenizer):
    assert TaskMixture(apart, tokenizer, TEXT, tasks=("item2index",)).templates == (TEXT,)


def test_a_dataset_without_codes_is_refused(apart, tokenizer):
    with pytest.raises(ItemCodesError, match="odllm codes"):
        TaskMixture(dataclasses.replace(apart, codes=None), tokenizer, TEXT)


def test_users_too_short_to_learn_from_are_refused(apart, tokenizer):
    short = dataclasses.replace(apart, sequences=tuple(sequence[-3:] for sequence in apart.sequences))
    with pytest.raises(TaskError, match="no user of apart has four interactions"):
        TaskMixture(short, tokenizer, TEXT)


@pytest.mark.parametrize(
    ("tasks", "weights", "message"),
    [
        (("seqrek",), {}, "there is no task 'seqrek'; expected some of seqrec, item2index"),
        ((), {}, "no task was given"),
        (("seqrec", "seqrec"), {}, "seqrec is given twice"),
        (("seqrec",), {"item2index": 2.0}, "a weight for item2index, which is none of the tasks seqrec"),
        (("seqrec",), {"seqrec": 0.0}, "the weight of seqrec is 0.0; expected above 0"),
    ],
)
def test_tasks_and_weights_that_make_no_sense_are_named(apart, tokenizer, tasks, weights, message):
    with pytest.raises(TaskError, match=message):
        TaskMixture(apart, tokenizer, TEXT, tasks=tasks, weights=weights)


def test_weights_say_how_many_samples_a_task_has(apart, tokenizer):
    weights = {"item2index": 0.5, "index2item": 2.25}
    epoch = TaskMixture(apart, tokenizer, TEXT, tasks=ITEM_TASKS, weights=weights).epoch(0)
    counts = {task: [s for s in epoch if s.task == task] for task in ITEM_TASKS}
    assert {task: len(samples) for task, samples in counts.items()} == {"item2index": 30, "index2item": 135}
    assert len({sample.ids[-3:].tobytes() for sample in counts["item2index"]}) == 30


def test_an_epoch_is_a_sequence_that_gives_the_same_sample_again(apart, tokenizer):
    epoch = TaskMixture(apart, tokenizer, TEXT, tasks=("seqrec", *ITEM_TASKS)).epoch(0)
    assert epoch.lengths().tolist() == [len(sample.ids) for sample in epoch]
    assert [one.ids.tolist() for one in epoch[3:5]] == [epoch[3].ids.tolist(), epoch[4].ids.tolist()]
    assert epoch[-1].ids.tolist() == epoch[len(epoch) - 1].ids.tolist()


def answered(sample, tokenizer):
    """Return the words of request and response."""
    return tuple(tokenizer.decode(sample.ids[part]) for part in (~sample.learned, sample.learned))


def test_fusion_asks_for_the_item_that_followed_in_the_other_form(apart, tokenizer):
    mixture = TaskMixture(apart, tokenizer, TEXT, tasks=("fusionseqrec",))
    parts = [sequence[:-2].tolist() for sequence in apart.sequences]
    forms = set()
    for sample in (sample for seed in range(20) for sample in mixture.epoch(seed)):
        request, response = answered(sample, tokenizer)
        past = [int(row) for row in re.findall(r"Thing (\d+)", request)]
        codes = rows_in(sample, mixture.prompt)
        if "<a_" in response:
            (followed,), codes = codes[-1:], codes[:-1]
        else:
            (followed,) = re.findall(r"(?:Thing|about) (\d+)", response)
        past = past or codes
        assert any(
            part[:end][-20:] == past and part[end] == int(followed) for part in parts for end in range(len(part))
        )
        forms.add(("titles" if "Thing" in request else "codes", "codes" if "<a_" in response else "words"))
    assert forms == {("titles", "codes"), ("titles", "words"), ("codes", "words")}


@pytest.mark.parametrize("max_items", [4, 20])
def test_fusion_has_a_sample_for_every_window_of_a_history(apart, tokenizer, max_items):
    mixture = TaskMixture(apart, tokenizer, TEXT, tasks=("fusionseqrec",), max_items=max_items)
    lengths = [len(sequence) - 2 for sequence in apart.sequences]
    assert len(mixture.epoch(0)) == sum(-(-(length - 1) // max_items) for length in lengths)


def test_the_oldest_titles_of_a_history_are_left_out_beyond_the_budget(apart, tokenizer):
    mixture = TaskMixture(apart, tokenizer, TEXT, tasks=("fusionseqrec",), budgets=TokenBudgets(titles=25))
    for sample in (sample for seed in range(5) for sample in mixture.epoch(seed)):
        request, _ = answered(sample, tokenizer)
        titles = re.findall(r" Thing \d+", request)
        assert sum(len(tokenizer(title, add_special_tokens=False)["input_ids"]) for title in titles) <= 25


def test_history_titles_leave_out_items_without_one(apart, tokenizer):
    items = tuple(Item(item.id, "" if row % 2 else item.title) for row, item in enumerate(apart.items))
    mixture = TaskMixture(dataclasses.replace(apart, items=items), tokenizer, TEXT, tasks=("fusionseqrec",))
    found = {row for seed in range(10) for sample in mixture.epoch(seed) for row in things_in(sample, tokenizer)}
    assert found
    assert all(row % 2 == 0 for row in found)


def test_a_wish_leads_to_the_item_that_was_meant(told, tokenizer):
    mixture = TaskMixture(told, tokenizer, TEXT, tasks=("itemsearch",))
    meant = {user: int(sequence[-3]) for user, sequence in zip(told.users, told.sequences, strict=True)}
    seen = set()
    for sample in (sample for seed in range(20) for sample in mixture.epoch(seed)):
        request, _ = answered(sample, tokenizer)
        (user,) = re.findall(r"(?:wish|hope) (u\d+)", request)
        assert rows_in(sample, mixture.prompt)[-1] == meant[user]
        assert "look ahead" not in request
        seen |= set(re.findall(r"(wish|hope|taste) u", request))
        taste = re.findall(r"taste (u\d+)", request)
        assert taste in ([], [user])
    assert seen == {"wish", "hope", "taste"}


def test_preferences_go_with_no_wish_for_an_item_that_they_may_know(apart, tokenizer):
    long = [(user, sequence) for user, sequence in zip(apart.users, apart.sequences, strict=True) if len(sequence) > 8]
    texts = {
        user: UserTexts(user, ("far too much",), (Intention(apart.items[sequence[0]].id, ("wish",)),))
        for user, sequence in long
        if sequence[0] not in sequence[1:]
    }
    mixture = TaskMixture(dataclasses.replace(apart, user_texts=texts), tokenizer, TEXT, tasks=("itemsearch",))
    requests = [answered(sample, tokenizer)[0] for seed in range(20) for sample in mixture.epoch(seed)]
    assert requests
    assert not any("far too much" in request for request in requests)


def test_preferences_answer_the_history_before_the_last_item_of_the_training_part(told, tokenizer):
    mixture = TaskMixture(told, tokenizer, TEXT, tasks=("preferenceobtain",))
    histories = {user: sequence[:-3][-20:].tolist() for user, sequence in zip(told.users, told.sequences, strict=True)}
    answers = set()
    for sample in mixture.epoch(0):
        _, response = answered(sample, tokenizer)
        user = re.fullmatch(r" taste (u\d+)</s>", response)[1]
        assert rows_in(sample, mixture.prompt) == histories[user]
        answers.add(user)
    assert answers == {user for user in told.users[1::2] if histories[user]}


@pytest.mark.parametrize(("task", "what"), [("itemsearch", "wishes"), ("preferenceobtain", "preferences")])
def test_a_task_whose_texts_are_missing_is_refused_with_where_they_come_from(apart, tokenizer, task, what):
    with pytest.raises(TaskError, match=rf"apart has no {what}.*which {task} is made of.*X\.user\.json"):
        TaskMixture(apart, tokenizer, TEXT, tasks=(task,))


def test_a_preview_shows_one_sample_a_task_with_the_learned_part_marked(told, tokenizer):
    mixture = TaskMixture(told, tokenizer, TEXT, tasks=TASKS)
    shown = preview(mixture)
    assert {one.task for one in shown} == set(TASKS)
    for one in shown:
        assert 0 < one.learned_tokens < one.tokens
        assert one.text.startswith("<s>")
    marked = {one.task: re.findall("«(.*?)»", one.text, re.DOTALL) for one in shown}
    assert all("<a_" in part and "Thing" not in part for part in marked["itemsearch"] + marked["seqrec"])
    assert marked["preferenceobtain"][0].startswith(" taste u")
    assert marked["preferenceobtain"][0].endswith("</s>")
