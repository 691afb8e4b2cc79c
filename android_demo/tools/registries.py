"""Archives from package registries, through the registries' own clients: pip, npm, apt-get."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from android_demo.tools.errors import FetchError

_DEBIAN_SUITE = "bookworm"
_KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"
_PYTHON = "3.12"
"""The tools are no Python programs, or run on any: pip is not to look for one that fits ours."""


def from_pypi(name: str, version: str, folder: Path) -> Path:
    """Download a wheel without its dependencies.

    Raises:
        FetchError: pip fails.
    """
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:"]
    return _download([*pip, "--python-version", _PYTHON, f"{name}=={version}"], folder, "*.whl")


def from_npm(name: str, version: str, folder: Path) -> Path:
    """Download a package of npm's registry.

    Raises:
        FetchError: npm is missing or fails.
    """
    npm = _program("npm", "Node.js with npm (Debian: apt-get install npm)")
    return _download([npm, "pack", "--silent", f"{name}@{version}"], folder, "*.tgz")


def from_debian(name: str, version: str, folder: Path) -> Path:
    """Download a Debian package, whatever release this machine runs, without its package state or root.

    Raises:
        FetchError: apt-get is missing or fails.
    """
    apt_get = _program("apt-get", f"apt-get (Debian or a derivative): {name} is a Debian package")
    options = debian_options(folder / "apt", _DEBIAN_SUITE, "amd64")
    _run([apt_get, *options, "update"], folder)
    return _download([apt_get, *options, "download", f"{name}={version}"], folder, "*.deb")


def debian_options(folder: Path, suite: str, architecture: str) -> list[str]:
    """Make a package state of its own for apt-get in a folder and return the options that have it used.

    Raises:
        FetchError: the machine's own apt knows no Debian mirror.
    """
    for made in (folder / "lists" / "partial", folder / "cache" / "archives" / "partial", folder / "state"):
        made.mkdir(parents=True)
    (folder / "state" / "status").touch()
    (folder / "debian.sources").write_text(
        f"Types: deb\nURIs: {_mirror()}\nSuites: {suite}\nComponents: main\n"
        f"Architectures: {architecture}\nSigned-By: {_KEYRING}\n"
    )
    options = {
        "APT::Architecture": architecture,
        "APT::Architectures": architecture,
        "APT::Sandbox::User": "root",
        "Dir::State::status": folder / "state" / "status",
        "Dir::Etc::sourcelist": folder / "debian.sources",
        "Dir::Etc::sourceparts": "-",
        "Dir::State": folder / "state",
        "Dir::State::lists": folder / "lists",
        "Dir::Cache": folder / "cache",
    }
    return ["--quiet", *(word for key, value in options.items() for word in ("-o", f"{key}={value}"))]


def unpack_debian(package: Path, into: Path) -> None:
    """Write the files of a Debian package into a folder.

    Raises:
        FetchError: dpkg-deb is missing or fails.
    """
    _run([_program("dpkg-deb", "dpkg-deb (Debian: apt-get install dpkg)"), "-x", str(package), str(into)], into.parent)


def _mirror() -> str:
    """Return the mirror that this machine's own apt uses."""
    for path in sorted(Path("/etc/apt").glob("sources.list*")) + sorted(Path("/etc/apt/sources.list.d").glob("*")):
        if path.is_file():
            for address in re.findall(r"https?://\S+", path.read_text(errors="replace")):
                if address.rstrip("/").endswith("/debian"):
                    return str(address)
    raise FetchError("no Debian mirror in /etc/apt, from where Debian packages would be downloaded; name one there")


def _program(name: str, what: str) -> str:
    found = shutil.which(name)
    if found is None:
        raise FetchError(f"{name} is not here: install {what}")
    return found


def _download(command: Sequence[str], folder: Path, pattern: str) -> Path:
    _run(command, folder)
    archives = list(folder.glob(pattern))
    if len(archives) != 1:
        raise FetchError(f"`{' '.join(command)}` left {len(archives)} files {pattern}, one was expected")
    return archives[0]


def _run(command: Sequence[str], folder: Path) -> None:
    found = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if found.returncode:
        said = " ".join((found.stderr or found.stdout).split())[-400:]
        raise FetchError(
            f"{Path(command[0]).name} cannot fetch {command[-1]} and said {said!r}. Is a package index within reach?"
        )
