#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "prepack/dtype.h"
#include "prepack/model_config.h"
#include "prepack/slot_run.h"

namespace prepack {

/// Where the tokens of one forward belong in the cache: token `tokens[i]` of the forward goes to
/// slot `slots[i]`, counted over all rows (KvCache::slot).
struct CacheSlots {
  static constexpr int64_t kNowhere = -1;  // the slot of a token that only fills up its batch

  at::Tensor tokens;  // [num_stored] int64; undefined: every token of the forward, in order
  at::Tensor slots;   // [num_stored] int64; kNowhere only where `tokens` is undefined
};

/// Whether rows are padded to the longest, as in ordinary batching.
enum class CacheMemory {
  kExact,   // only slots that are written take memory (on a GPU all of them do), and a decode step
            // reads each row to its own end
  kPadded,  // every slot takes memory, and a decode step reads every row to the longest's end
};

/// The beginning of a row that lies in another: its first `length` positions are those of row
/// `source`, which may have its own beginning in yet another.
struct RowBeginning {
  int64_t source = -1;
  int64_t length = 0;  // 0: the row has all of its positions itself
};

/// Keys and values of a batch of sequences, one row each: slot j of a row holds position j of its
/// sequence. Rows lie one behind the other, each as long as its sequence may become, or all as the
/// longest; slots never written are zero.
///
/// Where sequences begin alike, a row may have its beginning in another, and slots for what comes
/// behind that alone. Where sequences come and go, rows may be added in the place of released ones.
class KvCache {
 public:
  /// @param num_rows  sequences
  /// @param capacity  slots of each row: prompt and generated tokens
  KvCache(const ModelConfig& config, int64_t num_rows, int64_t capacity, DType dtype,
          at::Device device, CacheMemory memory = CacheMemory::kExact);

  /// Rows of their own lengths, which only VarlenAttention can read.
  /// @param row_capacities  positions of each row, those of its beginning included
  /// @param beginnings      one per row, none in a circle; empty: no row has its own elsewhere
  KvCache(const ModelConfig& config, std::span<const int64_t> row_capacities, DType dtype,
          at::Device device, std::span<const RowBeginning> beginnings = {});

  /// Room for rows of their own lengths that are yet to be added.
  static KvCache without_rows(const ModelConfig& config, int64_t num_slots, DType dtype,
                              at::Device device);

  /// Adds a row where it leaves the least room beside it, in slots that no row has, or no more:
  /// then they hold what was there last. Not where all rows are to have one length.
  /// @param capacity  positions of the row, at least 1
  /// @return its number, which may be a released row's; nullopt if there is no room
  std::optional<int64_t> add_row(int64_t capacity);

  /// Scatters the keys and values of one forward to their sequences' rows: this is the unpacking
  /// of a packed batch. Padding is left out by not being listed in `where`.
  /// @param keys, values  [num_tokens, num_kv_heads, head_dim]; the heads of one token lie together
  /// Ref: Prepacking (arXiv:2404.09529), section 3.2
  void write(int64_t layer, const at::Tensor& keys, const at::Tensor& values,
             const CacheSlots& where);

  /// The first `num_rows` rows, and the first `num_slots` slots of each; of rows of equal length.
  /// @return a view [num_rows, num_slots, num_kv_heads, head_dim]
  at::Tensor keys(int64_t layer, int64_t num_rows, int64_t num_slots) const;
  at::Tensor values(int64_t layer, int64_t num_rows, int64_t num_slots) const;

  /// All slots of all rows, one row behind the other.
  /// @return [num_slots, num_kv_heads, head_dim]
  const at::Tensor& keys(int64_t layer) const { return keys_[layer]; }
  const at::Tensor& values(int64_t layer) const { return values_[layer]; }

  /// Copies the first `num_slots` slots of row `from` over row `to`, in every layer. Neither has
  /// its beginning elsewhere.
  void copy_row(int64_t from, int64_t to, int64_t num_slots);

  /// Gives a row's memory back where that can be done; what it held is lost. A row in which others
  /// begin is kept until they are released too. Once for each row.
  void release_row(int64_t row);

  int64_t num_layers() const { return static_cast<int64_t>(keys_.size()); }
  int64_t num_rows() const { return static_cast<int64_t>(first_slots_.size()); }
  int64_t capacity() const { return capacity_; }  // positions of the longest row

  /// Where a row's own slots begin, counted over all rows.
  int64_t first_slot(int64_t row) const { return first_slots_[row]; }

  /// Positions that a row has room for, those of its beginning included.
  int64_t row_capacity(int64_t row) const { return beginnings_[row].length + num_slots_[row]; }

  /// What of a row lies in another.
  const RowBeginning& beginning(int64_t row) const { return beginnings_[row]; }

  /// The row's own slot of a position behind its beginning.
  int64_t slot(int64_t row, int64_t position) const {
    return first_slots_[row] + position - beginnings_[row].length;
  }

  /// Where the first positions of a row lie, in their order: the last run is of its own slots,
  /// those before are its beginning.
  std::vector<SlotRun> slot_runs(int64_t row, int64_t num_positions) const;

  CacheMemory memory() const { return memory_; }

  /// Bytes of one slot in all layers.
  static int64_t bytes_per_slot(const ModelConfig& config, DType dtype);

 private:
  KvCache(CacheMemory memory, bool has_equal_rows)
      : memory_(memory), has_equal_rows_(has_equal_rows) {}

  void set_rows(std::span<const int64_t> capacities, std::span<const RowBeginning> beginnings);
  void allocate(const ModelConfig& config, int64_t num_slots, DType dtype, at::Device device);

  /// The first of so many slots that no row has; nullopt if they do not lie together.
  std::optional<int64_t> find_room(int64_t num_slots) const;

  std::vector<RowBeginning> beginnings_;  // [num_rows]
  std::vector<int64_t> num_users_;        // [num_rows]: the row's own sequence, and rows that begin
                                          // in it; 0: its slots are no row's
  std::vector<bool> is_released_;         // [num_rows]
  std::vector<int64_t> first_slots_;      // [num_rows]
  std::vector<int64_t> num_slots_;        // [num_rows]: a row's own
  int64_t capacity_ = 0;
  CacheMemory memory_;
  bool has_equal_rows_;             // dense forms may read it
  std::vector<at::Tensor> keys_;    // per layer [num_slots, num_kv_heads, head_dim]
  std::vector<at::Tensor> values_;  // per layer [num_slots, num_kv_heads, head_dim]
};

}  // namespace prepack
