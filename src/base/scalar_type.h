#pragma once

#include <c10/core/ScalarType.h>
#include <c10/util/Exception.h>

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

/// The other way; of the three that a DType names.
inline DType from_scalar_type(c10::ScalarType type) {
  TORCH_INTERNAL_ASSERT(type == c10::ScalarType::Float || type == c10::ScalarType::BFloat16 ||
                        type == c10::ScalarType::Half);
  return type == c10::ScalarType::Float      ? DType::kFloat32
         : type == c10::ScalarType::BFloat16 ? DType::kBFloat16
                                             : DType::kFloat16;
}

}  // namespace prepack
