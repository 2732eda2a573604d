#include "prepack/calibrate.h"

#include "prepack/error.h"
#include "support/catch.h"
#include "support/tiny_model.h"

namespace prepack {
namespace {

Model tiny_model() { return testing::random_model(testing::tiny_configs().front()); }

TEST_CASE("the fastest capacity is one of those that may be measured", "[calibrate]") {
  const auto model = tiny_model();
  for (auto method : {PrefillMethod::kPacked, PrefillMethod::kPackedRows}) {
    const auto capacity = measure_fastest_capacity(
        model, method, {.prompt_len = 20, .min_capacity = 48, .max_capacity = 200});
    CHECK((capacity == 48 || capacity == 96 || capacity == 192 || capacity == 200));
    CHECK(measure_fastest_capacity(
              model, method, {.prompt_len = 500, .min_capacity = 48, .max_capacity = 48}) == 48);
  }
}

TEST_CASE("there is nothing to measure in an empty range, or for padded batches", "[calibrate]") {
  const auto model = tiny_model();
  CHECK_THROWS_AS(measure_fastest_capacity(model, PrefillMethod::kPadded), InvalidArgument);
  CHECK_THROWS_WITH(measure_fastest_capacity(model, PrefillMethod::kPacked,
                                             {.min_capacity = 64, .max_capacity = 63}),
                    ContainsSubstring("nothing to measure from 64 to 63 tokens"));
}

}  // namespace
}  // namespace prepack
