import pytest

from android_demo.tools.api_check import ApiCheck, NewerUse
from android_demo.tools.class_file import ClassFile, Member
from android_demo.tools.framework_check import untrue_signatures, unused_signatures

TO_STRING = Member("java/lang/Object", "toString", "()Ljava/lang/String;")
VIEW = Member("android/view/View", "setVisibility", "(I)V")
INSETS = Member("android/view/View", "getInsets", "()I")
CLICKED = Member("android/view/View$Listener", "onClick", "()V")


def class_file(name, *declared, parents=("java/lang/Object",), abstract=(), classes=(), members=()):
    named = frozenset({name, *classes, *(member.owner for member in members)})
    return ClassFile(
        name, bool(abstract), parents, frozenset(declared), frozenset(abstract), frozenset(), named, frozenset(members)
    )


PLATFORM = {
    each.name: each
    for each in (
        class_file("java/lang/Object", TO_STRING, parents=()),
        class_file("android/view/View", VIEW, INSETS),
        class_file("android/view/View$Listener", CLICKED, abstract=[CLICKED]),
        class_file("android/widget/Button", parents=("android/view/View",)),
    )
}
FRAMEWORK = {name: each for name, each in PLATFORM.items() if name.startswith("android/")}


CLASS_LEVELS = {**dict.fromkeys(PLATFORM, 1), "java/nio/file/Path": 26}
MEMBER_LEVELS = {VIEW: 1, INSETS: 30, CLICKED: 1}


class Levels:
    """The few levels that the tests ask for."""

    def of_class(self, name):
        return CLASS_LEVELS.get(name)

    def of_member(self, member):
        return MEMBER_LEVELS.get(member)


@pytest.fixture
def check():
    return ApiCheck(Levels(), PLATFORM)


def use(owner, name, descriptor):
    return class_file("org/App", members=[Member(owner, name, descriptor)])


def test_members_that_a_class_inherits_are_found_above_it(check):
    assert check.newer_uses([use("android/widget/Button", "setVisibility", "(I)V")], 24) == []


def test_newer_member_is_told_with_its_level(check):
    found = check.newer_uses([use("android/widget/Button", "getInsets", "()I")], 24)
    assert found == [NewerUse("org/App", "android/widget/Button.getInsets", 30)]
    assert str(found[0]) == "org/App uses android/widget/Button.getInsets: since API 30"
    assert check.newer_uses([use("android/widget/Button", "getInsets", "()I")], 30) == []


def test_newer_class_is_told(check):
    found = check.newer_uses([class_file("org/App", classes=["java/nio/file/Path"])], 24)
    assert found == [NewerUse("org/App", "java/nio/file/Path", 26)]


def test_what_no_android_has_is_told(check):
    found = check.newer_uses([use("java/lang/Object", "isBlank", "()Z")], 24)
    assert str(found[0]).endswith("no Android up to API 31 has it")


def test_methods_of_every_object_are_everywhere(check):
    assert check.newer_uses([use("android/view/View", "toString", "()Ljava/lang/String;")], 24) == []


def test_classes_of_ours_and_of_libraries_are_not_asked_about(check):
    assert check.newer_uses([use("kotlin/Unit", "anything", "()V")], 24) == []


def test_true_signatures_pass_and_others_are_named(check):
    assert untrue_signatures(check, FRAMEWORK.values()) == []
    wrong = class_file("android/view/View", Member("android/view/View", "setVisibility", "(J)V"))
    assert untrue_signatures(check, [wrong]) == ["android/view/View.setVisibility(J)V"]
    assert untrue_signatures(check, [class_file("android/view/Vieww")]) == ["android/view/Vieww"]


def test_signatures_that_nobody_needs_are_named():
    app = {"org/App": class_file("org/App", members=[VIEW])}
    unused = unused_signatures(FRAMEWORK, PLATFORM, app, ["view.setVisibility(0)"])
    assert unused == ["android/view/View$Listener", "android/view/View.getInsets()I", "android/widget/Button"]


@pytest.mark.parametrize("source", ["view.insets", "view.getInsets()"])
def test_member_named_in_a_source_is_needed(source):
    app = {"org/App": class_file("org/App", members=[VIEW], classes=["android/widget/Button"])}
    unused = unused_signatures(FRAMEWORK, PLATFORM, app, [source, "View Listener"])
    assert unused == []  # the listener's method is what a listener has to write


def test_method_that_our_class_overrides_is_needed():
    screen = class_file(
        "org/Screen", Member("org/Screen", "getInsets", "()I"), parents=("android/widget/Button",), members=[VIEW]
    )
    unused = unused_signatures(FRAMEWORK, PLATFORM, {"org/Screen": screen}, ["android.widget.Button"])
    assert "android/view/View.getInsets()I" not in unused
