#pragma once

#include <cstdint>
#include <variant>

#include "prepack/dtype.h"

namespace prepack {

/// A weight's numbers as a checkpoint stores them.
struct PlainRows {
  DType dtype;
  const void* values;  // [out_features, in_features], at any address
};

/// One scale for each output feature: weight = scale * value, with values from -128 to 127.
struct Int8Rows {
  const int8_t* values;  // [out_features, in_features]
  const float* scales;   // [out_features]
};

/// A scale for each group of a row's input features, and a minimum or none, all of them finite:
/// weight = scale * value + minimum, or scale * value.
struct GroupScales {
  DType dtype;           // float32 or float16
  const void* scales;    // [out_features, in_features / group_size]
  const void* minimums;  // likewise; or null
  int64_t group_size;    // divides in_features
};

/// Values from -128 to 127.
struct Int8GroupRows {
  const int8_t* values;  // [out_features, in_features]
  GroupScales groups;    // of 16 times a power of two
};

/// Values from 0 to 15. 32 of a row are 8 little-endian words of 16 bits, and bits 4 k to 4 k + 3
/// of word i are value 8 k + i. So lanes that each hold a word need a shift and an AND to have
/// values that follow each other, and bytes that are neighbours hold values of the same 32, which
/// share a scale. A row is filled up with anything to whole blocks of 64.
struct Int4Rows {
  const uint8_t* values;  // [out_features, int4_row_bytes(in_features)]
  GroupScales groups;     // of 32 times a power of two
};

constexpr int64_t kMinInt8Group = 16;
constexpr int64_t kMinInt4Group = 32;

constexpr int64_t kInt4Words = kMinInt4Group / 4;  // of the smallest group
constexpr int64_t kInt4Block = 64;                 // values

constexpr int64_t int4_row_bytes(int64_t in_features) {
  return (in_features + kInt4Block - 1) / kInt4Block * (kInt4Block / 2);
}

/// Rows of a weight, where they lie in memory.
using WeightRows = std::variant<PlainRows, Int8Rows, Int8GroupRows, Int4Rows>;

/// The scales of a weight in groups; null for other weights.
inline const GroupScales* group_scales(const WeightRows& weight) {
  if (const auto* int8 = std::get_if<Int8GroupRows>(&weight)) return &int8->groups;
  if (const auto* int4 = std::get_if<Int4Rows>(&weight)) return &int4->groups;
  return nullptr;
}

}  // namespace prepack
