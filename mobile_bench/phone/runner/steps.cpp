#include "steps.h"

#include <algorithm>

#include "refusal.h"
#include "tensors.h"

namespace odllm {
namespace {

// What the mask adds where a token does not see a column: nothing is left of it behind the softmax, and half precision
// can hold it.
constexpr float kUnseen = -1e4F;
constexpr std::int32_t kEmpty = -1, kRoot = 0;

}  // namespace

Steps::Steps(const Runtime& runtime, const Manifest& manifest, const Catalog& catalog, const OpenOptions& how)
    : runtime_(runtime),
      manifest_(manifest),
      catalog_(catalog),
      prefill_(runtime, manifest, "prefill.onnx", how),
      step_(runtime, manifest, "step.onnx", how),
      heads_(manifest.cache_sizes[2]),
      head_size_(manifest.cache_sizes[3]),
      columns_(manifest.fixed_columns),
      code_row_(row_of(manifest.first_code_token)) {
    for (std::int64_t layer = 0; layer < manifest.cache_sizes[0]; ++layer) {
        for (const char* kind : {"keys_", "values_"}) names_.push_back(kind + std::to_string(layer));
    }
    for (const std::string& name : names_) new_names_.push_back("new_" + name);
}

Ranked Steps::run(const Rows& history, const Rows& blocked, KeptCache* cache) {
    const std::vector<std::int64_t> ids = prompt_rows(history);
    const auto prompt_tokens = static_cast<std::int64_t>(ids.size());
    std::int64_t cached = 0;
    // At least one token of the prompt is left to run.
    if (cache != nullptr && !cache->columns.empty()) cached = std::min(cache->tokens, prompt_tokens - 1);
    Buffers buffers = filled(cache, cached);
    const TrieSearch search(catalog_, blocked, manifest_.num_beams, manifest_.scores_codes, code_row_);
    std::vector<float> logits = run_prompt(ids, cached, buffers);
    std::vector<Beam> beams = search.grow(TrieSearch::root(), logits.data(), static_cast<std::int64_t>(logits.size()));
    for (std::int64_t level = 1; level < catalog_.levels && !beams.empty(); ++level) {
        logits = run_step(beams, prompt_tokens, level, buffers);
        beams = search.grow(beams, logits.data(), static_cast<std::int64_t>(logits.size()) / manifest_.num_beams);
    }
    const auto length = static_cast<std::int64_t>(history.size());
    if (cache != nullptr) keep(manifest_.reusable_tokens(length), buffers, *cache);
    return search.items(beams);
}

Json Steps::profiled_nodes() {
    const Json prefill = prefill_.profiled_nodes(), step = step_.profiled_nodes("step/");  // the graphs share names
    Json::Array nodes = prefill.as_array();
    nodes.insert(nodes.end(), step.as_array().begin(), step.as_array().end());
    return Json(std::move(nodes));
}

// Embedding rows of a history's prompt: prefix, the codes of the last items with separators between them, suffix.
std::vector<std::int64_t> Steps::prompt_rows(const Rows& history) const {
    std::vector<std::int64_t> tokens = manifest_.prefix_ids;
    const auto append = [&tokens](const std::vector<std::int64_t>& more) {
        tokens.insert(tokens.end(), more.begin(), more.end());
    };
    const auto length = static_cast<std::int64_t>(history.size());
    const std::int64_t first = length - std::min(length, manifest_.max_items);
    for (std::int64_t item = first; item < length; ++item) {
        if (item > first) append(manifest_.separator_ids);
        const std::int64_t path = history[static_cast<std::size_t>(item)] * (catalog_.levels + 1);
        for (std::int64_t level = 0; level < catalog_.levels; ++level) {
            const std::int32_t node = catalog_.item_path[static_cast<std::size_t>(path + level)];
            tokens.push_back(manifest_.first_code_token + catalog_.node_code.at(static_cast<std::size_t>(node)));
        }
    }
    append(manifest_.suffix_ids);
    for (std::int64_t& token : tokens) token = row_of(token);
    return tokens;
}

std::int64_t Steps::row_of(std::int64_t token) const {
    const auto& rows = manifest_.embedding_rows;
    if (rows.empty()) return token;
    const auto found = std::find(rows.begin(), rows.end(), token);
    if (found == rows.end()) throw bad_input("token " + std::to_string(token) + " is not in the bundle's embedding");
    return found - rows.begin();
}

Steps::Buffers Steps::filled(const KeptCache* cache, std::int64_t cached) const {
    const auto size = static_cast<std::size_t>(heads_ * columns_ * head_size_);
    Buffers buffers{std::vector<std::vector<float>>(names_.size(), std::vector<float>(size)),
                    std::vector<std::int32_t>(static_cast<std::size_t>(columns_), kEmpty)};
    if (cached == 0) return buffers;
    for (std::size_t i = 0; i < names_.size(); ++i) {
        const auto& kept = cache->columns[i];
        write(0, cached, kept, static_cast<std::int64_t>(kept.size()) / (heads_ * head_size_), buffers.columns[i]);
    }
    std::fill_n(buffers.labels.begin(), cached, kRoot);
    return buffers;
}

std::vector<float> Steps::run_prompt(const std::vector<std::int64_t>& ids, std::int64_t cached, Buffers& buffers) const {
    const std::int64_t rows = manifest_.fixed_chunk, tokens = static_cast<std::int64_t>(ids.size());
    std::vector<float> logits;
    for (std::int64_t at = cached; at < tokens; at += rows) {
        const std::int64_t count = std::min(rows, tokens - at);
        Feed feed;
        for (std::int64_t row = 0; row < rows; ++row) {
            const std::int64_t real = std::min(row, count - 1);  // what is left over repeats the last token
            feed.ids.push_back(static_cast<std::int32_t>(ids[static_cast<std::size_t>(at + real)]));
            feed.positions.push_back(static_cast<std::int32_t>(at + real));
            see(feed, row, rows, {kRoot}, buffers);
            const auto own = feed.mask.end() - rows;
            std::fill(own, own + real + 1, 0.0F);
        }
        const auto last = static_cast<std::int32_t>(count - 1);
        const std::vector<std::int32_t> labels(static_cast<std::size_t>(count), kRoot);
        logits = run_graph(prefill_, feed, rows, &last, at, labels, buffers);
    }
    return logits;
}

std::vector<float> Steps::run_step(const std::vector<Beam>& beams, std::int64_t prompt_tokens, std::int64_t level,
                                   Buffers& buffers) const {
    const std::int64_t rows = manifest_.num_beams, count = static_cast<std::int64_t>(beams.size());
    Feed feed;
    std::vector<std::int32_t> labels;
    for (std::int64_t row = 0; row < rows; ++row) {
        const std::int64_t real = std::min(row, count - 1);
        const Beam& beam = beams[static_cast<std::size_t>(real)];
        const std::int64_t code = catalog_.node_code.at(static_cast<std::size_t>(beam.node()));
        feed.ids.push_back(static_cast<std::int32_t>(code + code_row_));
        // The first code stands right behind the prompt.
        feed.positions.push_back(static_cast<std::int32_t>(prompt_tokens + level - 1));
        see(feed, row, rows, beam.path, buffers);
        *(feed.mask.end() - rows + real) = 0.0F;
        if (row < count) labels.push_back(beam.node());
    }
    return run_graph(step_, feed, rows, nullptr, prompt_tokens + (level - 1) * rows, labels, buffers);
}

// Adds a row to the mask: what a token sees of the columns, by the nodes on its path, and nothing yet of its own run.
void Steps::see(Feed& feed, std::int64_t row, std::int64_t rows, const std::vector<std::int32_t>& path,
                const Buffers& buffers) const {
    if (row == 0) feed.mask.reserve(static_cast<std::size_t>(rows * (columns_ + rows)));
    for (const std::int32_t label : buffers.labels) {
        feed.mask.push_back(std::find(path.begin(), path.end(), label) == path.end() ? kUnseen : 0.0F);
    }
    feed.mask.insert(feed.mask.end(), static_cast<std::size_t>(rows), kUnseen);
}

// Runs a graph, writes its keys and values into the columns from `at` on, and returns its logits.
std::vector<float> Steps::run_graph(const Graph& graph, const Feed& feed, std::int64_t rows, const std::int32_t* last,
                                    std::int64_t at, const std::vector<std::int32_t>& labels, Buffers& buffers) const {
    std::vector<const char*> names = {"ids", "positions", "mask"};
    std::vector<Value> values;
    values.push_back(tensor(runtime_, feed.ids.data(), feed.ids.size(), {1, rows}));
    values.push_back(tensor(runtime_, feed.positions.data(), feed.positions.size(), {1, rows}));
    values.push_back(tensor(runtime_, feed.mask.data(), feed.mask.size(), {1, 1, rows, columns_ + rows}));
    if (last != nullptr) {
        names.push_back("last");
        values.push_back(tensor(runtime_, last, 1, {1}));
    }
    std::vector<const char*> outputs = {"logits"};
    for (std::size_t i = 0; i < names_.size(); ++i) {
        const auto& columns = buffers.columns[i];
        names.push_back(names_[i].c_str());
        values.push_back(tensor(runtime_, columns.data(), columns.size(), {1, heads_, columns_, head_size_}));
        outputs.push_back(new_names_[i].c_str());
    }
    std::vector<const OrtValue*> inputs;
    for (const Value& value : values) inputs.push_back(value.get());
    const std::vector<Value> found = graph.run(names, inputs, outputs);
    // Nothing follows the last step: it has no columns.
    const std::int64_t count = std::clamp<std::int64_t>(columns_ - at, 0, static_cast<std::int64_t>(labels.size()));
    for (std::size_t i = 0; i < names_.size() && count > 0; ++i) {
        write(at, count, elements<float>(runtime_, found[i + 1].get()), rows, buffers.columns[i]);
    }
    if (count > 0) std::copy_n(labels.begin(), count, buffers.labels.begin() + at);
    return elements<float>(runtime_, found[0].get());
}

// Copies the first `count` of `rows` tokens, `[kv heads, rows, head size]`, into the columns from `at` on.
void Steps::write(std::int64_t at, std::int64_t count, const std::vector<float>& tokens, std::int64_t rows,
                  std::vector<float>& columns) const {
    if (static_cast<std::int64_t>(tokens.size()) != heads_ * rows * head_size_ || count > rows || at + count > columns_) {
        throw bad_input("the graph's keys and values have other sizes than the manifest says");
    }
    for (std::int64_t head = 0; head < heads_; ++head) {
        const auto from = tokens.begin() + head * rows * head_size_;
        std::copy_n(from, count * head_size_, columns.begin() + (head * columns_ + at) * head_size_);
    }
}

void Steps::keep(std::int64_t tokens, const Buffers& buffers, KeptCache& cache) const {
    cache.columns.clear();
    for (const auto& columns : buffers.columns) {
        std::vector<float>& kept = cache.columns.emplace_back();
        for (std::int64_t head = 0; head < heads_; ++head) {
            const auto from = columns.begin() + head * columns_ * head_size_;
            kept.insert(kept.end(), from, from + tokens * head_size_);
        }
    }
}

}  // namespace odllm
