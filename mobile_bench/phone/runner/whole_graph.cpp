#include "whole_graph.h"

#include "tensors.h"

namespace odllm {
namespace {

constexpr float kNothing = 0.0F;

Value empty_cache(const Runtime& runtime, const Manifest& manifest) {
    const auto& sizes = manifest.cache_sizes;
    return tensor(runtime, &kNothing, 0, {sizes[0], sizes[1], sizes[2], 0, sizes[3]});
}

}  // namespace

WholeGraph::WholeGraph(const Runtime& runtime, const Manifest& manifest, const Catalog& catalog, const OpenOptions& how)
    : runtime_(runtime),
      graph_(runtime, manifest, "recommend.onnx", how),
      empty_cache_(empty_cache(runtime, manifest)),
      no_cached_tokens_(tensor(runtime, &no_tokens_, 1, {1})),
      return_cache_(tensor(runtime, &keep_, 1, {1})),
      forget_cache_(tensor(runtime, &forget_, 1, {1})) {
    add_fixed("child_start", list(runtime, catalog.child_start));
    add_fixed("node_code", list(runtime, catalog.node_code));
    add_fixed("live_items", list(runtime, catalog.live_items));
    const auto& path = catalog.item_path;
    add_fixed("item_path", tensor(runtime, path.data(), path.size(), {catalog.items, catalog.levels + 1}));
    add_fixed("item_order", list(runtime, catalog.item_order));
    add_fixed("level_width", list(runtime, catalog.level_width));
}

void WholeGraph::add_fixed(const char* name, Value value) {
    fixed_names_.push_back(name);
    fixed_values_.push_back(std::move(value));
}

Ranked WholeGraph::run(const Rows& history, const Rows& blocked, KeptCache* cache) {
    const Value asked = list(runtime_, history), hidden = list(runtime_, blocked);
    const bool goes_on = cache != nullptr && cache->value != nullptr && cache->tokens > 0;
    Value cached_tokens{nullptr, ReleaseValue{&runtime_.api()}};
    if (goes_on) cached_tokens = tensor(runtime_, &cache->tokens, 1, {1});

    std::vector<const char*> names = fixed_names_;
    std::vector<const OrtValue*> inputs;
    for (const Value& value : fixed_values_) inputs.push_back(value.get());
    const auto add = [&](const char* name, const Value& value) {
        names.push_back(name);
        inputs.push_back(value.get());
    };
    add("history", asked);
    add("blocked", hidden);
    add("kv_cache", goes_on ? cache->value : empty_cache_);
    add("cached_tokens", goes_on ? cached_tokens : no_cached_tokens_);
    add("return_cache", cache != nullptr ? return_cache_ : forget_cache_);

    std::vector<const char*> outputs = {"items", "scores"};
    if (cache != nullptr) outputs.push_back("next_kv_cache");
    std::vector<Value> found = graph_.run(names, inputs, outputs);
    if (cache != nullptr) cache->value = std::move(found[2]);
    return {elements<std::int64_t>(runtime_, found[0].get()), elements<float>(runtime_, found[1].get())};
}

}  // namespace odllm
