// One graph of a bundle in the runtime: opened with the options that a phone wants, checked, run, profiled.
#pragma once

#include <string>
#include <vector>

#include "bundle.h"
#include "json.h"
#include "runtime.h"

namespace odllm {

// How a bundle is opened; `profile_prefix` is where the runtime writes its profile, if it shall.
struct OpenOptions {
    std::string provider = "cpu";
    int threads = 1;
    std::string profile_prefix;
};

class Graph {
  public:
    // Opens a file of the bundle by path, so that its weights stay mapped. Throws Refusal: it cannot be opened here, or
    // is not the one that the manifest speaks of.
    Graph(const Runtime& runtime, const Manifest& manifest, const std::string& file, const OpenOptions& how);

    // Returns the named outputs. Throws Refusal with the runtime's words.
    std::vector<Value> run(const std::vector<const char*>& names, const std::vector<const OrtValue*>& inputs,
                           const std::vector<const char*>& outputs) const;

    // Ends the profile and returns the nodes in it, as `[name, operator, provider]`; `before` stands before each name.
    Json profiled_nodes(const std::string& before = "") const;

  private:
    void check_facts(const Manifest& manifest, const std::string& path) const;

    const Runtime& runtime_;
    Session session_;
};

}  // namespace odllm
