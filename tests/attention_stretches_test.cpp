#include <ATen/ops/arange.h>
#include <ATen/ops/full.h>
#include <ATen/ops/one_hot.h>
#include <ATen/ops/zeros.h>

#include <algorithm>
#include <cmath>

#include "base/scalar_type.h"
#include "prepack/attention.h"
#include "support/all_close.h"
#include "support/attention_batch.h"
#include "support/catch.h"
#include "support/instruction_sets.h"
#include "support/random.h"
#include "support/tensors.h"
#include "support/thread_count.h"
#include "support/tolerances.h"

namespace prepack {
namespace {

using testing::AllClose;
using testing::attend;
using testing::BitEqual;
using testing::describe;
using testing::Lengths;
using testing::make_batch;
using testing::naive_attention;
using testing::of_sequence;
using testing::Random;
using testing::random_shape;
using testing::random_tensor;
using testing::ThreadCount;
using testing::tolerance;
using testing::with_beginnings;

/// Few queries behind caches whose lengths lie around the borders of stretches of keys.
std::vector<Lengths> lengths_around_stretches(Random& random) {
  static constexpr int64_t kBorders[] = {256, 512, 768, 1024, 2048};
  std::vector<Lengths> lengths;
  for (int64_t i = random.integer(1, 3); i > 0; --i) {
    const int64_t num_keys = kBorders[random.integer(0, 4)] + random.integer(-3, 3);
    lengths.push_back({random.integer(0, 2) == 0 ? random.integer(2, 8) : 1, num_keys});
  }
  return lengths;
}

/// None, or one that begins near a border too, or within a stretch.
int64_t window_around_stretches(Random& random) {
  switch (random.integer(0, 3)) {
    case 0:
      return 256 * random.integer(1, 3) + random.integer(-3, 3);
    case 1:
      return random.integer(1, 1000);
    default:
      return kNoWindow;
  }
}

}  // namespace

TEST_CASE("keys of several stretches are attended to as defined, with every instruction set",
          "[attention][stretches]") {
  Random random(15);
  for (const auto target : testing::instruction_sets()) {
    const testing::OnlyInstructionSet only(target);
    for (auto dtype : {DType::kFloat32, DType::kBFloat16, DType::kFloat16}) {
      for (int i = 0; i < 40; ++i) {
        auto shape = random_shape(random);
        shape.head_dim = std::min<int64_t>(shape.head_dim, 70);
        const auto lengths = lengths_around_stretches(random);
        const auto window = window_around_stretches(random);
        INFO(hwy::TargetName(target)
             << ", " << to_string(dtype) << ", " << describe(shape, lengths, window));
        auto batch = make_batch(random, shape, lengths, to_scalar_type(dtype), window);
        if (random.integer(0, 1) == 0) batch = with_beginnings(random, batch);
        REQUIRE_THAT(attend(batch), AllClose(naive_attention(batch), tolerance(dtype).op));
      }
    }
  }
}

TEST_CASE("each key of several stretches counts once", "[attention][stretches]") {
  // With equal scores, and values that say which hundred a key is of, the output is what part of
  // the keys each hundred is.
  constexpr int64_t kHundreds = 21;
  const auto hundreds = at::arange(100 * kHundreds, at::kLong).div(100, "floor");
  const auto values = at::one_hot(hundreds, kHundreds).to(at::kFloat).unsqueeze(1);
  const auto keys = at::zeros(values.sizes());
  for (int64_t group : {1, 3, 8, 9}) {
    for (int64_t num_keys : {255, 256, 257, 511, 512, 513, 1000, 2048, 2100}) {
      for (int64_t window : {int64_t{1}, int64_t{255}, int64_t{256}, int64_t{700}, kNoWindow}) {
        CAPTURE(group, num_keys, window);
        const int64_t num_seen = std::min(num_keys, window);
        const auto seen = values.narrow(0, num_keys - num_seen, num_seen);
        const auto attended = attend(at::zeros({1, group, kHundreds}), keys, values,
                                     VarlenAttention{{0, 1}, {0}, {num_keys}, window});
        REQUIRE_THAT(attended,
                     AllClose(seen.mean(0, /*keepdim=*/true).expand({1, group, -1}), 0, 1e-6));
      }
    }
  }
}

TEST_CASE("a score that is far larger than others wins in whichever stretch it is",
          "[attention][stretches]") {
  Random random(16);
  const int64_t num_keys = 1000;
  const auto values = random_tensor(random, {num_keys, 1, 8});
  for (int64_t group : {1, 9}) {
    for (int64_t winner : {0, 255, 256, 600, 999}) {
      for (double others : {-200.0, 0.0}) {  // also scores far below zero
        CAPTURE(group, winner, others);
        const auto keys = at::full({num_keys, 1, 8}, others);
        keys[winner].add_(100);
        const auto attended = attend(at::full({1, group, 8}, 10.0F), keys, values,
                                     VarlenAttention{{0, 1}, {0}, {num_keys}});
        CHECK_THAT(attended, BitEqual(values[winner].expand({1, group, 8})));
      }
    }
  }
}

TEST_CASE("neither neighbours nor threads change attention to several stretches by a single bit",
          "[attention][stretches][isolation]") {
  Random random(17);
  for (int i = 0; i < 100; ++i) {
    const auto shape = random_shape(random);
    const auto lengths = lengths_around_stretches(random);
    const auto window = window_around_stretches(random);
    INFO(describe(shape, lengths, window));
    const auto batch = make_batch(random, shape, lengths, at::kFloat, window);
    const auto amid = attend(batch);
    for (int count : {1, 2, 3, 8}) {
      const ThreadCount threads(count);
      REQUIRE_THAT(attend(batch), BitEqual(amid));
      for (size_t s = 0; s < lengths.size(); ++s) {
        const auto [num_queries, num_keys] = lengths[s];
        const auto own = [&](const at::Tensor& all) { return of_sequence(batch, all, s); };
        const VarlenAttention alone{
            {0, static_cast<int32_t>(num_queries)}, {batch.spec.first_keys[s]}, {num_keys}, window};
        REQUIRE_THAT(attend(own(batch.queries), batch.keys, batch.values, alone),
                     BitEqual(own(amid)));
      }
    }
  }
}

TEST_CASE("a streamed query has the same bits amid those behind it, at any border of a stretch",
          "[attention][stretches]") {
  Random random(18);
  for (int64_t window : {kNoWindow, int64_t{255}, int64_t{256}, int64_t{300}}) {
    for (int64_t num_keys = 510; num_keys <= 520; ++num_keys) {
      CAPTURE(window, num_keys);
      // Six rows: the first queries have no key of the last stretch, or the last none of the first.
      const auto batch = make_batch(random, {2, 1, 20}, {{6, num_keys}}, at::kFloat, window);
      const auto together = attend(batch);
      for (int64_t query = 0; query < 6; ++query) {
        const VarlenAttention alone{{0, 1}, batch.spec.first_keys, {num_keys - 5 + query}, window};
        REQUIRE_THAT(attend(batch.queries.narrow(0, query, 1), batch.keys, batch.values, alone),
                     BitEqual(together.narrow(0, query, 1)));
      }
    }
  }
}

TEST_CASE("stretches that no query's window reaches are not read", "[attention][stretches]") {
  Random random(19);
  for (int64_t group : {2, 9}) {
    auto batch = make_batch(random, {1, group, 64}, {{1, 1500}}, at::kFloat, 300);
    const auto expected = attend(batch);
    for (const auto& side : {batch.keys, batch.values}) {
      side.narrow(0, batch.spec.first_keys[0], 1024).fill_(NAN);  // the window begins at key 1200
    }
    CHECK_THAT(attend(batch), BitEqual(expected));
  }
}

}  // namespace prepack
