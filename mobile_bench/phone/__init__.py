"""Bundles measured on phones over adb, by a native runner or an app."""
