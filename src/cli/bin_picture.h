#pragma once

#include <cstdint>
#include <span>
#include <string>

#include "prepack/prefill.h"

namespace prepack::cli {

/// A picture of the first `max_rows` bins: one bar per bin, its segments in turns of shade, as long
/// as their tokens; what no prompt uses is left blank.
/// @param lengths  tokens of each prompt
std::string draw_bins(const PrefillPlan& plan, std::span<const int64_t> lengths, int max_rows);

}  // namespace prepack::cli
