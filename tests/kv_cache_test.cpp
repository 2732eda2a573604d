#include "prepack/kv_cache.h"

#include <ATen/ops/tensor.h>
#include <ATen/ops/zeros_like.h>
#include <malloc.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>

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

/// Memory that the process holds now.
int64_t resident_bytes() {
  std::ifstream file("/proc/self/statm");
  int64_t total_pages = 0;
  int64_t resident_pages = 0;
  file >> total_pages >> resident_pages;
  return resident_pages * sysconf(_SC_PAGESIZE);
}

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

TEST_CASE("an exact cache takes memory where it is written, a padded one everywhere",
          "[kv_cache]") {
  // 64 MB of slots.
  const auto make = [](CacheMemory memory) {
    return KvCache(config(), 16, 20'800, DType::kFloat32, at::kCPU, memory);
  };
  malloc_trim(0);  // what other tests freed would be taken again, and is resident already
  const int64_t before = resident_bytes();
  const auto exact = make(CacheMemory::kExact);
  CHECK(resident_bytes() - before < 8 << 20);
  const auto padded = make(CacheMemory::kPadded);
  CHECK(resident_bytes() - before > 56 << 20);
  CHECK(exact.capacity() == padded.capacity());
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

TEST_CASE("a token whose slot is nowhere is left out of the cache", "[kv_cache]") {
  Random random(3);
  KvCache cache(config(), 2, 3, DType::kFloat32, at::kCPU);
  const auto keys = random_tensor(random, {3, 3, 4});
  const auto values = random_tensor(random, {3, 3, 4});
  cache.write(0, keys, values, {{}, indices({5, CacheSlots::kNowhere, 1})});
  CHECK_THAT(cache.keys(0).index_select(0, indices({5, 1})),
             BitEqual(keys.index_select(0, indices({0, 2}))));
  CHECK(cache.keys(0).ne(0).any(-1).any(-1).sum().item<int64_t>() == 2);
  CHECK_THROWS(cache.write(0, keys, values, {{}, indices({5, -2, 1})}));
  CHECK_THROWS(cache.write(0, keys, values, {{}, indices({5, 6, 1})}));
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
  for (int64_t layer = 0; layer < 2; ++layer)
    CHECK(cache.keys(layer, 4, 6).ne(0).all().item<bool>());
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

TEST_CASE("releasing a row leaves every other row as it was", "[kv_cache]") {
  Random random(5);
  // Rows of seven pages and a bit, so that neighbours share a page.
  auto cache = filled_cache(random, 4, 600);
  std::vector<at::Tensor> before;
  for (int64_t layer = 0; layer < 2; ++layer) {
    before.push_back(cache.keys(layer, 4, 600).clone());
    before.push_back(cache.values(layer, 4, 600).clone());
  }
  cache.release_row(2);
  for (int64_t layer = 0; layer < 2; ++layer) {
    const at::Tensor after[] = {cache.keys(layer, 4, 600), cache.values(layer, 4, 600)};
    for (int side = 0; side < 2; ++side) {
      for (int64_t row : {0, 1, 3}) {
        CHECK_THAT(after[side][row], BitEqual(before[2 * layer + side][row]));
      }
    }
  }
}

TEST_CASE("a released row may be written again", "[kv_cache]") {
  Random random(6);
  auto cache = filled_cache(random, 2, 600);
  cache.release_row(1);
  const auto keys = random_tensor(random, {1, 3, 4});
  const auto values = random_tensor(random, {1, 3, 4});
  cache.write(1, keys, values, {{}, indices({600 + 300})});
  CHECK_THAT(cache.keys(1, 2, 600)[1][300], BitEqual(keys[0]));
  CHECK_THAT(cache.values(1, 2, 600)[1][300], BitEqual(values[0]));
}

TEST_CASE("slots take memory when they are written, and give it back with their row",
          "[kv_cache]") {
  constexpr int64_t kMebibyte = 1 << 20;
  auto shape = config();
  shape.num_kv_heads = 64;
  shape.head_dim = 64;
  const int64_t at_first = resident_bytes();
  // 2 layers of 16 KiB per slot and side: 1 GiB in all.
  KvCache cache(shape, 4, 4096, DType::kFloat32, at::kCPU);
  CHECK(resident_bytes() - at_first < 32 * kMebibyte);
  for (int64_t layer = 0; layer < 2; ++layer) cache.keys(layer, 2, 4096)[1].fill_(1);
  CHECK(resident_bytes() - at_first > 120 * kMebibyte);
  cache.release_row(1);
  CHECK(resident_bytes() - at_first < 32 * kMebibyte);
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
    CHECK(35 * KvCache::bytes_per_slot(config(), dtype) == bytes);
  }
}

TEST_CASE("rows of their own lengths lie one behind the other", "[kv_cache]") {
  Random random(5);
  const std::vector<int64_t> capacities = {3, 1, 4};
  KvCache cache(config(), capacities, DType::kFloat32, at::kCPU);
  CHECK(cache.num_rows() == 3);
  CHECK(cache.capacity() == 4);
  CHECK(cache.first_slot(1) == 3);
  CHECK(cache.first_slot(2) == 4);
  CHECK(cache.row_capacity(1) == 1);
  CHECK(cache.keys(0).size(0) == 8);
  const auto keys = random_tensor(random, {8, 3, 4});
  cache.write(0, keys, keys, {{}, indices({0, 1, 2, 3, 4, 5, 6, 7})});
  cache.copy_row(0, 2, 2);
  CHECK_THAT(cache.keys(0), BitEqual(keys.index_select(0, indices({0, 1, 2, 3, 0, 1, 6, 7}))));
  CHECK_THROWS(cache.keys(0, 1, 1));
  CHECK_THROWS(cache.values(0, 1, 1));
}

TEST_CASE("a row that begins in another has slots for what comes behind that", "[kv_cache]") {
  const std::vector<int64_t> capacities = {6, 7, 9, 4};
  // Row 2 begins in row 1, which begins in row 3.
  const std::vector<RowBeginning> beginnings = {{}, {3, 3}, {1, 5}, {}};
  const KvCache cache(config(), capacities, DType::kFloat32, at::kCPU, beginnings);
  CHECK(cache.keys(0).size(0) == 6 + 4 + 4 + 4);
  CHECK(cache.capacity() == 9);
  const int64_t first_slots[] = {0, 6, 10, 14};
  for (int64_t row = 0; row < 4; ++row) {
    CHECK(cache.row_capacity(row) == capacities[row]);
    CHECK(cache.first_slot(row) == first_slots[row]);
    CHECK(cache.beginning(row).length == beginnings[row].length);
  }
  CHECK(cache.slot(0, 2) == 2);
  CHECK(cache.slot(1, 3) == 6);
  CHECK(cache.slot(2, 8) == 13);
  using Runs = std::vector<SlotRun>;
  CHECK((cache.slot_runs(0, 5) == Runs{{0, 5}}));
  CHECK((cache.slot_runs(1, 7) == Runs{{14, 3}, {6, 4}}));
  CHECK((cache.slot_runs(2, 7) == Runs{{14, 3}, {6, 2}, {10, 2}}));
  CHECK((cache.slot_runs(2, 2) == Runs{{14, 2}, {6, 0}, {10, 0}}));
  CHECK_THROWS(cache.keys(0, 1, 1));
}

TEST_CASE("beginnings that a row cannot have are refused", "[kv_cache]") {
  const std::vector<int64_t> capacities = {4, 6, 5};
  const auto make = [&](std::vector<RowBeginning> beginnings) {
    return KvCache(config(), capacities, DType::kFloat32, at::kCPU, beginnings);
  };
  CHECK_NOTHROW(make({{1, 4}, {2, 5}, {}}));
  CHECK_THROWS(make({{}, {0, 5}, {}}));  // longer than its source
  CHECK_THROWS(make({{1, 5}, {}, {}}));  // longer than the row
  CHECK_THROWS(make({{3, 1}, {}, {}}));
  CHECK_THROWS(make({{-1, 1}, {}, {}}));
  CHECK_THROWS(make({{1, -1}, {}, {}}));
  CHECK_THROWS(make({{}, {}}));
  CHECK_THROWS(make({{0, 1}, {}, {}}));      // in itself
  CHECK_THROWS(make({{1, 2}, {0, 2}, {}}));  // in a circle
  auto cache = make({{}, {0, 2}, {}});
  CHECK_THROWS(cache.copy_row(0, 1, 1));
  CHECK_THROWS(cache.copy_row(1, 0, 1));
  CHECK_NOTHROW(cache.copy_row(0, 2, 1));
}

TEST_CASE("a released row is kept while others begin in it", "[kv_cache]") {
  // Rows of seven pages and more. Rows 1 and 3 begin in row 0, row 2 in row 1.
  const std::vector<int64_t> capacities = {600, 1000, 1500, 900};
  const std::vector<RowBeginning> beginnings = {{}, {0, 300}, {1, 600}, {0, 200}};
  for (const auto& order : std::vector<std::vector<int64_t>>{
           {0, 1, 2, 3}, {3, 2, 1, 0}, {1, 0, 3, 2}, {2, 0, 1, 3}, {0, 3, 1, 2}}) {
    CAPTURE(order);
    KvCache cache(config(), capacities, DType::kFloat32, at::kCPU, beginnings);
    for (int64_t layer = 0; layer < 2; ++layer) {
      cache.keys(layer).fill_(1);
      cache.values(layer).fill_(1);
    }
    const auto is_kept = [&](int64_t row) {
      const auto num_slots = capacities[row] - beginnings[row].length;
      return cache.values(1).narrow(0, cache.first_slot(row), num_slots).eq(1).all().item<bool>();
    };
    std::vector<bool> is_released(4);
    for (int64_t row : order) {
      cache.release_row(row);
      is_released[row] = true;
      CHECK(is_kept(3) == !is_released[3]);
      CHECK(is_kept(2) == !is_released[2]);
      CHECK(is_kept(1) == !(is_released[1] && is_released[2]));
      CHECK(is_kept(0) == !(is_released[0] && is_released[1] && is_released[2] && is_released[3]));
    }
  }
}

TEST_CASE("rows that come and go lie apart, in the shortest gap that has room", "[kv_cache]") {
  Random random(6);
  for (int trial = 0; trial < 50; ++trial) {
    const int64_t num_slots = random.integer(1, 60);
    auto cache = KvCache::without_rows(config(), num_slots, DType::kFloat32, at::kCPU);
    CHECK(cache.num_rows() == 0);
    CHECK(cache.keys(0).size(0) == num_slots);
    std::vector<int64_t> owners(num_slots, -1);  // the row that has each slot
    std::vector<int64_t> rows;
    int64_t most_rows = 0;
    for (int step = 0; step < 200; ++step) {
      if (!rows.empty() && random.integer(0, 2) == 0) {
        random.shuffle(rows);
        std::ranges::replace(owners, rows.back(), -1);
        cache.release_row(rows.back());
        rows.pop_back();
        continue;
      }
      const int64_t capacity = random.integer(1, 20);
      int64_t shortest = num_slots + 1;  // gap with room
      for (int64_t at = 0; at < num_slots;) {
        int64_t length = 0;
        while (at + length < num_slots && owners[at + length] == -1) ++length;
        if (length >= capacity) shortest = std::min(shortest, length);
        at += std::max<int64_t>(length, 1);
      }
      const auto row = cache.add_row(capacity);
      REQUIRE(row.has_value() == (shortest <= num_slots));
      if (!row) continue;
      REQUIRE(std::ranges::find(rows, *row) == rows.end());
      REQUIRE(cache.row_capacity(*row) == capacity);
      REQUIRE(cache.slot(*row, capacity - 1) == cache.first_slot(*row) + capacity - 1);
      const int64_t first = cache.first_slot(*row);
      for (int64_t slot = first; slot < first + capacity; ++slot) {
        REQUIRE(owners[slot] == -1);
        owners[slot] = *row;
      }
      // The gap was the shortest: its free slots before and behind the row add up to it.
      int64_t begin = first;
      int64_t end = first + capacity;
      while (begin > 0 && owners[begin - 1] == -1) --begin;
      while (end < num_slots && owners[end] == -1) ++end;
      REQUIRE(end - begin == shortest);
      rows.push_back(*row);
      most_rows = std::max(most_rows, std::ssize(rows));
    }
    CHECK(cache.num_rows() == most_rows);
  }
}

TEST_CASE("a released row's number and slots are another's", "[kv_cache]") {
  auto cache = KvCache::without_rows(config(), 10, DType::kFloat32, at::kCPU);
  CHECK(cache.add_row(4) == 0);
  CHECK(cache.add_row(6) == 1);
  CHECK_FALSE(cache.add_row(1).has_value());
  CHECK(cache.capacity() == 6);
  cache.release_row(0);
  CHECK_THROWS(cache.release_row(0));
  CHECK_FALSE(cache.add_row(5).has_value());
  CHECK(cache.add_row(3) == 0);
  CHECK(cache.row_capacity(0) == 3);
  CHECK(cache.add_row(1) == 2);
  CHECK(cache.first_slot(2) == 3);
  CHECK_THROWS(cache.add_row(0));
  KvCache equal_rows(config(), 2, 5, DType::kFloat32, at::kCPU);
  CHECK_THROWS(equal_rows.add_row(1));
}

}  // namespace
}  // namespace prepack
