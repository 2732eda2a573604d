#pragma once

#include "prepack/attention.h"

namespace prepack {

/// The same as attend(), by LibTorch's FlashAttention: one kernel over all sequences, which reads
/// keys and values where they lie. A sequence of no keys gets zeros.
///
/// Its lists of cumulative lengths are used for more than these: where a sequence's keys begin is
/// the entry of cu_seqlens_k alone, if how many there are is said by seqused_k; so they may begin
/// anywhere, in any order.
/// Ref: Dao, "FlashAttention-2" (arXiv:2307.08691)
at::Tensor attend_with_flash(const at::Tensor& queries, const at::Tensor& keys,
                             const at::Tensor& values, const VarlenAttention& spec);

}  // namespace prepack
