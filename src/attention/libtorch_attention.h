#pragma once

#include "prepack/attention.h"

namespace prepack {

/// The same as attend(), with a call of LibTorch's attention per sequence: for devices that have no
/// kernel of our own, and what that kernel is compared to.
at::Tensor attend_with_libtorch(const at::Tensor& queries, const at::Tensor& keys,
                                const at::Tensor& values, const VarlenAttention& spec);

/// Sets what a batch is filled up with to zero: queries without keys, and tokens behind the last
/// sequence.
void zero_unattended(const VarlenAttention& spec, const at::Tensor& attended);

}  // namespace prepack
