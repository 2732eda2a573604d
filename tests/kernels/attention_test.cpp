#include "kernels/attention.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "kernels/many_rows.h"
#include "support/each_instruction_set.h"
#include "support/numbers.h"
#include "support/spoiled_scratch.h"

namespace prepack {
namespace {

using testing::Expected;
using testing::Near;
using testing::num_samples;
using testing::Numbers;
using testing::on_each_instruction_set;
using testing::Random;
using testing::SameBits;

constexpr DType kDTypes[] = {DType::kFloat32, DType::kBFloat16, DType::kFloat16};
constexpr int64_t kNoWindow = std::numeric_limits<int64_t>::max() / 2;

struct Shape {
  int64_t num_queries;
  int64_t num_keys;
  int64_t group;
  int64_t head_dim;
  int64_t window = kNoWindow;
};

/// Queries and the keys that they attend to, in memory where all else is NaN.
struct Sample {
  Shape shape;
  int64_t query_stride;
  int64_t key_stride;
  int64_t value_stride;
  int64_t out_stride;
  std::vector<SlotRun> runs;
  Numbers queries;
  Numbers keys;
  Numbers values;
  Numbers out;

  /// @param max_runs  that the keys lie in
  Sample(Random& random, DType dtype, const Shape& shape, int64_t max_runs)
      : shape(shape),
        query_stride(shape.group * shape.head_dim + random.integer(0, 3)),
        key_stride(shape.head_dim + random.integer(0, 3)),
        value_stride(shape.head_dim + random.integer(0, 3)),
        out_stride(shape.group * shape.head_dim + random.integer(0, 3)),
        queries(dtype, 0),
        keys(dtype, 0),
        values(dtype, 0),
        out(dtype, 0) {
    const int64_t num_slots = choose_runs(random, max_runs);
    const int64_t row_size = shape.group * shape.head_dim;
    queries = rows(random, dtype, shape.num_queries, row_size, query_stride);
    keys = side(random, dtype, num_slots, key_stride);
    values = side(random, dtype, num_slots, value_stride);
    out = Numbers::filled(dtype, (shape.num_queries - 1) * out_stride + row_size, 7);
  }

  AttentionBlock block() {
    return {.dtype = queries.dtype(),
            .queries = queries.data(),
            .keys = keys.data(),
            .values = values.data(),
            .out = out.data(),
            .query_stride = query_stride,
            .key_stride = key_stride,
            .value_stride = value_stride,
            .out_stride = out_stride,
            .runs = runs,
            .num_queries = shape.num_queries,
            .num_keys = shape.num_keys,
            .group = shape.group,
            .head_dim = shape.head_dim,
            .window = shape.window};
  }

  /// Where each key lies.
  std::vector<int64_t> slots() const {
    std::vector<int64_t> slots;
    for (const auto& run : runs) {
      for (int64_t i = 0; i < run.num_slots; ++i) slots.push_back(run.first_slot + i);
    }
    return slots;
  }

 private:
  /// @return how many slots there are; the last one is a key's
  int64_t choose_runs(Random& random, int64_t max_runs) {
    int64_t num_slots = 0;
    int64_t rest = shape.num_keys;
    for (int64_t i = random.integer(1, max_runs); i > 0; --i) {
      const int64_t size = i == 1 ? rest : random.integer(0, rest);
      if (size > 0) num_slots += random.integer(0, 3);
      runs.push_back({num_slots, size});
      num_slots += size;
      rest -= size;
    }
    return num_slots;
  }

  static Numbers rows(Random& random, DType dtype, int64_t num_rows, int64_t size, int64_t stride) {
    auto rows = Numbers::random(random, dtype, (num_rows - 1) * stride + size);
    for (int64_t i = 0; i < rows.size(); ++i) {
      if (i % stride >= size) rows.set(i, NAN);
    }
    return rows;
  }

