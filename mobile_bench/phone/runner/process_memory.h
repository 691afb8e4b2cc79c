// What the kernel says about this process's memory, and the system's.
#pragma once

#include <atomic>
#include <cstdint>
#include <thread>

namespace odllm {

// Resident bytes: `anonymous` is the process's own, `file_backed` could be dropped and read again.
struct Resident {
    std::int64_t total = 0;
    std::int64_t anonymous = 0;
    std::int64_t file_backed = 0;
    std::int64_t peak = 0;  // the most that was ever resident at once
};

// Reads /proc/self/status. Throws Refusal: it cannot be read.
Resident resident_memory();

// Memory that is free for programs; 0 where the system does not tell.
std::int64_t available_memory_bytes();

// A thread that watches what the kernel keeps no peaks of. For memory passes only: it takes time.
class MemorySampler {
  public:
    MemorySampler();
    ~MemorySampler();
    MemorySampler(const MemorySampler&) = delete;
    MemorySampler& operator=(const MemorySampler&) = delete;

    // Ends the thread and takes a last sample; the peaks are final then.
    void stop();

    std::int64_t anonymous_peak() const { return anonymous_peak_; }
    std::int64_t file_backed_peak() const { return file_backed_peak_; }

  private:
    void sample();

    std::atomic<bool> stopping_{false};
    std::int64_t anonymous_peak_ = 0;
    std::int64_t file_backed_peak_ = 0;
    std::thread thread_;  // last: it begins when the rest is there
};

}  // namespace odllm
