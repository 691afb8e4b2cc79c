// JSON as requests, manifests and profiles need it: parsed into values, values written on one line.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

namespace odllm {

// One JSON value. Whole numbers that fit are kept apart from others, so that item rows stay exact.
class Json {
  public:
    using Array = std::vector<Json>;
    using Object = std::vector<std::pair<std::string, Json>>;  // in the order of the text

    Json() : value_(nullptr) {}
    Json(std::nullptr_t) : value_(nullptr) {}
    Json(bool value) : value_(value) {}
    Json(int value) : value_(std::int64_t{value}) {}
    Json(std::int64_t value) : value_(value) {}
    Json(double value) : value_(value) {}
    Json(const char* value) : value_(std::string(value)) {}
    Json(std::string value) : value_(std::move(value)) {}
    Json(Array value) : value_(std::move(value)) {}
    Json(Object value) : value_(std::move(value)) {}

    // Out of line: inlined into their users they are much code, in which GCC 12 sees members that are none.
    ~Json();
    Json(const Json&);
    Json(Json&&) noexcept;
    Json& operator=(const Json&);
    Json& operator=(Json&&) noexcept;

    // Parses a text that holds one value. Throws Refusal: it does not, or it is nested too deep.
    static Json parse(std::string_view text);

    std::string dump() const;

    // The value as a type. Throws Refusal: it is another one. What is referred to ends with the value: not for passing ones.
    bool as_bool() const;
    std::int64_t as_int() const;
    double as_double() const;
    const std::string& as_string() const&;
    const Array& as_array() const&;
    const Object& as_object() const&;
    const std::string& as_string() const&& = delete;
    const Array& as_array() const&& = delete;
    const Object& as_object() const&& = delete;
    std::vector<std::int64_t> as_ints() const;

    bool is_null() const { return std::holds_alternative<std::nullptr_t>(value_); }
    bool is_object() const { return std::holds_alternative<Object>(value_); }

    // A member of an object. Throws Refusal: no object, or no such member.
    const Json& at(std::string_view key) const;

    // A member of an object; null where there is none, or where this is no object.
    const Json* find(std::string_view key) const;

    // A member of an object as a whole number, or what to take where there is none.
    std::int64_t int_or(std::string_view key, std::int64_t otherwise) const;

    // Equal values; the order of an object's members does not count.
    bool operator==(const Json& other) const;

  private:
    void dump_to(std::string& out) const;

    std::variant<std::nullptr_t, bool, std::int64_t, double, std::string, Array, Object> value_;
};

// A list of numbers as a JSON array.
template <typename Number>
Json json_list(const std::vector<Number>& numbers) {
    return Json(Json::Array(numbers.begin(), numbers.end()));
}

}  // namespace odllm
