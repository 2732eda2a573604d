#pragma once

#include <c10/core/Device.h>

#include <cstdint>

#include "prepack/dtype.h"
#include "prepack/model_config.h"

namespace prepack::bench {

/// The most that this machine does, as measured: what throughput is compared with.
struct Ceilings {
  double operations_per_s = 0;  // of products of a model's shapes, the fastest known here
  int64_t num_rows = 0;         // with which those are fastest
  double bytes_per_s = 0;       // read from memory
};

/// The higher of each.
Ceilings best_of(const Ceilings& a, const Ceilings& b);

/// The type in which products are computed for a model of this type: float32 on a CPU that only
/// emulates another.
DType product_dtype(DType dtype, c10::Device device);

/// Measures with the threads that are set, in a few seconds: the products of one layer, each at its
/// fastest of several runs, with as many rows as suit them best; and reading memory that no cache
/// holds, written before. On a shared machine the result is a lower bound.
/// @param dtype  of the model
Ceilings measure_ceilings(const ModelConfig& config, DType dtype, c10::Device device);

/// Bytes of memory that measuring takes.
int64_t ceiling_bytes(const ModelConfig& config, DType dtype, c10::Device device);

}  // namespace prepack::bench
