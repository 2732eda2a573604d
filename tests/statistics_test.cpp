#include "bench/statistics.h"

#include <cmath>
#include <vector>

#include "support/catch.h"

namespace prepack::bench {
namespace {

using Values = std::vector<double>;

TEST_CASE("mean, median and standard deviation of a sample", "[statistics]") {
  CHECK(mean(Values{2, 4, 9}) == 5);
  CHECK(median(Values{9, 2, 4}) == 4);
  CHECK(median(Values{9, 2, 4, 5}) == 4.5);
  CHECK(std::abs(standard_deviation(Values{2, 4, 9}) - std::sqrt(13.0)) < 1e-12);
}

TEST_CASE("one value has no spread, and no values are zero", "[statistics]") {
  CHECK(standard_deviation(Values{7}) == 0);
  CHECK(median(Values{7}) == 7);
  CHECK(mean(Values{}) == 0);
  CHECK(median(Values{}) == 0);
  CHECK(standard_deviation(Values{}) == 0);
}

}  // namespace
}  // namespace prepack::bench
