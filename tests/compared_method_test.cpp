#include "bench/compared_method.h"

#include <algorithm>
#include <numeric>

#include "prepack/error.h"
#include "support/catch.h"
#include "support/random.h"

namespace prepack::bench {
namespace {

using testing::Random;

constexpr ComparedMethod kMethods[] = {ComparedMethod::kPacked, ComparedMethod::kPackedRows,
                                       ComparedMethod::kPadded, ComparedMethod::kLengthOrdered,
                                       ComparedMethod::kDatasetPacked};

TEST_CASE("every method has every prompt in exactly one batch", "[compared_method]") {
  Random random(1);
  for (int i = 0; i < 300; ++i) {
    const auto lengths = random.integers(random.integer(1, 80), 1, 50);
    const int64_t batch_size = random.integer(1, 20);
    for (auto method : kMethods) {
      CAPTURE(to_string(method), batch_size);
      std::vector<int> times(lengths.size(), 0);
      for (const auto& batch : make_batches(method, lengths, batch_size, {}, 0, i)) {
        REQUIRE_FALSE(batch.empty());
        if (method != ComparedMethod::kDatasetPacked) {
          REQUIRE(static_cast<int64_t>(batch.size()) <= batch_size);
        }
        for (int64_t prompt : batch) ++times.at(prompt);
      }
      REQUIRE(times == std::vector<int>(lengths.size(), 1));
    }
  }
}

TEST_CASE("packed, packed-rows and padded have the same random batches", "[compared_method]") {
  const auto lengths = Random(2).integers(100, 1, 50);
  const auto batches = make_batches(ComparedMethod::kPadded, lengths, 8, {}, 0, 7);
  CHECK(make_batches(ComparedMethod::kPacked, lengths, 8, {}, 0, 7) == batches);
  CHECK(make_batches(ComparedMethod::kPackedRows, lengths, 8, {}, 0, 7) == batches);
  CHECK(make_batches(ComparedMethod::kPadded, lengths, 8, {}, 0, 8) != batches);
  CHECK_FALSE(std::ranges::is_sorted(batches.front()));
}

TEST_CASE("length-ordered batches go from the shortest prompt to the longest",
          "[compared_method]") {
  const auto lengths = Random(3).integers(50, 1, 90);
  int64_t last = 0;
  for (const auto& batch : make_batches(ComparedMethod::kLengthOrdered, lengths, 8, {}, 0, 1)) {
    for (int64_t prompt : batch) {
      REQUIRE(lengths[prompt] >= last);
      last = lengths[prompt];
    }
  }
}

TEST_CASE("dataset-packed batches are rows as long as the longest prompt", "[compared_method]") {
  const auto lengths = Random(4).integers(200, 1, 40);
  const auto longest = *std::ranges::max_element(lengths);
  const auto tokens = std::reduce(lengths.begin(), lengths.end());
  const auto batches = make_batches(ComparedMethod::kDatasetPacked, lengths, 4, {}, 0, 1);
  for (const auto& batch : batches) {
    int64_t used = 0;
    for (int64_t prompt : batch) used += lengths[prompt];
    REQUIRE(used <= 4 * longest);
  }
  // The rows of one good packing are nearly full, so there are few batches.
  CHECK(static_cast<int64_t>(batches.size()) <= tokens / (4 * longest) + 2);
}

TEST_CASE("dataset-packed rows have the capacity that is asked for", "[compared_method]") {
  const std::vector<int64_t> lengths(10, 7);
  const auto batches = make_batches(ComparedMethod::kDatasetPacked, lengths, 1, {}, 21, 1);
  REQUIRE(batches.size() == 4);
  for (const auto& batch : batches) CHECK(batch.size() <= 3);
}

TEST_CASE("some numbers are spread evenly over all", "[compared_method]") {
  using Numbers = std::vector<int64_t>;
  CHECK(spread_evenly(10, 2) == Numbers{2, 7});
  CHECK(spread_evenly(10, 1) == Numbers{5});
  CHECK(spread_evenly(3, 0) == Numbers{0, 1, 2});
  CHECK(spread_evenly(3, 3) == Numbers{0, 1, 2});
  CHECK(spread_evenly(3, 4) == Numbers{0, 1, 2});
  CHECK(spread_evenly(0, 0).empty());
  const auto nine = spread_evenly(10, 9);
  CHECK(nine.size() == 9);
  CHECK(std::ranges::adjacent_find(nine) == nine.end());
}

TEST_CASE("a random order has every index once and follows its seed", "[compared_method]") {
  auto order = random_order(1000, 3);
  CHECK(order == random_order(1000, 3));
  CHECK(order != random_order(1000, 4));
  std::ranges::sort(order);
  std::vector<int64_t> expected(1000);
  std::iota(expected.begin(), expected.end(), 0);
  CHECK(order == expected);
  CHECK(random_order(0, 1).empty());
}

TEST_CASE("compared methods are parsed by name", "[compared_method]") {
  for (auto method : kMethods) CHECK(parse_compared_method(to_string(method)) == method);
  CHECK_THROWS_WITH(parse_compared_method("pad"), ContainsSubstring("got pad"));
  CHECK_THROWS_AS(make_batches(ComparedMethod::kPadded, {}, 0, {}, 0, 1), InvalidArgument);
}

}  // namespace
}  // namespace prepack::bench
