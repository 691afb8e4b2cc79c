// ONNX Runtime's C API: opened at run time, so that one runner works with whichever build lies beside it.
#pragma once

#include <onnxruntime_c_api.h>

#include <memory>
#include <string>
#include <vector>

namespace odllm {

// An opened libonnxruntime. It stays loaded for the life of the process.
class Runtime {
  public:
    // Opens the library at a path. Throws Refusal: it cannot be loaded, or is older than the functions that are used.
    explicit Runtime(const std::string& library);

    // Throws Refusal with the runtime's words where a status says that something failed.
    void check(OrtStatus* status, const char* doing) const;

    const OrtApi& api() const { return *api_; }
    OrtEnv* environment() const { return environment_; }
    const OrtMemoryInfo* memory() const { return memory_; }
    const std::string& version() const { return version_; }
    std::string build() const { return api_->GetBuildInfoString(); }

    // Providers that this build has, by the runtime's own names.
    std::vector<std::string> providers() const;

    // An exported symbol beside the API's table; null where this build has none of that name.
    void* symbol(const char* name) const;

  private:
    void* library_ = nullptr;
    const OrtApi* api_ = nullptr;
    std::string version_;
    OrtEnv* environment_ = nullptr;
    OrtMemoryInfo* memory_ = nullptr;
};

// Frees what the runtime hands out, by the function of its API that is for it.
struct ReleaseValue {
    const OrtApi* api;
    void operator()(OrtValue* value) const { api->ReleaseValue(value); }
};
struct ReleaseSession {
    const OrtApi* api;
    void operator()(OrtSession* session) const { api->ReleaseSession(session); }
};
struct ReleaseOptions {
    const OrtApi* api;
    void operator()(OrtSessionOptions* options) const { api->ReleaseSessionOptions(options); }
};

using Value = std::unique_ptr<OrtValue, ReleaseValue>;
using Session = std::unique_ptr<OrtSession, ReleaseSession>;
using SessionOptions = std::unique_ptr<OrtSessionOptions, ReleaseOptions>;

}  // namespace odllm
