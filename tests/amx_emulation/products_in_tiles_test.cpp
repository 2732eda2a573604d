#include "amx_emulation/emulation.h"
#include "support/catch.h"
#include "support/quantized_linear.h"
#include "support/random.h"
#include "support/tensors.h"
#include "support/thread_count.h"

namespace prepack {
namespace {

using testing::quantized_linear;
using testing::Random;
using testing::random_tensor;
using testing::ThreadCount;

TEST_CASE("more than 8 rows of 8 bits are multiplied in tiles with weights of 8 bits", "[amx]") {
  const ThreadCount one_thread(1);  // which counts its products
  Random random(1);
  const auto uses_tiles = [&](const Quantization& quantization, Activations activations,
                              int64_t num_rows) {
    const auto linear = quantized_linear(random, 40, 128, quantization, activations);
    const auto before = amx::num_products();
    linear(random_tensor(random, {num_rows, 128}));
    return amx::num_products() > before;
  };
  constexpr Quantization kInt8 = {.bits = 8};
  CHECK(uses_tiles(kInt8, Activations::kInt8, 9));
  CHECK(uses_tiles(kInt8, Activations::kInt8, 200));
  CHECK(!uses_tiles(kInt8, Activations::kInt8, 8));
  CHECK(!uses_tiles(kInt8, Activations::kInt16, 100));
  CHECK(!uses_tiles(kInt8, Activations::kAsComputed, 100));
  CHECK(!uses_tiles({.bits = 4, .group_size = 32}, Activations::kInt8, 100));
}

}  // namespace
}  // namespace prepack
