#include "prepack/attention.h"

#include <ATen/ops/cat.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/tensor.h>
#include <ATen/ops/zeros.h>

#include <algorithm>
#include <variant>

#include "base/scalar_type.h"
#include "prepack/packed_batch.h"
#include "support/all_close.h"
#include "support/catch.h"
#include "support/naive_attention.h"
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
using testing::VisibleKeys;

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

at::Tensor naive_attention(const Heads& heads, const VisibleKeys& visible) {
  return testing::naive_attention(heads.queries, heads.keys, heads.values, visible);
}

at::Tensor attend(const Heads& heads, const AttentionSpec& spec) {
  return std::visit(
      [&](const auto& any) {
        return prepack::attend(heads.queries, heads.keys, heads.values, any);
      },
      spec);
}

/// Each token sees its own segment up to itself, no further back than the window.
VisibleKeys causal_segments(const std::vector<int64_t>& lengths, int64_t window = kNoWindow) {
  auto spec = varlen_attention(lengths);
  spec.window = window;
  return testing::visible_keys(spec);
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

/// [1, num_tokens]: all segments in one row.
at::Tensor segment_ids(const std::vector<int64_t>& lengths) {
  auto ids = at::zeros({1, total(lengths)}, at::kInt);
  auto* id = ids.data_ptr<int32_t>();
  for (size_t s = 0; s < lengths.size(); ++s) {
    id = std::fill_n(id, lengths[s], static_cast<int32_t>(s));
  }
  return ids;
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

TEST_CASE("with a sliding window each form equals its definition in float64", "[attention]") {
  Random random(9);
  for (const auto& shape : kShapes) {
    for (const auto& lengths : length_sets()) {
      for (int64_t window : {1, 2, 7, 64, 65, 1000}) {
        INFO(describe(shape));
        CAPTURE(lengths, window);
        const auto heads = random_heads(random, total(lengths), shape);
        const AllClose as_defined(naive_attention(heads, causal_segments(lengths, window)),
                                  tolerance(DType::kFloat32).op);
        CHECK_THAT(attend(heads, with_window(varlen_attention(lengths), window)), as_defined);
        const MaskedAttention masked{independent_mask(segment_ids(lengths))};
        CHECK_THAT(attend(heads, with_window(masked, window)), as_defined);
        if (std::ranges::count(lengths, lengths.front()) == std::ssize(lengths)) {
          CHECK_THAT(attend(heads, with_window(CausalAttention{std::ssize(lengths)}, window)),
                     as_defined);
        }
      }
    }
  }
}

TEST_CASE("a window counts from each sequence's own tokens, wherever padding is", "[attention]") {
  // Two rows of seven: one padded on its left, one packed with two sequences and padded.
  const auto ids =
      at::tensor({-1, -1, 0, 0, 0, 0, 0, 1, 1, 1, 2, 2, -1, -1}, at::kInt).view({2, 7});
  const auto windowed = with_window(MaskedAttention{independent_mask(ids)}, 3);
  const auto& mask = std::get<MaskedAttention>(windowed).mask;
  const auto sees = [&](int64_t row, int64_t query) {
    std::vector<int64_t> keys;
    for (int64_t key = 0; key < 7; ++key) {
      if (mask[row][0][query][key].item<bool>()) keys.push_back(key);
    }
    return keys;
  };
  CHECK(sees(0, 0) == std::vector<int64_t>{0});
  CHECK(sees(0, 3) == std::vector<int64_t>{2, 3});
  CHECK(sees(0, 6) == std::vector<int64_t>{4, 5, 6});
  CHECK(sees(1, 2) == std::vector<int64_t>{0, 1, 2});
  CHECK(sees(1, 3) == std::vector<int64_t>{3});
  CHECK(sees(1, 4) == std::vector<int64_t>{3, 4});
  CHECK(sees(1, 6) == std::vector<int64_t>{6});
}

TEST_CASE("a window no shorter than the rows leaves a mask as it is", "[attention]") {
  const auto mask = independent_mask(at::zeros({2, 5}, at::kInt));
  for (int64_t window : {5, 6, 4096}) {
    const auto same = with_window(MaskedAttention{mask}, window);
    CHECK(std::get<MaskedAttention>(same).mask.is_same(mask));
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
      VisibleKeys visible;
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

      CHECK_THAT(attend(heads, MaskedAttention{independent_mask(segment_ids(lengths))}),
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
      for (int64_t row = 0; row < num_rows; ++row) {
        mask.select(0, row).narrow(2, 0, lengths[row]).fill_(true);
      }
      const CacheAttention spec{num_rows, num_slots, mask};
      for (int64_t window : {int64_t{1}, int64_t{5}, int64_t{69}, int64_t{70}, kNoWindow}) {
        CAPTURE(window);
        std::vector<at::Tensor> expected;
        for (int64_t row = 0; row < num_rows; ++row) {
          const VarlenAttention last{{0, 1}, {0}, {lengths[row]}, window};
          const Heads heads{queries.narrow(0, row, 1), keys.select(0, row), values.select(0, row)};
          expected.push_back(naive_attention(heads, testing::visible_keys(last)));
        }
        const auto windowed = with_window(spec, window);
        CHECK_THAT(attend({queries, keys, values}, windowed),
                   AllClose(at::cat(expected), tolerance(dtype).op));
      }
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
