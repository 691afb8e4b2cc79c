"""Building and testing the demo app where there is no Android SDK: `python -m android_demo.tools --help`.

Gradle and the Android Gradle Plugin are what an app developer uses (android_demo/*.gradle.kts). What they would call is
called here one by one: Kotlin's compiler, aapt2, D8, R8, bundletool, apksigner, all from package registries.
"""
