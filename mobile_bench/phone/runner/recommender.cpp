#include "recommender.h"

#include <algorithm>
#include <cmath>

#include "refusal.h"
#include "steps.h"
#include "whole_graph.h"

namespace odllm {
namespace {

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
    : manifest_(checked_manifest(folder, runtime)), catalog_(checked_catalog(manifest_)) {
    if (manifest_.form == "steps") engine_ = std::make_unique<Steps>(runtime, manifest_, catalog_, how);
    else engine_ = std::make_unique<WholeGraph>(runtime, manifest_, catalog_, how);
}

Ranked Recommender::recommend(const Rows& history, const Rows& blocked, KeptCache* cache) {
    check_rows(history, blocked);
    Ranked found = engine_->run(history, blocked, cache);
    check_ranked(found, blocked);
    return found;
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

void Recommender::check_ranked(const Ranked& found, const Rows& blocked) const {
    const std::int64_t least = std::min(manifest_.num_beams, catalog_.live_without(blocked));
    const auto is_nan = [](float score) { return std::isnan(score); };
    if (static_cast<std::int64_t>(found.items.size()) < least || found.items.size() != found.scores.size() ||
        std::any_of(found.scores.begin(), found.scores.end(), is_nan)) {
        throw bad_input("bundle '" + manifest_.name + "' computes scores that are no numbers: its weights are damaged. "
                        "Copy or export the bundle again.");
    }
}

}  // namespace odllm
