"""No telemetry: importing this module, before the runtime, keeps the runtime from collecting or sending anything.

From 1.29 on, the packages of ONNX Runtime for Linux, macOS, Android and iOS report sessions and models to their maker
unless this variable is set before the library is loaded; switching its events off afterwards still leaves a device
identifier on disk (tried with 1.31). What a person takes an interest in stays on the device here, and so does
everything about it.
"""

import os

os.environ["ORT_DISABLE_TELEMETRY"] = "1"
