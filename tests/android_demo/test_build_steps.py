import pytest

from android_demo.tools.steps import Steps


@pytest.fixture
def source(tmp_path):
    path = tmp_path / "source"
    path.write_text("one")
    return path


@pytest.fixture
def steps(tmp_path):
    return Steps(tmp_path / "out", report=lambda _: None)


class Making:
    """Copies the source, and counts how often."""

    def __init__(self, source):
        self.source, self.times = source, 0

    def make(self, folder):
        self.times += 1
        (folder / "copy").write_text(self.source.read_text())


def test_step_with_the_same_inputs_is_not_repeated(steps, source):
    making = Making(source)
    folders = [steps.run("copy", [source], ["x"], making.make) for _ in range(2)]
    assert making.times == 1
    assert (folders[1] / "copy").read_text() == "one"


@pytest.mark.parametrize("change", ["content", "options", "name"])
def test_step_is_repeated_when_an_input_changes(steps, source, change):
    making = Making(source)
    steps.run("copy", [source], ["x"], making.make)
    if change == "content":
        source.write_text("two")
    if change == "name":
        making.source = source = source.rename(source.with_name("renamed"))
    folder = steps.run("copy", [source], ["y" if change == "options" else "x"], making.make)
    assert making.times == 2
    assert (folder / "copy").read_text() == source.read_text()


def test_folders_count_with_all_files_in_them(steps, source, tmp_path):
    making = Making(source)
    (tmp_path / "folder" / "deep").mkdir(parents=True)
    steps.run("copy", [tmp_path / "folder"], [], making.make)
    (tmp_path / "folder" / "deep" / "new").write_text("")
    steps.run("copy", [tmp_path / "folder"], [], making.make)
    assert making.times == 2


@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError])
def test_step_that_ends_early_leaves_what_was_there(steps, source, error):
    def half(folder):
        (folder / "half").write_text("")
        raise error

    steps.run("copy", [source], [], Making(source).make)
    source.write_text("two")
    with pytest.raises(error):
        steps.run("copy", [source], [], half)
    assert sorted(path.name for path in (steps.folder / "copy").iterdir()) == ["copy", "inputs.sha256"]
    assert [path.name for path in steps.folder.iterdir() if not path.name.endswith(".lock")] == ["copy"]
