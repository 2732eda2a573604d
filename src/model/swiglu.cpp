#include "model/swiglu.h"

#include <ATen/ops/empty.h>

#include "base/parallel_rows.h"
#include "base/profile.h"
#include "base/scalar_type.h"
#include "cuda/cuda_half.h"
#include "kernels/swiglu.h"

namespace prepack {

at::Tensor swiglu(const at::Tensor& gate_up) {
  const ProfiledPart part(Part::kSwiglu);
  const int64_t size = gate_up.size(1) / 2;
  auto activated = at::empty({gate_up.size(0), size}, gate_up.options());
  if (gate_up.is_cuda()) {
    cuda_half().swiglu(gate_up, activated);
    return activated;
  }
  const auto dtype = from_scalar_type(gate_up.scalar_type());
  parallel_rows(gate_up.size(0), 3 * size, [&](int64_t begin, int64_t end) {
    swiglu(dtype, row_address(gate_up, begin), row_address(activated, begin), end - begin, size);
  });
  return activated;
}

}  // namespace prepack
