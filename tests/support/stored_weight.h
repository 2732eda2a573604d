#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "kernels/weight_rows.h"
#include "support/guarded_allocator.h"
#include "support/numbers.h"
#include "support/random.h"

namespace prepack::testing {

struct WeightFormat {
  enum class Kind { kPlain, kInt8, kInt8Groups, kInt4Groups };

  Kind kind;
  DType dtype = DType::kFloat32;  // of plain numbers, and of groups' scales and minimums
  int64_t group_size = 1;
  bool has_minimums = false;

  bool is_plain() const { return kind == Kind::kPlain; }
};

std::string name_of(const WeightFormat& format);

/// Every kind and dtype, with the smallest groups and longer ones.
std::vector<WeightFormat> weight_formats();

/// At least `in_features`, and whole groups.
int64_t whole_groups(const WeightFormat& format, int64_t in_features);

/// A weight of random bits, each part in memory that ends with it, and what it means.
class StoredWeight {
 public:
  StoredWeight(Random& random, const WeightFormat& format, int64_t out_features,
               int64_t in_features);

  WeightRows rows() const;
  int64_t out_features() const { return out_features_; }
  int64_t in_features() const { return in_features_; }

  /// What a product multiplies with.
  double value(int64_t row, int64_t k) const { return wide_[row * in_features_ + k]; }
  /// |scale * value| + |minimum|, of which rounding errors are a part.
  double size(int64_t row, int64_t k) const { return sizes_[row * in_features_ + k]; }

 private:
  void widen();

  WeightFormat format_;
  int64_t out_features_;
  int64_t in_features_;
  Numbers plain_;
  std::vector<uint8_t, WatchedAllocator<uint8_t>> integers_;
  Numbers scales_;
  Numbers minimums_;
  std::vector<double> wide_;   // [out_features, in_features]
  std::vector<double> sizes_;  // likewise
};

/// Value k of a row of 4 bits, by the definition of Int4Rows.
int int4_value(const uint8_t* values, int64_t in_features, int64_t row, int64_t k);

}  // namespace prepack::testing
