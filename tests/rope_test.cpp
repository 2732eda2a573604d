#include "model/rope.h"

#include <ATen/ops/arange.h>
#include <ATen/ops/full.h>
#include <ATen/ops/tensor.h>
#include <ATen/ops/zeros.h>

#include <cmath>
#include <numbers>

#include "model/rope_frequencies.h"
#include "prepack/error.h"
#include "support/all_close.h"
#include "support/catch.h"
#include "support/random.h"
#include "support/tensors.h"
#include "support/tolerances.h"

namespace prepack {
namespace {

using testing::AllClose;
using testing::Random;
using testing::random_tensor;
using testing::tolerance;

/// transformers' frequencies in float64: modeling_rope_utils, written anew from the formulas.
std::vector<double> expected_frequencies(const RopeConfig& config, int64_t head_dim) {
  std::vector<double> frequencies;
  for (int64_t i = 0; i < head_dim / 2; ++i) {
    double frequency =
        std::pow(config.theta, -2.0 * static_cast<double>(i) / static_cast<double>(head_dim));
    if (const auto* linear = std::get_if<LinearRopeScaling>(&config.scaling)) {
      frequency /= linear->factor;
    } else if (const auto* s = std::get_if<Llama3RopeScaling>(&config.scaling)) {
      const auto context = static_cast<double>(s->original_max_position_embeddings);
      const double wavelength = 2 * std::numbers::pi / frequency;
      const double smooth =
          (context / wavelength - s->low_freq_factor) / (s->high_freq_factor - s->low_freq_factor);
      const double kept = std::clamp(smooth, 0.0, 1.0);
      frequency = (1 - kept) * frequency / s->factor + kept * frequency;
    }
    frequencies.push_back(frequency);
  }
  return frequencies;
}

/// The rotation by its definition: pair (i, i + head_dim / 2) of each head turns by an angle.
at::Tensor naive_rope(const at::Tensor& heads, const at::Tensor& position_ids,
                      const std::vector<double>& frequencies) {
  const auto x = heads.to(at::kDouble).contiguous();
  auto turned = at::zeros(x.sizes(), at::kDouble);
  const int64_t head_dim = x.size(2);
  const int64_t half = head_dim / 2;
  for (int64_t token = 0; token < x.size(0); ++token) {
    const auto position = static_cast<double>(position_ids.data_ptr<int64_t>()[token]);
    for (int64_t head = 0; head < x.size(1); ++head) {
      const auto* in = x.data_ptr<double>() + (token * x.size(1) + head) * head_dim;
      auto* out = turned.data_ptr<double>() + (token * x.size(1) + head) * head_dim;
      for (int64_t i = 0; i < half; ++i) {
        const double angle = position * frequencies[i];
        out[i] = in[i] * std::cos(angle) - in[i + half] * std::sin(angle);
        out[i + half] = in[i + half] * std::cos(angle) + in[i] * std::sin(angle);
      }
    }
  }
  return turned;
}

at::Tensor turned_by(const at::Tensor& heads, const RopeTable& table) {
  auto turned = heads.clone(at::MemoryFormat::Contiguous);
  apply_rope(turned, table);
  return turned;
}

const RopeConfig kPlain{.theta = 10000, .scaling = {}};
const RopeConfig kLinear{.theta = 5000, .scaling = LinearRopeScaling{2.5}};
const RopeConfig kLlama3{.theta = 500, .scaling = Llama3RopeScaling{8, 1, 4, 64}};
const RopeConfig kLlama32{.theta = 500000, .scaling = Llama3RopeScaling{32, 1, 4, 8192}};

TEST_CASE("RoPE frequencies follow the formula of each type", "[rope]") {
  for (const auto& config : {kPlain, kLinear, kLlama3, kLlama32}) {
    for (int64_t head_dim : {2, 10, 12, 64, 128}) {
      CAPTURE(config.theta, config.scaling.index(), head_dim);
      const auto frequencies = rope_frequencies(config, head_dim);
      const auto expected = expected_frequencies(config, head_dim);
      REQUIRE(frequencies.size() == expected.size());
      for (size_t i = 0; i < expected.size(); ++i) {
        CAPTURE(i);
        CHECK(std::abs(frequencies[i] - expected[i]) <= 1e-6 * expected[i]);
      }
    }
  }
}

TEST_CASE("llama3 scaling keeps high frequencies, divides low ones and mixes between", "[rope]") {
  const auto plain = expected_frequencies({.theta = 500, .scaling = {}}, 12);
  const auto scaled = rope_frequencies(kLlama3, 12);
  int num_kept = 0;
  int num_divided = 0;
  int num_mixed = 0;
  for (size_t i = 0; i < plain.size(); ++i) {
    const double factor = plain[i] / scaled[i];
    num_kept += std::abs(factor - 1) < 1e-5 ? 1 : 0;
    num_divided += std::abs(factor - 8) < 1e-4 ? 1 : 0;
    num_mixed += factor > 1.01 && factor < 7.9 ? 1 : 0;
  }
  CHECK(num_kept > 0);
  CHECK(num_divided > 0);
  CHECK(num_mixed > 0);
  CHECK(num_kept + num_divided + num_mixed == 6);
}

TEST_CASE("RoPE turns each pair of dimensions by its definition", "[rope]") {
  Random random(1);
  for (const auto& config : {kPlain, kLinear, kLlama3, kLlama32}) {
    for (int64_t head_dim : {2, 10, 12, 64}) {
      CAPTURE(config.theta, config.scaling.index(), head_dim);
      const auto position_ids = at::tensor({0, 1, 2, 0, 57, 383, 1}, at::kLong);
      const auto heads = random_tensor(random, {7, 3, head_dim});
      const Rope rope(config, head_dim, at::kCPU);
      const auto turned = turned_by(heads, rope.table(position_ids));
      // Angles are kept in float32: at position 383 they are off by 2e-5 or less.
      CHECK_THAT(
          turned,
          AllClose(naive_rope(heads, position_ids, expected_frequencies(config, head_dim)), 1e-4));
      CHECK_THAT(turned.narrow(0, 0, 4),
                 AllClose(naive_rope(heads, position_ids, expected_frequencies(config, head_dim))
                              .narrow(0, 0, 4),
                          tolerance(DType::kFloat32).op));
    }
  }
}

TEST_CASE("a table for a part of each head turns that, and leaves the rest as it was", "[rope]") {
  Random random(4);
  const auto position_ids = at::tensor({0, 3, 57}, at::kLong);
  const auto heads = random_tensor(random, {3, 4, 16});
  for (int64_t rotary_dim : {2, 12, 16}) {
    CAPTURE(rotary_dim);
    const auto turned = turned_by(heads, Rope(kPlain, rotary_dim, at::kCPU).table(position_ids));
    const auto part = heads.narrow(2, 0, rotary_dim);
    CHECK_THAT(
        turned.narrow(2, 0, rotary_dim),
        AllClose(naive_rope(part, position_ids, expected_frequencies(kPlain, rotary_dim)), 1e-5));
    const int64_t rest = 16 - rotary_dim;
    CHECK_THAT(turned.narrow(2, rotary_dim, rest),
               testing::BitEqual(heads.narrow(2, rotary_dim, rest)));
  }
}

TEST_CASE("position 0 turns nothing", "[rope]") {
  Random random(2);
  const auto heads = random_tensor(random, {4, 2, 10});
  const Rope rope(kPlain, 10, at::kCPU);
  CHECK_THAT(turned_by(heads, rope.table(at::zeros({4}, at::kLong))), AllClose(heads, 0));
}

TEST_CASE("RoPE turns some heads of a token and leaves the others as they were", "[rope]") {
  Random random(3);
  const auto all = random_tensor(random, {4, 5, 10});
  const auto before = all.clone();
  const auto table = Rope(kPlain, 10, at::kCPU).table(at::arange(4, at::kLong));
  apply_rope(all.narrow(1, 1, 2), table);
  CHECK_THAT(all.narrow(1, 0, 1), testing::BitEqual(before.narrow(1, 0, 1)));
  CHECK_THAT(all.narrow(1, 3, 2), testing::BitEqual(before.narrow(1, 3, 2)));
  CHECK_THAT(all.narrow(1, 1, 2), testing::BitEqual(turned_by(before.narrow(1, 1, 2), table)));
}

TEST_CASE("a table of some tokens turns as their own does", "[rope]") {
  Random random(6);
  const auto heads = random_tensor(random, {5, 2, 10});
  const auto table = Rope(kPlain, 10, at::kCPU).table(at::tensor({0, 1, 2, 0, 1}, at::kLong));
  const auto tokens = at::tensor({4, 2}, at::kLong);
  CHECK_THAT(turned_by(heads.index_select(0, tokens), table.of_tokens(tokens)),
             testing::BitEqual(turned_by(heads, table).index_select(0, tokens)));
}

TEST_CASE("the product of a turned query and a turned key depends on their distance alone",
          "[rope]") {
  Random random(4);
  const auto query = random_tensor(random, {1, 1, 64}).expand({3, 1, 64}).contiguous();
  const auto key = random_tensor(random, {1, 1, 64}).expand({3, 1, 64}).contiguous();
  for (const auto& config : {kPlain, kLinear, kLlama3}) {
    const Rope rope(config, 64, at::kCPU);
    const auto near = at::tensor({0, 10, 200}, at::kLong);
    const auto far = near.add(17);
    const auto products =
        turned_by(query, rope.table(far)).mul(turned_by(key, rope.table(near))).sum(2);
    CHECK_THAT(products, AllClose(products.narrow(0, 0, 1).expand({3, 1}), 1e-3));
  }
}

TEST_CASE("RoPE of half precision turns by angles of float32", "[rope]") {
  Random random(5);
  const Rope rope(kPlain, 64, at::kCPU);
  // In bfloat16 the position 1003 itself would be rounded to 1004.
  const auto position_ids = at::full({2}, 1003, at::kLong);
  const auto heads = random_tensor(random, {2, 3, 64}, at::kBFloat16);
  const auto turned = turned_by(heads, rope.table(position_ids));
  CHECK(turned.scalar_type() == at::kBFloat16);
  CHECK_THAT(turned, AllClose(naive_rope(heads, position_ids, expected_frequencies(kPlain, 64)),
                              tolerance(DType::kBFloat16).op));
}

const RopeConfig kDynamic{.theta = 500, .scaling = DynamicRopeScaling{4, 64}};
const RopeConfig kLongRope{
    .theta = 500, .scaling = LongRopeScaling{{1, 1.1, 1.3, 1.6, 2}, {1, 2, 3, 4, 5}, 1.2, 64}};
const RopeConfig kYarn{.theta = 500, .scaling = YarnRopeScaling{4, 1.1, 32, 1, true, 64}};

TEST_CASE("each token turns by the frequencies of its own sequence's length", "[rope]") {
  Random random(7);
  const auto heads = random_tensor(random, {6, 2, 10});
  const auto position_ids = at::tensor({63, 64, 199, 0, 30, 64}, at::kLong);
  const std::vector<int64_t> lengths = {64, 65, 200, 1, 64, 65};
  for (const auto& config : {kDynamic, kLongRope}) {
    CAPTURE(config.scaling.index());
    const Rope rope(config, 10, at::kCPU);
    const auto together = turned_by(heads, rope.table(position_ids, lengths));
    for (int64_t token = 0; token < 6; ++token) {
      CAPTURE(token);
      const auto frequencies = rope_frequencies(config, 10, lengths[token]);
      const auto expected =
          naive_rope(heads.narrow(0, token, 1), position_ids.narrow(0, token, 1).clone(),
                     {frequencies.begin(), frequencies.end()})
              .mul(rope_attention_factor(config));
      // Angles are kept in float32.
      CHECK_THAT(together.narrow(0, token, 1), AllClose(expected, 5e-5));
    }
  }
}

TEST_CASE("yarn and longrope make queries and keys longer", "[rope]") {
  Random random(8);
  const auto heads = random_tensor(random, {3, 2, 10});
  const std::vector<int64_t> lengths = {1, 1, 1};
  for (const auto& [config, factor] : {std::pair{kYarn, 1.1}, {kLongRope, 1.2}, {kDynamic, 1.0}}) {
    CAPTURE(config.scaling.index());
    const Rope rope(config, 10, at::kCPU);
    const auto turned = turned_by(heads, rope.table(at::zeros({3}, at::kLong), lengths));
    CHECK_THAT(turned, AllClose(heads.mul(factor), tolerance(DType::kFloat32).op));
  }
}

TEST_CASE("types that depend on the length refuse to go without it", "[rope]") {
  const auto position_ids = at::arange(3, at::kLong);
  const std::vector<int64_t> too_few = {3, 3};
  for (const auto& config : {kDynamic, kLongRope}) {
    const Rope rope(config, 10, at::kCPU);
    CHECK_THROWS_WITH(rope.table(position_ids),
                      ContainsSubstring("expected 3 sequence_lens, got 0"));
    CHECK_THROWS_AS(rope.table(position_ids, too_few), InvalidArgument);
  }
  CHECK_NOTHROW(Rope(kYarn, 10, at::kCPU).table(position_ids));
}

}  // namespace
}  // namespace prepack
