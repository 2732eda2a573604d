#include "prepack/kv_cache.h"

#include <ATen/ops/zeros.h>

#include <algorithm>
#include <cstring>
#include <numeric>

#include "base/parallel_rows.h"
#include "base/profile.h"
#include "base/scalar_type.h"
#include "cache/lazy_zeros.h"

namespace prepack {

KvCache::KvCache(const ModelConfig& config, int64_t num_rows, int64_t capacity, DType dtype,
                 at::Device device, CacheMemory memory)
    : KvCache(config, std::vector<int64_t>(num_rows, capacity), dtype, device, memory,
              /*has_equal_rows=*/true) {
  capacity_ = capacity;  // of no rows too
}

KvCache::KvCache(const ModelConfig& config, std::span<const int64_t> row_capacities, DType dtype,
                 at::Device device)
    : KvCache(config, row_capacities, dtype, device, CacheMemory::kExact,
              /*has_equal_rows=*/false) {}

KvCache::KvCache(const ModelConfig& config, std::span<const int64_t> row_capacities, DType dtype,
                 at::Device device, CacheMemory memory, bool has_equal_rows)
    : first_slots_(row_capacities.size() + 1),
      capacity_(row_capacities.empty() ? 0 : std::ranges::max(row_capacities)),
      memory_(memory),
      has_equal_rows_(has_equal_rows) {
  std::partial_sum(row_capacities.begin(), row_capacities.end(), first_slots_.begin() + 1);
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

void KvCache::copy_row(int64_t from, int64_t to, int64_t num_slots) {
  for (const auto* sides : {&keys_, &values_}) {
    for (const auto& side : *sides) {
      side.narrow(0, first_slot(to), num_slots).copy_(side.narrow(0, first_slot(from), num_slots));
    }
  }
}

void KvCache::release_row(int64_t row) {
  for (const auto* sides : {&keys_, &values_}) {
    for (const auto& side : *sides) {
      release_pages(side.narrow(0, first_slot(row), row_capacity(row)));
    }
  }
}

int64_t KvCache::bytes_per_slot(const ModelConfig& config, DType dtype) {
  return 2 * config.num_layers * config.num_kv_heads * config.head_dim * element_size(dtype);
}

}  // namespace prepack
