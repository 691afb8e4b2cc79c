// Reads JSON (RFC 8259) by recursive descent; numbers and strings are checked, nesting is limited.
#include <cerrno>
#include <cstdlib>
#include <string>

#include "json.h"
#include "refusal.h"

namespace odllm {
namespace {

constexpr int kMostNested = 64;

class Parser {
  public:
    explicit Parser(std::string_view text) : text_(text) {}

    Json whole() {
        Json value = any(0);
        skip_space();
        if (at_ != text_.size()) fail("something follows the value");
        return value;
    }

  private:
    Json any(int depth) {
        if (depth > kMostNested) fail("it is nested too deep");
        skip_space();
        switch (peek()) {
            case '{': return object(depth);
            case '[': return array(depth);
            case '"': return Json(string());
            case 't': return word("true", Json(true));
            case 'f': return word("false", Json(false));
            case 'n': return word("null", Json());
            default: return number();
        }
    }

    Json object(int depth) {
        Json::Object members;
        ++at_;
        if (next_is('}')) return Json(std::move(members));
        do {
            skip_space();
            std::string key = string();
            expect(':');
            members.emplace_back(std::move(key), any(depth + 1));
        } while (next_is(','));
        expect('}');
        return Json(std::move(members));
    }

    Json array(int depth) {
        Json::Array entries;
        ++at_;
        if (next_is(']')) return Json(std::move(entries));
        do entries.push_back(any(depth + 1));
        while (next_is(','));
        expect(']');
        return Json(std::move(entries));
    }

    std::string string() {
        if (peek() != '"') fail("a string was expected");
        std::string out;
        for (++at_; peek() != '"'; ++at_) {
            if (static_cast<unsigned char>(text_[at_]) < 0x20) fail("a control character stands in a string");
            if (text_[at_] == '\\') escape(out);
            else out += text_[at_];
        }
        ++at_;
        return out;
    }

    void escape(std::string& out) {
        static constexpr std::string_view kLetters = "\"\\/bfnrt", kMeant = "\"\\/\b\f\n\r\t";
        ++at_;
        const char letter = peek();
        if (letter == 'u') {
            append_utf8(out, code_point());
            return;
        }
        const std::size_t which = kLetters.find(letter);
        if (which == std::string_view::npos) fail("there is no such escape");
        out += kMeant[which];
    }

    std::uint32_t code_point() {
        const std::uint32_t high = four_digits();
        if (high < 0xD800 || high > 0xDFFF) return high;
        if (high > 0xDBFF || text_.substr(at_ + 1, 2) != "\\u") fail("half of a surrogate pair");
        at_ += 2;
        const std::uint32_t low = four_digits();
        if (low < 0xDC00 || low > 0xDFFF) fail("half of a surrogate pair");
        return 0x10000 + ((high - 0xD800) << 10) + (low - 0xDC00);
    }

    // Reads what follows `u`, and stops on its last digit.
    std::uint32_t four_digits() {
        std::uint32_t value = 0;
        for (int digit = 0; digit < 4; ++digit) {
            ++at_;
            const char letter = peek();
            if (letter >= '0' && letter <= '9') value = value * 16 + static_cast<std::uint32_t>(letter - '0');
            else if (letter >= 'a' && letter <= 'f') value = value * 16 + static_cast<std::uint32_t>(letter - 'a' + 10);
            else if (letter >= 'A' && letter <= 'F') value = value * 16 + static_cast<std::uint32_t>(letter - 'A' + 10);
            else fail("four hexadecimal digits were expected");
        }
        return value;
    }

    static void append_utf8(std::string& out, std::uint32_t code) {
        const auto byte = [&out](std::uint32_t value) { out += static_cast<char>(value); };
        if (code < 0x80) {
            byte(code);
        } else if (code < 0x800) {
            byte(0xC0 | code >> 6);
            byte(0x80 | (code & 0x3F));
        } else if (code < 0x10000) {
            byte(0xE0 | code >> 12);
            byte(0x80 | (code >> 6 & 0x3F));
            byte(0x80 | (code & 0x3F));
        } else {
            byte(0xF0 | code >> 18);
            byte(0x80 | (code >> 12 & 0x3F));
            byte(0x80 | (code >> 6 & 0x3F));
            byte(0x80 | (code & 0x3F));
        }
    }

    Json number() {
        const std::size_t begin = at_;
        while (at_ < text_.size() && std::string_view("+-.0123456789eE").find(text_[at_]) != std::string_view::npos) ++at_;
        const std::string digits(text_.substr(begin, at_ - begin));
        char* end = nullptr;
        errno = 0;
        if (digits.find_first_of(".eE") == std::string::npos) {
            const long long whole = std::strtoll(digits.c_str(), &end, 10);
            if (!digits.empty() && *end == '\0' && errno == 0) return Json(std::int64_t{whole});
        }
        const double value = std::strtod(digits.c_str(), &end);
        if (digits.empty() || *end != '\0') fail("a value was expected");
        return Json(value);
    }

    Json word(std::string_view expected, Json value) {
        if (text_.substr(at_, expected.size()) != expected) fail("a value was expected");
        at_ += expected.size();
        return value;
    }

    void skip_space() {
        while (at_ < text_.size() && std::string_view(" \t\r\n").find(text_[at_]) != std::string_view::npos) ++at_;
    }

    char peek() const {
        if (at_ >= text_.size()) fail("it ends too early");
        return text_[at_];
    }

    bool next_is(char wanted) {
        skip_space();
        if (peek() != wanted) return false;
        ++at_;
        return true;
    }

    void expect(char wanted) {
        if (!next_is(wanted)) fail(std::string("'") + wanted + "' was expected");
    }

    [[noreturn]] void fail(const std::string& why) const {
        throw bad_input("no JSON at byte " + std::to_string(at_) + ": " + why);
    }

    std::string_view text_;
    std::size_t at_ = 0;
};

}  // namespace

Json Json::parse(std::string_view text) { return Parser(text).whole(); }

}  // namespace odllm
