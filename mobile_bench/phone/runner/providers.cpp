#include "providers.h"

#include <dlfcn.h>

#include <algorithm>
#include <cstdint>
#include <cstdlib>

#ifdef __ANDROID__
#include <sys/system_properties.h>
#endif

#include "refusal.h"

namespace odllm {
namespace {

constexpr int kFirstSdkWithNnapi = 27;

struct Provider {
    const char* name;          // the command line's
    const char* runtime_name;  // as the runtime lists it
    const char* append_name;   // as the runtime's generic function takes it; null: it has a function of its own
};

constexpr Provider kProviders[] = {
    {"xnnpack", "XnnpackExecutionProvider", "XNNPACK"},
    {"webgpu", "WebGpuExecutionProvider", "WebGPU"},
    {"nnapi", "NnapiExecutionProvider", nullptr},
};

int sdk_version() {
#ifdef __ANDROID__
    char text[PROP_VALUE_MAX] = "";
    __system_property_get("ro.build.version.sdk", text);
    return std::atoi(text);
#else
    return 0;
#endif
}

// The runtime does not ask whether NNAPI is there: where it is not, it takes the process down.
void check_nnapi() {
    void* library = dlopen("libneuralnetworks.so", RTLD_NOW | RTLD_LOCAL);
    if (sdk_version() < kFirstSdkWithNnapi || library == nullptr) {
        throw device_fault("NNAPI is not here: it needs Android 8.1 (SDK 27) or later with libneuralnetworks.so");
    }
}

void add_nnapi(const Runtime& runtime, OrtSessionOptions* options) {
    check_nnapi();
    using Append = OrtStatus* (*)(OrtSessionOptions*, std::uint32_t);
    const auto append = reinterpret_cast<Append>(runtime.symbol("OrtSessionOptionsAppendExecutionProvider_Nnapi"));
    if (append == nullptr) throw device_fault("this ONNX Runtime exports no function that adds NNAPI");
    runtime.check(append(options, 0), "add NNAPI");
}

void add_by_name(const Runtime& runtime, OrtSessionOptions* options, const Provider& provider, int threads) {
    const std::string count = std::to_string(threads);
    const char* keys[] = {"intra_op_num_threads"};
    const char* values[] = {count.c_str()};
    const std::size_t options_count = std::string(provider.name) == "xnnpack" ? 1 : 0;
    runtime.check(runtime.api().SessionOptionsAppendExecutionProvider(options, provider.append_name, keys, values,
                                                                      options_count),
                  "add its provider");
}

}  // namespace

void add_provider(const Runtime& runtime, OrtSessionOptions* options, const std::string& name, int threads) {
    if (name == "cpu") return;
    const auto* provider = std::find_if(std::begin(kProviders), std::end(kProviders),
                                        [&name](const Provider& one) { return name == one.name; });
    if (provider == std::end(kProviders)) {
        throw bad_input("the native runner has no provider '" + name + "'; it has cpu, xnnpack, nnapi and webgpu");
    }
    const auto built_in = runtime.providers();
    if (std::find(built_in.begin(), built_in.end(), provider->runtime_name) == built_in.end()) {
        throw device_fault("this build of ONNX Runtime " + runtime.version() + " has no " + provider->runtime_name +
                           ", and would silently run on the CPU instead. Build the runner with a package that has it.");
    }
    try {
        if (provider->append_name == nullptr) add_nnapi(runtime, options);
        else add_by_name(runtime, options, *provider, threads);
    } catch (const Refusal& refusal) {
        throw device_fault(refusal.what());  // such as: there is no graphics processor
    }
}

}  // namespace odllm
