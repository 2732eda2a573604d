#include <ATen/ops/arange.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/full.h>
#include <ATen/ops/tensor.h>
#include <ATen/ops/zeros.h>

#include <algorithm>
#include <cmath>

#include "attention/libtorch_attention.h"
#include "base/scalar_type.h"
#include "prepack/attention.h"
#include "support/all_close.h"
#include "support/attention_batch.h"
#include "support/catch.h"
#include "support/naive_attention.h"
#include "support/random.h"
#include "support/tensors.h"
#include "support/thread_count.h"
#include "support/tolerances.h"

namespace prepack {
namespace {

using testing::AllClose;
using testing::attend;
using testing::AttentionBatch;
using testing::BitEqual;
using testing::describe;
using testing::HeadShape;
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

/// Whole prompts, rests of prompts, decode steps and empty ones.
std::vector<Lengths> random_lengths(Random& random) {
  std::vector<Lengths> lengths;
  for (int64_t i = random.integer(1, 3); i > 0; --i) {
    const int64_t num_keys = random.integer(1, random.integer(0, 5) == 0 ? 150 : 25);
    const int64_t kind = random.integer(0, 4);
    lengths.push_back({kind == 0   ? 0
                       : kind == 1 ? 1
                       : kind == 2 ? random.integer(1, num_keys)
                                   : num_keys,
                       num_keys});
  }
  return lengths;
}

/// None, one that is shorter than most sequences, or one around a kernel's block of keys.
int64_t random_window(Random& random) {
  static constexpr int64_t kAroundBlocks[] = {63, 64, 65, 127, 128, 129};
  switch (random.integer(0, 3)) {
    case 0:
      return kNoWindow;
    case 1:
      return kAroundBlocks[random.integer(0, 5)];
    default:
      return random.integer(1, 30);
  }
}

/// Shapes whose sequences are cut into several parts and whose keys fill several blocks.
const std::vector<std::pair<HeadShape, std::vector<Lengths>>>& long_shapes() {
  static const std::vector<std::pair<HeadShape, std::vector<Lengths>>> kShapes = {
      {{1, 1, 64}, {{700, 700}, {1, 1000}}},
      {{2, 3, 64}, {{200, 450}, {5, 400}}},
      {{1, 1, 128}, {{300, 300}, {2, 333}}},
      {{1, 8, 128}, {{40, 140}, {1, 500}}},
      {{1, 2, 160}, {{90, 90}}},
      {{1, 1, 5}, {{4000, 4000}}}};
  return kShapes;
}

}  // namespace

TEST_CASE("varlen attention of any queries and keys equals its definition in float64",
          "[attention]") {
  Random random(1);
  for (int i = 0; i < 2000; ++i) {
    const auto shape = random_shape(random);
    const auto lengths = random_lengths(random);
    const auto window = random_window(random);
    INFO(describe(shape, lengths, window));
    const auto batch = make_batch(random, shape, lengths, at::kFloat, window);
    REQUIRE_THAT(attend(batch), AllClose(naive_attention(batch), tolerance(DType::kFloat32).op));
  }
}

TEST_CASE("varlen attention of long sequences equals its definition in float64", "[attention]") {
  Random random(2);
  for (const auto& [shape, lengths] : long_shapes()) {
    for (int64_t window : {kNoWindow, int64_t{1}, int64_t{100}, int64_t{128}, int64_t{513}}) {
      INFO(describe(shape, lengths, window));
      const auto batch = make_batch(random, shape, lengths, at::kFloat, window);
      CHECK_THAT(attend(batch), AllClose(naive_attention(batch), tolerance(DType::kFloat32).op));
    }
  }
}

TEST_CASE("varlen attention in half precision stays close to float64", "[attention]") {
  Random random(3);
  for (auto dtype : {DType::kBFloat16, DType::kFloat16}) {
    for (int i = 0; i < 250; ++i) {
      const auto shape = random_shape(random);
      const auto lengths = random_lengths(random);
      const auto window = random_window(random);
      INFO(to_string(dtype) << ", " << describe(shape, lengths, window));
      const auto batch = make_batch(random, shape, lengths, to_scalar_type(dtype), window);
      const auto attended = attend(batch);
      CHECK(attended.scalar_type() == to_scalar_type(dtype));
      REQUIRE_THAT(attended, AllClose(naive_attention(batch), tolerance(dtype).op));
    }
  }
}

TEST_CASE("varlen attention equals LibTorch's", "[attention]") {
  Random random(4);
  for (auto dtype : {DType::kFloat32, DType::kBFloat16, DType::kFloat16}) {
    for (int i = 0; i < 200; ++i) {
      const auto shape = random_shape(random);
      const auto lengths = random_lengths(random);
      const auto window = random_window(random);
      INFO(to_string(dtype) << ", " << describe(shape, lengths, window));
      const auto batch = make_batch(random, shape, lengths, to_scalar_type(dtype), window);
      const auto expected =
          attend_with_libtorch(batch.queries, batch.keys, batch.values, batch.spec);
      // Each is within the tolerance of the definition.
      REQUIRE_THAT(attend(batch), AllClose(expected, 2 * tolerance(dtype).op));
    }
  }
}

TEST_CASE("keys in several runs give what they do in one, bit for bit", "[attention]") {
  Random random(14);
  const auto check = [&](const HeadShape& shape, const std::vector<Lengths>& lengths,
                         int64_t window) {
    INFO(describe(shape, lengths, window));
    const auto batch =
        with_beginnings(random, make_batch(random, shape, lengths, at::kFloat, window));
    auto gathered = batch;
    gathered.spec.beginnings.clear();
    std::vector<int64_t> slots;
    for (size_t s = 0; s < lengths.size(); ++s) {
      gathered.spec.first_keys[s] = std::ssize(slots);
      const auto of_sequence = testing::key_slots(batch.spec, s);
      slots.insert(slots.end(), of_sequence.begin(), of_sequence.end());
    }
    gathered.keys = batch.keys.index_select(0, at::tensor(slots, at::kLong));
    gathered.values = batch.values.index_select(0, at::tensor(slots, at::kLong));
    REQUIRE_THAT(attend(batch), BitEqual(attend(gathered)));
  };
  for (int i = 0; i < 500; ++i) {
    check(random_shape(random), random_lengths(random), random_window(random));
  }
  for (const auto& [shape, lengths] : long_shapes()) {
    for (int i = 0; i < 5; ++i) check(shape, lengths, random_window(random));
  }
}

TEST_CASE("runs that a sequence cannot have are refused", "[attention]") {
  const auto side = at::zeros({10, 1, 4});
  const auto attend_with = [&](std::vector<std::vector<SlotRun>> beginnings) {
    VarlenAttention spec{{0, 2}, {4}, {6}};
    spec.beginnings = std::move(beginnings);
    return attend(at::zeros({2, 1, 4}), side, side, spec);
  };
  CHECK_NOTHROW(attend_with({}));
  CHECK_NOTHROW(attend_with({{{0, 2}, {8, 2}}}));
  CHECK_THROWS(attend_with({{{0, 2}}, {}}));      // of two sequences
  CHECK_THROWS(attend_with({{{0, 4}, {0, 3}}}));  // more than all keys
  CHECK_THROWS(attend_with({{{9, 2}}}));          // behind the cache
  CHECK_THROWS(attend_with({{{-1, 2}}}));         // before it
  CHECK_THROWS(attend_with({{{3, -1}}}));
  // A GPU's kernels read one run.
  VarlenAttention spec{{0, 2}, {4}, {6}};
  spec.beginnings = {{{0, 2}}};
  CHECK_THROWS(spec.host_tensors());
  CHECK_THROWS(attend_with_libtorch(at::zeros({2, 1, 4}), side, side, spec));
}

TEST_CASE("where all scores are equal, a query's output is the mean of the values up to its own",
          "[attention]") {
  for (int64_t group : {1, 3, 8, 9}) {
    for (int64_t num_queries : {1, 2, 3, 7, 16, 17, 33, 70, 130, 300}) {
      for (int64_t num_cached : {0, 1, 5, 64, 100}) {
        CAPTURE(group, num_queries, num_cached);
        const int64_t num_keys = num_cached + num_queries;
        const auto values = at::arange(num_keys, at::kFloat).view({num_keys, 1, 1});
        const auto attended =
            attend(at::zeros({num_queries, group, 1}), at::zeros({num_keys, 1, 1}), values,
                   VarlenAttention{{0, static_cast<int32_t>(num_queries)}, {0}, {num_keys}});
        // The mean of 0 ... n is n / 2.
        const auto expected =
            values.narrow(0, num_cached, num_queries).div(2).expand({num_queries, group, 1});
        REQUIRE_THAT(attended, AllClose(expected, 0, 1e-6));
      }
    }
  }
}

TEST_CASE("varlen attention of extreme scores goes to the largest of those a query may see",
          "[attention]") {
  Random random(6);
  for (int64_t num_tokens : {2, 40, 200}) {
    CAPTURE(num_tokens);
    const auto values = random_tensor(random, {num_tokens, 1, 4});
    const auto queries = at::full({num_tokens, 1, 4}, 100.0F);
    const auto numbers = at::arange(num_tokens, at::kFloat).view({-1, 1, 1}).expand({-1, 1, 4});
    const VarlenAttention spec{{0, static_cast<int32_t>(num_tokens)}, {0}, {num_tokens}};
    // Scores of -10000 and more, 200 apart: the largest is a query's own, or the first.
    const auto rising = numbers.sub(50);
    CHECK_THAT(attend(queries, rising, values, spec), BitEqual(values));
    CHECK_THAT(attend(queries, rising.neg(), values, spec),
               BitEqual(values.narrow(0, 0, 1).expand_as(values)));
  }
}

TEST_CASE("a lone key's value is the output", "[attention]") {
  Random random(7);
  const auto batch = make_batch(random, {3, 1, 8}, {{1, 1}, {0, 4}, {1, 1}, {0, 0}, {1, 1}});
  const auto attended = attend(batch);
  int64_t token = 0;
  for (size_t i : {0, 2, 4}) {
    CHECK_THAT(attended[token++], BitEqual(batch.values[batch.spec.first_keys[i]]));
  }
}

TEST_CASE("varlen attention of nothing is empty", "[attention]") {
  const auto empty = at::empty({0, 6, 10});
  const auto keys = at::full({7, 2, 10}, NAN);
  CHECK(attend(empty, keys, keys, VarlenAttention{{0}, {}, {}}).sizes() == empty.sizes());
  CHECK(attend(empty, keys, keys, VarlenAttention{{0, 0, 0}, {0, 7}, {4, 0}}).sizes() ==
        empty.sizes());
}

TEST_CASE("what fills a batch up gets zeros, and changes nothing else", "[attention]") {
  Random random(11);
  for (int i = 0; i < 100; ++i) {
    const auto shape = random_shape(random);
    auto lengths = random_lengths(random);
    INFO(describe(shape, lengths));
    const auto batch = make_batch(random, shape, lengths);
    auto filled = batch;
    // Sequences without keys, with and without a query, and two tokens behind the last.
    for (int32_t num_queries : {0, 1, 1}) {
      filled.spec.cu_seqlens.push_back(filled.spec.cu_seqlens.back() + num_queries);
      filled.spec.first_keys.push_back(0);
      filled.spec.num_keys.push_back(0);
    }
    const int64_t num_tokens = batch.queries.size(0);
    filled.queries = at::full({num_tokens + 4, batch.queries.size(1), batch.queries.size(2)}, 1.0F);
    filled.queries.narrow(0, 0, num_tokens).copy_(batch.queries);
    const auto zeros = at::zeros({4, batch.queries.size(1), batch.queries.size(2)});
    for (bool is_libtorch : {false, true}) {
      const auto run = [&](const AttentionBatch& any) {
        return is_libtorch ? attend_with_libtorch(any.queries, any.keys, any.values, any.spec)
                           : attend(any);
      };
      const auto attended = run(filled);
      // LibTorch's result depends on where in memory the numbers lie.
      CHECK_THAT(attended.narrow(0, 0, num_tokens),
                 AllClose(run(batch), is_libtorch ? tolerance(DType::kFloat32).op : 0));
      CHECK_THAT(attended.narrow(0, num_tokens, 4), BitEqual(zeros));
    }
  }
}

TEST_CASE("the numbers for a GPU say where each sequence's queries and keys are", "[attention]") {
  VarlenAttention spec{
      .cu_seqlens = {0, 3, 3, 4}, .first_keys = {10, 0, 20}, .num_keys = {3, 0, 6}};
  spec.set_on_device(spec.host_tensors());
  const auto ints = [](std::vector<int32_t> values) { return at::tensor(values, at::kInt); };
  CHECK_THAT(spec.on_device.cu_seqlens, BitEqual(ints({0, 3, 3, 4})));
  CHECK_THAT(spec.on_device.first_keys.narrow(0, 0, 3), BitEqual(ints({10, 0, 20})));
  CHECK(spec.on_device.first_keys.numel() == 4);
  CHECK_THAT(spec.on_device.num_keys, BitEqual(ints({3, 0, 6})));
  CHECK(spec.on_device.max_queries == 3);
  CHECK(spec.on_device.max_keys == 6);
  const auto last = spec.of_last_queries();
  CHECK_THAT(last.on_device.cu_seqlens, BitEqual(ints({0, 1, 2, 3})));
  CHECK(last.on_device.max_queries == 1);
  CHECK(last.on_device.max_keys == 6);
}

TEST_CASE("other sequences never change a sequence's varlen attention by a single bit",
          "[attention][isolation]") {
  Random random(8);
  for (int i = 0; i < 300; ++i) {
    const auto shape = random_shape(random);
    const auto lengths = random_lengths(random);
    const auto window = random_window(random);
    INFO(describe(shape, lengths, window));
    const auto batch = make_batch(random, shape, lengths, at::kFloat, window);
    const auto amid = attend(batch);
    for (size_t s = 0; s < lengths.size(); ++s) {
      const auto [num_queries, num_keys] = lengths[s];
      const auto own = [&](const at::Tensor& all) { return of_sequence(batch, all, s); };
      const auto run = [&](const at::Tensor& side) {
        return side.narrow(0, batch.spec.first_keys[s], num_keys).contiguous();
      };
      const auto alone =
          attend(own(batch.queries).contiguous(), run(batch.keys), run(batch.values),
                 VarlenAttention{{0, static_cast<int32_t>(num_queries)}, {0}, {num_keys}, window});
      REQUIRE_THAT(own(amid), BitEqual(alone));
    }
  }
}

TEST_CASE("the number of threads never changes varlen attention by a single bit",
          "[attention][isolation]") {
  Random random(9);
  for (const auto& [shape, lengths] : long_shapes()) {
    for (int64_t window : {kNoWindow, int64_t{100}}) {
      INFO(describe(shape, lengths, window));
      const auto batch = make_batch(random, shape, lengths, at::kFloat, window);
      const auto expected = [&] {
        const ThreadCount one(1);
        return attend(batch);
      }();
      for (int count : {2, 3, 8}) {
        const ThreadCount several(count);
        CHECK_THAT(attend(batch), BitEqual(expected));
      }
    }
  }
}

TEST_CASE("the rest of a prompt comes out as with the whole prompt, bit for bit", "[attention]") {
  Random random(10);
  for (int64_t group : {1, 3}) {
    for (int64_t window : {kNoWindow, int64_t{1}, int64_t{37}, int64_t{128}, int64_t{200}}) {
      const auto whole = make_batch(random, {2, group, 64}, {{400, 400}}, at::kFloat, window);
      const auto expected = attend(whole);
      for (int64_t num_rest : {10, 77, 399}) {
        CAPTURE(group, window, num_rest);
        const auto rest = [&](const at::Tensor& all) {
          return all.narrow(0, 400 - num_rest, num_rest);
        };
        auto spec = whole.spec;
        spec.cu_seqlens.back() = static_cast<int32_t>(num_rest);
        CHECK_THAT(attend(rest(whole.queries), whole.keys, whole.values, spec),
                   BitEqual(rest(expected)));
      }
    }
  }
}

TEST_CASE("a window as long as the sequence changes nothing, by a single bit", "[attention]") {
  Random random(11);
  for (int i = 0; i < 200; ++i) {
    const auto shape = random_shape(random);
    const auto lengths = random_lengths(random);
    INFO(describe(shape, lengths));
    auto batch = make_batch(random, shape, lengths);
    const auto expected = attend(batch);
    batch.spec.window = *std::ranges::max_element(batch.spec.num_keys);
    REQUIRE_THAT(attend(batch), BitEqual(expected));
  }
}

TEST_CASE("blocks of keys before every window are not read", "[attention]") {
  // A block of keys holds 64 where queries are few, and 8192 / head_dim where they are many.
  Random random(12);
  for (int64_t num_queries : {1, 2, 40}) {
    auto batch = make_batch(random, {1, 2, 64}, {{num_queries, 1000}}, at::kFloat, 100);
    const auto expected = attend(batch);
    const int64_t num_unread = 1000 - num_queries - 100 - 128;
    CAPTURE(num_queries, num_unread);
    for (const auto& side : {batch.keys, batch.values}) {
      side.narrow(0, batch.spec.first_keys[0], num_unread).fill_(NAN);
    }
    CHECK_THAT(attend(batch), BitEqual(expected));
  }
}

TEST_CASE("where all scores are equal, a windowed query's output is the mean of its window",
          "[attention]") {
  for (int64_t group : {1, 3, 8, 9}) {
    for (int64_t num_queries : {1, 2, 7, 17, 70, 300}) {
      for (int64_t num_cached : {0, 5, 100}) {
        for (int64_t window : {1, 2, 13, 64, 150}) {
          CAPTURE(group, num_queries, num_cached, window);
          const int64_t num_keys = num_cached + num_queries;
          const auto values = at::arange(num_keys, at::kFloat).view({num_keys, 1, 1});
          const auto attended = attend(
              at::zeros({num_queries, group, 1}), at::zeros({num_keys, 1, 1}), values,
              VarlenAttention{{0, static_cast<int32_t>(num_queries)}, {0}, {num_keys}, window});
          const auto last = values.narrow(0, num_cached, num_queries);
          const auto first = last.sub(static_cast<double>(window - 1)).clamp_min(0);
          const auto expected = first.add(last).div(2).expand({num_queries, group, 1});
          REQUIRE_THAT(attended, AllClose(expected, 0, 1e-6));
        }
      }
    }
  }
}

}  // namespace prepack
