#include "support/attention_batch.h"

#include <ATen/ops/full.h>

#include <algorithm>
#include <cmath>
#include <sstream>

#include "support/naive_attention.h"
#include "support/tensors.h"

namespace prepack::testing {
namespace {

/// [num_rows, num_heads, head_dim], a slice of wider rows, all of it NaN.
at::Tensor nan_slice(int64_t num_rows, int64_t num_heads, int64_t head_dim, at::ScalarType dtype) {
  const int64_t size = num_heads * head_dim;
  const auto rows = at::full({num_rows, size + 5}, NAN, at::TensorOptions(dtype));
  return rows.narrow(1, 3, size).view({num_rows, num_heads, head_dim});
}

}  // namespace

AttentionBatch make_batch(Random& random, const HeadShape& shape,
                          const std::vector<Lengths>& lengths, at::ScalarType dtype,
                          int64_t window) {
  AttentionBatch batch;
  auto& spec = batch.spec;
  spec.cu_seqlens = {0};
  spec.first_keys.resize(lengths.size());
  for (const auto& [num_queries, num_keys] : lengths) {
    spec.cu_seqlens.push_back(spec.cu_seqlens.back() + static_cast<int32_t>(num_queries));
    spec.num_keys.push_back(num_keys);
  }
  std::vector<size_t> order(lengths.size());
  for (size_t i = 0; i < order.size(); ++i) order[i] = i;
  random.shuffle(order);
  int64_t num_slots = random.integer(0, 3);
  for (size_t i : order) {
    spec.first_keys[i] = num_slots;
    num_slots += spec.num_keys[i] + random.integer(0, 3);
  }
  spec.window = window;
  const auto [num_kv_heads, group, head_dim] = shape;
  batch.queries = nan_slice(spec.cu_seqlens.back(), num_kv_heads * group, head_dim, dtype);
  batch.queries.copy_(random_tensor(random, batch.queries.sizes(), dtype));
  batch.keys = nan_slice(num_slots, num_kv_heads, head_dim, dtype);
  batch.values = nan_slice(num_slots, num_kv_heads, head_dim, dtype);
  for (size_t i = 0; i < lengths.size(); ++i) {
    for (const auto& side : {batch.keys, batch.values}) {
      const auto run = side.narrow(0, spec.first_keys[i], spec.num_keys[i]);
      run.copy_(random_tensor(random, run.sizes(), dtype));
    }
  }
  return batch;
}

AttentionBatch with_beginnings(Random& random, AttentionBatch batch) {
  auto& spec = batch.spec;
  const auto whole = spec;
  const auto last = std::ssize(spec.num_keys) - 1;
  // Of the sequences behind the end, none has any.
  spec.beginnings.resize(random.integer(0, last + 1));
  for (size_t s = 0; s < spec.beginnings.size(); ++s) {
    int64_t num_own = spec.num_keys[s];
    for (int64_t i = random.integer(0, 3); i > 0; --i) {
      const int64_t other = random.integer(0, last);
      const int64_t most = std::min(num_own, whole.num_keys[other]);
      // Often all that can be, or none at all.
      const int64_t size = std::min(random.integer(0, most + most / 2), most);
      const int64_t skipped = random.integer(0, whole.num_keys[other] - size);
      spec.beginnings[s].push_back({whole.first_keys[other] + skipped, size});
      num_own -= size;
    }
    spec.first_keys[s] += random.integer(0, spec.num_keys[s] - num_own);
  }
  return batch;
}

at::Tensor attend(const AttentionBatch& batch) {
  return prepack::attend(batch.queries, batch.keys, batch.values, batch.spec);
}

at::Tensor of_sequence(const AttentionBatch& batch, const at::Tensor& all, size_t sequence) {
  const auto& borders = batch.spec.cu_seqlens;
  return all.narrow(0, borders[sequence], borders[sequence + 1] - borders[sequence]);
}

at::Tensor naive_attention(const AttentionBatch& batch) {
  return naive_attention(batch.queries, batch.keys, batch.values, visible_keys(batch.spec));
}

HeadShape random_shape(Random& random) {
  static constexpr int64_t kUsual[] = {64, 32, 128, 80, 6, 20};
  return {random.integer(1, 2), random.integer(1, 8),
          random.integer(0, 1) == 0 ? random.integer(1, 70) : kUsual[random.integer(0, 5)]};
}

std::string describe(const HeadShape& shape, const std::vector<Lengths>& lengths, int64_t window) {
  std::ostringstream text;
  if (window != kNoWindow) text << "window " << window << "; ";
  text << shape.num_kv_heads << " key heads of " << shape.group << ", head_dim " << shape.head_dim;
  for (const auto& [num_queries, num_keys] : lengths) {
    text << "; " << num_queries << " queries, " << num_keys << " keys";
  }
  return text.str();
}

}  // namespace prepack::testing
