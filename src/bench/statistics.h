#pragma once

#include <span>

namespace prepack::bench {

// Of no values, each is 0.

double mean(std::span<const double> values);

/// The middle value; of an even number of values, the mean of the two in the middle.
double median(std::span<const double> values);

/// Of a sample: divided by n - 1. Of a single value, 0.
double standard_deviation(std::span<const double> values);

}  // namespace prepack::bench
