#include "attention/attention_work.h"

#include <algorithm>
#include <atomic>
#include <thread>
#include <vector>

#include "support/catch.h"
#include "support/random.h"

namespace prepack {
namespace {

using testing::Random;

struct Heads {
  int64_t num_kv_heads;
  int64_t group;
};

/// Whole prompts and decode steps, of which some are many times longer than others.
VarlenAttention random_batch(Random& random) {
  VarlenAttention spec{{0}, {}, {}};
  const int64_t longest = random.integer(1, 1500);
  for (int64_t i = random.integer(1, 40); i > 0; --i) {
    const int64_t num_keys = random.integer(1, longest);
    const int64_t num_queries = random.integer(0, 3) == 0 ? num_keys : 1;
    spec.cu_seqlens.push_back(spec.cu_seqlens.back() + static_cast<int32_t>(num_queries));
    spec.first_keys.push_back(0);
    spec.num_keys.push_back(num_keys);
  }
  return spec;
}

Heads random_heads(Random& random) { return {random.integer(1, 13), random.integer(1, 8)}; }

double cost_of(const AttentionWork& work, int64_t num_kv_heads, AttentionUnits units) {
  double cost = 0;
  for (int64_t i = units.begin; i < units.end; ++i) cost += work.tasks[i / num_kv_heads].cost;
  return cost;
}

}  // namespace

TEST_CASE("each unit of attention is handed out once, in order", "[attention]") {
  Random random(1);
  for (int i = 0; i < 300; ++i) {
    const auto heads = random_heads(random);
    const auto work = cut_work(random_batch(random), heads.num_kv_heads, heads.group, 64);
    const int64_t num_threads = random.integer(1, 16);
    CAPTURE(work.tasks.size(), heads.num_kv_heads, num_threads);
    UnitQueue queue(work, heads.num_kv_heads, num_threads);
    int64_t num_taken = 0;
    for (auto units = queue.take(); units.begin < units.end; units = queue.take()) {
      REQUIRE(units.begin == num_taken);
      num_taken = units.end;
    }
    REQUIRE(num_taken == std::ssize(work.tasks) * heads.num_kv_heads);
    REQUIRE(queue.take().begin == queue.take().end);
  }
}

TEST_CASE("threads that take units of attention at the same time share them", "[attention]") {
  Random random(2);
  for (int i = 0; i < 20; ++i) {
    const auto heads = random_heads(random);
    const auto work = cut_work(random_batch(random), heads.num_kv_heads, heads.group, 64);
    constexpr int kThreads = 4;
    UnitQueue queue(work, heads.num_kv_heads, kThreads);
    std::vector<std::atomic<int>> num_done(work.tasks.size() * heads.num_kv_heads);
    std::vector<std::thread> threads;
    for (int thread = 0; thread < kThreads; ++thread) {
      threads.emplace_back([&] {
        for (auto units = queue.take(); units.begin < units.end; units = queue.take()) {
          for (int64_t unit = units.begin; unit < units.end; ++unit) ++num_done[unit];
        }
      });
    }
    for (auto& thread : threads) thread.join();
    REQUIRE(std::ranges::all_of(num_done, [](const auto& count) { return count == 1; }));
  }
}

TEST_CASE("a thread that takes several units of attention leaves the others as much to do",
          "[attention]") {
  Random random(3);
  for (int i = 0; i < 300; ++i) {
    const auto [num_kv_heads, group] = random_heads(random);
    const auto work = cut_work(random_batch(random), num_kv_heads, group, 64);
    const int64_t num_threads = random.integer(1, 16);
    CAPTURE(work.tasks.size(), num_kv_heads, num_threads);
    UnitQueue queue(work, num_kv_heads, num_threads);
    const int64_t num_units = std::ssize(work.tasks) * num_kv_heads;
    for (auto units = queue.take(); units.begin < units.end; units = queue.take()) {
      if (units.end == units.begin + 1) continue;
      const double taken = cost_of(work, num_kv_heads, units);
      const double left = cost_of(work, num_kv_heads, {units.begin, num_units});
      REQUIRE(taken <= 0.5 * left / static_cast<double>(num_threads) * (1 + 1e-9));
    }
  }
}

TEST_CASE("a thread takes several units of attention while there are many", "[attention]") {
  VarlenAttention steps{{0}, {}, {}};
  for (int i = 1; i <= 32; ++i) {
    steps.cu_seqlens.push_back(i);
    steps.first_keys.push_back(0);
    steps.num_keys.push_back(100);
  }
  const auto work = cut_work(steps, /*num_kv_heads=*/12, /*group=*/1, /*head_dim=*/64);
  UnitQueue queue(work, 12, /*num_threads=*/2);
  const auto first = queue.take();
  CHECK(first.end - first.begin == 32 * 12 / 4);
  const auto second = queue.take();
  CHECK(second.end - second.begin == (32 * 12 - 96) / 4);
}

}  // namespace prepack
