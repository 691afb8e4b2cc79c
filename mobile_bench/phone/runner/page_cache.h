// Asking the system to forget a bundle's files, so that a load is really cold, and checking that it did.
#pragma once

#include <string>
#include <vector>

namespace odllm {

// Advises the system to drop the files' pages; returns "dropped", "partly dropped", "kept" or "unknown".
std::string drop_page_cache(const std::vector<std::string>& paths);

}  // namespace odllm
