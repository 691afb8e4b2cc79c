#include "profile.h"

#include <dirent.h>
#include <unistd.h>

#include <array>
#include <cstdlib>
#include <fstream>
#include <set>
#include <sstream>
#include <tuple>

#include "refusal.h"

namespace odllm {

Json read_profile(const std::string& path, const std::string& before) {
    std::ifstream file(path, std::ios::binary);
    std::ostringstream text;
    text << file.rdbuf();
    if (!file) throw device_fault("the runtime's profile " + path + " cannot be read");
    std::set<std::tuple<std::string, std::string, std::string>> nodes;
    const Json profile = Json::parse(text.str());
    for (const Json& event : profile.as_array()) {
        const Json *kind = event.find("cat"), *facts = event.find("args");
        const Json* provider = facts == nullptr ? nullptr : facts->find("provider");
        if (kind == nullptr || kind->as_string() != "Node" || provider == nullptr || provider->as_string().empty()) continue;
        const Json* operation = facts->find("op_name");
        nodes.emplace(before + event.at("name").as_string(), operation == nullptr ? "" : operation->as_string(),
                      provider->as_string());
    }
    if (nodes.empty()) throw device_fault("the runtime's profile names no node: nothing is known to have run");
    Json::Array found;
    for (const auto& [name, operation, provider] : nodes) found.push_back(Json(Json::Array{name, operation, provider}));
    return Json(std::move(found));
}

ProfileFolder::ProfileFolder() {
    const std::array<const char*, 3> parents = {std::getenv("TMPDIR"), "/data/local/tmp", "/tmp"};
    for (const char* parent : parents) {
        if (parent == nullptr) continue;
        std::string pattern = std::string(parent) + "/odllm-profile-XXXXXX";
        if (mkdtemp(pattern.data()) != nullptr) {
            path_ = pattern;
            return;
        }
    }
    throw device_fault("there is no folder for the runtime's profile: set TMPDIR to one that may be written to");
}

ProfileFolder::~ProfileFolder() {
    if (DIR* folder = opendir(path_.c_str())) {
        while (const dirent* entry = readdir(folder)) {
            if (entry->d_name[0] != '.') unlink((path_ + "/" + entry->d_name).c_str());
        }
        closedir(folder);
    }
    rmdir(path_.c_str());
}

}  // namespace odllm
