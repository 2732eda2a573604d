#include "weights/word_packed_weight.h"

#include <ATen/ops/tensor.h>
#include <fmt/format.h>

#include <algorithm>
#include <numeric>

#include "base/mapped_tensor.h"
#include "base/parallel_rows.h"
#include "prepack/error.h"
#include "weights/packed_integers.h"

namespace prepack {
namespace {

using Method = CheckpointQuantization::Method;
using Order = PackedIntegers::Order;

/// Columns are shared among threads by so many, whole words in each of the formats.
constexpr int64_t kBlockColumns = 128;

/// [num_columns, num_rows] uint8
at::Tensor unpack_all(const PackedIntegers& packed) {
  auto out = empty_in_own_pages({packed.num_columns, packed.num_rows}, at::kByte);
  auto* to = out.data_ptr<uint8_t>();
  const int64_t num_blocks = (packed.num_columns + kBlockColumns - 1) / kBlockColumns;
  parallel_rows(num_blocks, kBlockColumns * packed.num_rows, [&](int64_t begin, int64_t end) {
    const int64_t first = begin * kBlockColumns;
    unpack_columns(packed, first, std::min(end * kBlockColumns, packed.num_columns),
                   to + first * packed.num_rows);
  });
  return out;
}

at::Tensor as_indices(const std::vector<int64_t>& indices) {
  return at::tensor(at::ArrayRef<int64_t>(indices), at::kLong);
}

bool has_whole_groups(const std::vector<int64_t>& groups, const std::vector<int64_t>& order,
                      size_t group_size) {
  for (size_t i = 0; i < order.size(); ++i) {
    if (groups[order[i]] != groups[order[i - i % group_size]]) return false;
  }
  return true;
}

}  // namespace

bool fits_words(const CheckpointQuantization& quantization, int64_t out_features,
                int64_t in_features) {
  const int64_t num_packed = 32 / quantization.bits;
  return out_features % num_packed == 0 &&
         (quantization.method == Method::kAwq || in_features % num_packed == 0);
}

std::vector<WordPackedTensor> word_packed_tensors(const CheckpointQuantization& quantization,
                                                  int64_t out_features, int64_t in_features) {
  const int64_t num_packed = 32 / quantization.bits;
  const int64_t num_groups = quantization.num_groups(in_features);
  const bool is_gptq = quantization.method == Method::kGptq;
  const std::vector<StoredDType> words = {StoredDType::kI32};
  std::vector<WordPackedTensor> specs = {
      {".qweight",
       is_gptq ? std::vector{in_features / num_packed, out_features}
               : std::vector{in_features, out_features / num_packed},
       words},
      {".qzeros", {num_groups, out_features / num_packed}, words},
      {".scales", {num_groups, out_features}, {StoredDType::kF16, StoredDType::kBF16}}};
  if (is_gptq) specs.push_back({".g_idx", {in_features}, words, quantization.has_own_order});
  return specs;
}

std::vector<int64_t> read_groups(const CheckpointQuantization& quantization, int64_t in_features,
                                 const at::Tensor& g_idx) {
  std::vector<int64_t> groups(static_cast<size_t>(in_features));
  const int64_t num_groups = quantization.num_groups(in_features);
  const auto indices = g_idx.defined() ? g_idx.contiguous() : g_idx;
  for (int64_t i = 0; i < in_features; ++i) {
    groups[i] = g_idx.defined() ? indices.const_data_ptr<int32_t>()[i]
                : quantization.group_size == CheckpointQuantization::kWholeRow
                    ? 0
                    : i / quantization.group_size;
    if (groups[i] < 0 || groups[i] >= num_groups) {
      throw LoadError(fmt::format("expected groups from 0 to {}, got {} for input feature {}",
                                  num_groups - 1, groups[i], i));
    }
  }
  return groups;
}

UnpackedWeight unpack(const CheckpointQuantization& quantization, const WordPackedWeight& packed) {
  const bool is_gptq = quantization.method == Method::kGptq;
  const int64_t out_features = packed.scales.size(1);
  const int64_t in_features = packed.qweight.size(0) * (is_gptq ? 32 / quantization.bits : 1);
  const auto words = packed.qweight.contiguous();
  const auto words_of_zeros = packed.qzeros.contiguous();
  const PackedIntegers values{.words = words.const_data_ptr<int32_t>(),
                              .order = is_gptq ? Order::kDown : Order::kInterleaved,
                              .bits = quantization.bits,
                              .num_rows = in_features,
                              .num_columns = out_features};
  const PackedIntegers zeros{
      .words = words_of_zeros.const_data_ptr<int32_t>(),
      .order = is_gptq ? Order::kAcross : Order::kInterleaved,
      .bits = quantization.bits,
      .num_rows = packed.scales.size(0),
      .num_columns = out_features,
      .added = quantization.stores_zeros_less_1 ? ones(quantization.bits) : 0};
  return {.values = unpack_all(values),
          .scales = packed.scales.t().to(at::kFloat).contiguous(),
          .zeros = unpack_all(zeros),
          .groups = read_groups(quantization, in_features, packed.g_idx)};
}

at::Tensor UnpackedWeight::dequantize() const {
  const auto of_columns = as_indices(groups);
  auto weight = values.to(at::kFloat);
  weight.sub_(zeros.index_select(1, of_columns)).mul_(scales.index_select(1, of_columns));
  return weight;
}

at::Tensor UnpackedWeight::groups_of(const ColumnGroups& columns) const {
  std::vector<int64_t> result;
  for (int64_t i = 0; i < std::ssize(groups); i += columns.group_size) {
    const int64_t feature =
        columns.order.defined() ? columns.order.const_data_ptr<int64_t>()[i] : i;
    result.push_back(groups[feature]);
  }
  return as_indices(result);
}

std::optional<ColumnGroups> find_column_groups(std::span<const std::vector<int64_t>> groups) {
  const auto& first = groups.front();
  std::vector<int64_t> order(first.size());
  std::iota(order.begin(), order.end(), 0);
  const bool is_in_order = std::ranges::is_sorted(first);
  if (!is_in_order) std::ranges::stable_sort(order, {}, [&](int64_t i) { return first[i]; });
  for (const size_t group_size : {128, 64, 32}) {
    const bool divides = order.size() % group_size == 0;
    if (divides && std::ranges::all_of(groups, [&](const auto& of_weight) {
          return has_whole_groups(of_weight, order, group_size);
        })) {
      return ColumnGroups{is_in_order ? at::Tensor() : as_indices(order),
                          static_cast<int64_t>(group_size)};
    }
  }
  return std::nullopt;
}

}  // namespace prepack
