#pragma once

#include <cstdint>

namespace prepack {

/// Memory for the intermediate results of one call of a kernel, cut into parts. It belongs to the
/// thread and is kept, so that no call but the largest so far allocates; one at a time per thread.
class Scratch {
 public:
  /// @param size       floats of all parts together
  /// @param num_parts  how many parts will be taken
  Scratch(int64_t size, int64_t num_parts);

  /// A part of `size` floats, at the start of a cache line. Its content is arbitrary.
  float* take(int64_t size);

 private:
  float* next_;
};

}  // namespace prepack
