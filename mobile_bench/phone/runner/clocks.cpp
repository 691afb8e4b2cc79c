#include "clocks.h"

#include <unistd.h>

#include <ctime>
#include <fstream>
#include <string>

namespace odllm {
namespace {

std::int64_t read_ns(clockid_t clock) {
    timespec now{};
    clock_gettime(clock, &now);
    return std::int64_t{now.tv_sec} * 1'000'000'000 + now.tv_nsec;
}

}  // namespace

std::int64_t elapsed_ns() { return read_ns(CLOCK_MONOTONIC); }

std::int64_t process_cpu_ns() { return read_ns(CLOCK_PROCESS_CPUTIME_ID); }

std::optional<double> busy_seconds() {
    std::ifstream file("/proc/stat");  // closed to apps since Android 8, open to the shell
    std::string name;
    double user = 0, nice = 0, system = 0;
    if (!(file >> name >> user >> nice >> system) || name != "cpu") return std::nullopt;
    return (user + nice + system) / static_cast<double>(sysconf(_SC_CLK_TCK));
}

}  // namespace odllm
