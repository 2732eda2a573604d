#pragma once

#include <c10/core/Device.h>

#include <map>
#include <utility>

#include "prepack/dtype.h"

namespace prepack::testing {

/// How far the same values, computed in two ways, may lie apart. What is left out is not compared.
struct Tolerance {
  double op = 0;          // one operator on inputs of size 1, against float64
  double layer = 0;       // one layer, against the reference
  double logits = 0;      // the whole model, against the reference or another method
  double neighbours = 0;  // a prompt amid other numbers and lengths of neighbours, as a part of the
                          // largest value: only the blocking of the products changes
  double divergence = 0;  // Kullback-Leibler, of next-token distributions of the whole model
};

/// The one table of the tests. Half precision is compared by distributions, never by text: bfloat16
/// has 8 bits, float16 has 11.
inline Tolerance tolerance(DType dtype, c10::DeviceType device = c10::kCPU) {
  static const std::map<std::pair<c10::DeviceType, DType>, Tolerance> kTable = {
      {{c10::kCPU, DType::kFloat32},
       {.op = 2e-6, .layer = 2e-5, .logits = 1e-4, .neighbours = 1e-5}},
      {{c10::kCPU, DType::kFloat16}, {.op = 4e-3, .divergence = 1e-4}},
      {{c10::kCPU, DType::kBFloat16}, {.op = 3e-2, .divergence = 1e-2}},
      // Not yet run: what the other device's rounding leaves room for.
      {{c10::kCUDA, DType::kFloat32}, {.op = 5e-6, .layer = 2e-5, .logits = 1e-4}},
      {{c10::kCUDA, DType::kFloat16}, {.op = 4e-3, .divergence = 1e-4}},
      {{c10::kCUDA, DType::kBFloat16}, {.op = 3e-2, .divergence = 1e-2}},
  };
  return kTable.at({device, dtype});
}

}  // namespace prepack::testing
