// Constrained beam search over the catalogue's trie, as `odllm_export/trie_search.py` does it.
#pragma once

#include <cstdint>
#include <vector>

#include "catalog.h"
#include "engine.h"

namespace odllm {

// One live end of a search.
struct Beam {
    std::vector<std::int32_t> path;  // nodes from the root to its own
    float score;                     // sum of the log-probabilities of the path's codes

    std::int32_t node() const { return path.back(); }
};

class TrieSearch {
  public:
    // A search that never returns the items at rows `blocked`. `code_row` is the head's row of the first code.
    TrieSearch(const Catalog& catalog, const Rows& blocked, std::int64_t num_beams, bool scores_codes,
               std::int64_t code_row);

    static std::vector<Beam> root() { return {{{0}, 0.0F}}; }

    // The best of all live children. `logits` holds `rows` numbers a beam. Throws Refusal: the head lacks the codes.
    std::vector<Beam> grow(const std::vector<Beam>& beams, const float* logits, std::int64_t rows) const;

    // The live items of complete beams: best first, those of one code in row order.
    Ranked items(const std::vector<Beam>& beams) const;

  private:
    std::vector<std::int32_t> children(const Beam& beam) const;
    std::vector<Beam> best(std::vector<Beam> found) const;

    const Catalog& catalog_;
    std::vector<std::int32_t> live_;
    std::int64_t num_beams_;
    bool scores_codes_;
    std::int64_t code_row_;
};

}  // namespace odllm
