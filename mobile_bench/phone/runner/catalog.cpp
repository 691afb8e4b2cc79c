#include "catalog.h"

#include <algorithm>
#include <cstring>
#include <fstream>

#include "refusal.h"
#include "sha256.h"

namespace odllm {
namespace {

constexpr char kMagic[8] = "ODLMCAT";
constexpr std::uint32_t kFormatVersion = 1;
constexpr std::uint32_t kMostLevels = 16;

// Little-endian, without padding: every Android and every host here is.
struct Header {
    char magic[8];
    std::uint32_t version, levels, items, nodes;
    std::uint8_t ids_sha256[32];
};
static_assert(sizeof(Header) == 56);

class Reader {
  public:
    explicit Reader(const std::string& path) : path_(path), file_(path, std::ios::binary | std::ios::ate) {
        if (!file_) throw bad_input("cannot read " + path);
        left_ = file_.tellg();
        file_.seekg(0);
    }

    void read(void* into, std::uint64_t bytes) {
        if (bytes > left_) fail("it is cut short");
        file_.read(static_cast<char*>(into), static_cast<std::streamsize>(bytes));
        if (!file_) fail("it cannot be read to its end");
        left_ -= bytes;
    }

    // The size is compared with the file's before anything is allocated.
    std::vector<std::int32_t> numbers(std::uint64_t count) {
        if (count > left_ / sizeof(std::int32_t)) fail("it is cut short");
        std::vector<std::int32_t> found(count);
        read(found.data(), count * sizeof(std::int32_t));
        return found;
    }

    void end() {
        if (left_ > 0) fail("it is longer than its arrays");
    }

    [[noreturn]] void fail(const char* why) const { throw bad_input(path_ + " is damaged: " + why); }

  private:
    std::string path_;
    std::ifstream file_;
    std::uint64_t left_ = 0;
};

bool all_within(const std::vector<std::int32_t>& numbers, std::int64_t low, std::int64_t high) {
    return std::all_of(numbers.begin(), numbers.end(), [=](std::int32_t one) { return low <= one && one < high; });
}

bool is_sound(const Catalog& catalog) {
    const std::int64_t ends = catalog.nodes + catalog.items;
    std::int64_t codes = 0;
    for (const std::int32_t size : catalog.code_sizes) codes += size;
    return all_within(catalog.code_sizes, 1, 1 << 20) && all_within(catalog.child_start, 1, ends + 1) &&
           std::is_sorted(catalog.child_start.begin(), catalog.child_start.end()) &&
           catalog.child_start.back() == ends && all_within(catalog.node_code, 0, codes) &&
           all_within(catalog.live_items, 0, catalog.items + 1) && all_within(catalog.item_path, 1, ends) &&
           all_within(catalog.item_order, 0, catalog.items) && all_within(catalog.level_width, 1, ends);
}

}  // namespace

std::int64_t Catalog::live_without(std::vector<std::int64_t> blocked) const {
    std::sort(blocked.begin(), blocked.end());
    blocked.erase(std::unique(blocked.begin(), blocked.end()), blocked.end());
    std::int64_t live = live_items[0];
    for (const std::int64_t row : blocked) live -= live_items[item_path[row * (levels + 1) + levels]];
    return live;
}

Catalog read_catalog(const std::string& path) {
    Reader reader(path);
    Header header;
    reader.read(&header, sizeof header);
    if (std::memcmp(header.magic, kMagic, sizeof kMagic) != 0) reader.fail("it does not begin as a catalogue does");
    if (header.version != kFormatVersion) reader.fail("its format is one that this runner does not know");
    if (header.levels < 1 || header.levels > kMostLevels || header.items < 1 || header.nodes < 1) {
        reader.fail("it has no levels, items or nodes");
    }
    Catalog catalog;
    catalog.levels = header.levels;
    catalog.items = header.items;
    catalog.nodes = header.nodes;
    catalog.ids_sha256 = to_hex(header.ids_sha256, sizeof header.ids_sha256);
    const std::uint64_t levels = header.levels, items = header.items, nodes = header.nodes;
    catalog.code_sizes = reader.numbers(levels);
    catalog.child_start = reader.numbers(nodes + 1);
    catalog.node_code = reader.numbers(nodes);
    catalog.live_items = reader.numbers(nodes + items);
    catalog.item_path = reader.numbers(items * (levels + 1));
    catalog.item_order = reader.numbers(items);
    catalog.level_width = reader.numbers(levels + 1);
    reader.end();
    if (!is_sound(catalog)) reader.fail("its numbers lead outside its arrays");
    return catalog;
}

}  // namespace odllm
