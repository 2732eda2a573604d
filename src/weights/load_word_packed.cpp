#include "weights/load_word_packed.h"

#include <ATen/ops/empty.h>
#include <ATen/ops/isfinite.h>
#include <fmt/format.h>

#include <algorithm>
#include <string_view>

#include "prepack/error.h"
#include "weights/json.h"
#include "weights/tensor_view.h"
#include "weights/word_packed_weight.h"

namespace prepack {
namespace {

constexpr int kMiddleOf8Bits = 128;  // values are kept signed

[[noreturn]] void fail(const StoredTensor& stored, std::string_view problem) {
  throw LoadError(fmt::format("{}: {} ({})", printable(stored.info.name), problem,
                              printable(stored.file->path().filename().string())));
}

/// What `read` returns, where it may find that the part's g_idx is wrong.
/// @throws LoadError naming the tensor
template <typename Read>
auto naming_g_idx(const WordPackedPart& part, const Read& read) {
  if (part.g_idx == nullptr) return read(at::Tensor());
  try {
    return read(view_tensor(*part.g_idx));
  } catch (const LoadError& error) {
    fail(*part.g_idx, error.what());
  }
}

std::vector<int64_t> groups_of(const CheckpointQuantization& quantization,
                               const WordPackedPart& part, int64_t num_columns) {
  return naming_g_idx(
      part, [&](const at::Tensor& g_idx) { return read_groups(quantization, num_columns, g_idx); });
}

/// nullopt if the product cannot stay packed.
std::optional<ColumnGroups> columns_of(const CheckpointQuantization& quantization,
                                       const std::vector<WordPackedPart>& parts,
                                       int64_t num_columns) {
  std::vector<std::vector<int64_t>> groups;
  for (const auto& part : parts) {
    if (part.plain != nullptr) continue;
    groups.push_back(groups_of(quantization, part, num_columns));
  }
  if (groups.size() < parts.size()) return std::nullopt;
  return find_column_groups(groups);
}

UnpackedWeight unpack(const CheckpointQuantization& quantization, const WordPackedPart& part) {
  part.qweight->prefetch();
  const auto scales = view_tensor(*part.scales);
  if (!at::isfinite(scales).all().item<bool>())
    fail(*part.scales, "has scales that are not finite");
  return naming_g_idx(part, [&](const at::Tensor& g_idx) {
    return unpack(quantization, {.qweight = view_tensor(*part.qweight),
                                 .qzeros = view_tensor(*part.qzeros),
                                 .scales = scales,
                                 .g_idx = g_idx});
  });
}

PackedFormat format_of(const CheckpointQuantization& quantization, const ColumnGroups& columns) {
  return {.bits = quantization.bits,
          .group_size = columns.group_size,
          .scale_dtype = DType::kFloat32,
          .has_minimums = true};
}

/// weight = scale * (value - zero) = scale * (value - middle) + scale * (middle - zero), all of
/// which float32 holds exactly.
void set_rows(QuantizedWeight& weight, int64_t first_row, const UnpackedWeight& unpacked,
              const ColumnGroups& columns) {
  const bool is_signed = weight.format.bits == 8;
  const auto of_columns = unpacked.groups_of(columns);
  const auto scales = unpacked.scales.index_select(1, of_columns);
  const auto zeros = unpacked.zeros.index_select(1, of_columns).to(at::kFloat);
  auto values = unpacked.values;
  if (columns.order.defined()) values = values.index_select(1, columns.order);
  if (is_signed) values = values.bitwise_xor(kMiddleOf8Bits).view(at::kChar);
  const auto minimums = zeros.neg().add_(is_signed ? kMiddleOf8Bits : 0).mul_(scales);
  const bool is_exact = weight.set_rows(first_row, values, scales, minimums);
  TORCH_CHECK(is_exact);
}

at::Tensor widened(const CheckpointQuantization& quantization, const WordPackedPart& part) {
  return part.plain != nullptr ? view_tensor(*part.plain) : unpack(quantization, part).dequantize();
}

int64_t count_rows(const std::vector<WordPackedPart>& parts) {
  int64_t num_rows = 0;
  for (const auto& part : parts) num_rows += part.num_rows;
  return num_rows;
}

void release(const WordPackedPart& part) {
  for (const auto* stored : {part.plain, part.qweight, part.qzeros, part.scales, part.g_idx}) {
    if (stored != nullptr) stored->release();
  }
}

/// What it is widened to.
at::ScalarType wide_dtype(at::ScalarType dtype, at::Device device) {
  return device.is_cpu() ? at::kFloat : dtype;
}

/// Calls load(part, first row) for each.
template <typename Load>
void load_each(const std::vector<WordPackedPart>& parts, const Load& load) {
  int64_t first_row = 0;
  for (const auto& part : parts) {
    load(part, first_row);
    release(part);
    first_row += part.num_rows;
  }
}

}  // namespace

WordPackedProduct load_word_packed(const CheckpointQuantization& quantization,
                                   const std::vector<WordPackedPart>& parts, int64_t num_columns,
                                   at::ScalarType dtype, at::Device device) {
  const auto columns = columns_of(quantization, parts, num_columns);
  if (!columns) {
    const auto options = at::TensorOptions().dtype(wide_dtype(dtype, device)).device(device);
    auto weight = at::empty({count_rows(parts), num_columns}, options);
    load_each(parts, [&](const WordPackedPart& part, int64_t first_row) {
      weight.narrow(0, first_row, part.num_rows).copy_(widened(quantization, part));
    });
    return {std::move(weight), std::nullopt};
  }
  auto weight = QuantizedWeight::make_empty(count_rows(parts), num_columns,
                                            format_of(quantization, *columns));
  load_each(parts, [&](const WordPackedPart& part, int64_t first_row) {
    set_rows(weight, first_row, unpack(quantization, part), *columns);
  });
  std::optional<at::Tensor> order;
  if (columns->order.defined()) order = columns->order.to(device);
  return {weight.to(device), std::move(order)};
}

std::optional<PackedFormat> word_packed_format(const CheckpointQuantization& quantization,
                                               const std::vector<WordPackedPart>& parts,
                                               int64_t num_columns) {
  const auto columns = columns_of(quantization, parts, num_columns);
  if (!columns) return std::nullopt;
  return format_of(quantization, *columns).for_kernels();
}

int64_t word_packed_bytes(const CheckpointQuantization& quantization,
                          const std::vector<WordPackedPart>& parts, int64_t num_columns,
                          at::ScalarType dtype, at::Device device) {
  const int64_t num_rows = count_rows(parts);
  const auto columns = columns_of(quantization, parts, num_columns);
  if (!columns) {
    const auto size = static_cast<int64_t>(c10::elementSize(wide_dtype(dtype, device)));
    return num_rows * num_columns * size;
  }
  const auto order = columns->order.defined() ? static_cast<int64_t>(columns->order.nbytes()) : 0;
  return format_of(quantization, *columns).for_kernels().bytes(num_rows, num_columns) + order;
}

}  // namespace prepack
