#include "support/stored_weight.h"

#include <cmath>

namespace prepack::testing {
namespace {

using Kind = WeightFormat::Kind;

int64_t num_plain(const WeightFormat& format, int64_t out_features, int64_t in_features) {
  return format.is_plain() ? out_features * in_features : 0;
}

int64_t num_bytes(const WeightFormat& format, int64_t out_features, int64_t in_features) {
  if (format.is_plain()) return 0;
  return out_features *
         (format.kind == Kind::kInt4Groups ? int4_row_bytes(in_features) : in_features);
}

int64_t num_scales(const WeightFormat& format, int64_t out_features, int64_t in_features) {
  if (format.is_plain()) return 0;
  return format.kind == Kind::kInt8 ? out_features
                                    : out_features * (in_features / format.group_size);
}

}  // namespace

std::string name_of(const WeightFormat& format) {
  const std::string dtype(to_string(format.dtype));
  if (format.kind == Kind::kPlain) return dtype;
  if (format.kind == Kind::kInt8) return "int8";
  return (format.kind == Kind::kInt4Groups ? "int4" : "int8") + std::string(" in groups of ") +
         std::to_string(format.group_size) + ", " + dtype + " scales" +
         (format.has_minimums ? " and minimums" : "");
}

std::vector<WeightFormat> weight_formats() {
  std::vector<WeightFormat> formats = {{Kind::kPlain, DType::kFloat32},
                                       {Kind::kPlain, DType::kBFloat16},
                                       {Kind::kPlain, DType::kFloat16},
                                       {Kind::kInt8}};
  for (const auto kind : {Kind::kInt8Groups, Kind::kInt4Groups}) {
    for (const auto dtype : {DType::kFloat32, DType::kFloat16}) {
      for (const bool has_minimums : {false, true}) {
        for (const int64_t group_size : {16, 32, 64, 128}) {
          if (kind == Kind::kInt4Groups && group_size < kMinInt4Group) continue;
          formats.push_back({kind, dtype, group_size, has_minimums});
        }
      }
    }
  }
  return formats;
}

int64_t whole_groups(const WeightFormat& format, int64_t in_features) {
  return (in_features + format.group_size - 1) / format.group_size * format.group_size;
}

int int4_value(const uint8_t* values, int64_t in_features, int64_t row, int64_t k) {
  const auto* group = values + row * int4_row_bytes(in_features) + k / 32 * 16;
  const int64_t word = k % 8;
  const int64_t place = k % 32 / 8;
  const int bits = group[2 * word] | group[2 * word + 1] << 8;
  return bits >> (4 * place) & 15;
}

StoredWeight::StoredWeight(Random& random, const WeightFormat& format, int64_t out_features,
                           int64_t in_features)
    : format_(format),
      out_features_(out_features),
      in_features_(in_features),
      plain_(Numbers::random(random, format.dtype, num_plain(format, out_features, in_features))),
      integers_(static_cast<size_t>(num_bytes(format, out_features, in_features))),
      scales_(Numbers::random(random, format.dtype, num_scales(format, out_features, in_features),
                              format.kind == Kind::kInt4Groups ? 0.125 : 0.01)),
      minimums_(Numbers::random(random, format.dtype, format.has_minimums ? scales_.size() : 0)) {
  for (auto& byte : integers_) byte = static_cast<uint8_t>(random.integer(0, 255));
  widen();
}

WeightRows StoredWeight::rows() const {
  const GroupScales groups = {format_.dtype, scales_.data(),
                              format_.has_minimums ? minimums_.data() : nullptr,
                              format_.group_size};
  const auto* int8 = reinterpret_cast<const int8_t*>(integers_.data());
  switch (format_.kind) {
    case Kind::kPlain:
      break;
    case Kind::kInt8:
      return Int8Rows{int8, scales_.floats()};
    case Kind::kInt8Groups:
      return Int8GroupRows{int8, groups};
    case Kind::kInt4Groups:
      return Int4Rows{integers_.data(), groups};
  }
  return PlainRows{format_.dtype, plain_.data()};
}

void StoredWeight::widen() {
  wide_.resize(static_cast<size_t>(out_features_ * in_features_));
  sizes_.resize(wide_.size());
  for (int64_t row = 0; row < out_features_; ++row) {
    for (int64_t k = 0; k < in_features_; ++k) {
      const int64_t i = row * in_features_ + k;
      if (format_.is_plain()) {
        wide_[i] = plain_[i];
        sizes_[i] = std::abs(wide_[i]);
        continue;
      }
      const bool has_groups = format_.kind != Kind::kInt8;
      const int64_t group = has_groups ? i / format_.group_size : row;
      const double value = format_.kind == Kind::kInt4Groups
                               ? int4_value(integers_.data(), in_features_, row, k)
                               : static_cast<int8_t>(integers_[i]);
      const double product = scales_[group] * value;
      const double minimum = format_.has_minimums ? minimums_[group] : 0;
      wide_[i] = product + minimum;
      sizes_[i] = std::abs(product) + std::abs(minimum);
    }
  }
}

}  // namespace prepack::testing
