# Read by CMake when `make llama-cpp` builds llama-cpp-python, which would turn this library on: its servers and chat
# templates are half of the compilation, and the decoder needs none of them.
set(LLAMA_BUILD_COMMON OFF)
