// What the runner says instead of an answer: words, and the exit code that `odllm` ends with.
#pragma once

#include <stdexcept>
#include <string>

namespace odllm {

// A request that cannot be met, for a reason that the user can change.
class Refusal : public std::runtime_error {
  public:
    Refusal(const std::string& words, int code) : std::runtime_error(words), exit_code(code) {}

    const int exit_code;
};

// The bundle or the request is wrong.
inline Refusal bad_input(const std::string& words) { return {words, 2}; }

// The device, or the runtime on it, cannot do it.
inline Refusal device_fault(const std::string& words) { return {words, 4}; }

}  // namespace odllm
