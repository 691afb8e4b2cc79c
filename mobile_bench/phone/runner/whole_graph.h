// Forms `loop` and `unrolled`: one graph, from item rows to ranked item rows (docs/bundle.md, "Asking").
#pragma once

#include <vector>

#include "catalog.h"
#include "engine.h"
#include "graph.h"

namespace odllm {

class WholeGraph : public Engine {
  public:
    // The catalogue stays the caller's. Throws Refusal: the graph cannot be opened.
    WholeGraph(const Runtime& runtime, const Manifest& manifest, const Catalog& catalog, const OpenOptions& how);

    Ranked run(const Rows& history, const Rows& blocked, KeptCache* cache) override;
    Json profiled_nodes() override { return graph_.profiled_nodes(); }

  private:
    void add_fixed(const char* name, Value value);

    const Runtime& runtime_;
    Graph graph_;
    std::int64_t no_tokens_ = 0;
    bool keep_ = true, forget_ = false;
    std::vector<const char*> fixed_names_;
    std::vector<Value> fixed_values_;
    Value empty_cache_, no_cached_tokens_, return_cache_, forget_cache_;
};

}  // namespace odllm
