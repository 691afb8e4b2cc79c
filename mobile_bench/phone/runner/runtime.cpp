#include "runtime.h"

#include <dlfcn.h>

#include "refusal.h"

namespace odllm {
namespace {

// The oldest version of the API that has every function used here; newer runtimes still offer it.
constexpr std::uint32_t kApiVersion = 18;
static_assert(ORT_API_VERSION >= kApiVersion, "headers of ONNX Runtime 1.18 or later are needed");

}  // namespace

Runtime::Runtime(const std::string& library) {
    library_ = dlopen(library.c_str(), RTLD_NOW | RTLD_LOCAL);
    if (library_ == nullptr) throw device_fault("cannot load ONNX Runtime: " + std::string(dlerror()));
    const auto base = reinterpret_cast<const OrtApiBase* (*)()>(symbol("OrtGetApiBase"));
    if (base == nullptr) throw device_fault(library + " is no ONNX Runtime: it has no OrtGetApiBase");
    version_ = base()->GetVersionString();
    api_ = base()->GetApi(kApiVersion);
    if (api_ == nullptr) throw device_fault("ONNX Runtime " + version_ + " is too old; 1.24 or later is needed");
    check(api_->CreateEnv(ORT_LOGGING_LEVEL_FATAL, "odllm", &environment_), "start");
    check(api_->DisableTelemetryEvents(environment_), "start");
    check(api_->CreateCpuMemoryInfo(OrtArenaAllocator, OrtMemTypeDefault, &memory_), "start");
}

void Runtime::check(OrtStatus* status, const char* doing) const {
    if (status == nullptr) return;
    const std::string words = api_->GetErrorMessage(status);
    api_->ReleaseStatus(status);
    throw bad_input("ONNX Runtime " + version_ + " cannot " + doing + ": " + words);
}

std::vector<std::string> Runtime::providers() const {
    char** names = nullptr;
    int count = 0;
    check(api_->GetAvailableProviders(&names, &count), "list its providers");
    std::vector<std::string> found(names, names + count);
    check(api_->ReleaseAvailableProviders(names, count), "list its providers");
    return found;
}

void* Runtime::symbol(const char* name) const { return dlsym(library_, name); }

}  // namespace odllm
