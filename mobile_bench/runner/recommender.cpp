#include "recommender.h"

#include <algorithm>
#include <cmath>

#include "providers.h"
#include "refusal.h"

namespace odllm {
namespace {

constexpr const char* kAgain = ". Copy the whole bundle again, or export it again.";

template <typename Element>
struct ElementType;
template <>
struct ElementType<std::int64_t> {
    static constexpr auto value = ONNX_TENSOR_ELEMENT_DATA_TYPE_INT64;
};
template <>
struct ElementType<std::int32_t> {
    static constexpr auto value = ONNX_TENSOR_ELEMENT_DATA_TYPE_INT32;
};
template <>
struct ElementType<float> {
    static constexpr auto value = ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT;
};
template <>
struct ElementType<bool> {
    static constexpr auto value = ONNX_TENSOR_ELEMENT_DATA_TYPE_BOOL;
};

// A tensor of memory that the caller keeps; nothing is copied, and the runtime does not write to its inputs.
template <typename Element>
Value tensor(const Runtime& runtime, const Element* data, std::size_t count, const std::vector<std::int64_t>& shape) {
    OrtValue* value = nullptr;
    runtime.check(runtime.api().CreateTensorWithDataAsOrtValue(
                      runtime.memory(), const_cast<Element*>(data), count * sizeof(Element), shape.data(), shape.size(),
                      ElementType<Element>::value, &value),
                  "make an input");
    return {value, ReleaseValue{&runtime.api()}};
}

template <typename Element>
Value list(const Runtime& runtime, const std::vector<Element>& numbers) {
    static const Element nothing{};  // an empty tensor needs an address, too
    const Element* data = numbers.empty() ? &nothing : numbers.data();
    return tensor(runtime, data, numbers.size(), {static_cast<std::int64_t>(numbers.size())});
}

template <typename Element>
std::vector<Element> elements(const Runtime& runtime, const OrtValue* value) {
    const OrtApi& api = runtime.api();
    OrtTensorTypeAndShapeInfo* info = nullptr;
    runtime.check(api.GetTensorTypeAndShape(value, &info), "describe an output");
    ONNXTensorElementDataType type = ONNX_TENSOR_ELEMENT_DATA_TYPE_UNDEFINED;
    std::size_t count = 0;
    OrtStatus* status = api.GetTensorElementType(info, &type);
    if (status == nullptr) status = api.GetTensorShapeElementCount(info, &count);
    api.ReleaseTensorTypeAndShapeInfo(info);
    runtime.check(status, "describe an output");
    if (type != ElementType<Element>::value) throw bad_input("the graph's outputs have other types than a bundle's");
    void* data = nullptr;
    runtime.check(api.GetTensorMutableData(const_cast<OrtValue*>(value), &data), "read an output");
    const auto* first = static_cast<const Element*>(data);
    return {first, first + count};
}

SessionOptions session_options(const Runtime& runtime, const Manifest& manifest, const OpenOptions& how) {
    const OrtApi& api = runtime.api();
    OrtSessionOptions* made = nullptr;
    runtime.check(api.CreateSessionOptions(&made), "make options");
    SessionOptions options(made, ReleaseOptions{&api});
    const auto set = [&](OrtStatus* status) { runtime.check(status, "take an option"); };
    set(api.SetIntraOpNumThreads(made, how.threads));
    set(api.SetInterOpNumThreads(made, 1));
    set(api.SetSessionLogSeverityLevel(made, ORT_LOGGING_LEVEL_FATAL));
    set(api.AddSessionConfigEntry(made, "session.intra_op.allow_spinning", "0"));
    // Where a processor has no exact product of uint8 and int8, sums in between overflow; this asks for exact ones.
    set(api.AddSessionConfigEntry(made, "session.x64quantprecision", "1"));
    if (!manifest.prepack) set(api.AddSessionConfigEntry(made, "session.disable_prepacking", "1"));
    if (!how.profile_prefix.empty()) set(api.EnableProfiling(made, how.profile_prefix.c_str()));
    add_provider(runtime, made, how.provider, how.threads);
    return options;
}

Session open_session(const Runtime& runtime, const Manifest& manifest, const OpenOptions& how) {
    const SessionOptions options = session_options(runtime, manifest, how);
    OrtSession* session = nullptr;
    runtime.check(runtime.api().CreateSession(runtime.environment(), manifest.path("recommend.onnx").c_str(),
                                              options.get(), &session),
                  "open the graph");
    return {session, ReleaseSession{&runtime.api()}};
}

Manifest checked_manifest(const std::string& folder, const Runtime& runtime) {
    Manifest manifest = read_manifest(folder);
    check_runtime(manifest, runtime.version());
    check_files(manifest);
    check_memory(manifest);
    return manifest;
}

Catalog checked_catalog(const Manifest& manifest) {
    Catalog catalog = read_catalog(manifest.path("catalog.bin"));
    check_items(manifest, catalog.ids_sha256);
    const auto& sizes = manifest.code_sizes;
    if (!std::equal(sizes.begin(), sizes.end(), catalog.code_sizes.begin(), catalog.code_sizes.end())) {
        throw bad_input("the catalogue of " + manifest.folder + " has other code sizes than the model");
    }
    return catalog;
}

}  // namespace

Recommender::Recommender(const Runtime& runtime, const std::string& folder, const OpenOptions& how)
    : runtime_(runtime),
      manifest_(checked_manifest(folder, runtime)),
      catalog_(checked_catalog(manifest_)),
      session_(open_session(runtime, manifest_, how)),
      empty_cache_(nullptr, ReleaseValue{&runtime.api()}),
      no_cached_tokens_(tensor(runtime, &no_tokens_, 1, {1})),
      return_cache_(tensor(runtime, &keep_, 1, {1})),
      forget_cache_(tensor(runtime, &forget_, 1, {1})) {
    check_graph();
    const auto& sizes = manifest_.cache_sizes;
    static const float nothing = 0.0F;
    empty_cache_ = tensor(runtime, &nothing, 0, {sizes[0], sizes[1], sizes[2], 0, sizes[3]});
    const auto add = [this](const char* name, Value value) {
        fixed_names_.push_back(name);
        fixed_values_.push_back(std::move(value));
    };
    add("child_start", list(runtime, catalog_.child_start));
    add("node_code", list(runtime, catalog_.node_code));
    add("live_items", list(runtime, catalog_.live_items));
    const auto& path = catalog_.item_path;
    add("item_path", tensor(runtime, path.data(), path.size(), {catalog_.items, catalog_.levels + 1}));
    add("item_order", list(runtime, catalog_.item_order));
    add("level_width", list(runtime, catalog_.level_width));
}

Ranked Recommender::recommend(const Rows& history, const Rows& blocked, KeptCache* cache) {
    check_rows(history, blocked);
    const Value asked = list(runtime_, history), hidden = list(runtime_, blocked);
    const bool goes_on = cache != nullptr && cache->values != nullptr && cache->tokens > 0;
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
    add("kv_cache", goes_on ? cache->values : empty_cache_);
    add("cached_tokens", goes_on ? cached_tokens : no_cached_tokens_);
    add("return_cache", cache != nullptr ? return_cache_ : forget_cache_);

    const char* outputs[] = {"items", "scores", "next_kv_cache"};
    OrtValue* found[] = {nullptr, nullptr, nullptr};
    const std::size_t wanted = cache != nullptr ? 3 : 2;
    runtime_.check(runtime_.api().Run(session_.get(), nullptr, names.data(), inputs.data(), inputs.size(), outputs,
                                      wanted, found),
                   "run the graph");
    const Value items(found[0], ReleaseValue{&runtime_.api()}), scores(found[1], ReleaseValue{&runtime_.api()});
    if (cache != nullptr) cache->values = Value(found[2], ReleaseValue{&runtime_.api()});
    return ranked(items.get(), scores.get(), blocked);
}

std::string Recommender::end_profiling() {
    OrtAllocator* allocator = nullptr;
    runtime_.check(runtime_.api().GetAllocatorWithDefaultOptions(&allocator), "allocate");
    char* name = nullptr;
    runtime_.check(runtime_.api().SessionEndProfiling(session_.get(), allocator, &name), "end the profile");
    const std::string path = name;
    runtime_.check(runtime_.api().AllocatorFree(allocator, name), "free");
    return path;
}

// A manifest has no hash of its own: what it says of prompt, search and cache must stand in the graph, too.
void Recommender::check_graph() const {
    const OrtApi& api = runtime_.api();
    OrtModelMetadata* metadata = nullptr;
    runtime_.check(api.SessionGetModelMetadata(session_.get(), &metadata), "read the graph's metadata");
    OrtAllocator* allocator = nullptr;
    char* facts = nullptr;
    OrtStatus* status = api.GetAllocatorWithDefaultOptions(&allocator);
    if (status == nullptr) status = api.ModelMetadataLookupCustomMetadataMap(metadata, allocator, "odllm.facts", &facts);
    api.ReleaseModelMetadata(metadata);
    runtime_.check(status, "read the graph's metadata");
    const std::string text = facts == nullptr ? "null" : facts;
    if (facts != nullptr) runtime_.check(api.AllocatorFree(allocator, facts), "free");
    if (!(Json::parse(text) == manifest_.shared_facts)) {
        throw bad_input(manifest_.path("recommend.onnx") +
                        " was made for another prompt, search or cache than its manifest says" + kAgain);
    }
}

void Recommender::check_rows(const Rows& history, const Rows& blocked) const {
    if (history.empty()) throw bad_input("the history is empty; a recommendation needs at least one item");
    for (const Rows* rows : {&history, &blocked}) {
        for (const std::int64_t row : *rows) {
            if (row < 0 || row >= catalog_.items) {
                throw bad_input("item row " + std::to_string(row) + " is outside 0 … " +
                                std::to_string(catalog_.items - 1));
            }
        }
    }
}

Ranked Recommender::ranked(const OrtValue* items, const OrtValue* scores, const Rows& blocked) const {
    Ranked found{elements<std::int64_t>(runtime_, items), elements<float>(runtime_, scores)};
    const std::int64_t least = std::min(manifest_.num_beams, catalog_.live_without(blocked));
    const bool all_numbers = std::none_of(found.scores.begin(), found.scores.end(), [](float one) { return std::isnan(one); });
    if (static_cast<std::int64_t>(found.items.size()) < least || found.items.size() != found.scores.size() || !all_numbers) {
        throw bad_input("bundle '" + manifest_.name + "' computes scores that are no numbers: its weights are damaged" +
                        kAgain);
    }
    return found;
}

}  // namespace odllm
