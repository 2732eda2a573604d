#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <limits>
#include <span>
#include <variant>
#include <vector>

#include "prepack/slot_run.h"

namespace prepack {

// Each query attends to its own key and to those before it in its sequence. A layer with a sliding
// window of w keeps the last w of these, its own included: position p attends to p - w + 1 ... p.
// Ref: Beltagy et al. (arXiv:2004.05150); transformers sliding_window_causal_mask_function.

/// The window of a layer that has none.
inline constexpr int64_t kNoWindow = std::numeric_limits<int64_t>::max();

/// The dense form, as in the paper: rows of tokens under a mask. Memory grows with row_len^2; this
/// is the reference the fast form is compared to.
struct MaskedAttention {
  at::Tensor mask;  // [num_rows, 1, row_len, row_len] bool, true: may attend
};

/// Rows of one whole sequence each, all of the same length: plain causal attention, no mask.
struct CausalAttention {
  int64_t num_rows = 0;
  int64_t window = kNoWindow;  // shorter than the rows, it does need a mask
};

/// The sequences of a VarlenAttention on a GPU, where its kernel reads them; all int32. What a
/// captured graph replays with other sequences is these tensors' numbers; the two bounds stay.
struct DeviceSegments {
  at::Tensor cu_seqlens;    // [num_sequences + 1]
  at::Tensor ordinals;      // [num_sequences + 1] 0, 1, 2...: cu_seqlens of one query each
  at::Tensor first_keys;    // [num_sequences + 1], the last of which is not read
  at::Tensor num_keys;      // [num_sequences]
  int64_t max_queries = 0;  // no sequence has more
  int64_t max_keys = 0;
};

/// What computes a VarlenAttention off the CPU.
enum class VarlenKernel {
  kFastest,     // one kernel over all sequences, where there is one
  kBySequence,  // a call of LibTorch's attention for each: to be compared with
};

/// The fast form: sequences of queries one after the other, each attending causally to its own run
/// of keys, wherever those lie. There is no mask, and nothing is computed between two sequences.
/// Query i of the n queries of a sequence attends to the first num_keys - n + i + 1 of its keys, of
/// these to the last `window`.
///
/// A whole prompt: n = num_keys. The rest of one whose start is in the cache: n < num_keys. A
/// decode step, or a prompt of which only the last hidden state is wanted: n = 1. A sequence that
/// fills up the batch: none of either, or one query and no key, which gets zeros. Tokens behind the
/// last sequence fill it up too, and get any numbers.
///
/// Example: a prompt of 3 tokens, whose keys lie in slots 10 to 12, and a decode step that attends
/// to the 6 keys in slots 20 to 25, its own the last: cu_seqlens [0, 3, 4], first_keys [10, 20],
/// num_keys [3, 6].
///
/// Sequences that begin alike may have the keys of that in common. If the decode step's first 2
/// keys are the prompt's, and its other 4 lie in slots 20 to 23: beginnings [[], [{10, 2}]], and
/// the rest as above.
struct VarlenAttention {
  std::vector<int32_t> cu_seqlens;  // [num_sequences + 1] where the queries of each begin
  std::vector<int64_t> first_keys;  // [num_sequences] where the keys of each begin, but those that
                                    // lie in its beginnings
  std::vector<int64_t> num_keys;    // [num_sequences] those of its own queries are the last
  int64_t window = kNoWindow;
  VarlenKernel kernel = VarlenKernel::kFastest;
  DeviceSegments on_device = {};  // undefined: attend() puts them there, in every layer anew

  /// Where the first keys of each sequence lie that are not in the run of its others; sequences
  /// behind the end of this list have none of these. Read on the CPU alone.
  std::vector<std::vector<SlotRun>> beginnings = {};

  /// The same for the last query of each sequence alone.
  VarlenAttention of_last_queries() const;

  /// What set_on_device wants on the device.
  std::vector<at::Tensor> host_tensors() const;

  /// @param uploaded  host_tensors() on the device
  void set_on_device(std::span<const at::Tensor> uploaded);
};

/// Whether attend() computes a VarlenAttention in one kernel there: on a GPU float16 and bfloat16
/// with heads of 8, 16 ... 256 dimensions. For others it is a call for each sequence.
bool has_varlen_kernel(at::Device device, at::ScalarType dtype, int64_t head_dim);

/// One decode step: the one new token of each cache row attends to all of its row.
struct CacheAttention {
  int64_t num_rows = 0;   // the first rows of the cache, one query each
  int64_t num_slots = 0;  // slots to read: the longest row
  at::Tensor mask;        // [num_rows, 1, 1, num_slots] bool, true: the slot holds a token
};

/// Which keys the queries of one forward attend to.
using AttentionSpec =
    std::variant<MaskedAttention, CausalAttention, VarlenAttention, CacheAttention>;

/// The same for the layers of one sliding window. A mask is narrowed to the window here, once for
/// all of them; it counts a sequence's own tokens because they lie next to each other in its row.
/// Plain causal attention has no mask yet, and makes that of the window anew in each layer.
/// @param spec    of the layers without a window
/// @param window  at least 1
AttentionSpec with_window(const AttentionSpec& spec, int64_t window);

/// Scaled dot-product attention with grouped-query heads: num_kv_heads divides num_heads, and
/// query head h reads key head h / (num_heads / num_kv_heads). Scale: 1 / sqrt(head_dim).
/// @param queries       [num_tokens, num_heads, head_dim]
/// @param keys, values  [num_tokens, num_kv_heads, head_dim]
/// @return              [num_tokens, num_heads, head_dim]
at::Tensor attend(const at::Tensor& queries, const at::Tensor& keys, const at::Tensor& values,
                  const MaskedAttention& spec);
at::Tensor attend(const at::Tensor& queries, const at::Tensor& keys, const at::Tensor& values,
                  const CausalAttention& spec);

/// @param queries       [num_rows, num_heads, head_dim]
/// @param keys, values  [num_rows, num_slots, num_kv_heads, head_dim]
/// @return              [num_rows, num_heads, head_dim]
at::Tensor attend(const at::Tensor& queries, const at::Tensor& keys, const at::Tensor& values,
                  const CacheAttention& spec);

/// Where there is one kernel for all, nothing is copied. On the CPU a sequence's result is bit for
/// bit the same whatever else is in the batch, and however many threads there are.
/// @param queries       [num_tokens, num_heads, head_dim], each token's heads contiguous
/// @param keys, values  [num_slots, num_kv_heads, head_dim], each head contiguous; slots that are no
///                      sequence's are not read
/// @param attended      where a CPU puts the result, so that it need not make a tensor; of that
///                      shape, contiguous. Undefined: in a new one
/// @return              [num_tokens, num_heads, head_dim], contiguous
at::Tensor attend(const at::Tensor& queries, const at::Tensor& keys, const at::Tensor& values,
                  const VarlenAttention& spec, at::Tensor attended = {});

}  // namespace prepack
