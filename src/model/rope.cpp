#include "model/rope.h"

#include <ATen/ops/cos.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/mul.h>
#include <ATen/ops/sin.h>
#include <ATen/ops/tensor.h>
#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <utility>
#include <vector>

#include "base/parallel_rows.h"
#include "base/profile.h"
#include "base/scalar_type.h"
#include "base/upload.h"
#include "cuda/cuda_half.h"
#include "kernels/rope.h"
#include "model/rope_frequencies.h"
#include "prepack/error.h"

namespace prepack {

Rope::Rope(RopeConfig config, int64_t rotary_dim, at::Device device)
    : config_(std::move(config)),
      rotary_dim_(rotary_dim),
      attention_factor_(rope_attention_factor(config_)),
      frequencies_(at::tensor(rope_frequencies(config_, rotary_dim), at::kFloat).to(device)) {}

at::Tensor Rope::frequencies(std::span<const int64_t> sequence_lens, int64_t num_tokens) const {
  if (!config_.depends_on_length()) return frequencies_;
  if (std::ssize(sequence_lens) != num_tokens) {
    throw InvalidArgument(
        fmt::format("forward: the RoPE type depends on the length of each token's sequence: "
                    "expected {} sequence_lens, got {}",
                    num_tokens, sequence_lens.size()));
  }
  const auto is_short = [&](int64_t length) { return rope_length_class(config_, length) == 1; };
  if (std::ranges::all_of(sequence_lens, is_short)) return frequencies_;
  auto of_tokens = at::empty({num_tokens, rotary_dim_ / 2}, at::kFloat);
  auto* row = of_tokens.data_ptr<float>();
  std::vector<float> of_class;
  int64_t last_class = 0;
  for (int64_t length : sequence_lens) {
    // The tokens of one sequence mostly lie together.
    const int64_t length_class = rope_length_class(config_, length);
    if (length_class != last_class) of_class = rope_frequencies(config_, rotary_dim_, length_class);
    last_class = length_class;
    row = std::ranges::copy(of_class, row).out;
  }
  return upload(of_tokens, frequencies_.device());
}

RopeTable Rope::table(const at::Tensor& position_ids,
                      std::span<const int64_t> sequence_lens) const {
  const ProfiledPart part(Part::kRope);
  const auto angles = position_ids.to(at::kFloat)
                          .unsqueeze(1)
                          .mul(frequencies(sequence_lens, position_ids.size(0)));
  RopeTable table{angles.cos(), angles.sin()};
  if (attention_factor_ != 1) {
    table.cos.mul_(attention_factor_);
    table.sin.mul_(attention_factor_);
  }
  return table;
}

RopeTable RopeTable::of_tokens(const at::Tensor& tokens) const {
  return {cos.index_select(0, tokens), sin.index_select(0, tokens)};
}

void apply_rope(const at::Tensor& heads, const RopeTable& table) {
  const ProfiledPart part(Part::kRope);
  if (heads.is_cuda()) {
    return cuda_half().rope_and_store(heads, heads.size(1), table.cos, table.sin, {}, {}, {});
  }
  const auto dtype = from_scalar_type(heads.scalar_type());
  const int64_t num_heads = heads.size(1);
  const int64_t head_dim = heads.size(2);
  const int64_t half = table.cos.size(1);
  const auto* cos = table.cos.const_data_ptr<float>();
  const auto* sin = table.sin.const_data_ptr<float>();
  parallel_rows(heads.size(0), num_heads * head_dim, [&](int64_t begin, int64_t end) {
    for (int64_t token = begin; token < end; ++token) {
      auto* of_token = row_address(heads, token);
      turn_heads(dtype, of_token, cos + token * half, sin + token * half, of_token, num_heads,
                 head_dim, 2 * half);
    }
  });
}

}  // namespace prepack
