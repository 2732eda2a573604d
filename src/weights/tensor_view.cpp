#include "weights/tensor_view.h"

#include <ATen/ops/from_blob.h>
#include <c10/core/ScalarType.h>
#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <cstring>
#include <functional>
#include <numeric>
#include <vector>

#include "base/mapped_tensor.h"
#include "base/parallel_rows.h"
#include "prepack/error.h"
#include "weights/dequantize.h"
#include "weights/json.h"
#include "weights/quantized_blocks.h"

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

/// A tensor's rows, as they lie in the file.
struct StoredRows {
  int64_t num_rows;
  int64_t row_size;
  uint64_t num_blocks;  // of a row
  uint64_t row_bytes;
  int64_t head_dim;  // where rows are interleaved; else 0

  const std::byte* row(const StoredTensor& stored, int64_t index) const {
    return stored.bytes().data() + static_cast<uint64_t>(index) * row_bytes;
  }
};

/// @param stored  which is not empty
StoredRows rows_of(const StoredTensor& stored) {
  const auto& info = stored.info;
  const auto block = block_of(info.dtype);
  // A vector of values per head, a bias, has rows of one element.
  const bool is_interleaved = stored.num_interleaved_heads > 0;
  const int64_t num_rows = is_interleaved || info.shape.size() > 1 ? info.shape[0] : 1;
  const auto numel =
      std::accumulate(info.shape.begin(), info.shape.end(), int64_t{1}, std::multiplies<>());
  const int64_t row_size = numel / num_rows;
  const auto num_blocks = static_cast<uint64_t>(row_size) / block.num_elements;
  if (num_blocks * block.num_elements != static_cast<uint64_t>(row_size)) {
    fail(info,
         fmt::format("{} rows of {} elements cannot be read", to_string(info.dtype), row_size));
  }
  return {num_rows, row_size, num_blocks, num_blocks * block.num_bytes,
          is_interleaved ? num_rows / stored.num_interleaved_heads : 0};
}

/// Copies row by row: widens quantized ones, puts interleaved ones in order.
at::Tensor read_rows(const StoredTensor& stored, at::ScalarType dtype) {
  const auto stored_dtype = stored.info.dtype;
  auto result = empty_in_own_pages(stored.info.shape, dtype);
  if (result.numel() == 0) return result;
  const auto rows = rows_of(stored);
  auto* to = static_cast<std::byte*>(result.mutable_data_ptr());
  const auto out_bytes = static_cast<uint64_t>(rows.row_size) * result.element_size();
  parallel_rows(rows.num_rows, rows.row_size, [&](int64_t begin, int64_t end) {
    std::vector<float> widened(is_quantized(stored_dtype) ? static_cast<size_t>(rows.row_size) : 0);
    for (int64_t row = begin; row < end; ++row) {
      const auto* bytes = rows.row(stored, row);
      auto* out = to + static_cast<uint64_t>(row_in_order(row, rows.head_dim)) * out_bytes;
      if (is_quantized(stored_dtype)) {
        widen_row(stored_dtype, bytes, rows.num_blocks, widened, dtype, out);
      } else {
        std::memcpy(out, bytes, rows.row_bytes);
      }
    }
  });
  return result;
}

/// One row's numbers, as a weight of a common format takes them.
class PackedRow {
 public:
  PackedRow(StoredDType dtype, const PackedFormat& common, int64_t row_size)
      : dtype_(dtype),
        // Of the types of 4 bits Q4_0 alone has values on both sides of zero.
        is_centred_(common.bits == 4 && !stored_format(dtype).has_minimums),
        has_minimums_(is_centred_ || stored_format(dtype).has_minimums),
        num_groups_(stored_format(dtype).num_groups(row_size)),
        values_(static_cast<size_t>(row_size)),
        scales_(static_cast<size_t>(num_groups_)),
        minimums_(scales_.size()) {}

  bool set(const std::byte* blocks, uint64_t num_blocks, int64_t row, QuantizedWeight& weight) {
    take_apart(dtype_, blocks, num_blocks, values_.data(), scales_.data(), minimums_.data());
    if (is_centred_) {
      constexpr int8_t kCentre = 8;
      for (auto& value : values_) value = static_cast<int8_t>(value + kCentre);
      std::ranges::transform(scales_, minimums_.begin(),
                             [](float scale) { return -kCentre * scale; });
    }
    return weight.set_row(row, values_.data(), scales_.data(),
                          has_minimums_ ? minimums_.data() : nullptr, num_groups_);
  }

 private:
  StoredDType dtype_;
  bool is_centred_;
  bool has_minimums_;
  int64_t num_groups_;
  std::vector<int8_t> values_;
  std::vector<float> scales_;
  std::vector<float> minimums_;
};

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
    stored.release();
    return copy;
  }
  return at::from_blob(
      const_cast<std::byte*>(bytes.data()), stored.info.shape, [file = stored.file](void*) {},
      options);
}

at::Tensor read_quantized(const StoredTensor& stored, at::ScalarType dtype) {
  auto result = read_rows(stored, dtype);
  stored.release();
  return result;
}

bool read_packed(const StoredTensor& stored, int64_t first_row, QuantizedWeight& weight) {
  const auto rows = rows_of(stored);
  std::atomic<bool> is_exact = true;
  parallel_rows(rows.num_rows, rows.row_size, [&](int64_t begin, int64_t end) {
    PackedRow packed(stored.info.dtype, weight.format, rows.row_size);
    for (int64_t row = begin; row < end; ++row) {
      const int64_t to = first_row + row_in_order(row, rows.head_dim);
      if (!packed.set(rows.row(stored, row), rows.num_blocks, to, weight)) is_exact = false;
    }
  });
  return is_exact;
}

}  // namespace prepack
