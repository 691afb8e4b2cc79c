// One user's growing history: what did not change since the last call is not computed again.
#pragma once

#include "recommender.h"

namespace odllm {

// As `odllm_export.session.Session`: a call with one more item runs that item and the prompt's suffix only.
class UserSession {
  public:
    explicit UserSession(Recommender& recommender) : recommender_(recommender) {}

    Ranked recommend(const Rows& history);

  private:
    Recommender& recommender_;
    Rows window_;
    KeptCache cache_;
};

}  // namespace odllm
