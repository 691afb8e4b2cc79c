// Execution providers: asked for only where the runtime has them, as it would run on the CPU in silence otherwise.
#pragma once

#include <string>

#include "runtime.h"

namespace odllm {

// Adds a provider, by the command line's name. Throws Refusal: unknown, not in this build, or the system lacks it.
void add_provider(const Runtime& runtime, OrtSessionOptions* options, const std::string& name, int threads);

}  // namespace odllm