  Numbers side(Random& random, DType dtype, int64_t num_slots, int64_t stride) const {
    auto side = rows(random, dtype, num_slots, shape.head_dim, stride);
    std::vector<bool> is_key(static_cast<size_t>(num_slots));
    for (const int64_t slot : slots()) is_key[slot] = true;
    for (int64_t i = 0; i < side.size(); ++i) {
      if (!is_key[i / stride]) side.set(i, NAN);
    }
    return side;
  }
};

/// How much a weight may differ from its definition, as a part of itself: by rounding to bfloat16
/// where pairs of it are multiplied.
double weight_error(const Sample& sample) {
  const bool is_streamed = sample.shape.num_queries * sample.shape.group <= kMostStreamedRows;
  const bool has_pairs = sample.queries.dtype() == DType::kBFloat16 && has_bfloat16_dot_products();
  return has_pairs && !is_streamed ? 0x1p-8 : 0;
}

/// The definition, in float64.
std::vector<Expected> plain_attention(const Sample& sample) {
  const auto [num_queries, num_keys, group, head_dim, window] = sample.shape;
  constexpr double kError = 2e-6;  // of scores and values of size 1, in float32
  const double relative = weight_error(sample);
  std::vector<Expected> expected;
  for (int64_t i = 0; i < sample.out.size(); ++i) expected.push_back({sample.out[i]});
  const auto slots = sample.slots();
  const auto queries = sample.queries.values();
  const auto keys = sample.keys.values();
  const auto values = sample.values.values();
  std::vector<double> weights(static_cast<size_t>(num_keys));
  for (int64_t row = 0; row < num_queries * group; ++row) {
    const double* query =
        queries.data() + row / group * sample.query_stride + row % group * head_dim;
    const int64_t last = num_keys - num_queries + row / group;
    const int64_t first = std::max<int64_t>(last + 1 - window, 0);
    double largest = -INFINITY;
    for (int64_t key = first; key <= last; ++key) {
      const double* numbers = keys.data() + slots[key] * sample.key_stride;
      double score = 0;
      for (int64_t d = 0; d < head_dim; ++d) score += query[d] * numbers[d];
      weights[key] = score / std::sqrt(static_cast<double>(head_dim));
      largest = std::max(largest, weights[key]);
    }
    double total = 0;
    std::vector<double> sums(static_cast<size_t>(head_dim));
    for (int64_t key = first; key <= last; ++key) {
      weights[key] = std::exp(weights[key] - largest);
      const double* numbers = values.data() + slots[key] * sample.value_stride;
      total += weights[key];
      for (int64_t d = 0; d < head_dim; ++d) sums[d] += weights[key] * numbers[d];
    }
    const int64_t place = row / group * sample.out_stride + row % group * head_dim;
    for (int64_t d = 0; d < head_dim; ++d) {
      const double mean = sums[d] / total;
      double deviation = 0;
      for (int64_t key = first; key <= last; ++key) {
        const double value = values[slots[key] * sample.value_stride + d];
        deviation += weights[key] / total * std::abs(value - mean);
      }
      // Errors of the weights that are the same for all leave the mean as it is.
      expected[place + d] = {mean, kError + 1.01 * relative * deviation};
    }
  }
  return expected;
}

/// As one stretch, or as several of which the last comes first.
void attend(const AttentionBlock& block) {
  const int64_t num = num_stretches(block);
  if (num == 1) return attend_block(block);
  const int64_t size = partial_size(block);
  std::vector<float> partials(static_cast<size_t>(num * size), NAN);
  for (int64_t i = num - 1; i >= 0; --i) attend_stretch(block, i, partials.data() + i * size);
  combine_stretches(block, partials.data());
}

void check(Random& random, DType dtype, const Shape& shape, int64_t max_runs) {
  CAPTURE(to_string(dtype), shape.num_queries, shape.num_keys, shape.group, shape.head_dim,
          shape.window);
  Sample sample(random, dtype, shape, max_runs);
  const auto expected = plain_attention(sample);
  testing::spoil_scratch();
  attend(sample.block());
  REQUIRE_THAT(sample.out, Near(expected));
}

int64_t random_head_dim(Random& random) {
  static constexpr int64_t kUsual[] = {64, 32, 128, 80, 6, 20, 96, 15, 16, 17};
  return random.integer(0, 1) == 0 ? random.integer(1, 70) : kUsual[random.integer(0, 9)];
}

/// None, a short one, or one around a kernel's block of keys.
int64_t random_window(Random& random) {
  static constexpr int64_t kAroundBlocks[] = {63, 64, 65, 127, 128, 129};
  const int64_t kind = random.integer(0, 3);
  return kind == 0   ? kNoWindow
         : kind == 1 ? kAroundBlocks[random.integer(0, 5)]
                     : random.integer(1, 30);
}

/// @param streams  whether there are few rows, as in decoding
Shape random_shape(Random& random, bool streams) {
  const int64_t group = random.integer(1, streams ? kMostStreamedRows : 10);
  const int64_t least = streams ? 1 : kMostStreamedRows / group + 1;
  const int64_t most = streams ? kMostStreamedRows / group : 40;
  const int64_t num_queries = random.integer(least, random.integer(least, most));
  const int64_t num_cached = random.integer(0, random.integer(0, 3) == 0 ? 200 : 30);
  return {num_queries, num_cached + num_queries, group, random_head_dim(random),
          random_window(random)};
}

TEST_CASE("attention of few queries equals its definition", "[kernels][attention]") {
  Random random(1);
  on_each_instruction_set([&] {
    for (const auto dtype : kDTypes) {
      for (int i = num_samples(200); i > 0; --i) {
        check(random, dtype, random_shape(random, /*streams=*/true), i % 2 == 0 ? 1 : 4);
      }
    }
  });
}

TEST_CASE("attention of many queries equals its definition", "[kernels][attention]") {
  Random random(2);
  on_each_instruction_set([&] {
    for (const auto dtype : kDTypes) {
      for (int i = num_samples(120); i > 0; --i) {
        check(random, dtype, random_shape(random, /*streams=*/false), i % 2 == 0 ? 1 : 4);
      }
    }
  });
}

TEST_CASE("attention to several blocks of keys equals its definition", "[kernels][attention]") {
  Random random(3);
  on_each_instruction_set([&] {
    // Blocks hold 64 keys where queries are few, and about 8192 / head_dim where they are many.
    for (const auto& shape :
         {Shape{1, 300, 3, 64}, Shape{2, 257, 2, 64, 100}, Shape{6, 128, 1, 33},
          Shape{90, 200, 1, 128}, Shape{33, 140, 3, 128, 65}, Shape{20, 600, 1, 17, 500},
          Shape{12, 70, 1, 300},
          // Of several stretches.
          Shape{1, 700, 8, 64}, Shape{1, 700, 9, 64}, Shape{1, 1100, 12, 80, 300},
          Shape{6, 515, 1, 33, 256}, Shape{3, 1030, 2, 17}}) {
      for (const auto dtype : {DType::kFloat32, DType::kBFloat16}) check(random, dtype, shape, 3);
    }
  });
}

void check_extreme_scores(Random& random, DType dtype, int64_t num_tokens, double query,
                          bool rises) {
  CAPTURE(to_string(dtype), num_tokens, query, rises);
  Sample sample(random, dtype, {num_tokens, num_tokens, 1, 4}, 1);
  sample.queries.fill(query);
  const int64_t first_slot = sample.runs[0].first_slot;
  for (int64_t i = 0; i < sample.keys.size(); ++i) {
    const auto number = static_cast<double>(i / sample.key_stride - first_slot - 50);
    sample.keys.set(i, rises ? number : -number);
  }
  attend(sample.block());
  int64_t num_different = 0;
  for (int64_t token = 0; token < num_tokens; ++token) {
    const int64_t slot = first_slot + (rises ? token : 0);
    for (int64_t d = 0; d < 4; ++d) {
      const double value = sample.values[slot * sample.value_stride + d];
      if (sample.out[token * sample.out_stride + d] != value) ++num_different;
    }
  }
  REQUIRE(num_different == 0);
}

TEST_CASE("attention of extreme scores goes to the largest that a query may see",
          "[kernels][attention]") {
  Random random(4);
  on_each_instruction_set([&] {
    for (const auto dtype : {DType::kFloat32, DType::kBFloat16}) {
      for (const int64_t num_tokens : {2, 6, 40, 200}) {
        // Of keys from -50 to 150: scores twice the query apart.
        for (const double query : {100.0, 1e10}) {
          for (const bool rises : {false, true}) {
            check_extreme_scores(random, dtype, num_tokens, query, rises);
          }
        }
      }
    }
  });
}

/// The queries [begin, end) of a block alone.
AttentionBlock part_of(const AttentionBlock& block, int64_t begin, int64_t end, Numbers& out) {
  const auto size = element_size(block.dtype);
  auto part = block;
  part.queries = static_cast<const char*>(block.queries) + begin * block.query_stride * size;
  part.out = static_cast<char*>(out.data()) + begin * block.out_stride * size;
  part.num_queries = end - begin;
  part.num_keys = block.num_keys - block.num_queries + end;
  return part;
}

TEST_CASE("a query gets the same bits whatever queries are beside it", "[kernels][attention]") {
  Random random(7);
  on_each_instruction_set([&] {
    for (const auto dtype : kDTypes) {
      for (int i = num_samples(60); i > 0; --i) {
        auto shape = random_shape(random, /*streams=*/false);
        shape.num_keys += random.integer(0, 1) * random.integer(0, 300);
        // A lone query's keys are cut into stretches.
        const int64_t fewest = std::max<int64_t>(kMostStreamedRows / shape.group + 1, 2);
        if (shape.num_queries < fewest) continue;
        CAPTURE(to_string(dtype), shape.num_queries, shape.num_keys, shape.group, shape.head_dim,
                shape.window);
        Sample sample(random, dtype, shape, 3);
        attend(sample.block());
        const int64_t begin = random.integer(0, shape.num_queries - fewest);
        const int64_t end = random.integer(begin + fewest, shape.num_queries);
        CAPTURE(begin, end);
        auto alone = sample.out;
        for (int64_t k = begin * sample.out_stride; k < end * sample.out_stride; ++k) {
          if (k < alone.size() && k % sample.out_stride < shape.group * shape.head_dim) {
            alone.set(k, NAN);
          }
        }
        attend(part_of(sample.block(), begin, end, alone));
        REQUIRE_THAT(alone, SameBits(sample.out));
      }
    }
  });
}

/// Whether rows begin with that of a slot.
void check_first(const RowsToRead& rows, const void* side, int64_t stride, int64_t slot) {
  REQUIRE(rows.first == static_cast<const float*>(side) + slot * stride);
  REQUIRE(rows.stride == stride);
}

TEST_CASE("what a stretch reads first are rows of its first run that a query may see",
          "[kernels][attention]") {
  Random random(5);
  for (int i = num_samples(600); i > 0; --i) {
    const bool streams = i % 2 == 0;
    auto shape = random_shape(random, streams);
    shape.num_keys += random.integer(0, 600);
    Sample sample(random, DType::kFloat32, shape, 4);
    const auto block = sample.block();
    const auto slots = sample.slots();
    for (int64_t number = 0; number < num_stretches(block); ++number) {
      const auto stretch = key_stretch(block, number);
      const int64_t of_block = streams ? first_key(block, 0) / 64 * 64 : first_key(block, 0);
      const int64_t first = std::max(stretch.begin, of_block);
      int64_t end = first + 1;
      while (end < stretch.end && slots[end] == slots[end - 1] + 1) ++end;
      const auto reads = first_reads(block, number);
      CAPTURE(shape.num_queries, shape.num_keys, shape.window, number);
      check_first(reads.keys, block.keys, block.key_stride, slots[first]);
      // Runs that happen to touch are still two.
      REQUIRE(reads.keys.num_rows > 0);
      REQUIRE(reads.keys.num_rows <= end - first);
      REQUIRE(reads.values.num_rows == (streams ? 0 : reads.keys.num_rows));
      REQUIRE(reads.queries.num_rows == (streams ? 0 : shape.num_queries));
      if (streams) continue;
      check_first(reads.values, block.values, block.value_stride, slots[first]);
      check_first(reads.queries, block.queries, block.query_stride, 0);
    }
  }
}

TEST_CASE("what is attended to next changes no bit", "[kernels][attention]") {
  Random random(6);
  on_each_instruction_set([&] {
    for (const auto dtype : kDTypes) {
      for (int i = num_samples(100); i > 0; --i) {
        const auto shape = random_shape(random, /*streams=*/i % 2 == 0);
        CAPTURE(to_string(dtype), shape.num_queries, shape.num_keys, shape.group, shape.head_dim,
                shape.window);
        Sample sample(random, dtype, shape, 3);
        attend(sample.block());
        const auto alone = sample.out.values();
        // Often more keys than the block has, and often fewer.
        auto next_shape = random_shape(random, /*streams=*/i % 4 < 2);
        next_shape.head_dim = shape.head_dim;
        next_shape.group = shape.group;
        Sample next(random, dtype, next_shape, 3);
        auto block = sample.block();
        block.next = first_reads(next.block(), 0);
        attend(block);
        REQUIRE(sample.out.values() == alone);
      }
    }
  });
}

}  // namespace
}  // namespace prepack
