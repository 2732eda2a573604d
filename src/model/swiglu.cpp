#include "model/swiglu.h"

#include "base/parallel_rows.h"
#include "base/profile.h"
#include "base/scalar_type.h"
#include "cuda/cuda_half.h"
#include "kernels/swiglu.h"

namespace prepack {

void swiglu(const at::Tensor& gate_up, const at::Tensor& gated) {
  const ProfiledPart part(Part::kSwiglu);
  if (gate_up.is_cuda()) return cuda_half().swiglu(gate_up, gated);
  const int64_t size = gated.size(1);
  const auto dtype = from_scalar_type(gate_up.scalar_type());
  parallel_rows(gate_up.size(0), 3 * size, [&](int64_t begin, int64_t end) {
    swiglu(dtype, row_address(gate_up, begin), row_address(gated, begin), end - begin, size);
  });
}

}  // namespace prepack
