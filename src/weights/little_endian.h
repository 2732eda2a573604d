#pragma once

#include <concepts>
#include <cstddef>

namespace prepack {

/// The unsigned integer whose sizeof(T) bytes begin at `bytes`, at any address.
template <std::unsigned_integral T>
T read_little_endian(const std::byte* bytes) {
  T value = 0;
  for (size_t i = 0; i < sizeof(T); ++i) {
    value |= static_cast<T>(std::to_integer<T>(bytes[i]) << (8 * i));
  }
  return value;
}

}  // namespace prepack
