#pragma once

#include <ATen/Parallel.h>

namespace prepack::testing {

/// As many threads as asked for, as long as this lives.
struct ThreadCount {
  explicit ThreadCount(int count) { at::set_num_threads(count); }
  ~ThreadCount() { at::set_num_threads(before); }
  ThreadCount(const ThreadCount&) = delete;
  ThreadCount& operator=(const ThreadCount&) = delete;
  int before = at::get_num_threads();
};

}  // namespace prepack::testing
