#include "weights/packed_integers.h"

#include <cstdint>
#include <vector>

#include "support/catch.h"
#include "support/random.h"

namespace prepack {
namespace {

using Order = PackedIntegers::Order;
using Integers = std::vector<std::vector<uint8_t>>;  // by rows

Integers random_integers(testing::Random& random, int64_t num_rows, int64_t num_columns, int bits) {
  Integers integers(num_rows, std::vector<uint8_t>(num_columns));
  for (auto& row : integers) {
    for (auto& value : row) value = static_cast<uint8_t>(random.integer(0, (1 << bits) - 1));
  }
  return integers;
}

/// By the formats' definitions, a bit at a time.
std::vector<int32_t> pack(const Integers& integers, Order order, int bits) {
  const auto num_rows = integers.size();
  const auto num_columns = integers[0].size();
  const size_t num_packed = 32 / bits;
  const bool is_down = order == Order::kDown;
  const auto row_words = is_down ? num_columns : num_columns / num_packed;
  std::vector<uint32_t> words(num_rows * num_columns / num_packed);
  constexpr int kPlaceOfInterleaved[] = {0, 4, 1, 5, 2, 6, 3, 7};
  for (size_t row = 0; row < num_rows; ++row) {
    for (size_t column = 0; column < num_columns; ++column) {
      const size_t index = is_down ? row % num_packed : column % num_packed;
      const auto place = order == Order::kInterleaved ? kPlaceOfInterleaved[index] : index;
      const auto word =
          is_down ? row / num_packed * row_words + column : row * row_words + column / num_packed;
      words[word] |= static_cast<uint32_t>(integers[row][column]) << (place * bits);
    }
  }
  return {words.begin(), words.end()};
}

/// All columns, as rows.
Integers unpack(const PackedIntegers& packed, int64_t first, int64_t last) {
  std::vector<uint8_t> out(static_cast<size_t>((last - first) * packed.num_rows));
  unpack_columns(packed, first, last, out.data());
  Integers columns;
  for (auto begin = out.begin(); begin != out.end(); begin += packed.num_rows) {
    columns.emplace_back(begin, begin + packed.num_rows);
  }
  return columns;
}

void check_columns(const Integers& columns, const Integers& integers, int64_t first) {
  for (size_t column = 0; column < columns.size(); ++column) {
    for (size_t row = 0; row < integers.size(); ++row) {
      REQUIRE(static_cast<int>(columns[column][row]) ==
              static_cast<int>(integers[row][first + column]));
    }
  }
}

TEST_CASE("packed integers come back in each order", "[packed]") {
  testing::Random random(1);
  for (const auto& [order, bits] : {std::pair{Order::kDown, 4},
                                    {Order::kDown, 8},
                                    {Order::kAcross, 4},
                                    {Order::kAcross, 8},
                                    {Order::kInterleaved, 4}}) {
    for (const auto& [num_rows, num_columns] :
         {std::pair{8, 8}, {8, 200}, {64, 16}, {40, 136}, {24, 264}}) {
      INFO(static_cast<int>(order)
           << " of " << bits << " bits, " << num_rows << " by " << num_columns);
      const auto integers = random_integers(random, num_rows, num_columns, bits);
      const auto words = pack(integers, order, bits);
      const PackedIntegers packed{words.data(), order, bits, num_rows, num_columns};
      const auto all = unpack(packed, 0, num_columns);
      REQUIRE(all.size() == static_cast<size_t>(num_columns));
      check_columns(all, integers, 0);
      check_columns(unpack(packed, num_columns - 8, num_columns), integers, num_columns - 8);
    }
  }
}

TEST_CASE("AWQ's words hold the even integers before the odd ones", "[packed]") {
  const int32_t word = 0x76543210;
  const PackedIntegers packed{&word, Order::kInterleaved, 4, 1, 8};
  CHECK(unpack(packed, 0, 8) == Integers{{0}, {4}, {1}, {5}, {2}, {6}, {3}, {7}});
}

TEST_CASE("zeros that were stored less one come back, also those of 0 that had to borrow",
          "[packed]") {
  CHECK(ones(4) == 0x11111111);
  CHECK(ones(8) == 0x01010101);
  for (const auto& zeros : {std::vector<uint32_t>{8, 8, 8, 8, 8, 8, 8, 8},
                            {0, 5, 15, 0, 0, 1, 0, 15},
                            {0, 0, 0, 0, 0, 0, 0, 0}}) {
    uint32_t word = 0;
    for (int i = 0; i < 8; ++i) word += (zeros[i] - 1) << (4 * i);  // modulo 2^32
    const auto stored = static_cast<int32_t>(word);
    const PackedIntegers packed{&stored, Order::kAcross, 4, 1, 8, ones(4)};
    const auto columns = unpack(packed, 0, 8);
    for (int i = 0; i < 8; ++i) CHECK(static_cast<uint32_t>(columns[i][0]) == zeros[i]);
  }
}

}  // namespace
}  // namespace prepack
