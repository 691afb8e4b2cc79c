// An opened bundle: item rows in, ranked item rows out (docs/bundle.md, "Asking").
#pragma once

#include <memory>
#include <string>

#include "bundle.h"
#include "catalog.h"
#include "engine.h"
#include "graph.h"
#include "runtime.h"

namespace odllm {

class Recommender {
  public:
    // Opens a bundle; everything is checked before anything large is loaded. Throws Refusal: it may not be opened.
    Recommender(const Runtime& runtime, const std::string& folder, const OpenOptions& how);

    // Asks about a history. `cache`, if given, is read and replaced. Throws Refusal: rows outside the catalogue, or a
    // graph that cannot be run.
    Ranked recommend(const Rows& history, const Rows& blocked = {}, KeptCache* cache = nullptr);

    // Ends the profile and returns the nodes that ran.
    Json profiled_nodes() { return engine_->profiled_nodes(); }

    const Manifest& manifest() const { return manifest_; }

  private:
    void check_rows(const Rows& history, const Rows& blocked) const;
    void check_ranked(const Ranked& found, const Rows& blocked) const;

    Manifest manifest_;
    Catalog catalog_;
    std::unique_ptr<Engine> engine_;  // last: it refers to the others
};

}  // namespace odllm
