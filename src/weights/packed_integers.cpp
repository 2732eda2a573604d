#include "weights/packed_integers.h"

#include <algorithm>
#include <array>

namespace prepack {
namespace {

using Order = PackedIntegers::Order;

/// Words of a cache line: of each row so many are read, so that few rows of `out` are written to.
constexpr int64_t kBlockWords = 16;

/// Where the integers of a word belong, from its lowest bits on.
constexpr std::array<int64_t, 8> kInterleavedPlaces = {0, 2, 4, 6, 1, 3, 5, 7};

uint8_t integer_at(uint32_t word, int bits, int64_t index) {
  return static_cast<uint8_t>(word >> (bits * index) & ((1U << bits) - 1));
}

void unpack_down(const PackedIntegers& packed, int64_t first, int64_t last, uint8_t* out) {
  const int64_t num_packed = packed.num_packed();
  for (int64_t row = 0; row < packed.num_rows / num_packed; ++row) {
    const auto* words = packed.words + row * packed.num_columns;
    for (int64_t column = first; column < last; ++column) {
      const uint32_t word = static_cast<uint32_t>(words[column]) + packed.added;
      auto* to = out + (column - first) * packed.num_rows + row * num_packed;
      for (int64_t i = 0; i < num_packed; ++i) to[i] = integer_at(word, packed.bits, i);
    }
  }
}

void unpack_across(const PackedIntegers& packed, int64_t first, int64_t last, uint8_t* out) {
  const int64_t num_packed = packed.num_packed();
  const int64_t row_words = packed.num_columns / num_packed;
  for (int64_t row = 0; row < packed.num_rows; ++row) {
    const auto* words = packed.words + row * row_words;
    for (int64_t column = first; column < last; column += num_packed) {
      const uint32_t word = static_cast<uint32_t>(words[column / num_packed]) + packed.added;
      auto* to = out + (column - first) * packed.num_rows + row;
      for (int64_t i = 0; i < num_packed; ++i) {
        const int64_t place = packed.order == Order::kInterleaved ? kInterleavedPlaces[i] : i;
        to[place * packed.num_rows] = integer_at(word, packed.bits, i);
      }
    }
  }
}

}  // namespace

void unpack_columns(const PackedIntegers& packed, int64_t first, int64_t last, uint8_t* out) {
  const bool is_down = packed.order == Order::kDown;
  const int64_t block = is_down ? kBlockWords : kBlockWords * packed.num_packed();
  const auto unpack = is_down ? unpack_down : unpack_across;
  for (int64_t column = first; column < last; column += block) {
    unpack(packed, column, std::min(column + block, last),
           out + (column - first) * packed.num_rows);
  }
}

uint32_t ones(int bits) { return ~uint32_t{0} / ((1U << bits) - 1); }

}  // namespace prepack
