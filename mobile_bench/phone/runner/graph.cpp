#include "graph.h"

#include "profile.h"
#include "providers.h"
#include "refusal.h"

namespace odllm {
namespace {

SessionOptions session_options(const Runtime& runtime, const Manifest& manifest, const std::string& file,
                               const OpenOptions& how) {
    const OrtApi& api = runtime.api();
    OrtSessionOptions* made = nullptr;
    runtime.check(api.CreateSessionOptions(&made), "make options");
    SessionOptions options(made, ReleaseOptions{&api});
    const auto set = [&](OrtStatus* status) { runtime.check(status, "take an option"); };
    set(api.SetIntraOpNumThreads(made, how.threads));
    set(api.SetInterOpNumThreads(made, 1));
    set(api.SetSessionLogSeverityLevel(made, ORT_LOGGING_LEVEL_FATAL));
    set(api.AddSessionConfigEntry(made, "session.intra_op.allow_spinning", "0"));
    // Where an x86 processor has no exact product of uint8 and int8, sums in between overflow; this asks for exact ones.
    // Where several products share a matrix, as in form `unrolled`, the runtime cannot do it and fails.
    if (manifest.form != "unrolled") set(api.AddSessionConfigEntry(made, "session.x64quantprecision", "1"));
    if (!manifest.prepack) set(api.AddSessionConfigEntry(made, "session.disable_prepacking", "1"));
    if (!how.profile_prefix.empty()) set(api.EnableProfiling(made, (how.profile_prefix + "_" + file).c_str()));
    add_provider(runtime, made, how.provider, how.threads);
    return options;
}

Session open_session(const Runtime& runtime, const Manifest& manifest, const std::string& file, const OpenOptions& how) {
    const SessionOptions options = session_options(runtime, manifest, file, how);
    OrtSession* session = nullptr;
    const std::string path = manifest.path(file);
    runtime.check(runtime.api().CreateSession(runtime.environment(), path.c_str(), options.get(), &session),
                  "open the graph");
    return {session, ReleaseSession{&runtime.api()}};
}

}  // namespace

Graph::Graph(const Runtime& runtime, const Manifest& manifest, const std::string& file, const OpenOptions& how)
    : runtime_(runtime), session_(open_session(runtime, manifest, file, how)) {
    check_facts(manifest, manifest.path(file));
}

std::vector<Value> Graph::run(const std::vector<const char*>& names, const std::vector<const OrtValue*>& inputs,
                              const std::vector<const char*>& outputs) const {
    std::vector<OrtValue*> found(outputs.size(), nullptr);
    runtime_.check(runtime_.api().Run(session_.get(), nullptr, names.data(), inputs.data(), inputs.size(),
                                      outputs.data(), outputs.size(), found.data()),
                   "run the graph");
    std::vector<Value> values;
    for (OrtValue* value : found) values.emplace_back(value, ReleaseValue{&runtime_.api()});
    return values;
}

Json Graph::profiled_nodes(const std::string& before) const {
    OrtAllocator* allocator = nullptr;
    runtime_.check(runtime_.api().GetAllocatorWithDefaultOptions(&allocator), "allocate");
    char* name = nullptr;
    runtime_.check(runtime_.api().SessionEndProfiling(session_.get(), allocator, &name), "end the profile");
    const std::string path = name;
    runtime_.check(runtime_.api().AllocatorFree(allocator, name), "free");
    return read_profile(path, before);
}

// A manifest has no hash of its own: what it says of prompt, search and cache must stand in the graph, too.
void Graph::check_facts(const Manifest& manifest, const std::string& path) const {
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
    if (!(Json::parse(text) == manifest.shared_facts)) {
        throw bad_input(path + " was made for another prompt, search or cache than its manifest says. "
                               "Copy the whole bundle again, or export it again.");
    }
}

}  // namespace odllm
