#pragma once

#include <ATen/core/Tensor.h>

#include <cmath>
#include <cstring>
#include <limits>
#include <sstream>
#include <string>

#include "support/catch.h"

/// Failures show what a tensor is, not its thousands of values.
template <>
struct Catch::StringMaker<at::Tensor> {
  static std::string convert(const at::Tensor& tensor) {
    std::ostringstream text;
    text << tensor.dtype() << " " << tensor.sizes();
    return text.str();
  }
};

namespace prepack::testing {

/// "[1, 0, 7]": the place of a flat index in a tensor.
inline std::string place_of(int64_t index, at::IntArrayRef sizes) {
  std::vector<int64_t> place(sizes.size());
  for (size_t d = sizes.size(); d-- > 0;) {
    place[d] = index % sizes[d];
    index /= sizes[d];
  }
  std::ostringstream text;
  text << at::IntArrayRef(place);
  return text.str();
}

/// Every element lies within absolute + relative * |expected| of the expected one; nothing is NaN.
/// A failure shows the largest difference and where it is.
class AllClose : public MatcherBase<at::Tensor> {
 public:
  AllClose(const at::Tensor& expected, double absolute, double relative = 0)
      : expected_(expected.to(at::kCPU, at::kDouble).contiguous()),
        absolute_(absolute),
        relative_(relative) {}

  bool match(const at::Tensor& actual) const override {
    std::ostringstream text;
    if (actual.sizes() != expected_.sizes()) {
      text << "has the shape " << expected_.sizes();
      description_ = text.str();
      return false;
    }
    const auto values = actual.to(at::kCPU, at::kDouble).contiguous();
    const auto* got = values.data_ptr<double>();
    const auto* wanted = expected_.data_ptr<double>();
    double worst_excess = -std::numeric_limits<double>::infinity();
    int64_t worst = 0;
    int64_t num_outside = 0;
    for (int64_t i = 0; i < values.numel(); ++i) {
      const double difference = std::abs(got[i] - wanted[i]);
      const double excess = difference - (absolute_ + relative_ * std::abs(wanted[i]));
      if (excess <= 0 && excess <= worst_excess) continue;
      if (!(excess <= 0)) ++num_outside;
      if (!(excess <= worst_excess)) {
        worst_excess = std::isnan(excess) ? std::numeric_limits<double>::infinity() : excess;
        worst = i;
      }
    }
    text << "is within " << absolute_;
    if (relative_ > 0) text << " + " << relative_ << " * |expected|";
    if (values.numel() > 0) {
      text << "; largest difference " << std::abs(got[worst] - wanted[worst]) << " at "
           << place_of(worst, values.sizes()) << ": " << got[worst] << ", expected "
           << wanted[worst] << "; " << num_outside << " of " << values.numel() << " outside";
    }
    description_ = text.str();
    return num_outside == 0;
  }

  std::string describe() const override { return description_; }

 private:
  at::Tensor expected_;
  double absolute_;
  double relative_;
  mutable std::string description_;
};

/// The same dtype, shape and bits.
class BitEqual : public MatcherBase<at::Tensor> {
 public:
  explicit BitEqual(const at::Tensor& expected) : expected_(expected.cpu().contiguous()) {}

  bool match(const at::Tensor& actual) const override {
    const auto values = actual.cpu().contiguous();
    if (values.sizes() != expected_.sizes() || values.dtype() != expected_.dtype()) {
      description_ = "is bit for bit " + Catch::StringMaker<at::Tensor>::convert(expected_);
      return false;
    }
    const auto size = static_cast<size_t>(values.element_size());
    const auto* got = static_cast<const char*>(values.data_ptr());
    const auto* wanted = static_cast<const char*>(expected_.data_ptr());
    int64_t num_different = 0;
    int64_t first = 0;
    for (int64_t i = values.numel() - 1; i >= 0; --i) {
      if (std::memcmp(got + i * size, wanted + i * size, size) == 0) continue;
      ++num_different;
      first = i;
    }
    std::ostringstream text;
    text << "is bit for bit as expected";
    if (num_different > 0) {
      text << "; " << num_different << " of " << values.numel() << " differ, the first at "
           << place_of(first, values.sizes());
    }
    description_ = text.str();
    return num_different == 0;
  }

  std::string describe() const override { return description_; }

 private:
  at::Tensor expected_;
  mutable std::string description_;
};

inline double max_difference(const at::Tensor& a, const at::Tensor& b) {
  return a.numel() == 0 ? 0 : a.sub(b).abs().max().item<double>();
}

}  // namespace prepack::testing
