#include "measurements.h"

#include <algorithm>
#include <cmath>
#include <functional>

#include "clocks.h"
#include "page_cache.h"
#include "process_memory.h"
#include "profile.h"
#include "refusal.h"
#include "user_session.h"

namespace odllm {
namespace {

constexpr std::int64_t kMostCalls = 10'000'000;
constexpr std::int64_t kMostThreads = 256;
constexpr float kScoreTolerance = 1e-3F;

double to_ms(std::int64_t ns) { return static_cast<double>(ns) / 1e6; }

double time_ms(const std::function<void()>& act) {
    const std::int64_t started = elapsed_ns();
    act();
    return to_ms(elapsed_ns() - started);
}

std::int64_t count_of(const Json& request, const char* key, std::int64_t otherwise, std::int64_t least = 1) {
    const std::int64_t count = request.int_or(key, otherwise);
    if (count < least || count > kMostCalls) {
        throw bad_input(std::string(key) + " is " + std::to_string(count) + "; " + std::to_string(least) + " to " +
                        std::to_string(kMostCalls) + " are possible");
    }
    return count;
}

OpenOptions open_options(const Json& request, const std::string& profile_prefix) {
    const std::int64_t threads = request.at("threads").as_int();
    if (threads < 1 || threads > kMostThreads) throw bad_input(std::to_string(threads) + " threads were asked for");
    return {request.at("provider").as_string(), static_cast<int>(threads), profile_prefix};
}

Json ranked_json(const Ranked& ranked) {
    const std::vector<double> scores(ranked.scores.begin(), ranked.scores.end());
    return Json(Json::Object{{"items", json_list(ranked.items)}, {"scores", json_list(scores)}});
}

// A session that reused the wrong tokens would answer another question, and fast. Ties may stand in another order.
void check_same_best(const Ranked& kept, const Ranked& whole) {
    if (std::fabs(kept.scores.at(0) - whole.scores.at(0)) > kScoreTolerance * std::max(1.0F, std::fabs(whole.scores[0]))) {
        throw device_fault("a session's best score is " + std::to_string(kept.scores[0]) + ", a whole call's " +
                           std::to_string(whole.scores[0]) + ": its cache does not fit");
    }
}

// As they were set: the C API does not tell a session's options.
Json session_options_json(const Json& request) {
    return Json(Json::Object{{"intra_op_num_threads", std::to_string(request.at("threads").as_int())},
                             {"inter_op_num_threads", "1"},
                             {"execution_mode", "ORT_SEQUENTIAL"},
                             {"graph_optimization_level", "ORT_ENABLE_ALL"},
                             {"session.intra_op.allow_spinning", "0"}});
}

}  // namespace

OpenedBundle::OpenedBundle(const Runtime& runtime, const Json& request, const std::string& profile_prefix)
    : recommender_(runtime, request.at("bundle").as_string(), open_options(request, profile_prefix)) {
    for (const Json& history : request.at("histories").as_array()) histories_.push_back(history.as_ints());
    if (histories_.empty()) throw bad_input("no histories were given; at least one is needed");
}

void OpenedBundle::call(std::int64_t number) { recommender_.recommend(history(number)); }

const Rows& OpenedBundle::history(std::int64_t number) const {
    return histories_[static_cast<std::size_t>(number) % histories_.size()];
}

Json Worker::answer(const Json& request) {
    using Answer = Json (Worker::*)(const Json&);
    using ConstAnswer = Json (Worker::*)(const Json&) const;
    static const std::vector<std::pair<const char*, ConstAnswer>> kPasses = {{"load", &Worker::measure_load},
                                                                              {"inspect", &Worker::inspect},
                                                                              {"memory", &Worker::measure_memory},
                                                                              {"phases", &Worker::measure_phases}};
    static const std::vector<std::pair<const char*, Answer>> kOpened = {
        {"open", &Worker::open}, {"round", &Worker::time_round}, {"soak", &Worker::soak}};
    const std::string& what = request.at("do").as_string();
    for (const auto& [name, run] : kPasses) {
        if (what == name) return (this->*run)(request);
    }
    for (const auto& [name, run] : kOpened) {
        if (what == name) return (this->*run)(request);
    }
    throw bad_input("this runner does not know the request '" + what + "'. Build it anew.");
}

Json Worker::measure_load(const Json& request) const {
    const std::int64_t warm_loads = count_of(request, "warm_loads", 3, 0);
    const Manifest manifest = read_manifest(request.at("bundle").as_string());
    std::vector<std::string> paths;
    for (const std::string& file : manifest.files) paths.push_back(manifest.path(file));
    const std::string page_cache = drop_page_cache(paths);
    const auto open_ms = [&] { return time_ms([&] { const OpenedBundle opened(runtime_, request); }); };
    const double cold_ms = open_ms();
    std::vector<double> warm_ms;
    for (std::int64_t number = 0; number < warm_loads; ++number) warm_ms.push_back(open_ms());
    return Json(Json::Object{{"cold_ms", cold_ms}, {"page_cache", page_cache}, {"warm_ms", json_list(warm_ms)}});
}

Json Worker::inspect(const Json& request) const {
    const ProfileFolder folder;
    OpenedBundle opened(runtime_, request, folder.prefix());
    opened.call(0);
    const Json nodes = opened.recommender().profiled_nodes();
    Json::Array answers;
    const Json* questions = request.find("questions");
    for (const Json& question : questions == nullptr ? Json::Array{} : questions->as_array()) {
        const Json* blocked = question.find("blocked");
        answers.push_back(ranked_json(opened.recommender().recommend(
            question.at("history").as_ints(), blocked == nullptr ? Rows{} : blocked->as_ints())));
    }
    return Json(Json::Object{{"nodes", nodes},
                             {"answers", Json(std::move(answers))},
                             {"session_options", session_options_json(request)},
                             {"onnxruntime", runtime_.version()},
                             {"runtime_build", runtime_.build()}});
}

Json Worker::measure_memory(const Json& request) const {
    const std::int64_t calls = count_of(request, "calls", 20);
    const std::int64_t before = resident_memory().total;
    MemorySampler sampler;
    OpenedBundle opened(runtime_, request);
    for (std::int64_t number = 0; number < calls; ++number) opened.call(number);
    sampler.stop();
    return Json(Json::Object{{"before_open_bytes", before},
                             {"peak_memory_bytes", resident_memory().peak},
                             {"anonymous_peak_bytes", sampler.anonymous_peak()},
                             {"file_backed_peak_bytes", sampler.file_backed_peak()}});
}

Json Worker::measure_phases(const Json& request) const {
    const std::int64_t calls = count_of(request, "calls", 20);
    OpenedBundle opened(runtime_, request);
    Recommender& recommender = opened.recommender();
    std::vector<double> whole, incremental, repeated;
    for (std::int64_t number = 0; number < calls + 1; ++number) {
        const Rows& all = opened.history(number == 0 ? 0 : number - 1);  // the first one only warms up
        const auto length = static_cast<std::int64_t>(all.size());
        const Rows history(all.end() - std::min(length, recommender.manifest().max_items), all.end());
        UserSession session(recommender);
        if (history.size() > 1) session.recommend(Rows(history.begin(), history.end() - 1));
        Ranked kept, whole_call;
        const double one_new = time_ms([&] { kept = session.recommend(history); });
        const double nothing_new = time_ms([&] { session.recommend(history); });
        const double from_nothing = time_ms([&] { whole_call = recommender.recommend(history); });
        check_same_best(kept, whole_call);
        if (number == 0) continue;
        incremental.push_back(one_new);
        repeated.push_back(nothing_new);
        whole.push_back(from_nothing);
    }
    return Json(Json::Object{{"whole_ms", json_list(whole)},
                             {"incremental_ms", json_list(incremental)},
                             {"repeated_ms", json_list(repeated)}});
}

Json Worker::open(const Json& request) {
    const std::int64_t calls = count_of(request, "warm_up_calls", 3);
    opened_ = std::make_unique<OpenedBundle>(runtime_, request);
    double last_ms = 0;
    for (std::int64_t number = 0; number < calls; ++number) last_ms = time_ms([&] { opened_->call(number); });
    return Json(Json::Object{{"call_ms", last_ms}});
}

Json Worker::time_round(const Json& request) {
    OpenedBundle& bundle = opened("round");
    const std::int64_t first = request.at("first").as_int(), calls = count_of(request, "calls", 0);
    std::vector<double> wall, cpu;
    wall.reserve(static_cast<std::size_t>(calls));
    cpu.reserve(static_cast<std::size_t>(calls));
    const auto busy_before = busy_seconds();
    const std::int64_t started = elapsed_ns(), own_before = process_cpu_ns();
    for (std::int64_t number = first; number < first + calls; ++number) {
        const std::int64_t cpu_start = process_cpu_ns(), wall_start = elapsed_ns();
        bundle.call(number);
        const std::int64_t wall_end = elapsed_ns(), cpu_end = process_cpu_ns();
        wall.push_back(to_ms(wall_end - wall_start));
        cpu.push_back(to_ms(cpu_end - cpu_start));
    }
    const double elapsed_s = to_ms(elapsed_ns() - started) / 1e3, own_s = to_ms(process_cpu_ns() - own_before) / 1e3;
    const auto busy_after = busy_seconds();
    Json others;  // null: the system does not tell
    if (busy_before && busy_after) others = Json(std::max(0.0, *busy_after - *busy_before - own_s) / elapsed_s);
    return Json(Json::Object{{"wall_ms", json_list(wall)}, {"cpu_ms", json_list(cpu)}, {"other_load_cores", others}});
}

Json Worker::soak(const Json& request) {
    OpenedBundle& bundle = opened("soak");
    const std::int64_t calls = count_of(request, "calls", 0), every = count_of(request, "every", 0);
    std::vector<std::int64_t> seen, memory;
    for (std::int64_t number = 1; number <= calls; ++number) {
        bundle.call(number);
        if (number % every != 0) continue;
        seen.push_back(number);
        memory.push_back(resident_memory().anonymous);
    }
    return Json(Json::Object{{"calls", json_list(seen)}, {"anonymous_bytes", json_list(memory)}});
}

OpenedBundle& Worker::opened(const char* what) {
    if (opened_ == nullptr) throw bad_input("a " + std::string(what) + " was asked for before a bundle was opened");
    return *opened_;
}

}  // namespace odllm
