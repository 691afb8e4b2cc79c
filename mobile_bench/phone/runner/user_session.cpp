#include "user_session.h"

#include <algorithm>

namespace odllm {

Ranked UserSession::recommend(const Rows& history) {
    const Manifest& manifest = recommender_.manifest();
    const auto length = static_cast<std::int64_t>(history.size());
    Rows window(history.end() - std::min(length, manifest.max_items), history.end());
    const auto differs = std::mismatch(window.begin(), window.end(), window_.begin(), window_.end()).first;
    const std::int64_t shared = differs - window.begin();
    cache_.tokens = shared > 0 ? manifest.reusable_tokens(shared) : 0;
    Ranked found = recommender_.recommend(history, {}, &cache_);
    window_ = std::move(window);
    return found;
}

}  // namespace odllm
