#pragma once

#include <cstdint>

#include "prepack/model.h"
#include "prepack/prefill.h"

namespace prepack {

/// What a calibration measures with.
struct CalibrationRange {
  int64_t prompt_len = 128;    // tokens of each prompt in the bins
  int64_t min_capacity = 256;  // tokens; tried first, and doubled
  int64_t max_capacity = 4096;
};

/// The tokens of a bin with which this model computes fastest on this machine: forwards of one bin
/// are timed at capacities that double from the smallest to the largest.
/// Takes about as long as a prefill of `6 * max_capacity` tokens.
/// @param method  packed: a bin is a forward; packed-rows: a row under the dense mask
/// @throws InvalidArgument for padded, which has no bins, and for a range that is empty
int64_t measure_fastest_capacity(const Model& model, PrefillMethod method,
                                 const CalibrationRange& range = {});

}  // namespace prepack
