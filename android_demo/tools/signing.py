"""Signing with a key that is made on the spot, for installing on one's own phone; stores want another."""

from __future__ import annotations

from pathlib import Path

from android_demo.tools.settings import AppSettings
from android_demo.tools.steps import Steps
from android_demo.tools.toolchain import android_jar, jdk_program, run_java, run_tool
from odllm_artifact import write_folder

_PASSWORD = "android"
_ALIAS = "androiddebugkey"
"""Password and alias of debug keys, which are no secret: Android Studio's have the same."""
_APKSIGNER = "com.android.apksigner.ApkSignerTool"
_VALID_DAYS = "10000"


def debug_key(steps: Steps) -> Path:
    """Return a key store that is made once: phones take a new version of an app only from the old one's key."""
    store = steps.folder / "debug-key" / "debug.keystore"
    words = ["-genkeypair", "-storetype", "PKCS12", "-storepass", _PASSWORD, "-keypass", _PASSWORD, "-alias", _ALIAS]
    words += ["-dname", "CN=Android Debug", "-keyalg", "RSA", "-keysize", "2048", "-validity", _VALID_DAYS]
    with steps.alone("debug-key"):
        if not store.is_file():
            with write_folder(store.parent, overwrite=True) as staging:
                run_tool([jdk_program("keytool"), *words, "-keystore", str(staging / store.name)], "making a debug key")
    return store


def sign(unsigned: Path, key: Path, signed: Path, settings: AppSettings) -> None:
    """Sign an aligned APK by schemes 2 and 3, which cover the whole file, and check what came out.

    Raises:
        ToolError: it cannot be signed.
    """
    words = ["sign", "--ks", str(key), "--ks-pass", f"pass:{_PASSWORD}", "--ks-key-alias", _ALIAS]
    words += [
        "--min-sdk-version",
        str(settings.min_sdk),
        "--v1-signing-enabled",
        "false",
        "--v4-signing-enabled",
        "false",
    ]
    words += ["--out", str(signed), str(unsigned)]
    run_java([android_jar("apksigner")], _APKSIGNER, words, f"signing {signed.name}")
    verify(signed, settings)


def verify(package: Path, settings: AppSettings) -> str:
    """Check the signature of an APK and return what apksigner says of it.

    Raises:
        ToolError: it is not signed, or was changed after it was signed.
    """
    words = ["verify", "--verbose", "--min-sdk-version", str(settings.min_sdk), str(package)]
    return run_java([android_jar("apksigner")], _APKSIGNER, words, f"verifying {package.name}")
