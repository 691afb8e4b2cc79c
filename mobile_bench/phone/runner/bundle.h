// A bundle's manifest and the checks of its files before anything is loaded (docs/bundle.md, "Opening").
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "json.h"

namespace odllm {

// What the runner reads of `manifest.json`.
struct Manifest {
    std::string folder;
    std::string name;
    std::string form;
    std::string runtime_needed;
    std::vector<std::string> files;
    std::vector<std::int64_t> code_sizes;
    std::vector<std::int64_t> prefix_ids, separator_ids, suffix_ids;  // tokens of the prompt around the items
    std::vector<std::int64_t> embedding_rows;                         // token of each row; empty: all tokens in order
    std::array<std::int64_t, 4> cache_sizes;  // layers, 2, kv heads, head size
    std::int64_t items = 0;
    std::int64_t max_items = 0;
    std::int64_t first_code_token = 0;
    std::int64_t num_beams = 0;
    std::int64_t fixed_chunk = 0;    // form `steps`: tokens of the prompt that are run at once
    std::int64_t fixed_columns = 0;  // form `steps`: tokens whose keys and values are read
    std::int64_t peak_memory_bytes = 0;
    bool prepack = true;
    bool scores_codes = false;  // scoring `codes`: over a node's live children; else over the whole vocabulary
    Json shared_facts;  // what the graph's metadata must say, too

    std::string path(const std::string& file) const { return folder + "/" + file; }

    // Tokens that two prompts share whose first `items` items are the same.
    std::int64_t reusable_tokens(std::int64_t items) const;
};

// Reads a manifest. Throws Refusal: no bundle, another schema, a damaged manifest, or a form that is not run here.
Manifest read_manifest(const std::string& folder);

// Compares every file with the manifest, sizes first. Throws Refusal: one is missing or damaged.
void check_files(const Manifest& manifest);

// Throws Refusal where the bundle needs more memory than is free, as far as the system tells.
void check_memory(const Manifest& manifest);

// Throws Refusal where the runtime is older than the bundle needs.
void check_runtime(const Manifest& manifest, const std::string& version);

// Throws Refusal: the item table is not the one that a catalogue's hash of ids stands for.
void check_items(const Manifest& manifest, const std::string& ids_sha256);

}  // namespace odllm
