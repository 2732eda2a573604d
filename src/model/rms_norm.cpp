#include "model/rms_norm.h"

#include <ATen/ops/empty_like.h>
#include <ATen/ops/rms_norm.h>

#include "base/parallel_rows.h"
#include "base/profile.h"
#include "base/scalar_type.h"
#include "kernels/rms_norm.h"

namespace prepack {

at::Tensor RmsNorm::operator()(const at::Tensor& input) const {
  const ProfiledPart part(Part::kNorm);
  if (!input.is_cpu()) return at::rms_norm(input, weight.sizes(), weight, eps);
  const auto rows = input.contiguous();
  auto normed = at::empty_like(rows);
  const auto dtype = from_scalar_type(rows.scalar_type());
  const int64_t size = rows.size(1);
  parallel_rows(rows.size(0), 2 * size, [&](int64_t begin, int64_t end) {
    rms_norm(dtype, row_address(rows, begin), weight.data_ptr(), eps, row_address(normed, begin),
             end - begin, size);
  });
  return normed;
}

}  // namespace prepack
