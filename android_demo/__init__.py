"""The demo app, its library for Android, and their build without an SDK."""
