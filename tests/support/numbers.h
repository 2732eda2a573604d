#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "prepack/dtype.h"
#include "support/catch.h"
#include "support/guarded_allocator.h"
#include "support/random.h"

namespace prepack::testing {

/// The nearest number that a dtype holds, ties to even; infinite from half a step above the
/// largest.
double round_to(DType dtype, double value);

/// The distance of a dtype's numbers at `value`.
double step_at(DType dtype, double value);

/// Numbers in memory that ends with the last of them, so that it is seen what reads or writes
/// behind it.
class Numbers {
 public:
  /// @param offset  bytes from the start of an allocation to the first number
  Numbers(DType dtype, int64_t size, int64_t offset = 0);

  /// Normally distributed, aligned to no more than a number is.
  static Numbers random(Random& random, DType dtype, int64_t size, double scale = 1);
  static Numbers filled(DType dtype, int64_t size, double value);

  DType dtype() const { return dtype_; }
  int64_t size() const { return size_; }
  void* data() { return bytes_.data() + offset_; }
  const void* data() const { return bytes_.data() + offset_; }
  /// Of float32.
  float* floats() { return static_cast<float*>(data()); }
  const float* floats() const { return static_cast<const float*>(data()); }

  uint32_t bits(int64_t i) const;
  void set_bits(int64_t i, uint32_t bits);
  double operator[](int64_t i) const;
  /// Rounded to the dtype.
  void set(int64_t i, double value);
  void fill(double value);
  std::vector<double> values() const;

 private:
  /// Not null, which memcpy may not be given.
  static size_t allocated(size_t num_bytes) { return num_bytes > 0 ? num_bytes : 1; }

  DType dtype_;
  int64_t size_;
  int64_t offset_;
  std::vector<std::byte, WatchedAllocator<std::byte>> bytes_;
};

/// What a kernel is to compute, and how far from it rounding may take the result before it is
/// rounded to its dtype.
struct Expected {
  double value;
  double error = 0;
};

/// Every number is as near to the expected one as said. A failure shows the worst.
class Near : public MatcherBase<Numbers> {
 public:
  explicit Near(std::vector<Expected> expected) : expected_(std::move(expected)) {}

  bool match(const Numbers& actual) const override;
  std::string describe() const override { return description_; }

 private:
  std::vector<Expected> expected_;
  mutable std::string description_;
};

/// The same numbers, bit for bit. A failure shows the first that is another one.
class SameBits : public MatcherBase<Numbers> {
 public:
  explicit SameBits(Numbers expected) : expected_(std::move(expected)) {}

  bool match(const Numbers& actual) const override;
  std::string describe() const override { return description_; }

 private:
  Numbers expected_;
  mutable std::string description_;
};

}  // namespace prepack::testing

/// Failures show what numbers are, not all of them.
template <>
struct Catch::StringMaker<prepack::testing::Numbers> {
  static std::string convert(const prepack::testing::Numbers& numbers) {
    return std::to_string(numbers.size()) + " numbers of " +
           std::string(to_string(numbers.dtype()));
  }
};
