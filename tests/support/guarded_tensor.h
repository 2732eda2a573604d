#pragma once

#include <ATen/core/Tensor.h>
#include <ATen/ops/from_blob.h>

#include <cstddef>
#include <memory>
#include <vector>

#include "support/guarded_allocator.h"

namespace prepack::testing {

/// A contiguous copy in memory that ends with it, where a page begins that nobody may read or
/// write.
inline at::Tensor guarded(const at::Tensor& tensor) {
  using Bytes = std::vector<std::byte, WatchedAllocator<std::byte>>;
  const auto bytes = std::make_shared<Bytes>(tensor.nbytes());
  const auto copy = at::from_blob(
      bytes->data(), tensor.sizes(), [bytes](void*) {}, tensor.options());
  return copy.copy_(tensor);
}

}  // namespace prepack::testing
