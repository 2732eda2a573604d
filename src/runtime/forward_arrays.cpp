#include "runtime/forward_arrays.h"

#include <ATen/ops/empty.h>

#include <algorithm>
#include <iterator>
#include <utility>
#include <variant>

#include "base/upload.h"

namespace prepack {

std::vector<at::Tensor> forward_arrays(const ForwardInput& input) {
  TORCH_CHECK(!input.cache_slots.tokens.defined());
  std::vector<at::Tensor> arrays = {
      input.input_ids, input.position_ids, input.cache_slots.slots,
      input.output_tokens.value_or(at::empty({0}, at::TensorOptions(at::kLong)))};
  std::ranges::move(std::get<VarlenAttention>(input.attention).host_tensors(),
                    std::back_inserter(arrays));
  return arrays;
}

ForwardInput with_arrays(ForwardInput input, std::span<const at::Tensor> arrays) {
  input.input_ids = arrays[0];
  input.position_ids = arrays[1];
  input.cache_slots.slots = arrays[2];
  if (input.output_tokens) input.output_tokens = arrays[3];
  std::get<VarlenAttention>(input.attention).set_on_device(arrays.subspan(4));
  return input;
}

ForwardInput to_device(const ForwardInput& input, at::Device device) {
  if (device.is_cpu()) return input;
  return with_arrays(input, upload(forward_arrays(input), device));
}

}  // namespace prepack
