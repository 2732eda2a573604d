#include "prepack/kv_cache.h"

#include <ATen/ops/tensor.h>
#include <ATen/ops/zeros_like.h>

#include "support/all_close.h"
#include "support/catch.h"
#include "support/random.h"
#include "support/tensors.h"

namespace prepack {
namespace {

using testing::BitEqual;
using testing::Random;
using testing::random_tensor;

ModelConfig config() {
  ModelConfig config;
  config.num_layers = 2;
  config.num_heads = 6;
  config.num_kv_heads = 3;
  config.head_dim = 4;
  return config;
}

at::Tensor indices(const std::vector<int64_t>& values) { return at::tensor(values, at::kLong); }

KvCache filled_cache(Random& random, int64_t num_rows, int64_t capacity) {
  KvCache cache(config(), num_rows, capacity, DType::kFloat32, at::kCPU);
  for (int64_t layer = 0; layer < 2; ++layer) {
    auto keys = cache.keys(layer, num_rows, capacity);
    auto values = cache.values(layer, num_rows, capacity);
    keys.copy_(random_tensor(random, keys.sizes()));
    values.copy_(random_tensor(random, values.sizes()));
  }
  return cache;
}

TEST_CASE("a new cache has the shape that was asked for, and is zero", "[kv_cache]") {
  const KvCache cache(config(), 5, 7, DType::kFloat32, at::kCPU);
  CHECK(cache.num_layers() == 2);
  CHECK(cache.num_rows() == 5);
  CHECK(cache.capacity() == 7);
  for (int64_t layer = 0; layer < 2; ++layer) {
    for (const auto& side : {cache.keys(layer, 5, 7), cache.values(layer, 5, 7)}) {
      CHECK(side.sizes() == at::IntArrayRef({5, 7, 3, 4}));
      CHECK_THAT(side, BitEqual(at::zeros_like(side)));
    }
  }
}

TEST_CASE("a write puts each token in its slot, and nothing else changes", "[kv_cache]") {
  Random random(1);
  KvCache cache(config(), 3, 5, DType::kFloat32, at::kCPU);
  const auto keys = random_tensor(random, {4, 3, 4});
  const auto values = random_tensor(random, {4, 3, 4});
  // Two tokens of row 2, one of row 0, one at the last slot of row 1.
  cache.write(1, keys, values, {{}, indices({10, 11, 0, 9})});
  const auto stored = cache.keys(1, 3, 5);
  CHECK_THAT(stored.select(0, 2).narrow(0, 0, 2), BitEqual(keys.narrow(0, 0, 2)));
  CHECK_THAT(stored.select(0, 0).select(0, 0), BitEqual(keys.select(0, 2)));
  CHECK_THAT(stored.select(0, 1).select(0, 4), BitEqual(keys.select(0, 3)));
  CHECK_THAT(cache.values(1, 3, 5).select(0, 1).select(0, 4), BitEqual(values.select(0, 3)));
  CHECK(stored.ne(0).any(-1).any(-1).sum().item<int64_t>() == 4);
  CHECK(cache.keys(0, 3, 5).eq(0).all().item<bool>());
  CHECK(cache.values(0, 3, 5).eq(0).all().item<bool>());
}

TEST_CASE("tokens that are not listed are left out of the cache", "[kv_cache]") {
  Random random(2);
  KvCache cache(config(), 2, 3, DType::kFloat32, at::kCPU);
  const auto keys = random_tensor(random, {5, 3, 4});
  const auto values = random_tensor(random, {5, 3, 4});
  cache.write(0, keys, values, {indices({4, 1}), indices({0, 3})});
  CHECK_THAT(cache.keys(0, 2, 3).select(1, 0), BitEqual(keys.index_select(0, indices({4, 1}))));
  CHECK_THAT(cache.values(0, 2, 3).select(1, 0), BitEqual(values.index_select(0, indices({4, 1}))));
  CHECK(cache.keys(0, 2, 3).ne(0).any(-1).any(-1).sum().item<int64_t>() == 2);
}

TEST_CASE("keys and values are views of the leading rows and slots", "[kv_cache]") {
  Random random(3);
  const auto cache = filled_cache(random, 4, 6);
  const auto all = cache.keys(1, 4, 6);
  const auto part = cache.keys(1, 3, 2);
  CHECK(part.sizes() == at::IntArrayRef({3, 2, 3, 4}));
  CHECK(part.data_ptr() == all.data_ptr());
  CHECK_THAT(part, BitEqual(all.narrow(0, 0, 3).narrow(1, 0, 2)));
}

TEST_CASE("copying a row takes its keys and values in every layer, up to the given slot",
          "[kv_cache]") {
  Random random(4);
  auto cache = filled_cache(random, 4, 6);
  for (int64_t layer = 0; layer < 2; ++layer) CHECK(cache.keys(layer, 4, 6).ne(0).all().item<bool>());
  std::vector<at::Tensor> before;
  for (int64_t layer = 0; layer < 2; ++layer) {
    before.push_back(cache.keys(layer, 4, 6).clone());
    before.push_back(cache.values(layer, 4, 6).clone());
  }
  cache.copy_row(3, 1, 4);
  for (int64_t layer = 0; layer < 2; ++layer) {
    const at::Tensor after[] = {cache.keys(layer, 4, 6), cache.values(layer, 4, 6)};
    for (int side = 0; side < 2; ++side) {
      auto expected = before[2 * layer + side].clone();
      expected.select(0, 1).narrow(0, 0, 4).copy_(expected.select(0, 3).narrow(0, 0, 4));
      CHECK_THAT(after[side], BitEqual(expected));
    }
  }
}

TEST_CASE("the predicted size of a cache is the size of its tensors", "[kv_cache]") {
  for (auto dtype : {DType::kFloat32, DType::kBFloat16, DType::kFloat16}) {
    const KvCache cache(config(), 5, 7, dtype, at::kCPU);
    int64_t bytes = 0;
    for (int64_t layer = 0; layer < cache.num_layers(); ++layer) {
      for (const auto& side : {cache.keys(layer, 5, 7), cache.values(layer, 5, 7)}) {
        bytes += static_cast<int64_t>(side.nbytes());
      }
    }
    CHECK(KvCache::num_bytes(config(), 5, 7, dtype) == bytes);
  }
}

}  // namespace
}  // namespace prepack
