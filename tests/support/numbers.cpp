#include "support/numbers.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>
#include <sstream>

namespace prepack::testing {
namespace {

struct Format {
  int significand;  // bits, with the leading one
  int min_exponent;
  double largest;
};

Format format_of(DType dtype) {
  switch (dtype) {
    case DType::kBFloat16:
      return {8, -126, 0x1.FEp127};
    case DType::kFloat16:
      return {11, -14, 65504};
    case DType::kFloat32:
      break;
  }
  return {24, -126, std::numeric_limits<float>::max()};
}

/// Of a number that float16 holds.
uint32_t float16_bits(double value) {
  const uint32_t sign = std::signbit(value) ? 0x8000 : 0;
  const double size = std::abs(value);
  if (std::isnan(value)) return 0x7E00;
  if (std::isinf(value)) return sign | 0x7C00;
  if (size < 0x1p-14) return sign | static_cast<uint32_t>(size * 0x1p24);
  const int exponent = std::ilogb(size);
  const auto fraction = static_cast<uint32_t>(std::ldexp(size, 10 - exponent)) - 1024;
  return sign | static_cast<uint32_t>(exponent + 15) << 10 | fraction;
}

double float16_value(uint32_t bits) {
  const double sign = (bits & 0x8000) != 0 ? -1 : 1;
  const int exponent = static_cast<int>(bits >> 10 & 0x1F);
  const auto fraction = static_cast<double>(bits & 0x3FF);
  if (exponent == 0) return sign * fraction * 0x1p-24;
  if (exponent < 31) return sign * std::ldexp(1024 + fraction, exponent - 25);
  return fraction == 0 ? sign * std::numeric_limits<double>::infinity()
                       : std::numeric_limits<double>::quiet_NaN();
}

}  // namespace

double step_at(DType dtype, double value) {
  const auto format = format_of(dtype);
  const int exponent = value == 0 ? format.min_exponent : std::ilogb(value);
  return std::ldexp(1.0, std::max(exponent, format.min_exponent) - format.significand + 1);
}

double round_to(DType dtype, double value) {
  if (!std::isfinite(value)) return value;
  const double step = step_at(dtype, value);
  const double rounded = std::nearbyint(value / step) * step;
  const bool is_finite = std::abs(rounded) <= format_of(dtype).largest;
  return is_finite ? rounded : std::copysign(std::numeric_limits<double>::infinity(), value);
}

Numbers::Numbers(DType dtype, int64_t size, int64_t offset)
    : dtype_(dtype),
      size_(size),
      offset_(offset),
      bytes_(allocated(static_cast<size_t>(size * element_size(dtype) + offset))) {}

Numbers Numbers::random(Random& random, DType dtype, int64_t size, double scale) {
  Numbers numbers(dtype, size, random.integer(0, 15) * element_size(dtype));
  for (int64_t i = 0; i < size; ++i) numbers.set(i, random.normal() * scale);
  return numbers;
}

Numbers Numbers::filled(DType dtype, int64_t size, double value) {
  Numbers numbers(dtype, size);
  numbers.fill(value);
  return numbers;
}

uint32_t Numbers::bits(int64_t i) const {
  const auto* from = static_cast<const std::byte*>(data()) + i * element_size(dtype_);
  if (dtype_ == DType::kFloat32) {
    uint32_t word;
    std::memcpy(&word, from, sizeof(word));
    return word;
  }
  uint16_t half;
  std::memcpy(&half, from, sizeof(half));
  return half;
}

void Numbers::set_bits(int64_t i, uint32_t bits) {
  auto* to = static_cast<std::byte*>(data()) + i * element_size(dtype_);
  const auto half = static_cast<uint16_t>(bits);
  if (dtype_ == DType::kFloat32) {
    std::memcpy(to, &bits, sizeof(bits));
  } else {
    std::memcpy(to, &half, sizeof(half));
  }
}

double Numbers::operator[](int64_t i) const {
  const uint32_t word = bits(i);
  switch (dtype_) {
    case DType::kBFloat16:
      return std::bit_cast<float>(word << 16);
    case DType::kFloat16:
      return float16_value(word);
    case DType::kFloat32:
      break;
  }
  return std::bit_cast<float>(word);
}

void Numbers::set(int64_t i, double value) {
  const double rounded = round_to(dtype_, value);
  const auto wide = std::bit_cast<uint32_t>(static_cast<float>(rounded));
  switch (dtype_) {
    case DType::kBFloat16:
      return set_bits(i, std::isnan(rounded) ? 0x7FC0 : wide >> 16);
    case DType::kFloat16:
      return set_bits(i, float16_bits(rounded));
    case DType::kFloat32:
      return set_bits(i, wide);
  }
}

void Numbers::fill(double value) {
  for (int64_t i = 0; i < size_; ++i) set(i, value);
}

std::vector<double> Numbers::values() const {
  std::vector<double> values(static_cast<size_t>(size_));
  for (int64_t i = 0; i < size_; ++i) values[i] = (*this)[i];
  return values;
}

bool Near::match(const Numbers& actual) const {
  std::ostringstream text;
  if (actual.size() != std::ssize(expected_)) {
    text << "are " << expected_.size();
    description_ = text.str();
    return false;
  }
  int64_t num_outside = 0;
  int64_t worst = 0;
  double worst_excess = 0;
  for (int64_t i = 0; i < actual.size(); ++i) {
    const auto [value, error] = expected_[i];
    const double most = error + 0.5 * step_at(actual.dtype(), value);
    const double excess = std::abs(actual[i] - value) / most;
    if (actual[i] == round_to(actual.dtype(), value) || excess <= 1) continue;
    if (std::isnan(value) && std::isnan(actual[i])) continue;
    ++num_outside;
    if (!(excess <= worst_excess)) {
      worst = i;
      worst_excess = std::isnan(excess) ? std::numeric_limits<double>::infinity() : excess;
    }
  }
  text << "are as expected";
  if (num_outside > 0) {
    text << "; " << num_outside << " are not, the worst at " << worst << ": " << actual[worst]
         << ", expected " << expected_[worst].value << " within " << expected_[worst].error;
  }
  description_ = text.str();
  return num_outside == 0;
}

bool SameBits::match(const Numbers& actual) const {
  if (actual.size() != expected_.size() || actual.dtype() != expected_.dtype()) {
    description_ = "are " + Catch::StringMaker<Numbers>::convert(expected_);
    return false;
  }
  int64_t num_different = 0;
  int64_t first = 0;
  for (int64_t i = actual.size() - 1; i >= 0; --i) {
    if (actual.bits(i) == expected_.bits(i)) continue;
    ++num_different;
    first = i;
  }
  std::ostringstream text;
  text << "are bit for bit as expected";
  if (num_different > 0) {
    text << "; " << num_different << " are not, the first at " << first << ": " << actual[first]
         << " (0x" << std::hex << actual.bits(first) << "), expected " << expected_[first] << " (0x"
         << expected_.bits(first) << ")";
  }
  description_ = text.str();
  return num_different == 0;
}

}  // namespace prepack::testing
