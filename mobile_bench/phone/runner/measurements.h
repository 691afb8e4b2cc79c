// What a worker does when it is asked: the requests of `mobile_bench/protocol.py`, each with its answer.
#pragma once

#include <memory>
#include <vector>

#include "json.h"
#include "recommender.h"
#include "runtime.h"

namespace odllm {

// A bundle and the histories to ask it about.
class OpenedBundle {
  public:
    OpenedBundle(const Runtime& runtime, const Json& request, const std::string& profile_prefix = "");

    // Asks about one history; numbers beyond the last begin again at the first.
    void call(std::int64_t number);

    const Rows& history(std::int64_t number) const;
    Recommender& recommender() { return recommender_; }

  private:
    Recommender recommender_;
    std::vector<Rows> histories_;
};

// Answers requests, and keeps the bundle that was opened for timing.
class Worker {
  public:
    explicit Worker(const Runtime& runtime) : runtime_(runtime) {}

    // Carries out one request. Throws Refusal: it cannot be met.
    Json answer(const Json& request);

  private:
    Json measure_load(const Json& request) const;
    Json inspect(const Json& request) const;
    Json measure_memory(const Json& request) const;
    Json measure_phases(const Json& request) const;
    Json open(const Json& request);
    Json time_round(const Json& request);
    Json soak(const Json& request);
    OpenedBundle& opened(const char* what);

    const Runtime& runtime_;
    std::unique_ptr<OpenedBundle> opened_;
};

}  // namespace odllm
