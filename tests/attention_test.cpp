#include "prepack/attention.h"

#include <ATen/ops/cat.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/zeros.h>

#include <cmath>

#include "base/scalar_type.h"
#include "prepack/packed_batch.h"
#include "support/all_close.h"
#include "support/catch.h"
#include "support/random.h"
#include "support/tensors.h"
#include "support/tolerances.h"
#include "support/varlen.h"

namespace prepack {
namespace {

using testing::AllClose;
using testing::BitEqual;
using testing::Random;
using testing::random_tensor;
using testing::tolerance;
using testing::varlen_attention;

struct HeadShape {
  int64_t num_heads;
  int64_t num_kv_heads;
  int64_t head_dim;
};

/// One group, groups of one, all in one group; head sizes that are no power of two, and odd.
constexpr HeadShape kShapes[] = {{6, 2, 10}, {3, 1, 14}, {5, 5, 12}, {8, 4, 64},
                                 {9, 3, 64}, {1, 1, 7},  {4, 2, 33}, {2, 1, 1}};

struct Heads {
  at::Tensor queries;  // [num_tokens, num_heads, head_dim]
  at::Tensor keys;     // [num_tokens, num_kv_heads, head_dim]
  at::Tensor values;   // [num_tokens, num_kv_heads, head_dim]
};

Heads random_heads(Random& random, int64_t num_tokens, const HeadShape& shape,
                   at::ScalarType dtype = at::kFloat) {
  return {random_tensor(random, {num_tokens, shape.num_heads, shape.head_dim}, dtype),
          random_tensor(random, {num_tokens, shape.num_kv_heads, shape.head_dim}, dtype),
          random_tensor(random, {num_tokens, shape.num_kv_heads, shape.head_dim}, dtype)};
}

/// Attention by its definition, in float64, one query at a time.
/// @param visible  visible[i]: the tokens that token i attends to
at::Tensor naive_attention(const Heads& heads, const std::vector<std::vector<int64_t>>& visible) {
  const auto queries = heads.queries.to(at::kDouble).contiguous();
  const auto keys = heads.keys.to(at::kDouble).contiguous();
  const auto values = heads.values.to(at::kDouble).contiguous();
  const int64_t num_heads = queries.size(1);
  const int64_t num_kv_heads = keys.size(1);
  const int64_t head_dim = queries.size(2);
  auto attended = at::zeros(queries.sizes(), at::kDouble);
  for (int64_t i = 0; i < static_cast<int64_t>(visible.size()); ++i) {
    for (int64_t head = 0; head < num_heads; ++head) {
      const int64_t kv_head = head / (num_heads / num_kv_heads);
      const auto* query = queries.data_ptr<double>() + (i * num_heads + head) * head_dim;
      auto* out = attended.data_ptr<double>() + (i * num_heads + head) * head_dim;
      std::vector<double> weights;
      double total = 0;
      for (int64_t j : visible[i]) {
        const auto* key = keys.data_ptr<double>() + (j * num_kv_heads + kv_head) * head_dim;
        double score = 0;
        for (int64_t d = 0; d < head_dim; ++d) score += query[d] * key[d];
        weights.push_back(std::exp(score / std::sqrt(static_cast<double>(head_dim))));
        total += weights.back();
      }
      for (size_t n = 0; n < weights.size(); ++n) {
        const auto* value =
            values.data_ptr<double>() + (visible[i][n] * num_kv_heads + kv_head) * head_dim;
        for (int64_t d = 0; d < head_dim; ++d) out[d] += weights[n] / total * value[d];
      }
    }
  }
  return attended;
}

/// Each token sees its own segment up to itself.
std::vector<std::vector<int64_t>> causal_segments(const std::vector<int64_t>& lengths) {
  std::vector<std::vector<int64_t>> visible;
  int64_t first = 0;
  for (int64_t length : lengths) {
    for (int64_t i = 0; i < length; ++i) {
      visible.emplace_back();
      for (int64_t j = 0; j <= i; ++j) visible.back().push_back(first + j);
    }
    first += length;
  }
  return visible;
}

/// Lengths that hold segments of one token and one longer than a kernel's block.
std::vector<std::vector<int64_t>> length_sets() {
  Random random(17);
  std::vector<std::vector<int64_t>> sets = {{1},  {1, 1, 1},  {2, 3, 4},
                                            {70}, {1, 65, 2}, {5, 1, 1, 130, 7}};
  sets.push_back(random.integers(40, 1, 6));
  return sets;
}

int64_t total(const std::vector<int64_t>& lengths) {
  int64_t sum = 0;
  for (int64_t length : lengths) sum += length;
  return sum;
}

std::string describe(const HeadShape& shape) {
  return std::to_string(shape.num_heads) + " heads, " + std::to_string(shape.num_kv_heads) +
         " key heads, head_dim " + std::to_string(shape.head_dim);
}

}  // namespace

TEST_CASE("causal attention of whole rows equals its definition in float64", "[attention]") {
  Random random(8);
  for (const auto& shape : kShapes) {
    for (const auto& [num_rows, row_len] :
         std::vector<std::pair<int64_t, int64_t>>{{1, 1}, {4, 1}, {1, 70}, {3, 33}}) {
      INFO(describe(shape));
      CAPTURE(num_rows, row_len);
      const auto heads = random_heads(random, num_rows * row_len, shape);
      const auto attended =
          attend(heads.queries, heads.keys, heads.values, CausalAttention{num_rows});
      const std::vector<int64_t> lengths(num_rows, row_len);
      CHECK_THAT(attended, AllClose(naive_attention(heads, causal_segments(lengths)),
                                    tolerance(DType::kFloat32).op));
    }
  }
}

TEST_CASE("varlen attention equals its definition in float64", "[attention]") {
  Random random(1);
  for (const auto& shape : kShapes) {
    for (const auto& lengths : length_sets()) {
      INFO(describe(shape));
      CAPTURE(lengths);
      const auto heads = random_heads(random, total(lengths), shape);
      const auto attended =
          attend(heads.queries, heads.keys, heads.values, varlen_attention(lengths));
      CHECK_THAT(attended, AllClose(naive_attention(heads, causal_segments(lengths)),
                                    tolerance(DType::kFloat32).op));
    }
  }
}

TEST_CASE("masked attention equals its definition in float64 under any mask", "[attention]") {
  Random random(2);
  for (const auto& shape : kShapes) {
    for (const auto& [num_rows, row_len] : {std::pair{1, 1}, {3, 7}, {2, 67}}) {
      INFO(describe(shape));
      CAPTURE(num_rows, row_len);
      const auto heads = random_heads(random, num_rows * row_len, shape);
      auto mask = at::zeros({num_rows, 1, row_len, row_len}, at::kBool);
      auto* may_attend = mask.data_ptr<bool>();
      std::vector<std::vector<int64_t>> visible;
      for (int64_t i = 0; i < num_rows * row_len; ++i) {
        visible.emplace_back();
        for (int64_t j = 0; j < row_len; ++j) {
          *may_attend = j == i % row_len || random.integer(0, 2) == 0;
          if (*may_attend++) visible.back().push_back(i / row_len * row_len + j);
        }
      }
      CHECK_THAT(attend(heads.queries, heads.keys, heads.values, MaskedAttention{mask}),
                 AllClose(naive_attention(heads, visible), tolerance(DType::kFloat32).op));
    }
  }
}

TEST_CASE("varlen attention equals masked attention under the independent mask", "[attention]") {
  Random random(3);
  for (const auto& shape : kShapes) {
    for (const auto& lengths : length_sets()) {
      INFO(describe(shape));
      CAPTURE(lengths);
      const auto prompts = random.prompts(lengths, 9);
      std::vector<int64_t> bin(lengths.size());
      for (size_t i = 0; i < bin.size(); ++i) bin[i] = static_cast<int64_t>(i);
      const auto batch =
          make_packed_batch(prompts, std::vector<std::vector<int64_t>>{bin}, BatchLayout::kFlat);
      const auto heads = random_heads(random, total(lengths), shape);
      const MaskedAttention masked{independent_mask(batch.segment_ids)};
      const auto flat = varlen_attention(batch.cu_seqlens);
      CHECK_THAT(attend(heads.queries, heads.keys, heads.values, flat),
                 AllClose(attend(heads.queries, heads.keys, heads.values, masked),
                          tolerance(DType::kFloat32).op));
    }
  }
}

TEST_CASE("attention in half precision stays close to float64", "[attention]") {
  Random random(4);
  const std::vector<int64_t> lengths = {5, 1, 40, 9};
  for (auto dtype : {DType::kBFloat16, DType::kFloat16}) {
    for (const auto& shape : kShapes) {
      INFO(to_string(dtype) << ", " << describe(shape));
      const auto heads = random_heads(random, total(lengths), shape, to_scalar_type(dtype));
      const auto expected = naive_attention(heads, causal_segments(lengths));
      const auto attended =
          attend(heads.queries, heads.keys, heads.values, varlen_attention(lengths));
      CHECK(attended.scalar_type() == to_scalar_type(dtype));
      CHECK_THAT(attended, AllClose(expected, tolerance(dtype).op));

      auto segment_ids = at::zeros({1, total(lengths)}, at::kInt);
      for (size_t s = 0, i = 0; s < lengths.size(); ++s) {
        for (int64_t n = 0; n < lengths[s]; ++n) {
          segment_ids.data_ptr<int32_t>()[i++] = static_cast<int32_t>(s);
        }
      }
      CHECK_THAT(attend(heads.queries, heads.keys, heads.values,
                        MaskedAttention{independent_mask(segment_ids)}),
                 AllClose(expected, tolerance(dtype).op));
    }
  }
}

TEST_CASE("a segment of one token attends to itself: its output is its value", "[attention]") {
  Random random(5);
  const auto heads = random_heads(random, 4, {3, 3, 8});
  CHECK_THAT(attend(heads.queries, heads.keys, heads.values,
                    varlen_attention(std::vector<int64_t>{1, 1, 1, 1})),
             AllClose(heads.values, tolerance(DType::kFloat32).op));
}

TEST_CASE("other segments never change a segment's varlen attention by a single bit",
          "[attention][isolation]") {
  Random random(6);
  for (const auto& shape : kShapes) {
    INFO(describe(shape));
    const auto heads = random_heads(random, 30, shape);
    const auto middle = [&](const at::Tensor& all) { return all.narrow(0, 10, 13); };
    const auto amid = attend(heads.queries, heads.keys, heads.values,
                             varlen_attention(std::vector<int64_t>{4, 6, 13, 7}));
    const auto alone = attend(middle(heads.queries), middle(heads.keys), middle(heads.values),
                              varlen_attention(std::vector<int64_t>{13}));
    CHECK_THAT(middle(amid), BitEqual(alone));
  }
}

TEST_CASE("cache attention equals its definition in float64", "[attention]") {
  Random random(7);
  for (auto dtype : {DType::kFloat32, DType::kBFloat16, DType::kFloat16}) {
    for (const auto& shape : kShapes) {
      INFO(to_string(dtype) << ", " << describe(shape));
      const std::vector<int64_t> lengths = {1, 9, 70, 4};
      const int64_t num_rows = 4;
      const int64_t num_slots = 70;
      const auto queries =
          random_tensor(random, {num_rows, shape.num_heads, shape.head_dim}, to_scalar_type(dtype));
      const auto cache_side = [&] {
        return random_tensor(random, {num_rows, num_slots + 3, shape.num_kv_heads, shape.head_dim},
                             to_scalar_type(dtype));
      };
      // As in the cache, the slots of a row are a part of a longer one.
      const auto keys = cache_side().narrow(1, 0, num_slots);
      const auto values = cache_side().narrow(1, 0, num_slots);
      auto mask = at::zeros({num_rows, 1, 1, num_slots}, at::kBool);
      std::vector<at::Tensor> expected;
      for (int64_t row = 0; row < num_rows; ++row) {
        mask.select(0, row).narrow(2, 0, lengths[row]).fill_(true);
        std::vector<int64_t> slots;
        for (int64_t slot = 0; slot < lengths[row]; ++slot) slots.push_back(slot);
        const Heads heads{queries.narrow(0, row, 1), keys.select(0, row), values.select(0, row)};
        expected.push_back(naive_attention(heads, {slots}));
      }
      CHECK_THAT(attend(queries, keys, values, CacheAttention{num_rows, num_slots, mask}),
                 AllClose(at::cat(expected), tolerance(dtype).op));
    }
  }
}

TEST_CASE("masked slots of the cache never change the attention by a single bit",
          "[attention][isolation]") {
  Random random(8);
  const auto queries = random_tensor(random, {2, 6, 10});
  const auto keys = random_tensor(random, {2, 33, 2, 10});
  const auto values = random_tensor(random, {2, 33, 2, 10});
  auto mask = at::ones({2, 1, 1, 33}, at::kBool);
  mask.select(0, 1).narrow(2, 5, 28).fill_(false);
  const CacheAttention spec{2, 33, mask};
  const auto before = attend(queries, keys, values, spec);
  keys.select(0, 1).narrow(0, 5, 28).fill_(7);
  values.select(0, 1).narrow(0, 5, 28).fill_(-9);
  CHECK_THAT(attend(queries, keys, values, spec), BitEqual(before));
}

}  // namespace prepack
