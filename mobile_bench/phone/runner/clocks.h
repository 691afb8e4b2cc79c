// Clocks of measurements: elapsed time, processor time of this process, and of everything on the machine.
#pragma once

#include <cstdint>
#include <optional>

namespace odllm {

// Nanoseconds of a clock that never jumps. It begins anywhere.
std::int64_t elapsed_ns();

// Nanoseconds that all threads of this process were running.
std::int64_t process_cpu_ns();

// Seconds that all processors were busy since the system started; nothing where it does not tell.
std::optional<double> busy_seconds();

}  // namespace odllm
