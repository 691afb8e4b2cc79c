#include "trie_search.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <set>

#include "refusal.h"

namespace odllm {
namespace {

// Of no numbers: 0, which can be subtracted.
float log_sum_exp(const float* values, std::int64_t count) {
    float largest = -std::numeric_limits<float>::infinity();
    for (std::int64_t i = 0; i < count; ++i) largest = std::max(largest, values[i]);
    if (!std::isfinite(largest)) return 0.0F;
    double total = 0;
    for (std::int64_t i = 0; i < count; ++i) total += std::exp(values[i] - largest);
    return largest + static_cast<float>(std::log(total));
}

std::vector<std::int32_t> live_without(const Catalog& catalog, const Rows& blocked) {
    std::vector<std::int32_t> live = catalog.live_items;
    for (const std::int64_t row : std::set<std::int64_t>(blocked.begin(), blocked.end())) {
        const std::int32_t* path = &catalog.item_path[static_cast<std::size_t>(row * (catalog.levels + 1))];
        if (live[static_cast<std::size_t>(path[catalog.levels])] == 0) continue;  // blocked before: not counted twice
        for (std::int64_t depth = 0; depth <= catalog.levels; ++depth) --live[static_cast<std::size_t>(path[depth])];
        --live[0];
    }
    return live;
}

}  // namespace

TrieSearch::TrieSearch(const Catalog& catalog, const Rows& blocked, std::int64_t num_beams, bool scores_codes,
                       std::int64_t code_row)
    : catalog_(catalog),
      live_(live_without(catalog, blocked)),
      num_beams_(num_beams),
      scores_codes_(scores_codes),
      code_row_(code_row) {}

std::vector<Beam> TrieSearch::grow(const std::vector<Beam>& beams, const float* logits, std::int64_t rows) const {
    std::vector<Beam> found;
    std::vector<float> gathered;
    for (const Beam& beam : beams) {
        const std::vector<std::int32_t> nodes = children(beam);
        gathered.clear();
        for (const std::int32_t node : nodes) {
            const std::int64_t row = catalog_.node_code[static_cast<std::size_t>(node)] + code_row_;
            if (row < 0 || row >= rows) throw bad_input("the graph's head has fewer rows than the catalogue has codes");
            gathered.push_back(logits[row]);
        }
        const float normaliser = scores_codes_ ? log_sum_exp(gathered.data(), static_cast<std::int64_t>(gathered.size()))
                                               : log_sum_exp(logits, rows);
        for (std::size_t child = 0; child < nodes.size(); ++child) {
            found.push_back({beam.path, beam.score + gathered[child] - normaliser});
            found.back().path.push_back(nodes[child]);
        }
        logits += rows;
    }
    return best(std::move(found));
}

Ranked TrieSearch::items(const std::vector<Beam>& beams) const {
    std::vector<Beam> found;
    for (const Beam& beam : beams) {
        for (const std::int32_t node : children(beam)) found.push_back({{node}, beam.score});
    }
    Ranked ranked;
    for (const Beam& beam : best(std::move(found))) {
        ranked.items.push_back(catalog_.item_order[static_cast<std::size_t>(beam.node() - catalog_.nodes)]);
        ranked.scores.push_back(beam.score);
    }
    return ranked;
}

std::vector<std::int32_t> TrieSearch::children(const Beam& beam) const {
    const auto node = static_cast<std::size_t>(beam.node());
    std::vector<std::int32_t> found;
    for (std::int32_t child = catalog_.child_start[node]; child < catalog_.child_start[node + 1]; ++child) {
        if (live_[static_cast<std::size_t>(child)] > 0) found.push_back(child);
    }
    return found;
}

// Equal scores stay in order; what is no number does not rank.
std::vector<Beam> TrieSearch::best(std::vector<Beam> found) const {
    found.erase(std::remove_if(found.begin(), found.end(), [](const Beam& one) { return !std::isfinite(one.score); }),
                found.end());
    std::stable_sort(found.begin(), found.end(), [](const Beam& one, const Beam& other) { return one.score > other.score; });
    if (static_cast<std::int64_t>(found.size()) > num_beams_) found.resize(static_cast<std::size_t>(num_beams_), {{0}, 0});
    return found;
}

}  // namespace odllm
