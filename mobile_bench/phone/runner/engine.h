// What answers a call: the graph of a whole recommender, or two graphs of fixed shapes with a search around them.
#pragma once

#include <cstdint>
#include <vector>

#include "json.h"
#include "runtime.h"

namespace odllm {

using Rows = std::vector<std::int64_t>;

// Item rows and their scores, best first.
struct Ranked {
    Rows items;
    std::vector<float> scores;
};

// What a call takes from the one before it, and leaves for the next: keys and values of the prompt's tokens.
struct KeptCache {
    Value value{nullptr, ReleaseValue{nullptr}};  // as the whole graph returned it
    std::vector<std::vector<float>> columns;      // as the steps' buffers hold them
    std::int64_t tokens = 0;                      // how many of them the next prompt begins with
};

class Engine {
  public:
    Engine() = default;
    Engine(const Engine&) = delete;
    Engine& operator=(const Engine&) = delete;
    virtual ~Engine() = default;

    // Answers a call whose rows were checked; `cache`, if given, is read and replaced.
    virtual Ranked run(const Rows& history, const Rows& blocked, KeptCache* cache) = 0;

    // Ends the profile and returns the nodes that ran.
    virtual Json profiled_nodes() = 0;
};

}  // namespace odllm
