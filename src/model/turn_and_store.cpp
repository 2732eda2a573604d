#include "model/turn_and_store.h"

#include "cuda/cuda_half.h"

namespace prepack {

void turn_and_store(const at::Tensor& heads, int64_t num_query_heads, const RopeTable* rope,
                    KvCache& cache, int64_t layer, const CacheSlots& where) {
  // Rows with padding do not store every token; they are there to be compared with.
  if (heads.is_cuda() && !where.tokens.defined()) {
    cuda_half().rope_and_store(heads, num_query_heads, rope != nullptr ? rope->cos : at::Tensor(),
                               rope != nullptr ? rope->sin : at::Tensor(), where.slots,
                               cache.keys(layer), cache.values(layer));
    return;
  }
  const int64_t num_kv_heads = (heads.size(1) - num_query_heads) / 2;
  const int64_t num_turned = num_query_heads + num_kv_heads;
  if (rope != nullptr) apply_rope(heads.narrow(1, 0, num_turned), *rope);
  cache.write(layer, heads.narrow(1, num_query_heads, num_kv_heads),
              heads.narrow(1, num_turned, num_kv_heads), where);
}

}  // namespace prepack
