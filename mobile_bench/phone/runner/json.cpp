#include "json.h"

#include <algorithm>
#include <cstdio>

#include "refusal.h"

namespace odllm {
namespace {

template <typename Type, typename Value>
const Type& expect(const Value& value, const char* what) {
    if (const Type* found = std::get_if<Type>(&value)) return *found;
    throw bad_input(std::string(what) + " was expected");
}

void dump_string(const std::string& text, std::string& out) {
    out += '"';
    for (const char letter : text) {
        if (letter == '"' || letter == '\\') {
            out += '\\';
            out += letter;
        } else if (static_cast<unsigned char>(letter) < 0x20) {
            char escaped[8];
            std::snprintf(escaped, sizeof escaped, "\\u%04x", static_cast<unsigned>(letter));
            out += escaped;
        } else {
            out += letter;
        }
    }
    out += '"';
}

}  // namespace

Json::~Json() = default;
Json::Json(const Json&) = default;
Json::Json(Json&&) noexcept = default;
Json& Json::operator=(const Json&) = default;
Json& Json::operator=(Json&&) noexcept = default;

bool Json::as_bool() const { return expect<bool>(value_, "true or false"); }
std::int64_t Json::as_int() const { return expect<std::int64_t>(value_, "a whole number"); }
const std::string& Json::as_string() const& { return expect<std::string>(value_, "a string"); }
const Json::Array& Json::as_array() const& { return expect<Array>(value_, "a list"); }
const Json::Object& Json::as_object() const& { return expect<Object>(value_, "an object"); }

double Json::as_double() const {
    if (const auto* whole = std::get_if<std::int64_t>(&value_)) return static_cast<double>(*whole);
    return expect<double>(value_, "a number");
}

std::vector<std::int64_t> Json::as_ints() const {
    std::vector<std::int64_t> numbers;
    for (const Json& entry : as_array()) numbers.push_back(entry.as_int());
    return numbers;
}

const Json* Json::find(std::string_view key) const {
    const Object* members = std::get_if<Object>(&value_);
    if (members == nullptr) return nullptr;
    const auto found = std::find_if(members->begin(), members->end(), [key](const auto& one) { return one.first == key; });
    return found == members->end() ? nullptr : &found->second;
}

const Json& Json::at(std::string_view key) const {
    if (const Json* found = find(key)) return *found;
    throw bad_input("'" + std::string(key) + "' is missing");
}

std::int64_t Json::int_or(std::string_view key, std::int64_t otherwise) const {
    const Json* found = find(key);
    return found == nullptr ? otherwise : found->as_int();
}

bool Json::operator==(const Json& other) const {
    if (!is_object() || !other.is_object()) return value_ == other.value_;
    const Object& members = as_object();
    return members.size() == other.as_object().size() &&
           std::all_of(members.begin(), members.end(), [&other](const auto& one) {
               const Json* found = other.find(one.first);
               return found != nullptr && *found == one.second;
           });
}

std::string Json::dump() const {
    std::string out;
    dump_to(out);
    return out;
}

void Json::dump_to(std::string& out) const {
    if (is_null()) {
        out += "null";
    } else if (const auto* truth = std::get_if<bool>(&value_)) {
        out += *truth ? "true" : "false";
    } else if (const auto* whole = std::get_if<std::int64_t>(&value_)) {
        out += std::to_string(*whole);
    } else if (const auto* number = std::get_if<double>(&value_)) {
        char text[32];
        std::snprintf(text, sizeof text, "%.17g", *number);
        out += text;
    } else if (const auto* words = std::get_if<std::string>(&value_)) {
        dump_string(*words, out);
    } else if (const auto* entries = std::get_if<Array>(&value_)) {
        out += '[';
        for (std::size_t i = 0; i < entries->size(); ++i) {
            if (i > 0) out += ',';
            (*entries)[i].dump_to(out);
        }
        out += ']';
    } else {
        out += '{';
        bool first = true;
        for (const auto& [key, value] : as_object()) {
            if (!first) out += ',';
            first = false;
            dump_string(key, out);
            out += ':';
            value.dump_to(out);
        }
        out += '}';
    }
}

}  // namespace odllm
