// Weights in oneDNN's layout. Where it has no blocks for float32, as on CPUs without AVX-512, these
// run its operators on rows.

#include "weights/blocked_weight.h"

#include <ATen/ops/empty.h>

#include <cmath>
#include <string>
#include <utility>
#include <vector>

#include "base/scalar_type.h"
#include "model/bfloat16_product.h"
#include "model/blocked_products.h"
#include "model/linear.h"
#include "prepack/model.h"
#include "prepack/prefill.h"
#include "support/all_close.h"
#include "support/catch.h"
#include "support/random.h"
#include "support/reference.h"
#include "support/tensors.h"
#include "support/tiny_model.h"
#include "support/tolerances.h"

namespace prepack {
namespace {

using testing::AllClose;
using testing::BitEqual;
using testing::Random;
using testing::random_tensor;

constexpr double kNear = 1e-5;

/// The dtypes that this machine has such products in.
std::vector<DType> blocked_dtypes() {
  std::vector<DType> dtypes;
  for (const auto dtype : {DType::kFloat32, DType::kBFloat16, DType::kFloat16}) {
    if (has_blocked_products(to_scalar_type(dtype))) dtypes.push_back(dtype);
  }
  return dtypes;
}

/// A product with both layouts of its weight.
struct Products {
  Linear plain;
  Linear blocked;

