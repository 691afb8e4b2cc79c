// SHA-256 of files and strings. Source: FIPS 180-4.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace odllm {

class Sha256 {
  public:
    void add(const void* data, std::size_t bytes);

    // Ends the message and returns its hash in hexadecimal.
    std::string hex();

  private:
    void take_block(const std::uint8_t* block);

    std::array<std::uint32_t, 8> state_{0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
                                        0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};
    std::array<std::uint8_t, 64> block_{};
    std::size_t held_ = 0;
    std::uint64_t bytes_ = 0;
};

// Hash of a file. Throws Refusal: it cannot be read.
std::string sha256_file(const std::string& path);

// Bytes as lower-case hexadecimal.
std::string to_hex(const std::uint8_t* bytes, std::size_t count);

}  // namespace odllm
