#include "prepack/packing.h"

#include <algorithm>
#include <functional>
#include <numeric>

#include "prepack/error.h"
#include "support/catch.h"
#include "support/random.h"

namespace prepack {
namespace {

using testing::Random;
using Bins = std::vector<std::vector<int64_t>>;

constexpr auto kBestFit = PackingAlgorithm::kBestFitDecreasing;
constexpr auto kFirstFit = PackingAlgorithm::kFirstFitDecreasing;
constexpr PackingAlgorithm kAlgorithms[] = {kBestFit, kFirstFit};

struct Instance {
  std::vector<int64_t> lengths;
  int64_t capacity;
};

/// Capacities that are and are not powers of two; lengths that are short, long, equal or mixed.
Instance random_instance(Random& random, int64_t max_sequences, int64_t max_capacity) {
  const int64_t capacity = random.integer(1, max_capacity);
  const int64_t shortest = random.integer(1, capacity);
  const int64_t longest = random.integer(shortest, capacity);
  return {random.integers(random.integer(0, max_sequences), shortest, longest), capacity};
}

std::vector<Instance> random_instances(int count, int64_t max_sequences, int64_t max_capacity) {
  Random random(count);
  std::vector<Instance> instances;
  for (int i = 0; i < count; ++i) {
    instances.push_back(random_instance(random, max_sequences, max_capacity));
  }
  return instances;
}

int64_t used(const std::vector<int64_t>& bin, const std::vector<int64_t>& lengths) {
  int64_t tokens = 0;
  for (int64_t sequence : bin) tokens += lengths.at(sequence);
  return tokens;
}

/// The definition of both algorithms, in quadratic time. `better(a, b)`: room a is preferred to b.
Bins naive_pack(const Instance& instance, const std::function<bool(int64_t, int64_t)>& better) {
  std::vector<int64_t> order(instance.lengths.size());
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(),
                   [&](int64_t a, int64_t b) { return instance.lengths[a] > instance.lengths[b]; });
  Bins bins;
  std::vector<int64_t> rooms;
  for (int64_t sequence : order) {
    const int64_t length = instance.lengths[sequence];
    size_t chosen = bins.size();
    for (size_t bin = 0; bin < bins.size(); ++bin) {
      if (rooms[bin] < length) continue;
      if (chosen == bins.size() || better(rooms[bin], rooms[chosen])) chosen = bin;
    }
    if (chosen == bins.size()) {
      bins.emplace_back();
      rooms.push_back(instance.capacity);
    }
    bins[chosen].push_back(sequence);
    rooms[chosen] -= length;
  }
  return bins;
}

/// The fewest bins that hold all lengths, by trying everything.
int64_t fewest_bins(std::vector<int64_t> lengths, int64_t capacity) {
  std::sort(lengths.rbegin(), lengths.rend());
  auto best = static_cast<int64_t>(lengths.size());
  std::vector<int64_t> rooms;
  const std::function<void(size_t)> place = [&](size_t next) {
    if (static_cast<int64_t>(rooms.size()) >= best) return;
    if (next == lengths.size()) {
      best = static_cast<int64_t>(rooms.size());
      return;
    }
    for (size_t bin = 0; bin < rooms.size(); ++bin) {
      if (rooms[bin] < lengths[next]) continue;
      rooms[bin] -= lengths[next];
      place(next + 1);
      rooms[bin] += lengths[next];
    }
    rooms.push_back(capacity - lengths[next]);
    place(next + 1);
    rooms.pop_back();
  };
  place(0);
  return best;
}

std::vector<int64_t> sorted_rooms(const Bins& bins, const Instance& instance) {
  std::vector<int64_t> rooms;
  for (const auto& bin : bins) rooms.push_back(instance.capacity - used(bin, instance.lengths));
  std::sort(rooms.begin(), rooms.end());
  return rooms;
}

TEST_CASE("the worked example of the header packs as it says", "[packing]") {
  const std::vector<int64_t> lengths = {2, 5, 3};
  for (auto algorithm : kAlgorithms) {
    const auto plan = pack(lengths, 5, {algorithm});
    CHECK(plan.capacity == 5);
    CHECK(plan.bins == Bins{{1}, {2, 0}});
  }
}

TEST_CASE("best fit takes the fullest bin that has room, first fit the first", "[packing]") {
  // 7 leaves room 3 in the first bin; 5 and 4 share the second, which has room 1.
  const std::vector<int64_t> lengths = {7, 5, 4, 1};
  CHECK(pack(lengths, 10, {kBestFit}).bins == Bins{{0}, {1, 2, 3}});
  CHECK(pack(lengths, 10, {kFirstFit}).bins == Bins{{0, 3}, {1, 2}});
}

TEST_CASE("every sequence is packed exactly once", "[packing]") {
  for (const auto& instance : random_instances(3000, 60, 300)) {
    for (auto algorithm : kAlgorithms) {
      std::vector<int> times(instance.lengths.size(), 0);
      for (const auto& bin : pack(instance.lengths, instance.capacity, {algorithm}).bins) {
        for (int64_t sequence : bin) ++times.at(sequence);
      }
      REQUIRE(times == std::vector<int>(instance.lengths.size(), 1));
    }
  }
}

TEST_CASE("no bin holds more than the capacity, and none is empty", "[packing]") {
  for (const auto& instance : random_instances(3001, 60, 300)) {
    for (auto algorithm : kAlgorithms) {
      for (const auto& bin : pack(instance.lengths, instance.capacity, {algorithm}).bins) {
        REQUIRE(used(bin, instance.lengths) <= instance.capacity);
        REQUIRE(used(bin, instance.lengths) > 0);
      }
    }
  }
}

TEST_CASE("first fit decreasing equals its definition", "[packing]") {
  const auto never = [](int64_t, int64_t) { return false; };
  for (const auto& instance : random_instances(3002, 60, 300)) {
    REQUIRE(pack(instance.lengths, instance.capacity, {kFirstFit}).bins ==
            naive_pack(instance, never));
  }
}

TEST_CASE("best fit decreasing equals its definition, up to the order of equally full bins",
          "[packing]") {
  const auto fuller = [](int64_t a, int64_t b) { return a < b; };
  for (const auto& instance : random_instances(3003, 60, 300)) {
    const auto plan = pack(instance.lengths, instance.capacity, {kBestFit});
    REQUIRE(sorted_rooms(plan.bins, instance) ==
            sorted_rooms(naive_pack(instance, fuller), instance));
  }
}

TEST_CASE("the number of bins lies between the lower bound and 11/9 of the optimum plus one",
          "[packing]") {
  for (const auto& instance : random_instances(1500, 9, 40)) {
    const int64_t fewest = fewest_bins(instance.lengths, instance.capacity);
    REQUIRE(lower_bound_bins(instance.lengths, instance.capacity) <= fewest);
    for (auto algorithm : kAlgorithms) {
      const auto bins = pack(instance.lengths, instance.capacity, {algorithm}).bins;
      REQUIRE(static_cast<int64_t>(bins.size()) >= fewest);
      REQUIRE(9 * static_cast<int64_t>(bins.size()) <= 11 * fewest + 9);
    }
  }
}

TEST_CASE("packing the same lengths again gives the same plan", "[packing]") {
  for (const auto& instance : random_instances(300, 60, 300)) {
    for (auto algorithm : kAlgorithms) {
      const auto again = std::vector<int64_t>(instance.lengths);
      REQUIRE(pack(instance.lengths, instance.capacity, {algorithm}).bins ==
              pack(again, instance.capacity, {algorithm}).bins);
    }
  }
}

TEST_CASE("sequences of equal length keep the caller's order", "[packing]") {
  const std::vector<int64_t> lengths(7, 3);
  for (auto algorithm : kAlgorithms) {
    CHECK(pack(lengths, 6, {algorithm}).bins == Bins{{0, 1}, {2, 3}, {4, 5}, {6}});
  }
}

TEST_CASE("a sequence exactly as long as the capacity has a bin to itself", "[packing]") {
  const std::vector<int64_t> lengths = {1, 37, 1, 37};
  for (auto algorithm : kAlgorithms) {
    CHECK(pack(lengths, 37, {algorithm}).bins == Bins{{1}, {3}, {0, 2}});
  }
}

TEST_CASE("sequences of one token fill their bins to the last token", "[packing]") {
  const std::vector<int64_t> lengths(1001, 1);
  for (auto algorithm : kAlgorithms) {
    CHECK(pack(lengths, 13, {algorithm}).bins.size() == 77);
    CHECK(pack(lengths, 1, {algorithm}).bins.size() == 1001);
  }
}

TEST_CASE("uniform lengths waste nothing but what cannot be filled", "[packing]") {
  const std::vector<int64_t> lengths(12, 5);
  for (auto algorithm : kAlgorithms) {
    CHECK(pack(lengths, 5, {algorithm}).bins.size() == 12);
    CHECK(pack(lengths, 15, {algorithm}).bins.size() == 4);
    CHECK(pack(lengths, 19, {algorithm}).bins.size() == 4);
  }
}

TEST_CASE("no sequences make no bins", "[packing]") {
  for (auto algorithm : kAlgorithms) CHECK(pack({}, 8, {algorithm}).bins.empty());
  CHECK(lower_bound_bins({}, 8) == 0);
}

TEST_CASE("a hundred thousand sequences are packed close to the lower bound", "[packing]") {
  Random random(5);
  const auto lengths = random.integers(100'000, 1, 1000);
  for (auto algorithm : kAlgorithms) {
    const auto plan = pack(lengths, 4099, {algorithm});
    int64_t packed = 0;
    for (const auto& bin : plan.bins) packed += static_cast<int64_t>(bin.size());
    CHECK(packed == 100'000);
    const int64_t lower_bound = lower_bound_bins(lengths, 4099);
    CHECK(static_cast<int64_t>(plan.bins.size()) >= lower_bound);
    CHECK(static_cast<int64_t>(plan.bins.size()) <= lower_bound + 2);
  }
}

TEST_CASE("the lower bound is the tokens divided by the capacity, rounded up", "[packing]") {
  CHECK(lower_bound_bins(std::vector<int64_t>{4, 4}, 8) == 1);
  CHECK(lower_bound_bins(std::vector<int64_t>{4, 4, 1}, 8) == 2);
  CHECK(lower_bound_bins(std::vector<int64_t>{1}, 8) == 1);
}

TEST_CASE("an empty sequence is refused by its number", "[packing]") {
  const std::vector<int64_t> lengths = {3, 2, 0, 0};
  for (auto algorithm : kAlgorithms) {
    CHECK_THROWS_AS(pack(lengths, 8, {algorithm}), InvalidArgument);
    CHECK_THROWS_WITH(pack(lengths, 8, {algorithm}), ContainsSubstring("sequence 2 is empty"));
  }
  CHECK_THROWS_AS(pack(std::vector<int64_t>{-1}, 8, {kBestFit}), InvalidArgument);
}

TEST_CASE("a sequence longer than the capacity is refused by its number and length", "[packing]") {
  const std::vector<int64_t> lengths = {8, 9, 10};
  for (auto algorithm : kAlgorithms) {
    CHECK_THROWS_AS(pack(lengths, 8, {algorithm}), InvalidArgument);
    CHECK_THROWS_WITH(pack(lengths, 8, {algorithm}),
                      ContainsSubstring("sequence 1 has 9 tokens") && ContainsSubstring("of 8"));
  }
}

TEST_CASE("a capacity below one token is refused", "[packing]") {
  for (int64_t capacity : {0, -5}) {
    for (auto algorithm : kAlgorithms) {
      CHECK_THROWS_AS(pack({}, capacity, {algorithm}), InvalidArgument);
    }
    CHECK_THROWS_AS(lower_bound_bins({}, capacity), InvalidArgument);
  }
}

TEST_CASE("packing algorithms are known by their names", "[packing]") {
  for (auto algorithm : kAlgorithms) {
    CHECK(parse_packing_algorithm(to_string(algorithm)) == algorithm);
  }
  CHECK_THROWS_AS(parse_packing_algorithm("worst-fit"), InvalidArgument);
  CHECK_THROWS_WITH(parse_packing_algorithm("worst-fit"), ContainsSubstring("worst-fit"));
}

}  // namespace
}  // namespace prepack