  /// Of a size that gives outputs of size 1 for inputs of size 1.
  Products(Random& random, int64_t out_features, int64_t in_features, bool has_bias,
           DType dtype = DType::kFloat32) {
    const auto type = to_scalar_type(dtype);
    const double scale = 1 / std::sqrt(static_cast<double>(in_features));
    const auto weight = random_tensor(random, {out_features, in_features}).mul(scale).to(type);
    plain.weight = weight;
    blocked.weight = BlockedWeight(weight);
    if (has_bias) plain.bias = blocked.bias = random_tensor(random, {out_features}, type);
  }
};

void check_same(Random& random, const Products& products, const at::Tensor& input) {
  const auto type = input.scalar_type();
  const double near = type == at::kFloat ? kNear : testing::tolerance(from_scalar_type(type)).op;
  const auto expected = products.plain(input);
  const auto output = products.blocked(input);
  CHECK(output.scalar_type() == type);
  CHECK(output.is_contiguous());
  CHECK_THAT(output, AllClose(expected, near, near));
  const auto before = random_tensor(random, expected.sizes(), type);
  auto sum = before.clone();
  products.blocked.add_to(input, sum);
  CHECK_THAT(sum, AllClose(before.add(expected), near, near));
}

TEST_CASE("a blocked weight gives the plain one's products", "[blocked]") {
  Random random(1);
  const std::vector<std::pair<int64_t, int64_t>> shapes = {
      {1, 1}, {5, 7}, {64, 64}, {96, 51}, {129, 257}, {960, 576}, {576, 1536}};
  for (const auto dtype : blocked_dtypes()) {
    for (const auto& [out_features, in_features] : shapes) {
      for (const bool has_bias : {false, true}) {
        const Products products(random, out_features, in_features, has_bias, dtype);
        CHECK(prepack::out_features(products.blocked.weight) == out_features);
        for (const int64_t num_rows : {1, 2, 3, 16, 17, 31, 128, 300}) {
          INFO(to_string(dtype));
          CAPTURE(out_features, in_features, has_bias, num_rows);
          check_same(random, products,
                     random_tensor(random, {num_rows, in_features}, to_scalar_type(dtype)));
        }
      }
    }
  }
}

TEST_CASE("rows of a blocked weight compute their part of its outputs", "[blocked]") {
  Random random(2);
  for (const auto dtype : blocked_dtypes()) {
    for (const bool has_bias : {false, true}) {
      const Products whole(random, 70, 33, has_bias, dtype);
      const auto rows = [](const Products& products, int64_t first, int64_t count) {
        auto part = products;
        part.plain = products.plain.rows(first, count);
        part.blocked = products.blocked.rows(first, count);
        return part;
      };
      for (const int64_t num_rows : {1, 6, 300}) {
        CAPTURE(to_string(dtype), has_bias, num_rows);
        const auto input = random_tensor(random, {num_rows, 33}, to_scalar_type(dtype));
        check_same(random, rows(whole, 7, 50), input);
        check_same(random, rows(rows(whole, 7, 50), 11, 13), input);
      }
    }
  }
}

TEST_CASE("inputs and sums of a blocked weight may be slices, and have no rows", "[blocked]") {
  Random random(3);
  const Products products(random, 23, 37, true);
  for (const int64_t num_rows : {1, 5, 300}) {
    CAPTURE(num_rows);
    const auto input = random_tensor(random, {num_rows, 50}).narrow(1, 6, 37);
    const auto expected = products.plain(input);
    CHECK_THAT(products.blocked(input), AllClose(expected, kNear));
    const auto whole = random_tensor(random, {num_rows, 40});
    auto sliced = whole.clone();
    auto sum = sliced.narrow(1, 9, 23);
    products.blocked.add_to(input, sum);
    CHECK_THAT(sum, AllClose(whole.narrow(1, 9, 23).add(expected), kNear));
    CHECK_THAT(sliced.narrow(1, 0, 9), BitEqual(whole.narrow(1, 0, 9)));
    CHECK_THAT(sliced.narrow(1, 32, 8), BitEqual(whole.narrow(1, 32, 8)));
  }
  CHECK(products.blocked(at::empty({0, 37})).sizes() == at::IntArrayRef{0, 23});
  auto no_sum = at::empty({0, 23});
  products.blocked.add_to(at::empty({0, 37}), no_sum);
  CHECK(no_sum.sizes() == at::IntArrayRef{0, 23});
}

TEST_CASE("a blocked weight is a copy, and counts what it takes", "[blocked]") {
  Random random(4);
  auto weight = random_tensor(random, {64, 128});
  const BlockedWeight blocked(weight);
  CHECK(blocked.nbytes() == 64 * 128 * 4);  // whole blocks, of any size that there is
  const auto input = random_tensor(random, {3, 128});
  const auto before = blocked.multiply(input, {});
  weight.zero_();
  CHECK_THAT(blocked.multiply(input, {}), BitEqual(before));
  CHECK_FALSE(blocked.is_plain(weight));
}

// The choice.

TEST_CASE("blocks are chosen where many rows gain clearly and few rows lose nothing", "[blocked]") {
  const LayoutTimes few{.num_rows = 1, .plain_s = 1, .blocked_s = 1};
  const LayoutTimes many{.num_rows = 512, .plain_s = 100, .blocked_s = 80};
  const auto is_faster = [](const std::vector<LayoutTimes>& times) {
    return is_blocked_faster(times);
  };
  CHECK(is_faster({few, many}));
  CHECK(is_faster({{.num_rows = 1, .plain_s = 1, .blocked_s = 0.5}, many}));
  CHECK_FALSE(is_faster({{.num_rows = 16, .plain_s = 1, .blocked_s = 1.1}, many}));
  CHECK_FALSE(is_faster({few, {.num_rows = 512, .plain_s = 100, .blocked_s = 98}}));
  CHECK_FALSE(is_faster({few, {.num_rows = 512, .plain_s = 100, .blocked_s = 130}}));
}

TEST_CASE("layouts are measured from few rows on, as long as blocks are no slower", "[blocked]") {
  Random random(6);
  const int64_t num_rows[] = {1, 16, 128, 512};
  for (int i = 0; i < 5; ++i) {
    const auto weight = random_tensor(random, {96, 64});
    const auto times = measure_layouts(weight, BlockedWeight(weight));
    REQUIRE((!times.empty() && times.size() <= 4));
    for (size_t k = 0; k < times.size(); ++k) {
      CHECK(times[k].num_rows == num_rows[k]);
      CHECK((times[k].plain_s > 0 && times[k].plain_s < 1));
      CHECK((times[k].blocked_s > 0 && times[k].blocked_s < 1));
      const std::vector<LayoutTimes> until(times.begin(), times.begin() + k);
      CHECK(is_blocked_faster(until));  // else this one would not have been measured
    }
    CHECK((times.size() == 4 || !is_blocked_faster(times)));
  }
}

TEST_CASE("a layout that is asked for is not measured", "[blocked]") {
  const auto weight = at::empty({8, 8});
  CHECK(LayoutChoice(WeightLayout::kBlocked).wants_blocked(weight));
  CHECK_FALSE(LayoutChoice(WeightLayout::kPlain).wants_blocked(weight));
}

TEST_CASE("weights stay plain where the project's own product multiplies many rows", "[blocked]") {
  constexpr int64_t kMany = 512;
  const auto weight = at::empty({256, 128}, at::kBFloat16);
  if (!is_bfloat16_product_best(weight, kMany)) return;  // blocks are measured
  CHECK_FALSE(LayoutChoice(WeightLayout::kAuto).wants_blocked(weight));
  CHECK(LayoutChoice(WeightLayout::kBlocked).wants_blocked(weight));
}

TEST_CASE("weights whose layout is rows anyway stay plain", "[blocked]") {
  Random random(5);
  LayoutChoice choice(WeightLayout::kAuto);
  for (const int64_t size : {256, 64, 256}) {
    const auto weight = random_tensor(random, {size, 128});
    const bool wants_blocked = choice.wants_blocked(weight);
    if (BlockedWeight(weight).is_plain(weight)) CHECK_FALSE(wants_blocked);
    CHECK(choice.wants_blocked(weight) == wants_blocked);  // as before, whatever is measured now
  }
}

TEST_CASE("layouts have names", "[blocked]") {
  for (const auto layout : {WeightLayout::kAuto, WeightLayout::kPlain, WeightLayout::kBlocked}) {
    CHECK(parse_weight_layout(to_string(layout)) == layout);
  }
  CHECK_THROWS_WITH(parse_weight_layout("packed"),
                    "weight layout: expected auto, plain or blocked, got packed");
}

// Whole models.

TEST_CASE("a model with blocked weights has the reference's logits", "[blocked][ladder]") {
  if (!has_blocked_products(at::kFloat)) {
    WARN("not on this CPU");
    return;
  }
  for (const auto& reference : testing::tiny_references()) {
    INFO(reference.model_folder);
    const auto load = [&](WeightLayout layout) {
      return load_model(reference.model_folder,
                        {.dtype = DType::kFloat32, .weight_layout = layout});
    };
    if (load_model_config(reference.model_folder).dtype != DType::kFloat32) continue;
    const auto blocked = load(WeightLayout::kBlocked);
    const auto plain = load(WeightLayout::kPlain);
    CHECK(blocked.has_blocked_weights());
    CHECK_FALSE(plain.has_blocked_weights());
    CHECK(blocked.weight_bytes() >= plain.weight_bytes());
    for (const auto& model : {blocked, load(WeightLayout::kAuto)}) {
      for (const auto& [name, options] : testing::prefill_variants(reference.prompts)) {
        INFO(name);
        const auto logits = prefill(model, reference.prompts, options, 200).logits;
        CHECK_THAT(logits,
                   AllClose(reference["logits"], testing::tolerance(DType::kFloat32).logits));
      }
    }
  }
}

TEST_CASE("blocked weights that there cannot be are refused", "[blocked]") {
  const auto folder = testing::tiny_references().front().model_folder;
  CHECK_THROWS_WITH(
      load_model(folder, {.device = at::kCUDA, .weight_layout = WeightLayout::kBlocked}),
      "weight layout: weights are blocked on the CPU only, not on cuda");
  if (has_blocked_products(at::kFloat)) {
    CHECK_THROWS_WITH(load_model(folder, {.dtype = DType::kFloat32,
                                          .quantization = Quantization{.bits = 8},
                                          .weight_layout = WeightLayout::kBlocked}),
                      "weight layout: no product's weight is of the dtype computed in, float32");
  }
  for (const auto dtype : {DType::kFloat32, DType::kBFloat16, DType::kFloat16}) {
    if (has_blocked_products(to_scalar_type(dtype))) continue;
    CHECK_THROWS_WITH(load_model(folder, {.dtype = dtype, .weight_layout = WeightLayout::kBlocked}),
                      "weight layout: on this CPU there are no products of blocked weights in " +
                          std::string(to_string(dtype)));
  }
}

}  // namespace
}  // namespace prepack
