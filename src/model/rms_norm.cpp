#include "model/rms_norm.h"

#include <ATen/ops/empty_like.h>

#include "base/parallel_rows.h"
#include "base/profile.h"
#include "base/scalar_type.h"
#include "cuda/cuda_half.h"
#include "kernels/rms_norm.h"

namespace prepack {

at::Tensor RmsNorm::operator()(const at::Tensor& input) const {
  const ProfiledPart part(Part::kNorm);
  const auto rows = input.contiguous();
  auto normed = at::empty_like(rows);
  if (rows.is_cuda()) {
    cuda_half().rms_norm(rows.unsqueeze(1), weight, eps, normed.unsqueeze(1));
    return normed;
  }
  const auto dtype = from_scalar_type(rows.scalar_type());
  const int64_t size = rows.size(1);
  parallel_rows(rows.size(0), 2 * size, [&](int64_t begin, int64_t end) {
    rms_norm(dtype, row_address(rows, begin), weight.data_ptr(), eps, row_address(normed, begin),
             end - begin, size);
  });
  return normed;
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
