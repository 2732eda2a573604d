#pragma once

#include <c10/core/ScalarType.h>

namespace prepack {

/// Whether this CPU has instructions for products of this type. LibTorch emulates those it lacks,
/// about ten times slower than float32.
bool has_native_products(c10::ScalarType type);

/// Whether the CPU has a matrix unit for products of bfloat16, which only oneDNN's products use.
bool has_amx();

/// Whether this is an x86 CPU of at least these instructions.
bool has_avx2();

}  // namespace prepack
