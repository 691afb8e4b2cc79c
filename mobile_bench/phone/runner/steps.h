// Form `steps`: two decoder graphs of fixed shapes, and the search around them (docs/forms.md).
#pragma once

#include <string>
#include <vector>

#include "catalog.h"
#include "engine.h"
#include "graph.h"
#include "trie_search.h"

namespace odllm {

class Steps : public Engine {
  public:
    // The catalogue stays the caller's. Throws Refusal: a graph cannot be opened, or the manifest does not fit.
    Steps(const Runtime& runtime, const Manifest& manifest, const Catalog& catalog, const OpenOptions& how);

    Ranked run(const Rows& history, const Rows& blocked, KeptCache* cache) override;
    Json profiled_nodes() override;

  private:
    // Keys and values of one call by layer, `[kv heads, columns, head size]` each, and the trie node of each column.
    struct Buffers {
        std::vector<std::vector<float>> columns;
        std::vector<std::int32_t> labels;
    };

    // What one run reads beside the buffers.
    struct Feed {
        std::vector<std::int32_t> ids, positions;
        std::vector<float> mask;
    };

    std::vector<std::int64_t> prompt_rows(const Rows& history) const;
    std::int64_t row_of(std::int64_t token) const;
    Buffers filled(const KeptCache* cache, std::int64_t cached) const;
    std::vector<float> run_prompt(const std::vector<std::int64_t>& ids, std::int64_t cached, Buffers& buffers) const;
    std::vector<float> run_step(const std::vector<Beam>& beams, std::int64_t prompt_tokens, std::int64_t level,
                                Buffers& buffers) const;
    void see(Feed& feed, std::int64_t row, std::int64_t rows, const std::vector<std::int32_t>& path,
             const Buffers& buffers) const;
    std::vector<float> run_graph(const Graph& graph, const Feed& feed, std::int64_t rows, const std::int32_t* last,
                                 std::int64_t at, const std::vector<std::int32_t>& labels, Buffers& buffers) const;
    void write(std::int64_t at, std::int64_t count, const std::vector<float>& tokens, std::int64_t rows,
               std::vector<float>& columns) const;
    void keep(std::int64_t tokens, const Buffers& buffers, KeptCache& cache) const;

    const Runtime& runtime_;
    const Manifest& manifest_;
    const Catalog& catalog_;
    Graph prefill_, step_;
    std::int64_t heads_, head_size_, columns_, code_row_;
    std::vector<std::string> names_;      // of the buffers' inputs
    std::vector<std::string> new_names_;  // of the outputs that are written behind them
};

}  // namespace odllm
