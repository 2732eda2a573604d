#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

#include "prepack/dtype.h"
#include "prepack/model_config.h"

namespace prepack {

/// Where the tokens of one forward belong in the cache: token `tokens[i]` of the forward goes to
/// slot `slots[i]`, counted over all rows (row * capacity + position).
struct CacheSlots {
  at::Tensor tokens;  // [num_stored] int64; undefined: every token of the forward, in order
  at::Tensor slots;   // [num_stored] int64
};

/// Whether rows are padded to the longest, as in ordinary batching.
enum class CacheMemory {
  kExact,   // only slots that are written take memory (on a GPU all of them do), and a decode step
            // reads each row to its own end
  kPadded,  // every slot takes memory, and a decode step reads every row to the longest's end
};

/// Keys and values of a batch of sequences, one row each: slot j of a row holds position j of its
/// sequence. Rows are as long as the longest sequence may become; slots never written are zero.
class KvCache {
 public:
  /// @param num_rows  sequences
  /// @param capacity  slots of each row: prompt and generated tokens
  KvCache(const ModelConfig& config, int64_t num_rows, int64_t capacity, DType dtype,
          at::Device device, CacheMemory memory = CacheMemory::kExact);

  /// Scatters the keys and values of one forward to their sequences' rows: this is the unpacking
  /// of a packed batch. Padding is left out by not being listed in `where`.
  /// @param keys, values  [num_tokens, num_kv_heads, head_dim]; the heads of one token lie together
  /// Ref: Prepacking (arXiv:2404.09529), section 3.2
  void write(int64_t layer, const at::Tensor& keys, const at::Tensor& values,
             const CacheSlots& where);

  /// The first `num_rows` rows, and the first `num_slots` slots of each.
  /// @return a view [num_rows, num_slots, num_kv_heads, head_dim]
  at::Tensor keys(int64_t layer, int64_t num_rows, int64_t num_slots) const;
  at::Tensor values(int64_t layer, int64_t num_rows, int64_t num_slots) const;

  /// All slots of all rows, one row behind the other.
  /// @return [num_rows * capacity, num_kv_heads, head_dim]
  const at::Tensor& keys(int64_t layer) const { return keys_[layer]; }
  const at::Tensor& values(int64_t layer) const { return values_[layer]; }

  /// Copies the first `num_slots` slots of row `from` over row `to`, in every layer.
  void copy_row(int64_t from, int64_t to, int64_t num_slots);

  /// Gives a row's memory back where that can be done; what it held is lost.
  void release_row(int64_t row);

  int64_t num_layers() const { return static_cast<int64_t>(keys_.size()); }
  int64_t num_rows() const { return num_rows_; }
  int64_t capacity() const { return capacity_; }
  CacheMemory memory() const { return memory_; }

  /// Bytes of one slot in all layers.
  static int64_t bytes_per_slot(const ModelConfig& config, DType dtype);

 private:
  int64_t num_rows_;
  int64_t capacity_;
  CacheMemory memory_;
  std::vector<at::Tensor> keys_;    // per layer [num_rows * capacity, num_kv_heads, head_dim]
  std::vector<at::Tensor> values_;  // per layer [num_rows * capacity, num_kv_heads, head_dim]
};

}  // namespace prepack
