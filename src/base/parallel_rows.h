#pragma once

#include <ATen/Parallel.h>
#include <ATen/core/Tensor.h>

#include <algorithm>
#include <cstdint>

namespace prepack {

/// Calls f(begin, end) for parts of [0, num_rows), shared among the threads where there is enough
/// to share.
/// @param row_size  elements that the work on one row passes over
template <typename F>
void parallel_rows(int64_t num_rows, int64_t row_size, const F& f) {
  constexpr int64_t kElementsWorthAThread = 16384;  // some microseconds, as a thread takes to wake
  const int64_t grain = kElementsWorthAThread / std::max<int64_t>(row_size, 1);
  at::parallel_for(0, num_rows, std::max<int64_t>(grain, 1), f);
}

/// The address of row `row` of a tensor.
inline char* row_address(const at::Tensor& tensor, int64_t row) {
  return static_cast<char*>(tensor.data_ptr()) + row * tensor.stride(0) * tensor.element_size();
}

}  // namespace prepack
