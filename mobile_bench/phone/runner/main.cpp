// odllm-runner: measures bundles on a phone, or wherever ONNX Runtime's C library runs.
//
//     odllm-runner --runtime libonnxruntime.so [--end-with-input] < requests > answers
//
// Reads one JSON request a line and answers each with one JSON line, as `mobile_bench/protocol.py` says. A request that
// cannot be met is answered with words; a bundle can make it end only by a fault of the runtime.
#include <poll.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <iostream>
#include <new>
#include <string>
#include <thread>

#include "measurements.h"
#include "refusal.h"
#include "runtime.h"

namespace {

using odllm::Json;

// Libraries print to standard output when they please; the answers get a descriptor of their own.
std::FILE* take_standard_output() {
    const int answers = dup(STDOUT_FILENO);
    if (answers < 0 || dup2(STDERR_FILENO, STDOUT_FILENO) < 0) return nullptr;
    return fdopen(answers, "w");
}

// Ends the process as soon as whoever writes the requests is gone, in the middle of a call, too: nobody would hear it,
// and it would keep a phone busy and warm.
void end_with_input() {
    std::thread([] {
        pollfd input{STDIN_FILENO, POLLRDHUP, 0};
        while (poll(&input, 1, -1) < 0 || input.revents == 0) {
        }
        _exit(0);
    }).detach();
}

Json refused(const std::string& words, int exit_code) {
    return Json(Json::Object{{"reply", nullptr}, {"refused", words}, {"exit_code", exit_code}});
}

Json answer(odllm::Worker& worker, const std::string& line) {
    try {
        return Json(Json::Object{{"reply", worker.answer(Json::parse(line))}});
    } catch (const odllm::Refusal& refusal) {
        return refused(refusal.what(), refusal.exit_code);
    } catch (const std::bad_alloc&) {
        return refused("the memory is not enough. Close other apps, or take a smaller bundle.", 4);
    } catch (const std::exception& error) {
        return refused(error.what(), 4);
    }
}

int serve(const std::string& library, std::FILE* answers) {
    try {
        const odllm::Runtime runtime(library);
        odllm::Worker worker(runtime);
        for (std::string line; std::getline(std::cin, line);) {
            std::fprintf(answers, "%s\n", answer(worker, line).dump().c_str());
            if (std::fflush(answers) != 0) return 1;  // nobody listens any more
        }
    } catch (const odllm::Refusal& refusal) {
        std::fprintf(stderr, "odllm-runner: %s\n", refusal.what());
        return refusal.exit_code;
    }
    return 0;
}

}  // namespace

int main(int count, char** arguments) {
    std::string library;
    bool ends_with_input = false;
    for (int i = 1; i < count; ++i) {
        if (std::strcmp(arguments[i], "--runtime") == 0 && i + 1 < count) library = arguments[++i];
        else if (std::strcmp(arguments[i], "--end-with-input") == 0) ends_with_input = true;
        else library.clear(), i = count;
    }
    if (library.empty()) {
        std::fprintf(stderr, "usage: odllm-runner --runtime libonnxruntime.so [--end-with-input] < requests\n");
        return 2;
    }
    // Its packages for Android and Linux report sessions and models to their maker otherwise, from 1.29 on.
    setenv("ORT_DISABLE_TELEMETRY", "1", 1);
    std::FILE* answers = take_standard_output();
    if (answers == nullptr) return 1;
    if (ends_with_input) end_with_input();
    const int code = serve(library, answers);
    std::fclose(answers);
    _exit(code);  // what libraries would tidy up ends with the process, and some builds of the runtime crash over it
}
