// An opened bundle: item rows in, ranked item rows out (docs/bundle.md, "Asking").
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "bundle.h"
#include "catalog.h"
#include "runtime.h"

namespace odllm {

using Rows = std::vector<std::int64_t>;

// How a bundle is opened; `profile_prefix` is where the runtime writes its profile, if it shall.
struct OpenOptions {
    std::string provider = "cpu";
    int threads = 1;
    std::string profile_prefix;
};

// Item rows and their scores, best first.
struct Ranked {
    Rows items;
    std::vector<float> scores;
};

// What a call takes from the one before it, and leaves for the next.
struct KeptCache {
    Value values{nullptr, ReleaseValue{nullptr}};
    std::int64_t tokens = 0;  // how many of them the next prompt begins with
};

class Recommender {
  public:
    // Opens a bundle; everything is checked before anything large is loaded. Throws Refusal: it may not be opened.
    Recommender(const Runtime& runtime, const std::string& folder, const OpenOptions& how);

    // Asks about a history. `cache`, if given, is read and replaced. Throws Refusal: rows outside the catalogue, or a
    // graph that cannot be run.
    Ranked recommend(const Rows& history, const Rows& blocked = {}, KeptCache* cache = nullptr);

    // Ends the profile and returns its path.
    std::string end_profiling();

    const Manifest& manifest() const { return manifest_; }

  private:
    void check_graph() const;
    void check_rows(const Rows& history, const Rows& blocked) const;
    Ranked ranked(const OrtValue* items, const OrtValue* scores, const Rows& blocked) const;

    const Runtime& runtime_;
    Manifest manifest_;
    Catalog catalog_;
    Session session_;
    std::int64_t no_tokens_ = 0;
    bool keep_ = true, forget_ = false;
    std::vector<const char*> fixed_names_;
    std::vector<Value> fixed_values_;
    Value empty_cache_, no_cached_tokens_, return_cache_, forget_cache_;
};

}  // namespace odllm
