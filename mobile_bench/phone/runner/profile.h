// Which node ran where, from the runtime's own profile: a provider's name in a list proves nothing.
#pragma once

#include <string>

#include "json.h"

namespace odllm {

// The distinct nodes that ran, as `[name, operator, provider]`, sorted; `before` stands before each name. Throws Refusal:
// no profile, or no node in it.
Json read_profile(const std::string& path, const std::string& before);

// A folder for one profile, removed with what is in it.
class ProfileFolder {
  public:
    // Makes it under $TMPDIR, else where the bundle's user may write. Throws Refusal: nowhere.
    ProfileFolder();
    ~ProfileFolder();
    ProfileFolder(const ProfileFolder&) = delete;
    ProfileFolder& operator=(const ProfileFolder&) = delete;

    std::string prefix() const { return path_ + "/profile"; }

  private:
    std::string path_;
};

}  // namespace odllm
