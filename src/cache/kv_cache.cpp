#include "prepack/kv_cache.h"

#include <ATen/ops/zeros.h>

#include <algorithm>
#include <cstring>
#include <limits>
#include <map>
#include <numeric>

#include "base/parallel_rows.h"
#include "base/profile.h"
#include "base/scalar_type.h"
#include "cache/lazy_zeros.h"

namespace prepack {

namespace {

void check_beginnings(std::span<const RowBeginning> beginnings,
                      std::span<const int64_t> row_capacities) {
  const auto num_rows = std::ssize(row_capacities);
  TORCH_CHECK(std::ssize(beginnings) == num_rows, "cache: ", beginnings.size(), " beginnings of ",
              num_rows, " rows");
  for (int64_t row = 0; row < num_rows; ++row) {
    const auto& [source, length] = beginnings[row];
    TORCH_CHECK(
        length >= 0 && length <= row_capacities[row] &&
            (length == 0 || (source >= 0 && source < num_rows && length <= row_capacities[source])),
        "cache: row ", row, " cannot begin with ", length, " positions of row ", source);
  }
  for (int64_t row = 0; row < num_rows; ++row) {
    int64_t num_sources = 0;
    for (auto at = row; beginnings[at].length > 0; at = beginnings[at].source) {
      TORCH_CHECK(++num_sources < num_rows, "cache: row ", row, " begins in itself");
    }
  }
}

}  // namespace

KvCache::KvCache(const ModelConfig& config, int64_t num_rows, int64_t capacity, DType dtype,
                 at::Device device, CacheMemory memory)
    : KvCache(memory, /*has_equal_rows=*/true) {
  set_rows(std::vector<int64_t>(num_rows, capacity), /*beginnings=*/{});
  capacity_ = capacity;  // of no rows too
  allocate(config, num_rows * capacity, dtype, device);
}

KvCache::KvCache(const ModelConfig& config, std::span<const int64_t> row_capacities, DType dtype,
                 at::Device device, std::span<const RowBeginning> beginnings)
    : KvCache(CacheMemory::kExact, /*has_equal_rows=*/false) {
  set_rows(row_capacities, beginnings);
  allocate(config, std::reduce(num_slots_.begin(), num_slots_.end()), dtype, device);
}

KvCache KvCache::without_rows(const ModelConfig& config, int64_t num_slots, DType dtype,
                              at::Device device) {
  KvCache cache(CacheMemory::kExact, /*has_equal_rows=*/false);
  cache.allocate(config, num_slots, dtype, device);
  return cache;
}

void KvCache::set_rows(std::span<const int64_t> capacities,
                       std::span<const RowBeginning> beginnings) {
  beginnings_.assign(beginnings.begin(), beginnings.end());
  if (beginnings.empty()) beginnings_.resize(capacities.size());
  check_beginnings(beginnings_, capacities);
  num_users_.assign(capacities.size(), 1);
  is_released_.resize(capacities.size());
  int64_t first_slot = 0;
  for (size_t row = 0; row < capacities.size(); ++row) {
    const auto& [source, length] = beginnings_[row];
    if (length > 0) ++num_users_[source];
    first_slots_.push_back(first_slot);
    num_slots_.push_back(capacities[row] - length);
    first_slot += num_slots_.back();
    capacity_ = std::max(capacity_, capacities[row]);
  }
}

void KvCache::allocate(const ModelConfig& config, int64_t num_slots, DType dtype,
                       at::Device device) {
  // Zeros, not uninitialised: slots behind a shorter row's end are masked, but a masked NaN is
  // still NaN after it is multiplied by its weight of zero. Lazy, because those slots are most of a
  // batch of uneven prompts.
  const auto scalar_type = to_scalar_type(dtype);
  const std::vector<int64_t> shape = {num_slots, config.num_kv_heads, config.head_dim};
  for (int64_t layer = 0; layer < config.num_layers; ++layer) {
    for (auto* side : {&keys_, &values_}) {
      side->push_back(
          memory_ == CacheMemory::kExact
              ? lazy_zeros(shape, scalar_type, device)
              : at::zeros(shape, at::TensorOptions().dtype(scalar_type).device(device)));
    }
  }
}

std::optional<int64_t> KvCache::find_room(int64_t num_slots) const {
  std::map<int64_t, int64_t> taken = {{keys_[0].size(0), 0}};  // the end bounds the last gap
  for (int64_t row = 0; row < num_rows(); ++row) {
    if (num_users_[row] > 0 && num_slots_[row] > 0) taken[first_slots_[row]] = num_slots_[row];
  }
  std::optional<int64_t> best;
  int64_t shortest = std::numeric_limits<int64_t>::max();
  int64_t gap = 0;  // where the gap before the next row begins
  for (const auto& [first, length] : taken) {
    const int64_t room = first - gap;
    if (room >= num_slots && room < shortest) {
      best = gap;
      shortest = room;
    }
    gap = first + length;
  }
  return best;
}

std::optional<int64_t> KvCache::add_row(int64_t capacity) {
  TORCH_CHECK(!has_equal_rows_ && capacity > 0, "cache: cannot add a row of ", capacity);
  const auto first_slot = find_room(capacity);
  if (!first_slot) return std::nullopt;
  const auto row = std::ranges::find(num_users_, 0) - num_users_.begin();
  if (row == num_rows()) {
    beginnings_.emplace_back();
    num_users_.push_back(0);
    is_released_.push_back(true);
    first_slots_.push_back(0);
    num_slots_.push_back(0);
  }
  beginnings_[row] = {};
  num_users_[row] = 1;
  is_released_[row] = false;
  first_slots_[row] = *first_slot;
  num_slots_[row] = capacity;
  capacity_ = std::max(capacity_, capacity);
  return row;
}

namespace {

void scatter(const at::Tensor& from, const CacheSlots& where, at::Tensor& to) {
  if (!to.is_cpu()) {  // the dense forms' way; the fast one's is turn_and_store
    to.index_copy_(0, where.slots,
                   where.tokens.defined() ? from.index_select(0, where.tokens) : from);
    return;
  }
  TORCH_CHECK(from.scalar_type() == to.scalar_type(), "the cache holds ", to.scalar_type(),
              ", not ", from.scalar_type());
  TORCH_CHECK(from.size(1) == to.size(1) && from.size(2) == to.size(2) && from.stride(2) == 1 &&
              (from.size(1) == 1 || from.stride(1) == from.size(2)));
  const auto* slots = where.slots.const_data_ptr<int64_t>();
  const auto* tokens = where.tokens.defined() ? where.tokens.const_data_ptr<int64_t>() : nullptr;
  const int64_t row_size = to.stride(0);
  const auto num_bytes = static_cast<size_t>(row_size * to.element_size());
  parallel_rows(where.slots.numel(), 2 * row_size, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      if (slots[i] == CacheSlots::kNowhere) continue;
      TORCH_CHECK(slots[i] >= 0 && slots[i] < to.size(0), "the cache has no slot ", slots[i]);
      std::memcpy(row_address(to, slots[i]), row_address(from, tokens ? tokens[i] : i), num_bytes);
    }
  });
}

