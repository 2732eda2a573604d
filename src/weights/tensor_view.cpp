#include "weights/tensor_view.h"

#include <ATen/ops/empty.h>
#include <ATen/ops/from_blob.h>
#include <c10/core/ScalarType.h>
#include <fmt/format.h>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <vector>

#include "base/parallel_rows.h"
#include "prepack/error.h"
#include "weights/dequantize.h"
#include "weights/json.h"

namespace prepack {
namespace {

[[noreturn]] void fail(const TensorInfo& info, std::string_view problem) {
  throw LoadError(fmt::format("{}: {}", printable(info.name), problem));
}

/// Where a stored row belongs: of each pair of rows one goes to the first half of its head, the
/// other to the second.
int64_t row_in_order(int64_t stored_row, int64_t head_dim) {
  if (head_dim == 0) return stored_row;
  const int64_t in_head = stored_row % head_dim;
  return stored_row - in_head + in_head % 2 * (head_dim / 2) + in_head / 2;
}

template <typename T>
void widen_row(StoredDType dtype, const std::byte* blocks, uint64_t num_blocks,
               std::vector<float>& row, std::byte* out) {
  dequantize(dtype, blocks, num_blocks, row.data());
  std::ranges::transform(row, reinterpret_cast<T*>(out), [](float x) { return T(x); });
}

void widen_row(StoredDType dtype, const std::byte* blocks, uint64_t num_blocks,
               std::vector<float>& row, at::ScalarType to, std::byte* out) {
  if (to == at::kBFloat16) return widen_row<at::BFloat16>(dtype, blocks, num_blocks, row, out);
  if (to == at::kHalf) return widen_row<at::Half>(dtype, blocks, num_blocks, row, out);
  dequantize(dtype, blocks, num_blocks, reinterpret_cast<float*>(out));
}

/// Copies row by row: widens quantized ones, puts interleaved ones in order.
at::Tensor read_rows(const StoredTensor& stored, at::ScalarType dtype) {
  const auto& info = stored.info;
  const auto block = block_of(info.dtype);
  auto result = at::empty(info.shape, at::TensorOptions().dtype(dtype));
  if (result.numel() == 0) return result;
  // A vector of values per head, a bias, has rows of one element.
  const bool is_interleaved = stored.num_interleaved_heads > 0;
  const int64_t num_rows = is_interleaved || info.shape.size() > 1 ? info.shape[0] : 1;
  const int64_t head_dim = is_interleaved ? num_rows / stored.num_interleaved_heads : 0;
  const int64_t row_size = result.numel() / num_rows;
  const auto num_blocks = static_cast<uint64_t>(row_size) / block.num_elements;
  if (num_blocks * block.num_elements != static_cast<uint64_t>(row_size)) {
    fail(info,
         fmt::format("{} rows of {} elements cannot be read", to_string(info.dtype), row_size));
  }
  const uint64_t row_bytes = num_blocks * block.num_bytes;
  const auto* from = stored.bytes().data();
  auto* to = static_cast<std::byte*>(result.mutable_data_ptr());
  const auto out_bytes = static_cast<uint64_t>(row_size) * result.element_size();
  parallel_rows(num_rows, row_size, [&](int64_t begin, int64_t end) {
    std::vector<float> widened(is_quantized(info.dtype) ? static_cast<size_t>(row_size) : 0);
    for (int64_t row = begin; row < end; ++row) {
      const auto* bytes = from + static_cast<uint64_t>(row) * row_bytes;
      auto* out = to + static_cast<uint64_t>(row_in_order(row, head_dim)) * out_bytes;
      if (is_quantized(info.dtype)) {
        widen_row(info.dtype, bytes, num_blocks, widened, dtype, out);
      } else {
        std::memcpy(out, bytes, row_bytes);
      }
    }
  });
  return result;
}

}  // namespace

at::ScalarType scalar_type(const TensorInfo& info) {
  if (is_quantized(info.dtype)) return at::kFloat;
  switch (info.dtype) {
    case StoredDType::kF32:
      return at::kFloat;
    case StoredDType::kBF16:
      return at::kBFloat16;
    case StoredDType::kF16:
      return at::kHalf;
    case StoredDType::kF64:
      return at::kDouble;
    case StoredDType::kI64:
      return at::kLong;
    case StoredDType::kI32:
      return at::kInt;
    default:
      fail(info, fmt::format("tensors of dtype {} cannot be loaded", to_string(info.dtype)));
  }
}

at::Tensor view_tensor(const StoredTensor& stored) {
  const auto options = at::TensorOptions().dtype(scalar_type(stored.info));
  const auto bytes = stored.bytes();
  const auto address = reinterpret_cast<std::uintptr_t>(bytes.data());
  const bool is_aligned = address % options.dtype().itemsize() == 0;
  if (bytes.empty() || !is_aligned || is_quantized(stored.info.dtype) ||
      stored.num_interleaved_heads > 0) {
    auto copy = read_rows(stored, scalar_type(stored.info));
    stored.file->release(stored.info.begin, stored.info.end);
    return copy;
  }
  return at::from_blob(
      const_cast<std::byte*>(bytes.data()), stored.info.shape, [file = stored.file](void*) {},
      options);
}

at::Tensor read_quantized(const StoredTensor& stored, at::ScalarType dtype) {
  auto result = read_rows(stored, dtype);
  stored.file->release(stored.info.begin, stored.info.end);
  return result;
}

}  // namespace prepack
