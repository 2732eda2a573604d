#pragma once

#include <c10/core/Device.h>

#include <map>
#include <utility>

#include "prepack/dtype.h"

namespace prepack::testing {

/// How far the same values, computed in two ways, may lie apart.
struct Tolerance {
  double op;          // one operator, whose inputs are of size 1, against float64
  double layer;       // one layer against the reference
  double logits;      // the whole model against the reference, in another order of sums
  double neighbours;  // the same logits amid other numbers and lengths of neighbours, as a part of
                      // the largest logit: the products' shapes and so their blocking change
};

/// The one table of the tests. A dtype's tolerances follow from its precision (24, 11 and 8 bits).
inline Tolerance tolerance(DType dtype, c10::DeviceType device = c10::kCPU) {
  static const std::map<std::pair<c10::DeviceType, DType>, Tolerance> kTable = {
      {{c10::kCPU, DType::kFloat32}, {.op = 2e-6, .layer = 2e-5, .logits = 1e-4, .neighbours = 1e-5}},
      {{c10::kCPU, DType::kFloat16}, {.op = 4e-3, .layer = 1e-2, .logits = 5e-2, .neighbours = 1e-2}},
      {{c10::kCPU, DType::kBFloat16}, {.op = 3e-2, .layer = 1e-1, .logits = 5e-1, .neighbours = 5e-2}},
  };
  return kTable.at({device, dtype});
}

}  // namespace prepack::testing
