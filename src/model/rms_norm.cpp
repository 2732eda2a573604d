#include "model/rms_norm.h"

#include <ATen/ops/rms_norm.h>

namespace prepack {

at::Tensor RmsNorm::operator()(const at::Tensor& input) const {
  return at::rms_norm(input, weight.sizes(), weight, eps);
}

}  // namespace prepack
