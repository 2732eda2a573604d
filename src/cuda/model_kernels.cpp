#include "cuda/model_kernels.h"

#include <ATen/ops/empty.h>
#include <c10/cuda/CUDAGuard.h>
#include <c10/cuda/CUDAStream.h>

#include <cstring>

#include "base/scalar_type.h"

namespace prepack::cuda {
namespace {

/// Makes a device the current one; its stream.
struct OnDevice {
  explicit OnDevice(at::Device device)
      : guard(device), stream(c10::cuda::getCurrentCUDAStream().stream()) {}
  explicit OnDevice(c10::DeviceIndex index) : OnDevice(at::Device(at::kCUDA, index)) {}

  c10::cuda::CUDAGuard guard;
  Stream stream;
};

/// [num_tokens, num_heads, size], the heads of a token one behind the other.
void check_heads(const at::Tensor& heads) {
  TORCH_CHECK(heads.is_cuda() && heads.dim() == 3 && heads.stride(2) == 1 &&
                  (heads.size(1) == 1 || heads.stride(1) == heads.size(2)),
              "the heads of a token must lie together on the GPU, got strides ", heads.strides());
}

void check_like(const at::Tensor& heads, const at::Tensor& other) {
  TORCH_CHECK(other.device() == heads.device() && other.dtype() == heads.dtype(), "expected ",
              heads.dtype(), " on ", heads.device(), ", got ", other.dtype(), " on ",
              other.device());
}

void check_contiguous(const at::Tensor& tensor, const at::Tensor& heads, at::ScalarType type) {
  TORCH_CHECK(
      tensor.is_contiguous() && tensor.device() == heads.device() && tensor.scalar_type() == type,
      "expected a contiguous tensor of ", type, " on ", heads.device());
}

}  // namespace

void rms_norm(const at::Tensor& heads, const at::Tensor& weight, double eps,
              const at::Tensor& out) {
  check_heads(heads);
  check_heads(out);
  check_like(heads, out);
  check_contiguous(weight, heads, heads.scalar_type());
  TORCH_CHECK(out.sizes() == heads.sizes() && weight.numel() == heads.size(2));
  const OnDevice on(heads.device());
  rms_norm({.dtype = from_scalar_type(heads.scalar_type()),
            .input = heads.const_data_ptr(),
            .weight = weight.const_data_ptr(),
            .out = out.data_ptr(),
            .eps = static_cast<float>(eps),
            .num_tokens = heads.size(0),
            .num_heads = heads.size(1),
            .size = heads.size(2),
            .input_stride = heads.stride(0),
            .out_stride = out.stride(0)},
           on.stream);
}

void rope_and_store(const at::Tensor& heads, int64_t num_query_heads, const at::Tensor& cos,
                    const at::Tensor& sin, const at::Tensor& slots, const at::Tensor& keys,
                    const at::Tensor& values) {
  check_heads(heads);
  const int64_t num_tokens = heads.size(0);
  RopeAndStore tokens{};
  tokens.dtype = from_scalar_type(heads.scalar_type());
  tokens.heads = heads.data_ptr();
  tokens.stride = heads.stride(0);
  tokens.num_tokens = num_tokens;
  tokens.num_query_heads = num_query_heads;
  tokens.num_kv_heads = (heads.size(1) - num_query_heads) / 2;
  tokens.head_dim = heads.size(2);
  if (cos.defined()) {
    for (const auto* table : {&cos, &sin}) {
      check_contiguous(*table, heads, at::kFloat);
      TORCH_CHECK(table->size(0) == num_tokens && 2 * table->size(1) <= tokens.head_dim);
    }
    tokens.cos = cos.const_data_ptr<float>();
    tokens.sin = sin.const_data_ptr<float>();
    tokens.half = cos.size(1);
  }
  if (slots.defined()) {
    check_contiguous(slots, heads, at::kLong);
    TORCH_CHECK(slots.numel() == num_tokens &&
                num_query_heads + 2 * tokens.num_kv_heads == heads.size(1));
    for (const auto* side : {&keys, &values}) {
      check_contiguous(*side, heads, heads.scalar_type());
      TORCH_CHECK(side->size(1) == tokens.num_kv_heads && side->size(2) == tokens.head_dim);
    }
    tokens.slots = slots.const_data_ptr<int64_t>();
    tokens.key_cache = keys.data_ptr();
    tokens.value_cache = values.data_ptr();
  } else {
    tokens.num_query_heads = heads.size(1);  // whatever they are, they are turned alone
    tokens.num_kv_heads = 0;
  }
  const OnDevice on(heads.device());
  rope_and_store(tokens, on.stream);
}

void swiglu(const at::Tensor& gate_up, const at::Tensor& out) {
  check_contiguous(gate_up, gate_up, gate_up.scalar_type());
  check_contiguous(out, gate_up, gate_up.scalar_type());
  TORCH_CHECK(out.size(0) == gate_up.size(0) && 2 * out.size(1) == gate_up.size(1));
  const OnDevice on(gate_up.device());
  swiglu({.dtype = from_scalar_type(gate_up.scalar_type()),
          .gate_up = gate_up.const_data_ptr(),
          .out = out.data_ptr(),
          .num_tokens = out.size(0),
          .size = out.size(1)},
         on.stream);
}

void widen_rows(const QuantizedRows& rows, DType dtype, void* out, c10::DeviceIndex device) {
  widen_rows(rows, dtype, out, OnDevice(device).stream);
}

void multiply_few_rows(const QuantizedProduct& product, c10::DeviceIndex device) {
  multiply_few_rows(product, OnDevice(device).stream);
}

void round_rows(const RoundedRows& rows, c10::DeviceIndex device) {
  round_rows(rows, OnDevice(device).stream);
}

void scale_sums(const ScaledSums& sums, c10::DeviceIndex device) {
  scale_sums(sums, OnDevice(device).stream);
}

std::vector<int64_t> sample(const at::Tensor& logits, std::span<const RowSampling> sampling) {
  const auto num_rows = std::ssize(sampling);
  check_contiguous(logits, logits, at::kFloat);
  TORCH_CHECK(logits.size(0) == num_rows);
  const OnDevice on(logits.device());
  const auto num_bytes = static_cast<int64_t>(sampling.size_bytes());
  const auto staged = at::empty({num_bytes}, at::TensorOptions(at::kByte).pinned_memory(true));
  std::memcpy(staged.data_ptr(), sampling.data(), sampling.size_bytes());
  const auto on_device = staged.to(logits.device(), /*non_blocking=*/true);
  const auto tokens = at::empty({num_rows}, logits.options().dtype(at::kLong));
  sample({.logits = logits.const_data_ptr<float>(),
          .num_rows = num_rows,
          .vocab_size = logits.size(1),
          .sampling = static_cast<const RowSampling*>(on_device.const_data_ptr()),
          .tokens = tokens.data_ptr<int64_t>()},
         on.stream);
  const auto drawn = tokens.cpu();  // the host must know them, to end sequences: the one wait
  const auto* first = drawn.const_data_ptr<int64_t>();
  return {first, first + num_rows};
}

}  // namespace prepack::cuda
