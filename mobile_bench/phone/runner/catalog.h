// `catalog.bin`: the trie over item codes, as arrays that go into the graph unchanged (docs/bundle.md).
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

namespace odllm {

struct Catalog {
    std::int64_t levels = 0;
    std::int64_t items = 0;
    std::int64_t nodes = 0;
    std::string ids_sha256;
    std::vector<std::int32_t> code_sizes, child_start, node_code, live_items, item_path, item_order, level_width;

    // Items that may come back when those at `blocked` may not.
    std::int64_t live_without(std::vector<std::int64_t> blocked) const;
};

// Reads a catalogue. Throws Refusal: it is cut short, of another format, or has numbers that lead outside its arrays.
Catalog read_catalog(const std::string& path);

}  // namespace odllm
