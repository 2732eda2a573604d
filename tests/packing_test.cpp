#include "prepack/packing.h"

#include "packing/fit.h"
#include "prepack/error.h"
#include "support/catch.h"
#include "support/packing.h"

namespace prepack {
namespace {

using testing::Bins;
using testing::Instance;
using testing::is_valid;
using testing::kAlgorithms;
using testing::kBestFit;
using testing::kFirstFit;
using testing::kFits;
using testing::kGreedy;
using testing::Random;
using testing::random_instances;

bool first(int64_t, int64_t) { return false; }
bool fuller(int64_t a, int64_t b) { return a < b; }

TEST_CASE("the worked example of the header packs as it says", "[packing]") {
  const std::vector<int64_t> lengths = {2, 5, 3};
  for (auto algorithm : kFits) {
    const auto plan = pack(lengths, 5, {algorithm});
    CHECK(plan.capacity == 5);
    CHECK(plan.bins == Bins{{1}, {2, 0}});
    CHECK(plan.optimality == Optimality::kProved);
  }
}

TEST_CASE("best fit takes the fullest bin that has room, first fit the first", "[packing]") {
  // 7 leaves room 3 in the first bin; 5 and 4 share the second, which has room 1.
  const std::vector<int64_t> lengths = {7, 5, 4, 1};
  CHECK(pack(lengths, 10, {kBestFit}).bins == Bins{{0}, {1, 2, 3}});
  CHECK(pack(lengths, 10, {kGreedy}).bins == Bins{{0}, {1, 2, 3}});
  CHECK(pack(lengths, 10, {kFirstFit}).bins == Bins{{0, 3}, {1, 2}});
}

TEST_CASE("every sequence is packed exactly once, within the capacity and the segments",
          "[packing]") {
  for (const auto& instance : random_instances(6000, 60, 300)) {
    for (auto algorithm : kFits) REQUIRE(is_valid(pack(instance, {algorithm}), instance));
  }
  // The solver's part is longer.
  for (const auto& instance : random_instances(200, 7, 40)) {
    for (auto algorithm : kAlgorithms) REQUIRE(is_valid(pack(instance, {algorithm}), instance));
  }
}

TEST_CASE("first fit decreasing equals its definition", "[packing]") {
  for (const auto& instance : random_instances(3002, 60, 300)) {
    REQUIRE(pack(instance, {kFirstFit}).bins == naive_fit(instance, first));
  }
}

TEST_CASE("greedy equals its definition: the first of the fullest bins with room", "[packing]") {
  for (const auto& instance : random_instances(3003, 60, 300)) {
    REQUIRE(pack(instance, {kGreedy}).bins == naive_fit(instance, fuller));
  }
  for (const auto& instance : random_instances(100, 900, 40)) {
    REQUIRE(pack(instance, {kGreedy}).bins == naive_fit(instance, fuller));
  }
}

// What binpacking.to_constant_volume of the Python package returns, in the version 1.5.2 that the
// paper's code asks for. (Version 2.0 takes the emptiest bin.)
TEST_CASE("greedy makes the bins of the paper's code", "[packing]") {
  using Lengths = std::vector<int64_t>;
  CHECK(pack(Lengths{8, 3, 6, 2, 7, 3, 5, 1, 4, 4}, 10, {kGreedy}).bins ==
        Bins{{0, 3}, {4, 1}, {2, 8}, {6, 9, 7}, {5}});
  CHECK(pack(Lengths{120, 37, 64, 64, 9, 81, 55, 23, 90, 12, 12, 40}, 120, {kGreedy}).bins ==
        Bins{{0}, {8, 7}, {5, 1}, {2, 6}, {3, 11, 9}, {10, 4}});
  CHECK(pack(Lengths{31, 17, 8, 8, 25, 3, 14, 29, 5, 11, 20, 2, 2, 16}, 40, {kGreedy}).bins ==
        Bins{{0, 2}, {7, 9}, {4, 6}, {10, 1, 5}, {13, 3, 8, 11, 12}});
}

TEST_CASE("the default makes the bins of best fit unless it finds fewer", "[packing]") {
  int fewer = 0;
  for (const auto& instance : random_instances(3004, 60, 300)) {
    const auto plan = pack(instance, {});
    const auto greedy = pack(instance, {kGreedy});
    if (plan.bins.size() < greedy.bins.size()) {
      ++fewer;
    } else {
      REQUIRE(plan.bins == greedy.bins);
    }
  }
  CHECK(fewer > 0);
}

TEST_CASE("the default never uses more bins than first fit", "[packing]") {
  for (const auto& instance : random_instances(4000, 80, 500)) {
    REQUIRE(pack(instance, {}).bins.size() <= pack(instance, {kFirstFit}).bins.size());
  }
}

TEST_CASE("the number of bins lies between the lower bound and 11/9 of the optimum plus one",
          "[packing]") {
  for (auto instance : random_instances(1500, 9, 40)) {
    instance.max_segments = 0;  // for which 11/9 holds
    const int64_t fewest = fewest_bins(instance);
    for (auto algorithm : kFits) {
      const auto bins = pack(instance, {algorithm}).bins;
      REQUIRE(std::ssize(bins) >= fewest);
      REQUIRE(9 * std::ssize(bins) <= 11 * fewest + 9);
    }
  }
}

TEST_CASE("packing the same lengths again gives the same plan", "[packing]") {
  for (const auto& instance : random_instances(300, 60, 300)) {
    for (auto algorithm : kFits) {
      const auto again = Instance(instance);
      REQUIRE(pack(instance, {algorithm}).bins == pack(again, {algorithm}).bins);
    }
  }
}

TEST_CASE("sequences of equal length keep the caller's order", "[packing]") {
  const std::vector<int64_t> lengths(7, 3);
  for (auto algorithm : kFits) {
    CHECK(pack(lengths, 6, {algorithm}).bins == Bins{{0, 1}, {2, 3}, {4, 5}, {6}});
  }
}

TEST_CASE("a bin with all the segments it may have is closed", "[packing]") {
  const std::vector<int64_t> lengths = {9, 1, 1, 1, 1};
  for (auto algorithm : kAlgorithms) {
    const PackingOptions options{.algorithm = algorithm, .max_segments = 2};
    CHECK(pack(lengths, 100, options).bins.size() == 3);
    CHECK(is_valid(pack(lengths, 100, options), {lengths, 100, 2}));
    CHECK(pack(lengths, 100, {.algorithm = algorithm, .max_segments = 1}).bins.size() == 5);
    CHECK(pack(lengths, 100, {.algorithm = algorithm, .max_segments = 9}).bins.size() == 1);
  }
}

TEST_CASE("a sequence exactly as long as the capacity has a bin to itself", "[packing]") {
  const std::vector<int64_t> lengths = {1, 37, 1, 37};
  for (auto algorithm : kFits) {
    CHECK(pack(lengths, 37, {algorithm}).bins == Bins{{1}, {3}, {0, 2}});
  }
}

TEST_CASE("sequences of one token fill their bins to the last token", "[packing]") {
  const std::vector<int64_t> lengths(1001, 1);
  for (auto algorithm : kFits) {
    CHECK(pack(lengths, 13, {algorithm}).bins.size() == 77);
    CHECK(pack(lengths, 1, {algorithm}).bins.size() == 1001);
  }
}

TEST_CASE("uniform lengths waste nothing but what cannot be filled", "[packing]") {
  const std::vector<int64_t> lengths(12, 5);
  for (auto algorithm : kFits) {
    CHECK(pack(lengths, 5, {algorithm}).bins.size() == 12);
    CHECK(pack(lengths, 15, {algorithm}).bins.size() == 4);
    CHECK(pack(lengths, 19, {algorithm}).bins.size() == 4);
  }
}

TEST_CASE("no sequences make no bins", "[packing]") {
  for (auto algorithm : kAlgorithms) {
    const auto plan = pack({}, 8, {algorithm});
    CHECK(plan.bins.empty());
    CHECK(plan.optimality == Optimality::kProved);
  }
}

TEST_CASE("capacities and lengths beyond all memory are packed as well", "[packing]") {
  constexpr int64_t kHuge = std::numeric_limits<int64_t>::max();
  const std::vector<int64_t> lengths = {kHuge / 16, 1, kHuge / 16, kHuge / 32};
  for (auto algorithm : kFits) {
    CHECK(pack(lengths, kHuge, {algorithm}).bins == Bins{{0, 2, 3, 1}});
    CHECK(pack(lengths, kHuge / 16, {algorithm}).bins == Bins{{0}, {2}, {3, 1}});
  }
  // A solver's numbers are not as fine as these lengths.
  constexpr int64_t kHalf = int64_t{1} << 59;
  const Instance close{{kHalf, kHalf + 1}, 2 * kHalf};
  for (auto algorithm : kAlgorithms) {
    const auto plan = pack(close, {algorithm});
    CHECK(is_valid(plan, close));
    CHECK(plan.bins.size() == 2);
  }
}

TEST_CASE("more tokens than can be counted are refused", "[packing]") {
  const std::vector<int64_t> lengths(9, int64_t{1} << 58);
  CHECK_THROWS_WITH(pack(lengths, int64_t{1} << 60), ContainsSubstring("can be counted"));
}

TEST_CASE("filling bins one by one gives up within its steps, also in the first bin", "[packing]") {
  Random random(6);
  const Instance instance{random.integers(60, 437, 655), 1310};  // two to a bin
  const auto problem = packing::make_problem(instance.lengths, instance.capacity, 0);
  CHECK(packing::fill_bins(problem, 60, 100).empty());
  CHECK(packing::fill_bins(problem, 60, 2'000).empty());
  CHECK(packing::fill_bins(problem, 60, int64_t{1} << 50).size() == 30);
  CHECK(packing::fill_bins(problem, 29, int64_t{1} << 50).empty());
  CHECK(is_valid(pack(instance, {}), instance));
}

TEST_CASE("a hundred thousand sequences are packed close to the lower bound", "[packing]") {
  Random random(5);
  const Instance instance{random.integers(100'000, 1, 1000), 4099};
  for (auto algorithm : kFits) {
    const auto plan = pack(instance, {algorithm});
    CHECK(is_valid(plan, instance));
    CHECK(std::ssize(plan.bins) <= lower_bound_bins(instance) + 2);
  }
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

TEST_CASE("packing options that cannot be are refused by their name", "[packing]") {
  const auto message = [](const PackingOptions& options, const char* name) {
    CHECK_THROWS_AS(pack({}, 8, options), InvalidArgument);
    CHECK_THROWS_WITH(pack({}, 8, options), ContainsSubstring(name));
  };
  const double nan = std::numeric_limits<double>::quiet_NaN();
  const double infinity = std::numeric_limits<double>::infinity();
  message({.max_segments = -1}, "max_segments");
  for (double seconds : {0.0, -1.0, nan}) message({.time_limit_s = seconds}, "time_limit_s");
  for (double cost : {-1.0, nan, infinity}) {
    message({.balance = SegmentCost{.linear = cost}}, "balance.linear");
    message({.balance = SegmentCost{.quadratic = cost}}, "balance.quadratic");
  }
  CHECK_THROWS_WITH(lower_bound_bins({}, 8, -1), ContainsSubstring("max_segments"));
}

TEST_CASE("packing algorithms are known by their names", "[packing]") {
  for (auto algorithm : kAlgorithms) {
    CHECK(parse_packing_algorithm(to_string(algorithm)) == algorithm);
  }
  CHECK_THROWS_AS(parse_packing_algorithm("worst-fit"), InvalidArgument);
  CHECK_THROWS_WITH(parse_packing_algorithm("worst-fit"), ContainsSubstring("worst-fit"));
  CHECK(to_string(Optimality::kProved) == "proved");
}

}  // namespace
}  // namespace prepack
