// Rows of memory that attention fetches while it computes with others. Included once for each
// instruction set.
#if defined(PREPACK_KERNELS_ROWS_AHEAD_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef PREPACK_KERNELS_ROWS_AHEAD_INL_H_
#undef PREPACK_KERNELS_ROWS_AHEAD_INL_H_
#else
#define PREPACK_KERNELS_ROWS_AHEAD_INL_H_
#endif

#include <hwy/cache_control.h>

#include <algorithm>

#include "kernels/attention.h"
#include "kernels/vector-inl.h"

HWY_BEFORE_NAMESPACE();
namespace prepack::HWY_NAMESPACE {

/// Numbers of a cache line, the least that is fetched.
template <typename T>
constexpr int64_t kLineNumbers = 64 / static_cast<int64_t>(sizeof(T));

/// Rows that are read soon. Memory is read as fast as it can be only if many lines are asked for at
/// a time; a row of a head ends before the hardware has seen that more are wanted.
template <typename T>
struct RowsAhead {
  const T* first;
  int64_t stride;
  int64_t num_rows;
};

template <typename T>
RowsAhead<T> rows_ahead(const RowsToRead& rows, int64_t most_rows) {
  return {static_cast<const T*>(rows.first), rows.stride, std::min(rows.num_rows, most_rows)};
}

/// Fetches rows while tiles are computed, some with each.
template <typename T>
class Fetch {
 public:
  /// @param size  numbers of a row
  void add(const RowsAhead<T>& rows, int64_t size) {
    rows_[num_parts_] = rows;
    sizes_[num_parts_++] = size;
    num_rows_ += rows.num_rows;
  }

  /// @param num_steps  that are to come, at least 1
  void share(int64_t num_steps) { rows_of_step_ = (num_rows_ + num_steps - 1) / num_steps; }

  HWY_INLINE void step() {
    for (int64_t i = 0; i < rows_of_step_ && part_ < num_parts_;) {
      auto& rows = rows_[part_];
      if (rows.num_rows == 0) {
        ++part_;
        continue;
      }
      for (int64_t k = 0; k < sizes_[part_]; k += kLineNumbers<T>) hwy::Prefetch(rows.first + k);
      rows.first += rows.stride;
      --rows.num_rows;
      ++i;
    }
  }

 private:
  static constexpr int kMaxParts = 3;
  RowsAhead<T> rows_[kMaxParts];
  int64_t sizes_[kMaxParts];
  int num_parts_ = 0;
  int part_ = 0;
  int64_t num_rows_ = 0;
  int64_t rows_of_step_ = 0;
};

}  // namespace prepack::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
