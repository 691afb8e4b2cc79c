#include "process_memory.h"

#include <algorithm>
#include <chrono>
#include <fstream>
#include <map>
#include <sstream>
#include <string>

#include "refusal.h"

namespace odllm {
namespace {

constexpr auto kSampleEvery = std::chrono::milliseconds(3);

// The lines `Name:   123 kB` of a file in /proc, in bytes.
std::map<std::string, std::int64_t> kilobyte_fields(const char* path) {
    std::map<std::string, std::int64_t> fields;
    std::ifstream file(path);
    for (std::string line; std::getline(file, line);) {
        std::istringstream words(line);
        std::string name, unit;
        std::int64_t count = 0;
        if (words >> name >> count >> unit && unit == "kB" && name.back() == ':') {
            name.pop_back();
            fields[name] = count * 1024;
        }
    }
    return fields;
}

}  // namespace

Resident resident_memory() {
    auto fields = kilobyte_fields("/proc/self/status");
    if (fields.count("VmRSS") == 0) throw device_fault("/proc/self/status does not tell this process's memory");
    // Shared memory is written to swap, not dropped: it counts as the process's own.
    return {fields["VmRSS"], fields["RssAnon"] + fields["RssShmem"], fields["RssFile"], fields["VmHWM"]};
}

std::int64_t available_memory_bytes() { return kilobyte_fields("/proc/meminfo")["MemAvailable"]; }

MemorySampler::MemorySampler()
    : thread_([this] {
          while (!stopping_) {
              sample();
              std::this_thread::sleep_for(kSampleEvery);
          }
      }) {}

MemorySampler::~MemorySampler() { stop(); }

void MemorySampler::stop() {
    stopping_ = true;
    if (!thread_.joinable()) return;
    thread_.join();
    sample();
}

void MemorySampler::sample() {
    const Resident now = resident_memory();
    anonymous_peak_ = std::max(anonymous_peak_, now.anonymous);
    file_backed_peak_ = std::max(file_backed_peak_, now.file_backed);
}

}  // namespace odllm
