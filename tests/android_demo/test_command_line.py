import pytest

from android_demo.tools import __main__ as program


def test_missing_jdk_ends_with_words_and_code_2(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("JAVA_HOME", raising=False)
    assert program.main(["--out", str(tmp_path / "out"), "build"]) == 2
    assert "error: java is not here: install a JDK of version 17 or newer" in capsys.readouterr().err


def test_older_jdk_is_refused(tmp_path, monkeypatch, capsys):
    for name in ("java", "javac", "keytool"):
        (tmp_path / name).write_text("#!/bin/sh\necho javac 1.8.0_292\n")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin:/usr/bin")
    monkeypatch.delenv("JAVA_HOME", raising=False)
    assert program.main(["fetch"]) == 2
    assert "calls itself 'javac 1.8.0_292'" in capsys.readouterr().err


def test_ctrl_c_ends_with_what_a_shell_reports(monkeypatch, capsys):
    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(program, "build", interrupted)
    assert program.main(["build"]) == 130
    assert "the same command goes on from there" in capsys.readouterr().err


def test_verb_is_asked_for(capsys):
    with pytest.raises(SystemExit, match="2"):
        program.main([])
    assert "VERB" in capsys.readouterr().err


def test_folder_of_bundles_that_is_not_there_is_named(tmp_path, capsys):
    assert program.main(["test-jvm", "--bundles", str(tmp_path / "nowhere")]) == 2
    assert f"error: {tmp_path / 'nowhere'} is not a folder" in capsys.readouterr().err
