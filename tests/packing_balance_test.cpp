#include "prepack/packing.h"
#include "support/catch.h"
#include "support/packing.h"

namespace prepack {
namespace {

using testing::Bins;
using testing::Instance;
using testing::is_valid;
using testing::kFits;
using testing::kOptimal;
using testing::Random;
using testing::random_instances;

constexpr SegmentCost kLinear{.linear = 1, .quadratic = 0};
constexpr SegmentCost kQuadratic{.linear = 0, .quadratic = 1};
constexpr SegmentCost kMixed{.linear = 3, .quadratic = 0.125};

double dearest(const PackingPlan& plan, const Instance& instance, const SegmentCost& cost) {
  double most = 0;
  for (const auto& bin : plan.bins) {
    double sum = 0;
    for (int64_t sequence : bin) {
      const auto n = static_cast<double>(instance.lengths.at(sequence));
      sum += cost.linear * n + cost.quadratic * n * n;
    }
    most = std::max(most, sum);
  }
  return most;
}

TEST_CASE("balanced plans are valid, with as many bins, and the dearest is no dearer",
          "[packing]") {
  int cheaper = 0;
  for (const auto& instance : random_instances(3000, 60, 300)) {
    for (auto algorithm : kFits) {
      const auto plain = pack(instance, {algorithm});
      for (const auto& cost : {kLinear, kQuadratic, kMixed}) {
        const auto balanced = pack(instance, {.algorithm = algorithm, .balance = cost});
        REQUIRE(is_valid(balanced, instance));
        REQUIRE(balanced.bins.size() == plain.bins.size());
        REQUIRE(balanced.optimality == plain.optimality);
        const double before = dearest(plain, instance, cost);
        const double after = dearest(balanced, instance, cost);
        REQUIRE(after <= before);
        if (after < before) ++cheaper;
      }
    }
  }
  CHECK(cheaper > 5'000);
}

TEST_CASE("balance spreads the long sequences where attention is dear", "[packing]") {
  // Best fit puts both long ones together.
  const Instance instance{{40, 40, 20, 20, 20, 20}, 80};
  CHECK(pack(instance, {}).bins == Bins{{0, 1}, {2, 3, 4, 5}});
  const auto plan = pack(instance, {.balance = kQuadratic});
  CHECK(dearest(plan, instance, kQuadratic) == 40 * 40 + 2 * 20 * 20);
}

TEST_CASE("balance levels the last bin, which the fits leave nearly empty", "[packing]") {
  const Instance instance{std::vector<int64_t>(10, 1), 9};
  CHECK(dearest(pack(instance, {}), instance, kLinear) == 9);
  CHECK(dearest(pack(instance, {.balance = kLinear}), instance, kLinear) == 5);
}

TEST_CASE("balance finds something in bins that are all but full", "[packing]") {
  Random random(7);
  double before = 0, after = 0;
  for (int i = 0; i < 100; ++i) {
    const Instance instance{random.integers(200, 10, 300), 500};
    const auto plain = pack(instance, {});
    const auto tokens =
        std::accumulate(instance.lengths.begin(), instance.lengths.end(), int64_t{0});
    REQUIRE(tokens > 95 * std::ssize(plain.bins) * instance.capacity / 100);
    const auto balanced = pack(instance, {.balance = kQuadratic});
    before += dearest(plain, instance, kQuadratic);
    after += dearest(balanced, instance, kQuadratic);
  }
  CAPTURE(before, after);
  CHECK(after < 0.97 * before);
}

TEST_CASE("balance keeps the bound on segments where cheap bins could take more", "[packing]") {
  const Instance instance{{90, 5, 5, 5, 5, 5}, 100, 3};
  const auto plan = pack(instance, {.balance = kQuadratic});
  CHECK(is_valid(plan, instance));
  CHECK(plan.bins.size() == 2);
}

TEST_CASE("a balance that costs nothing changes nothing", "[packing]") {
  for (const auto& instance : random_instances(100, 40, 100)) {
    CHECK(pack(instance, {.balance = SegmentCost{.linear = 0, .quadratic = 0}}).bins ==
          pack(instance, {}).bins);
  }
}

TEST_CASE("balance is deterministic and combines with every algorithm", "[packing]") {
  for (const auto& instance : random_instances(200, 9, 40)) {
    const PackingOptions options{.algorithm = kOptimal, .balance = kMixed};
    const auto plan = pack(instance, options);
    REQUIRE(is_valid(plan, instance));
    REQUIRE(plan.bins.size() == pack(instance, {kOptimal}).bins.size());
    REQUIRE(plan.bins == pack(instance, options).bins);
  }
}

TEST_CASE("a hundred thousand sequences are balanced", "[packing]") {
  Random random(6);
  const Instance instance{random.integers(100'000, 1, 1000), 4099};
  const auto plain = pack(instance, {});
  const auto balanced = pack(instance, {.balance = kQuadratic});
  CHECK(is_valid(balanced, instance));
  CHECK(balanced.bins.size() == plain.bins.size());
  CHECK(dearest(balanced, instance, kQuadratic) < 0.9 * dearest(plain, instance, kQuadratic));
}

}  // namespace
}  // namespace prepack
