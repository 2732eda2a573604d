#include <chrono>

#include "prepack/packing.h"
#include "support/catch.h"
#include "support/packing.h"

namespace prepack {
namespace {

using testing::Instance;
using testing::is_valid;
using testing::kFits;
using testing::kGreedy;
using testing::kIntegerProgramming;
using testing::kOptimal;
using testing::Random;
using testing::random_instances;

// The lower bound is 16 bins; the heuristics find 17.
Instance instance_for_solver() {
  Random random(1040);
  return {random.integers(40, 200, 600), 1000};
}

double seconds_of(const std::function<void()>& work) {
  const auto start = std::chrono::steady_clock::now();
  work();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

TEST_CASE("the lower bound is the tokens divided by the capacity, rounded up", "[packing]") {
  using Lengths = std::vector<int64_t>;
  CHECK(lower_bound_bins(Lengths{4, 4}, 8) == 1);
  CHECK(lower_bound_bins(Lengths{4, 4, 1}, 8) == 2);
  CHECK(lower_bound_bins(Lengths{1}, 8) == 1);
  CHECK(lower_bound_bins({}, 8) == 0);
}

TEST_CASE("the lower bound sees what cannot share a bin", "[packing]") {
  using Lengths = std::vector<int64_t>;
  // 5 and more: none shares a bin of 8 with another.
  CHECK(lower_bound_bins(Lengths{5, 5, 5, 6}, 8) == 4);
  // 7 is alone among those of 2 and more, and no two of 4 go into what 5 leaves.
  CHECK(lower_bound_bins(Lengths{7, 5, 4, 4, 2}, 8) == 3);
  CHECK(lower_bound_bins(Lengths{7, 5, 4, 4, 4}, 8) == 4);
}

TEST_CASE("the lower bound counts segments, beside those that cannot have neighbours",
          "[packing]") {
  using Lengths = std::vector<int64_t>;
  CHECK(lower_bound_bins(Lengths{1, 1, 1, 1, 1}, 100, 2) == 3);
  CHECK(lower_bound_bins(Lengths{1, 1, 1, 1, 1}, 100, 5) == 1);
  CHECK(lower_bound_bins(Lengths{99, 99, 2, 2, 2, 2}, 100, 2) == 4);
}

TEST_CASE("the lower bound lies between the tokens by the capacity and the optimum", "[packing]") {
  for (const auto& instance : random_instances(4000, 9, 40)) {
    const int64_t bound = lower_bound_bins(instance);
    const int64_t tokens =
        std::accumulate(instance.lengths.begin(), instance.lengths.end(), int64_t{0});
    REQUIRE(bound * instance.capacity >= tokens);
    if (instance.max_segments > 0) {
      REQUIRE(bound * instance.max_segments >= std::ssize(instance.lengths));
    }
    REQUIRE(bound <= fewest_bins(instance));
  }
}

TEST_CASE("optimal finds the fewest bins, and says that they are", "[packing]") {
  int solved = 0;
  for (const auto& instance : random_instances(4001, 10, 40)) {
    const auto plan = pack(instance, {kOptimal});
    REQUIRE(is_valid(plan, instance));
    REQUIRE(std::ssize(plan.bins) == fewest_bins(instance));
    REQUIRE(plan.optimality == Optimality::kProved);
    if (std::ssize(plan.bins) > lower_bound_bins(instance)) ++solved;
  }
  CHECK(solved > 20);  // the lower bound did not do
}

TEST_CASE("integer programming finds the fewest bins of a few sequences", "[packing]") {
  for (const auto& instance : random_instances(80, 7, 30)) {
    const auto plan = pack(instance, {kIntegerProgramming});
    REQUIRE(is_valid(plan, instance));
    REQUIRE(std::ssize(plan.bins) == fewest_bins(instance));
    REQUIRE(plan.optimality == Optimality::kProved);
  }
}

TEST_CASE("a plan is called proved only if it has the fewest bins", "[packing]") {
  for (const auto& instance : random_instances(2000, 9, 40)) {
    for (auto algorithm : kFits) {
      const auto plan = pack(instance, {algorithm});
      const bool proved = plan.optimality == Optimality::kProved;
      REQUIRE(proved == (std::ssize(plan.bins) == lower_bound_bins(instance)));
      REQUIRE(plan.optimality != Optimality::kTimeLimit);
      if (proved) REQUIRE(std::ssize(plan.bins) == fewest_bins(instance));
    }
  }
}

TEST_CASE("optimal finds plans that the heuristics miss", "[packing]") {
  const auto instance = instance_for_solver();
  CHECK(pack(instance, {kGreedy}).bins.size() == 17);
  CHECK(pack(instance, {}).bins.size() == 17);
  CHECK(pack(instance, {}).optimality == Optimality::kUnknown);
  const auto plan = pack(instance, {kOptimal});
  CHECK(is_valid(plan, instance));
  CHECK(plan.bins.size() == 16);
  CHECK(plan.optimality == Optimality::kProved);
}

TEST_CASE("optimal proves that the lower bound cannot be met", "[packing]") {
  // Three of 4 would be 12: only two share a bin, which the lower bound does not see.
  const Instance instance{std::vector<int64_t>(6, 4), 10};
  CHECK(lower_bound_bins(instance) == 3);
  const Instance odd{{4, 4, 4, 4, 4, 3, 3}, 10};
  CHECK(lower_bound_bins(odd) == 3);
  const auto plan = pack(odd, {kOptimal});
  CHECK(std::ssize(plan.bins) == fewest_bins(odd));
  CHECK(plan.optimality == Optimality::kProved);
}

// A solver that is cut short while it prepares the model may call it infeasible; to take its word
// would prove plans that are not optimal.
TEST_CASE("no time limit makes the solver prove what is not so", "[packing]") {
  const auto instance = instance_for_solver();
  for (double limit = 0.0005; limit < 0.04; limit *= 1.15) {
    const auto plan = pack(instance, {.algorithm = kOptimal, .time_limit_s = limit});
    CAPTURE(limit);
    REQUIRE(is_valid(plan, instance));
    REQUIRE((plan.bins.size() == 16) == (plan.optimality == Optimality::kProved));
  }
}

TEST_CASE("a plan at the end of the time limit is the best so far, and marked so", "[packing]") {
  Random random(100);
  const Instance instance{random.integers(100, 200, 500), 1000};
  for (auto algorithm : {kOptimal, kIntegerProgramming}) {
    PackingPlan plan;
    const double seconds =
        seconds_of([&] { plan = pack(instance, {.algorithm = algorithm, .time_limit_s = 0.02}); });
    CHECK(is_valid(plan, instance));
    // A faster solver may be through before the limit.
    CHECK(plan.optimality != Optimality::kUnknown);
    CHECK(plan.bins.size() <= pack(instance, {}).bins.size());
    CHECK(seconds < 5);  // well under a second on an idle machine
  }
}

TEST_CASE("models that are too large are not built", "[packing]") {
  Random random(1);
  const Instance instance{random.integers(400, 2000, 7000), 10'000};
  REQUIRE(pack(instance, {}).optimality == Optimality::kUnknown);
  for (auto algorithm : {kOptimal, kIntegerProgramming}) {
    PackingPlan plan;
    CHECK(seconds_of([&] { plan = pack(instance, {algorithm}); }) < 5);
    CHECK(is_valid(plan, instance));
    CHECK(plan.optimality == Optimality::kTimeLimit);
    CHECK(plan.bins == pack(instance, {}).bins);
  }
}

}  // namespace
}  // namespace prepack
