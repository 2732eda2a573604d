#include "prepack/packed_batch.h"

#include <ATen/ops/scaled_dot_product_attention.h>

#include <set>

#include "prepack/error.h"
#include "support/all_close.h"
#include "support/catch.h"
#include "support/random.h"
#include "support/tensors.h"

namespace prepack {
namespace {

using testing::Random;
using Bins = std::vector<std::vector<int64_t>>;

constexpr BatchLayout kLayouts[] = {BatchLayout::kFlat, BatchLayout::kRows,
                                    BatchLayout::kLeftPaddedRows};

/// The values of a tensor of any integer type, row by row.
std::vector<std::vector<int64_t>> rows_of(const at::Tensor& tensor) {
  const auto values = tensor.to(at::kLong).contiguous();
  std::vector<std::vector<int64_t>> rows;
  for (int64_t row = 0; row < values.size(0); ++row) {
    const auto* first = values.data_ptr<int64_t>() + row * values.size(1);
    rows.emplace_back(first, first + values.size(1));
  }
  return rows;
}

std::vector<std::vector<int64_t>> places_of(const std::vector<Segment>& segments) {
  std::vector<std::vector<int64_t>> places;
  for (const auto& s : segments) places.push_back({s.sequence, s.row, s.offset, s.length});
  return places;
}

struct Example {
  std::vector<TokenIds> prompts;
  Bins bins;
};

/// Any partition of some prompts into bins, not only those that a planner makes.
Example random_example(Random& random) {
  Example example;
  example.prompts = random.prompts(random.integers(random.integer(1, 12), 1, 9), 1000);
  std::vector<int64_t> order;
  for (size_t i = 0; i < example.prompts.size(); ++i) order.push_back(static_cast<int64_t>(i));
  random.shuffle(order);
  for (int64_t sequence : order) {
    if (example.bins.empty() || random.integer(0, 2) == 0) example.bins.emplace_back();
    example.bins.back().push_back(sequence);
  }
  return example;
}

std::vector<Example> random_examples(int count) {
  Random random(count);
  std::vector<Example> examples;
  for (int i = 0; i < count; ++i) examples.push_back(random_example(random));
  return examples;
}

TEST_CASE("the worked example of the header is laid out as it says", "[packed_batch]") {
  const std::vector<TokenIds> prompts = {{7, 8}, {10, 11, 12, 13, 14}, {20, 21, 22}};
  const auto batch = make_packed_batch(prompts, Bins{{1}, {2, 0}}, BatchLayout::kRows);
  CHECK(rows_of(batch.input_ids) == Bins{{10, 11, 12, 13, 14}, {20, 21, 22, 7, 8}});
  CHECK(rows_of(batch.position_ids) == Bins{{0, 1, 2, 3, 4}, {0, 1, 2, 0, 1}});
  CHECK(rows_of(batch.segment_ids) == Bins{{0, 0, 0, 0, 0}, {1, 1, 1, 2, 2}});
  CHECK(places_of(batch.segments) == Bins{{1, 0, 0, 5}, {2, 1, 0, 3}, {0, 1, 3, 2}});
  CHECK(batch.cu_seqlens == std::vector<int32_t>{0, 5, 8, 10});
  CHECK(batch.num_prompt_tokens() == 10);
}

TEST_CASE("the flat layout is one row without padding", "[packed_batch]") {
  const std::vector<TokenIds> prompts = {{7, 8}, {10}, {20, 21, 22}};
  const auto batch = make_packed_batch(prompts, Bins{{2}, {1, 0}}, BatchLayout::kFlat);
  CHECK(rows_of(batch.input_ids) == Bins{{20, 21, 22, 10, 7, 8}});
  CHECK(rows_of(batch.position_ids) == Bins{{0, 1, 2, 0, 0, 1}});
  CHECK(rows_of(batch.segment_ids) == Bins{{0, 0, 0, 1, 2, 2}});
  CHECK(places_of(batch.segments) == Bins{{2, 0, 0, 3}, {1, 0, 3, 1}, {0, 0, 4, 2}});
}

TEST_CASE("rows are padded at their end with token 0 of no segment", "[packed_batch]") {
  const std::vector<TokenIds> prompts = {{7, 8}, {10, 11, 12}};
  const auto batch = make_packed_batch(prompts, Bins{{0}, {1}}, BatchLayout::kRows);
  CHECK(rows_of(batch.input_ids) == Bins{{7, 8, 0}, {10, 11, 12}});
  CHECK(rows_of(batch.segment_ids) == Bins{{0, 0, -1}, {1, 1, 1}});
  CHECK(batch.cu_seqlens == std::vector<int32_t>{0, 2, 5});
}

TEST_CASE("left padding puts every row's last token at its end", "[packed_batch]") {
  const std::vector<TokenIds> prompts = {{7, 8}, {10, 11, 12, 13}, {5}};
  const auto batch = make_packed_batch(prompts, Bins{{1}, {0, 2}}, BatchLayout::kLeftPaddedRows);
  CHECK(rows_of(batch.input_ids) == Bins{{10, 11, 12, 13}, {0, 7, 8, 5}});
  CHECK(rows_of(batch.position_ids) == Bins{{0, 1, 2, 3}, {0, 0, 1, 0}});
  CHECK(rows_of(batch.segment_ids) == Bins{{0, 0, 0, 0}, {-1, 1, 1, 2}});
  CHECK(places_of(batch.segments) == Bins{{1, 0, 0, 4}, {0, 1, 1, 2}, {2, 1, 3, 1}});
}

TEST_CASE("unpacking a packed batch gives the prompts back", "[packed_batch]") {
  for (const auto& [prompts, bins] : random_examples(500)) {
    for (auto layout : kLayouts) {
      const auto batch = make_packed_batch(prompts, bins, layout);
      std::vector<TokenIds> unpacked(prompts.size());
      for (const auto& segment : batch.segments) {
        const auto* first = batch.input_ids.data_ptr<int64_t>() + batch.first_token(segment);
        REQUIRE(unpacked.at(segment.sequence).empty());
        unpacked.at(segment.sequence).assign(first, first + segment.length);
      }
      REQUIRE(unpacked == prompts);
    }
  }
}

TEST_CASE("segments lie in their bin's order, side by side, each in its own row's bounds",
          "[packed_batch]") {
  for (const auto& [prompts, bins] : random_examples(501)) {
    for (auto layout : kLayouts) {
      const auto batch = make_packed_batch(prompts, bins, layout);
      std::vector<int64_t> sequences;
      for (const auto& bin : bins) sequences.insert(sequences.end(), bin.begin(), bin.end());
      for (size_t s = 0; s < batch.segments.size(); ++s) {
        const auto& segment = batch.segments[s];
        REQUIRE(segment.sequence == sequences.at(s));
        REQUIRE(segment.offset >= 0);
        REQUIRE(segment.offset + segment.length <= batch.row_len());
        REQUIRE(segment.row < batch.num_rows());
        if (s == 0 || batch.segments[s - 1].row != segment.row) continue;
        REQUIRE(segment.offset == batch.segments[s - 1].offset + batch.segments[s - 1].length);
      }
    }
  }
}

TEST_CASE("positions restart at 0 in every segment, and segment ids cover it exactly",
          "[packed_batch]") {
  for (const auto& [prompts, bins] : random_examples(502)) {
    for (auto layout : kLayouts) {
      const auto batch = make_packed_batch(prompts, bins, layout);
      const auto positions = rows_of(batch.position_ids);
      const auto ids = rows_of(batch.segment_ids);
      int64_t num_inside = 0;
      for (size_t s = 0; s < batch.segments.size(); ++s) {
        const auto& segment = batch.segments[s];
        for (int64_t i = 0; i < segment.length; ++i) {
          REQUIRE(positions[segment.row].at(segment.offset + i) == i);
          REQUIRE(ids[segment.row].at(segment.offset + i) == static_cast<int64_t>(s));
        }
        num_inside += segment.length;
        REQUIRE(batch.cu_seqlens.at(s + 1) - batch.cu_seqlens.at(s) == segment.length);
      }
      int64_t num_padding = 0;
      for (const auto& row : ids) num_padding += std::count(row.begin(), row.end(), -1);
      REQUIRE(num_inside + num_padding == batch.input_ids.numel());
      REQUIRE(batch.num_prompt_tokens() == num_inside);
      if (layout == BatchLayout::kFlat) REQUIRE(num_padding == 0);
    }
  }
}

TEST_CASE("rows are exactly as long as the fullest bin", "[packed_batch]") {
  for (const auto& [prompts, bins] : random_examples(503)) {
    int64_t fullest = 0;
    for (const auto& bin : bins) {
      int64_t used = 0;
      for (int64_t sequence : bin) used += static_cast<int64_t>(prompts[sequence].size());
      fullest = std::max(fullest, used);
    }
    for (auto layout : {BatchLayout::kRows, BatchLayout::kLeftPaddedRows}) {
      const auto batch = make_packed_batch(prompts, bins, layout);
      REQUIRE(batch.row_len() == fullest);
      REQUIRE(batch.num_rows() == static_cast<int64_t>(bins.size()));
    }
  }
}

TEST_CASE("one-token and duplicate prompts keep their own segments", "[packed_batch]") {
  const std::vector<TokenIds> prompts = {{4}, {4}, {4}, {9, 9}, {9, 9}};
  for (auto layout : kLayouts) {
    const auto batch = make_packed_batch(prompts, Bins{{3, 0, 1}, {2, 4}}, layout);
    REQUIRE(batch.segments.size() == 5);
    std::set<int64_t> sequences;
    std::set<int64_t> places;
    for (const auto& segment : batch.segments) {
      sequences.insert(segment.sequence);
      places.insert(batch.first_token(segment));
    }
    CHECK(sequences.size() == 5);
    CHECK(places.size() == 5);
    CHECK(batch.cu_seqlens == std::vector<int32_t>{0, 2, 3, 4, 5, 7});
  }
}

TEST_CASE("a bin that names an empty or unknown prompt is refused", "[packed_batch]") {
  const std::vector<TokenIds> prompts = {{1}, {}, {2}};
  for (auto layout : kLayouts) {
    CHECK_THROWS_AS(make_packed_batch(prompts, Bins{{0, 1}}, layout), InvalidArgument);
    CHECK_THROWS_WITH(make_packed_batch(prompts, Bins{{0, 1}}, layout),
                      ContainsSubstring("prompt 1 is empty"));
    CHECK_THROWS_AS(make_packed_batch(prompts, Bins{{0}, {3}}, layout), InvalidArgument);
    CHECK_THROWS_AS(make_packed_batch(prompts, Bins{{-1}}, layout), InvalidArgument);
  }
}

TEST_CASE("the independent mask equals its definition", "[packed_batch]") {
  for (const auto& [prompts, bins] : random_examples(200)) {
    for (auto layout : kLayouts) {
      const auto batch = make_packed_batch(prompts, bins, layout);
      const auto mask = independent_mask(batch.segment_ids);
      const int64_t row_len = batch.row_len();
      REQUIRE(mask.sizes() == at::IntArrayRef({batch.num_rows(), 1, row_len, row_len}));
      REQUIRE(mask.scalar_type() == at::kBool);
      const auto values = mask.contiguous();
      const auto* may_attend = values.data_ptr<bool>();
      const auto ids = rows_of(batch.segment_ids);
      bool all_equal = true;
      for (const auto& row : ids) {
        for (int64_t i = 0; i < row_len; ++i) {
          for (int64_t j = 0; j < row_len; ++j) {
            const bool expected = row[i] < 0 ? i == j : row[i] == row[j] && j <= i;
            all_equal = all_equal && *may_attend++ == expected;
          }
        }
      }
      REQUIRE(all_equal);
    }
  }
}

TEST_CASE("padding attends to itself alone, so that nothing is NaN", "[packed_batch]") {
  const std::vector<TokenIds> prompts = {{1}, {1, 2, 3, 4, 5, 6, 7}};
  Random random(1);
  for (auto dtype : {at::kFloat, at::kBFloat16, at::kHalf}) {
    for (auto layout : {BatchLayout::kRows, BatchLayout::kLeftPaddedRows}) {
      const auto batch = make_packed_batch(prompts, Bins{{0}, {1}}, layout);
      const auto heads = testing::random_tensor(random, {2, 3, 7, 8}, dtype);
      const auto attended = at::scaled_dot_product_attention(heads, heads, heads,
                                                             independent_mask(batch.segment_ids));
      CHECK(attended.isfinite().all().item<bool>());
      // What attends to itself alone gets its own value.
      const int64_t padding = layout == BatchLayout::kRows ? 6 : 0;
      CHECK_THAT(attended.select(0, 0).select(1, padding),
                 testing::AllClose(heads.select(0, 0).select(1, padding), 1e-6));
    }
  }
}

}  // namespace
}  // namespace prepack
