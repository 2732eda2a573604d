#include "model/rms_norm.h"

#include <ATen/ops/empty_like.h>

#include "base/parallel_rows.h"
#include "base/profile.h"
#include "base/scalar_type.h"
#include "cuda/cuda_half.h"
#include "kernels/rms_norm.h"

namespace prepack {

at::Tensor RmsNorm::operator()(const at::Tensor& input) const {
  const auto rows = input.contiguous();
  auto normed = at::empty_like(rows);
  write_to(rows, normed);
  return normed;
}

void RmsNorm::write_to(const at::Tensor& input, const at::Tensor& normed) const {
  const ProfiledPart part(Part::kNorm);
  if (input.is_cuda()) {
    return cuda_half().rms_norm(input.unsqueeze(1), weight, eps, normed.unsqueeze(1));
  }
  const auto dtype = from_scalar_type(input.scalar_type());
  const int64_t size = input.size(1);
  parallel_rows(input.size(0), 2 * size, [&](int64_t begin, int64_t end) {
    rms_norm(dtype, row_address(input, begin), weight.data_ptr(), eps, row_address(normed, begin),
             end - begin, size);
  });
}

void RmsNorm::normalise_heads(const at::Tensor& heads) const {
  const ProfiledPart part(Part::kNorm);
  if (heads.is_cuda()) return cuda_half().rms_norm(heads, weight, eps, heads);
  const auto dtype = from_scalar_type(heads.scalar_type());
  const int64_t num_heads = heads.size(1);
  const int64_t size = heads.size(2);
  parallel_rows(heads.size(0), 2 * num_heads * size, [&](int64_t begin, int64_t end) {
    for (int64_t token = begin; token < end; ++token) {
      auto* of_token = row_address(heads, token);
      rms_norm(dtype, of_token, weight.data_ptr(), eps, of_token, num_heads, size);
    }
  });
}

}  // namespace prepack
