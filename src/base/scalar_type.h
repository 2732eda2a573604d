#pragma once

#include <c10/core/ScalarType.h>

#include "prepack/dtype.h"

namespace prepack {

/// LibTorch's name for a dtype.
inline c10::ScalarType to_scalar_type(DType dtype) {
  switch (dtype) {
    case DType::kFloat32:
      return c10::ScalarType::Float;
    case DType::kBFloat16:
      return c10::ScalarType::BFloat16;
    case DType::kFloat16:
      return c10::ScalarType::Half;
  }
  return c10::ScalarType::Undefined;
}

}  // namespace prepack
