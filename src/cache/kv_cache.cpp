#include "prepack/kv_cache.h"

#include <ATen/ops/zeros.h>

#include <algorithm>
#include <cstring>

#include "base/parallel_rows.h"
#include "base/profile.h"
#include "base/scalar_type.h"
#include "cache/lazy_zeros.h"

namespace prepack {

KvCache::KvCache(const ModelConfig& config, int64_t num_rows, int64_t capacity, DType dtype,
                 at::Device device, CacheMemory memory)
    : KvCache(config, std::vector<int64_t>(num_rows, capacity), dtype, device, /*beginnings=*/{},
              memory, /*has_equal_rows=*/true) {
  capacity_ = capacity;  // of no rows too
}

KvCache::KvCache(const ModelConfig& config, std::span<const int64_t> row_capacities, DType dtype,
                 at::Device device, std::span<const RowBeginning> beginnings)
    : KvCache(config, row_capacities, dtype, device, beginnings, CacheMemory::kExact,
              /*has_equal_rows=*/false) {}

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

KvCache::KvCache(const ModelConfig& config, std::span<const int64_t> row_capacities, DType dtype,
                 at::Device device, std::span<const RowBeginning> beginnings, CacheMemory memory,
                 bool has_equal_rows)
    : beginnings_(beginnings.begin(), beginnings.end()),
      num_users_(row_capacities.size(), 1),
      is_released_(row_capacities.size()),
      first_slots_(row_capacities.size() + 1),
      capacity_(row_capacities.empty() ? 0 : std::ranges::max(row_capacities)),
      memory_(memory),
      has_equal_rows_(has_equal_rows) {
  beginnings_.resize(beginnings.empty() ? row_capacities.size() : beginnings.size());
  check_beginnings(beginnings_, row_capacities);
  for (size_t row = 0; row < row_capacities.size(); ++row) {
    const auto& [source, length] = beginnings_[row];
    first_slots_[row + 1] = first_slots_[row] + row_capacities[row] - length;
    if (length > 0) ++num_users_[source];
  }
  // Zeros, not uninitialised: slots behind a shorter row's end are masked, but a masked NaN is
  // still NaN after it is multiplied by its weight of zero. Lazy, because those slots are most of a
  // batch of uneven prompts.
  const auto scalar_type = to_scalar_type(dtype);
  const std::vector<int64_t> shape = {first_slots_.back(), config.num_kv_heads, config.head_dim};
  for (int64_t layer = 0; layer < config.num_layers; ++layer) {
    for (auto* side : {&keys_, &values_}) {
      side->push_back(
          memory == CacheMemory::kExact
              ? lazy_zeros(shape, scalar_type, device)
              : at::zeros(shape, at::TensorOptions().dtype(scalar_type).device(device)));
    }
  }
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
        release_pages(side.narrow(0, first_slot(row), first_slot(row + 1) - first_slot(row)));
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
