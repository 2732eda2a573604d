#pragma once

#include <cstdint>

namespace prepack {

/// A matrix of unsigned integers of 4 or 8 bits in words of 32, as GPTQ and AWQ folders store a
/// weight's values and zeros: a row for each input feature, or group of them, and a column for each
/// output feature.
struct PackedIntegers {
  /// Which integers share a word, from its lowest bits on.
  enum class Order {
    kDown,         // below each other in one column: GPTQ's values
    kAcross,       // after each other in one row: GPTQ's zeros
    kInterleaved,  // in one row, 0, 2, 4, 6, 1, 3, 5, 7 of eight: AWQ's values and zeros
  };

  const int32_t* words;  // row-major: in kDown of num_rows / num_packed() rows, else of columns
  Order order;
  int bits;
  int64_t num_rows;
  int64_t num_columns;
  uint32_t added = 0;  // to each word, modulo 2^32, before it is read

  int64_t num_packed() const { return 32 / bits; }
};

/// Columns from `first` up to `last`, which become rows.
/// @param first, last  multiples of 8, or the last column's end
/// @param out          [last - first, num_rows]
/// Ref: AutoGPTQ's qlinear_cuda.py; AutoAWQ's packing_utils.py
void unpack_columns(const PackedIntegers& packed, int64_t first, int64_t last, uint8_t* out);

/// What GPTQ's first version has subtracted from each integer of its words of zeros. It is added
/// to whole words, as GPTQModel does: where a zero of 0 has borrowed from the next, all come back.
uint32_t ones(int bits);

}  // namespace prepack
