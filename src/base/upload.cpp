#include "base/upload.h"

#include <ATen/ops/empty.h>

#include <cstring>
#include <utility>

namespace prepack {
namespace {

constexpr int64_t kUnit = sizeof(int64_t);

int64_t num_units(const at::Tensor& tensor) {
  return (static_cast<int64_t>(tensor.nbytes()) + kUnit - 1) / kUnit;
}

}  // namespace

at::Tensor join(const std::vector<at::Tensor>& tensors, bool is_pinned) {
  int64_t size = 0;
  for (const auto& tensor : tensors) size += num_units(tensor);
  auto joined = at::empty({size}, at::TensorOptions(at::kLong).pinned_memory(is_pinned));
  auto* place = joined.data_ptr<int64_t>();
  for (const auto& tensor : tensors) {
    TORCH_CHECK(tensor.is_contiguous() && tensor.is_cpu());
    if (tensor.numel() > 0) std::memcpy(place, tensor.const_data_ptr(), tensor.nbytes());
    place += num_units(tensor);
  }
  return joined;
}

std::vector<at::Tensor> split(const at::Tensor& joined, const std::vector<at::Tensor>& like) {
  std::vector<at::Tensor> parts;
  int64_t first = 0;
  for (const auto& tensor : like) {
    const int64_t size = num_units(tensor);
    parts.push_back(joined.narrow(0, first, size)
                        .view(tensor.scalar_type())
                        .narrow(0, 0, tensor.numel())
                        .view(tensor.sizes()));
    first += size;
  }
  return parts;
}

std::vector<at::Tensor> upload(std::vector<at::Tensor> tensors, at::Device device) {
  if (device.is_cpu()) return tensors;
  // The allocator of pinned memory keeps the copy's source until the copy is done.
  const auto joined = join(tensors, /*is_pinned=*/true).to(device, /*non_blocking=*/true);
  return split(joined, tensors);
}

at::Tensor upload(const at::Tensor& tensor, at::Device device) {
  return upload(std::vector{tensor}, device).front();
}

}  // namespace prepack