at::Tensor leading_part(const at::Tensor& side, int64_t capacity, int64_t num_rows,
                        int64_t num_slots) {
  return side.view({-1, capacity, side.size(1), side.size(2)})
      .narrow(0, 0, num_rows)
      .narrow(1, 0, num_slots);
}

}  // namespace

void KvCache::write(int64_t layer, const at::Tensor& keys, const at::Tensor& values,
                    const CacheSlots& where) {
  const ProfiledPart part(Part::kCacheWrite);
  scatter(keys, where, keys_[layer]);
  scatter(values, where, values_[layer]);
}

at::Tensor KvCache::keys(int64_t layer, int64_t num_rows, int64_t num_slots) const {
  TORCH_CHECK(has_equal_rows_, "the rows of this cache have lengths of their own");
  return leading_part(keys_[layer], capacity_, num_rows, num_slots);
}

at::Tensor KvCache::values(int64_t layer, int64_t num_rows, int64_t num_slots) const {
  TORCH_CHECK(has_equal_rows_, "the rows of this cache have lengths of their own");
  return leading_part(values_[layer], capacity_, num_rows, num_slots);
}

std::vector<SlotRun> KvCache::slot_runs(int64_t row, int64_t num_positions) const {
  const auto& [source, length] = beginnings_[row];
  std::vector<SlotRun> runs;
  if (length > 0) runs = slot_runs(source, std::min(length, num_positions));
  runs.push_back({first_slot(row), std::max<int64_t>(num_positions - length, 0)});
  return runs;
}

void KvCache::copy_row(int64_t from, int64_t to, int64_t num_slots) {
  TORCH_CHECK(beginnings_[from].length == 0 && beginnings_[to].length == 0, "cache: row ", from,
              " cannot be copied to row ", to, ": one begins in another");
  for (const auto* sides : {&keys_, &values_}) {
    for (const auto& side : *sides) {
      side.narrow(0, first_slot(to), num_slots).copy_(side.narrow(0, first_slot(from), num_slots));
    }
  }
}

void KvCache::release_row(int64_t row) {
  TORCH_CHECK(!is_released_[row], "cache: row ", row, " was released before");
  is_released_[row] = true;
  while (--num_users_[row] == 0) {
    for (const auto* sides : {&keys_, &values_}) {
      for (const auto& side : *sides) {
        release_pages(side.narrow(0, first_slot(row), num_slots_[row]));
      }
    }
    if (beginnings_[row].length == 0) return;
    row = beginnings_[row].source;
  }
}

int64_t KvCache::bytes_per_slot(const ModelConfig& config, DType dtype) {
  return 2 * config.num_layers * config.num_kv_heads * config.head_dim * element_size(dtype);
}

}  // namespace prepack
