import dataclasses

import pytest

from lcrec.dataset import load_dataset, save_dataset
from lcrec.errors import DatasetError
from lcrec.sampling import sample_users, save_sample
from lcrec.user_texts import UserTexts


def test_users_are_drawn_by_the_seed_and_keep_their_order_and_histories(make_dataset):
    data = make_dataset(users=40)
    some = sample_users(data, 10, 0)
    assert [user for user in data.users if user in some.users] == list(some.users)
    assert some.users != sample_users(data, 10, 1).users
    for user, sequence in zip(some.users, some.sequences, strict=True):
        assert sequence.tolist() == data.sequences[data.users.index(user)].tolist()
    assert some.items == data.items


def test_more_users_than_there_are_is_refused(make_dataset):
    with pytest.raises(DatasetError, match="41 users were asked for; toy has 40"):
        sample_users(make_dataset(users=40), 41, 0)


def test_the_folder_of_a_sample_has_the_codes_to_the_byte(make_dataset, tmp_path):
    save_dataset(make_dataset(users=40), tmp_path / "all")
    (tmp_path / "all" / "quantizer").mkdir()
    (tmp_path / "all" / "quantizer" / "quantizer.json").write_text("{}")
    some = sample_users(load_dataset(tmp_path / "all"), 10, 0)
    save_sample(some, tmp_path / "all", tmp_path / "some")
    read = load_dataset(tmp_path / "some")
    assert (read.users, read.interactions) == (some.users, some.interactions)
    for name in ("codes.json", "items.jsonl", "quantizer/quantizer.json"):
        assert (tmp_path / "some" / name).read_bytes() == (tmp_path / "all" / name).read_bytes()


@pytest.mark.parametrize("users", [1, 39])
def test_texts_about_users_that_were_not_drawn_stay_behind(make_dataset, tmp_path, users):
    data = make_dataset(users=40)
    last = data.users[-1]
    save_dataset(dataclasses.replace(data, user_texts={last: UserTexts(last, ("likes it",))}), tmp_path / "all")
    some = sample_users(load_dataset(tmp_path / "all"), users, 0)
    save_sample(some, tmp_path / "all", tmp_path / "some")
    assert set(load_dataset(tmp_path / "some").user_texts) == {last} & set(some.users)
