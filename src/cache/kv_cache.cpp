#include "prepack/kv_cache.h"

#include <ATen/ops/zeros.h>

#include "base/scalar_type.h"
#include "cache/lazy_zeros.h"

namespace prepack {

KvCache::KvCache(const ModelConfig& config, int64_t num_rows, int64_t capacity, DType dtype,
                 at::Device device, CacheMemory memory)
    : num_rows_(num_rows), capacity_(capacity) {
  // Zeros, not uninitialised: slots behind a shorter row's end are masked, but a masked NaN is
  // still NaN after it is multiplied by its weight of zero. Lazy, because those slots are most of a
  // batch of uneven prompts.
  const auto scalar_type = to_scalar_type(dtype);
  const std::vector<int64_t> shape = {num_rows * capacity, config.num_kv_heads, config.head_dim};
  for (int64_t layer = 0; layer < config.num_layers; ++layer) {
    for (auto* side : {&keys_, &values_}) {
      side->push_back(
          memory == CacheMemory::kExact
              ? lazy_zeros(shape, scalar_type, device)
              : at::zeros(shape, at::TensorOptions().dtype(scalar_type).device(device)));
    }
  }
}

void KvCache::write(int64_t layer, const at::Tensor& keys, const at::Tensor& values,
                    const CacheSlots& where) {
  const auto stored = [&](const at::Tensor& all) {
    return where.tokens.defined() ? all.index_select(0, where.tokens) : all;
  };
  keys_[layer].index_copy_(0, where.slots, stored(keys));
  values_[layer].index_copy_(0, where.slots, stored(values));
}

namespace {

at::Tensor leading_part(const at::Tensor& side, int64_t capacity, int64_t num_rows,
                        int64_t num_slots) {
  return side.view({-1, capacity, side.size(1), side.size(2)})
      .narrow(0, 0, num_rows)
      .narrow(1, 0, num_slots);
}

}  // namespace

at::Tensor KvCache::keys(int64_t layer, int64_t num_rows, int64_t num_slots) const {
  return leading_part(keys_[layer], capacity_, num_rows, num_slots);
}

at::Tensor KvCache::values(int64_t layer, int64_t num_rows, int64_t num_slots) const {
  return leading_part(values_[layer], capacity_, num_rows, num_slots);
}

void KvCache::copy_row(int64_t from, int64_t to, int64_t num_slots) {
  for (const auto* sides : {&keys_, &values_}) {
    for (const auto& side : *sides) {
      side.narrow(0, to * capacity_, num_slots).copy_(side.narrow(0, from * capacity_, num_slots));
    }
  }
}

void KvCache::release_row(int64_t row) {
  for (const auto* sides : {&keys_, &values_}) {
    for (const auto& side : *sides) release_pages(side.narrow(0, row * capacity_, capacity_));
  }
}

int64_t KvCache::bytes_per_slot(const ModelConfig& config, DType dtype) {
  return 2 * config.num_layers * config.num_kv_heads * config.head_dim * element_size(dtype);
}

}  // namespace prepack
