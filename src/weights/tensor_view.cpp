#include "weights/tensor_view.h"

#include <ATen/ops/empty.h>
#include <ATen/ops/from_blob.h>
#include <c10/core/ScalarType.h>
#include <fmt/format.h>

#include <cstdint>
#include <cstring>

#include "prepack/error.h"
#include "weights/json.h"

namespace prepack {

at::ScalarType scalar_type(const TensorInfo& info) {
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
      throw LoadError(fmt::format("{}: tensors of dtype {} cannot be loaded", printable(info.name),
                                  to_string(info.dtype)));
  }
}

at::Tensor view_tensor(const StoredTensor& stored) {
  const auto options = at::TensorOptions().dtype(scalar_type(stored.info));
  const auto bytes = stored.bytes();
  const auto address = reinterpret_cast<std::uintptr_t>(bytes.data());
  if (bytes.empty() || address % options.dtype().itemsize() != 0) {
    auto copy = at::empty(stored.info.shape, options);
    if (!bytes.empty()) std::memcpy(copy.mutable_data_ptr(), bytes.data(), bytes.size());
    stored.file->release(stored.info.begin, stored.info.end);
    return copy;
  }
  return at::from_blob(
      const_cast<std::byte*>(bytes.data()), stored.info.shape, [file = stored.file](void*) {},
      options);
}

}  // namespace prepack
