#include "bundle.h"

#include <sys/stat.h>

#include <algorithm>
#include <cstdio>
#include <fstream>
#include <sstream>

#include "process_memory.h"
#include "refusal.h"
#include "sha256.h"

namespace odllm {
namespace {

constexpr std::int64_t kSchemaVersion = 2;
constexpr std::int64_t kLargestAxis = 1 << 20;

struct Form {
    const char* name;
    const char* graphs[2];
};

constexpr Form kForms[] = {{"loop", {"recommend.onnx", "recommend.onnx"}},
                           {"unrolled", {"recommend.onnx", "recommend.onnx"}},
                           {"steps", {"prefill.onnx", "step.onnx"}}};

std::string read_text(const std::string& path) {
    std::ifstream file(path, std::ios::binary);
    if (!file) throw bad_input("cannot read " + path + "; a bundle's folder has a manifest.json. Install it again.");
    std::ostringstream text;
    text << file.rdbuf();
    return text.str();
}

Json read_manifest_json(const std::string& path) {
    try {
        return Json::parse(read_text(path));
    } catch (const Refusal& refusal) {
        throw bad_input(path + " is damaged: " + refusal.what());
    }
}

void check_sizes(const Manifest& manifest) {
    const auto fits = [](std::int64_t size) { return 0 < size && size < kLargestAxis; };
    const auto& cache = manifest.cache_sizes;
    const auto& codes = manifest.code_sizes;
    const bool sound = std::all_of(cache.begin(), cache.end(), fits) && std::all_of(codes.begin(), codes.end(), fits);
    const bool fixed = manifest.form != "steps" || (fits(manifest.fixed_chunk) && fits(manifest.fixed_columns));
    if (!sound || !fixed || codes.empty() || manifest.items < 1 || !fits(manifest.max_items) || !fits(manifest.num_beams)) {
        throw bad_input("the manifest of " + manifest.folder + " is damaged: it has sizes that no bundle has");
    }
}

std::vector<std::string> file_names(const Json& files) {
    std::vector<std::string> names;
    for (const auto& [name, fact] : files.as_object()) {
        if (name.find('/') != std::string::npos) throw bad_input("'" + name + "' is no file of a bundle");
        names.push_back(name);
    }
    return names;
}

Manifest make_manifest(const std::string& folder, const Json& json) {
    const Json &prompt = json.at("prompt"), &graph = json.at("graph");
    Manifest manifest;
    manifest.folder = folder;
    manifest.name = json.at("name").as_string();
    manifest.form = graph.at("form").as_string();
    manifest.runtime_needed = graph.at("onnxruntime").as_string();
    manifest.files = file_names(json.at("files"));
    manifest.code_sizes = prompt.at("code_sizes").as_ints();
    const auto cache = graph.at("kv_cache").as_ints();
    if (cache.size() != 4) throw bad_input("the manifest of " + folder + " is damaged: its cache has no four sizes");
    std::copy(cache.begin(), cache.end(), manifest.cache_sizes.begin());
    manifest.items = json.at("items").as_int();
    manifest.max_items = prompt.at("max_items").as_int();
    manifest.prefix_ids = prompt.at("prefix_ids").as_ints();
    manifest.separator_ids = prompt.at("separator_ids").as_ints();
    manifest.suffix_ids = prompt.at("suffix_ids").as_ints();
    manifest.first_code_token = prompt.at("first_code_token").as_int();
    manifest.embedding_rows = graph.at("embedding_rows").as_ints();
    manifest.num_beams = json.at("search").at("num_beams").as_int();
    manifest.scores_codes = json.at("search").at("scoring").as_string() == "codes";
    const Json* fixed = graph.find("fixed");
    if (fixed != nullptr && fixed->is_object()) {
        manifest.fixed_chunk = fixed->at("chunk").as_int();
        manifest.fixed_columns = fixed->at("columns").as_int();
    }
    manifest.peak_memory_bytes = json.at("expected_peak_memory_bytes").as_int();
    manifest.prepack = graph.at("prepack").as_bool();
    manifest.shared_facts = Json(Json::Object{{"prompt", prompt}, {"search", json.at("search")}, {"graph", graph}});
    check_sizes(manifest);
    return manifest;
}

}  // namespace

std::int64_t Manifest::reusable_tokens(std::int64_t shared) const {
    shared = std::min(shared, max_items);
    const auto levels = static_cast<std::int64_t>(code_sizes.size());
    const auto prefix = static_cast<std::int64_t>(prefix_ids.size());
    const auto separator = static_cast<std::int64_t>(separator_ids.size());
    return prefix + shared * levels + separator * std::max<std::int64_t>(shared - 1, 0);
}

Manifest read_manifest(const std::string& folder) {
    const std::string path = folder + "/manifest.json";
    const Json json = read_manifest_json(path);
    const std::int64_t version = json.int_or("schema_version", 0);
    if (version != kSchemaVersion) {
        throw bad_input(path + " has schema version " + std::to_string(version) + "; this runner reads " +
                        std::to_string(kSchemaVersion) + ". Build the runner anew, or export the bundle again.");
    }
    Manifest manifest = make_manifest(folder, json);
    const auto form = std::find_if(std::begin(kForms), std::end(kForms), [&manifest](const Form& one) {
        return manifest.form == one.name;
    });
    if (form == std::end(kForms)) {
        throw bad_input("the graph of " + folder + " has form '" + manifest.form +
                        "', and this runner runs loop, unrolled and steps. Export the bundle with one of these.");
    }
    for (const char* needed : {form->graphs[0], form->graphs[1], "recommend.onnx.data", "catalog.bin", "items.jsonl"}) {
        if (std::find(manifest.files.begin(), manifest.files.end(), needed) == manifest.files.end()) {
            throw bad_input(path + " does not name " + needed + ". Export the bundle again.");
        }
    }
    return manifest;
}

void check_files(const Manifest& manifest) {
    const Json json = read_manifest_json(manifest.path("manifest.json"));
    for (const auto& [name, fact] : json.at("files").as_object()) {
        struct stat found;
        if (stat(manifest.path(name).c_str(), &found) != 0) {
            throw bad_input(manifest.folder + " lacks " + name + ", which its manifest names. Install the bundle again.");
        }
        if (found.st_size != fact.at("bytes").as_int()) {
            throw bad_input(manifest.path(name) + " has " + std::to_string(found.st_size) +
                            " bytes, the manifest says otherwise. Install the bundle again.");
        }
    }
    for (const auto& [name, fact] : json.at("files").as_object()) {
        if (sha256_file(manifest.path(name)) != fact.at("sha256").as_string()) {
            throw bad_input(manifest.path(name) +
                            " is damaged: its SHA-256 is not the manifest's. Install the bundle again.");
        }
    }
}

void check_memory(const Manifest& manifest) {
    const std::int64_t free = available_memory_bytes();
    if (free > 0 && manifest.peak_memory_bytes > free) {
        throw device_fault(manifest.name + " needs about " + std::to_string(manifest.peak_memory_bytes >> 20) +
                           " MiB at its peak and " + std::to_string(free >> 20) +
                           " MiB are free. Close other apps, or export with a smaller keep ratio or precision.");
    }
}

void check_runtime(const Manifest& manifest, const std::string& version) {
    int needed_major = 0, needed_minor = 0, major = 0, minor = 0;
    if (std::sscanf(manifest.runtime_needed.c_str(), "%d.%d", &needed_major, &needed_minor) != 2) {
        throw bad_input("the manifest of " + manifest.folder + " is damaged: it names no version of ONNX Runtime");
    }
    std::sscanf(version.c_str(), "%d.%d", &major, &minor);
    if (major < needed_major || (major == needed_major && minor < needed_minor)) {
        throw device_fault("the bundle needs ONNX Runtime " + manifest.runtime_needed + " or later; this one is " +
                           version + ". Build the runner with a newer one.");
    }
}

void check_items(const Manifest& manifest, const std::string& ids_sha256) {
    std::ifstream file(manifest.path("items.jsonl"), std::ios::binary);
    std::int64_t items = 0;
    Sha256 hash;
    for (std::string line; std::getline(file, line); ++items) {
        const Json row = Json::parse(line);
        const std::string& id = row.at("id").as_string();
        hash.add(id.data(), id.size());
        hash.add("\n", 1);
    }
    if (items != manifest.items || hash.hex() != ids_sha256) {
        throw bad_input("the item table of " + manifest.folder + " is not the one its catalogue was built for");
    }
}

}  // namespace odllm
