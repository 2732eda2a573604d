#include "prepack/memory.h"

#include <ATen/Parallel.h>

#include <algorithm>

#include "base/scalar_type.h"
#include "kernels/byte_tiles_product.h"
#include "kernels/many_rows.h"
#include "model/native_products.h"
#include "model/packed_product.h"
#include "model/product_shapes.h"
#include "model/quantized_gpu_product.h"
#include "model/wide_product.h"
#include "prepack/kv_cache.h"

namespace prepack {
namespace {

// Beyond these products get no faster.
constexpr int64_t kMostUsefulTokens = 2048;
constexpr int64_t kMostUsefulGpuTokens = 16384;
constexpr int64_t kFewestTokens = 256;

// Resident size of the program before it does anything, where that is not known: measured on one
// machine, and on others a third less. And the tokenizer's tables: measured, 210 of Qwen2.5 to 340
// of Llama 3.
constexpr int64_t kLibraryBytes = int64_t{190} << 20;
constexpr int64_t kTokenizerBytesPerEntry = 300;

// What the first forward adds to it, measured: code and tables of LibTorch, and threads.
constexpr int64_t kFirstForwardBytes = int64_t{10} << 20;

// On a CPU, for many tokens, where LibTorch multiplies these: the widened block of weights, and
// what its product packs its operands into, which stay; and some holes in the heap. Measured with
// AVX2; threads make no difference.
constexpr int64_t kBlockBytes = int64_t{16} << 20;

// For many tokens, where our own products multiply these: holes in the heap, measured, beside what
// the products say that they keep.
constexpr int64_t kHeapBytes = int64_t{12} << 20;

// Linux maps so much around each address of a file that is read.
constexpr int64_t kFaultAroundBytes = int64_t{64} << 10;

/// Dense masks are made in bool, one for each sliding window beside that of the layers without, and
/// turned into float32 by LibTorch's kernel.
int64_t bytes_per_mask_element(const ModelConfig& config) {
  return 1 + std::ssize(config.distinct_windows()) + static_cast<int64_t>(sizeof(float));
}

/// Of all masks of a forward. Rows that are one prompt each need none, but for a sliding window,
/// which is the same in all of them.
int64_t mask_bytes(const ModelConfig& config, const BatchShape& shape) {
  const int64_t window_elements =
      config.sliding_windows.empty() ? 0 : shape.max_row_len * shape.max_row_len;
  return std::max(shape.max_mask_elements, window_elements) * bytes_per_mask_element(config);
}

/// What a token has in a dense form beside the layers' own buffers: its kernel's result, as the
/// kernel lays it out and as the layer wants it.
int64_t dense_bytes_per_token(const ModelConfig& config, DType dtype) {
  return 2 * config.num_heads * config.head_dim * element_size(dtype);
}

/// Bytes that the weights of a decoder's products take when quantized, less what they took before.
int64_t quantized_difference(const ModelConfig& config, const Quantization& quantization,
                             int64_t weight_size) {
  const auto difference = [&](const ProductShape& shape, const Quantization& used) {
    return used.bytes(shape.out_features, shape.in_features) -
           shape.out_features * shape.in_features * weight_size;
  };
  int64_t of_layer = 0;
  for (const auto& shape : layer_products(config)) of_layer += difference(shape, quantization);
  const int64_t of_lm_head = config.tie_word_embeddings
                                 ? 0
                                 : difference({config.vocab_size, config.hidden_size}, {.bits = 8});
  return of_lm_head + config.num_layers * of_layer;
}

/// Bytes of the weights that never come into memory: of embeddings that are no weight of products,
/// and stay in the mapped file as it stores them, only the rows of the tokens do.
int64_t unread_bytes(const ModelConfig& config, DType dtype, at::Device device,
                     const BatchShape& shape) {
  const bool is_stored_so =
      config.dtype == dtype || element_size(config.dtype) < element_size(dtype);
  const bool is_mapped = device.is_cpu() && is_stored_so && !config.tie_word_embeddings &&
                         !config.has_quantized_tensors;
  if (!is_mapped || !shape.num_tokens) return 0;
  const int64_t row_bytes = config.hidden_size * element_size(config.dtype);
  return std::max<int64_t>(
      config.vocab_size * row_bytes - *shape.num_tokens * std::max(row_bytes, kFaultAroundBytes),
      0);
}

/// Whether products unpack weights as they read them.
bool has_packed_products(const ModelConfig& config, const Rounding& rounding) {
  return rounding.quantization || config.checkpoint_quantization || config.has_quantized_tensors;
}

/// Whether on a CPU they round what they read, and write in the dtype of their output.
bool has_rounded_products(const ModelConfig& config, at::Device device, const Rounding& rounding) {
  return device.is_cpu() && rounding.activations != Activations::kAsComputed &&
         has_packed_products(config, rounding);
}

/// Whether a CPU's matrix unit multiplies what they round.
bool has_tiled_products(const Rounding& rounding) {
  return rounding.quantization && rounding.quantization->bits == 8 &&
         rounding.activations == Activations::kInt8 && can_multiply_byte_tiles();
}

/// Whether products of many tokens write SwiGLU at once, so that gates and ups are nowhere; of few
/// tokens they take little. Weights are taken to be in rows, as where our own products are about as
/// fast as oneDNN's.
bool has_gated_products(const ModelConfig& config, DType dtype, at::Device device,
                        const Rounding& rounding) {
  // With a matrix unit these are LibTorch's, also of most weights whose products round elsewhere.
  if (dtype == DType::kBFloat16 && has_amx()) {
    return device.is_cpu() && has_tiled_products(rounding);
  }
  if (has_rounded_products(config, device, rounding)) return true;
  if (!device.is_cpu() || !has_fast_many_rows()) return false;
  if (dtype == DType::kFloat32) return true;
  const bool is_weight_alike =
      config.dtype != DType::kFloat16 || has_packed_products(config, rounding);
  return dtype == DType::kBFloat16 && has_bfloat16_dot_products() && is_weight_alike;
}

/// Whether products may read their input in an order of their own, from a copy.
bool has_ordered_products(const ModelConfig& config) {
  const auto& quantization = config.checkpoint_quantization;
  return quantization && quantization->has_own_order;
}

/// What products of many rows compute in, if they do not round what they read.
DType product_dtype(const ModelConfig& config, DType dtype, at::Device device,
                    const Rounding& rounding) {
  if (!device.is_cpu()) return dtype;
  // Packed weights are widened to bfloat16, but not to float16.
  const bool is_wide = dtype == DType::kFloat16 && has_packed_products(config, rounding);
  const bool is_native = has_native_products(to_scalar_type(dtype));
  return is_native && !is_wide ? dtype : DType::kFloat32;
}

/// What products of so many tokens make of their inputs and outputs: rounded, or in float32 where
/// they compute in that for another dtype. On a GPU with packed weights, what they make of these
/// too.
int64_t input_copy_bytes(const ModelConfig& config, DType dtype, at::Device device,
                         int64_t num_tokens, const Rounding& rounding) {
  const bool is_rounded = has_rounded_products(config, device, rounding);
  const bool is_wide = device.is_cpu() && dtype != DType::kFloat32 &&
                       product_dtype(config, dtype, device, rounding) == DType::kFloat32;
  const bool is_on_gpu = !device.is_cpu() && has_packed_products(config, rounding);
  int64_t most = 0;
  for (const auto& shape : layer_products(config)) {
    if (is_on_gpu) {
      most = std::max(
          most, quantized_gpu_product_bytes(num_tokens, shape.in_features, shape.out_features,
                                            dtype, rounding.activations == Activations::kInt8));
    } else if (is_rounded) {
      most = std::max(most, rounded_rows_bytes(num_tokens, shape.in_features));
    } else if (is_wide) {
      most = std::max(most, wide_copy_bytes(num_tokens, shape.in_features, shape.out_features));
    }
  }
  return most;
}

/// What products on a CPU keep for those that follow, with forwards of so many tokens.
int64_t kept_bytes(const ModelConfig& config, DType dtype, int64_t num_tokens,
                   const Rounding& rounding) {
  if (num_tokens <= max_stored_rows()) return 0;
  if (!has_fast_many_rows()) return kBlockBytes;
  // What products of rounded inputs widen their weights to is about as large as float32.
  const bool is_rounded = has_rounded_products(config, at::kCPU, rounding);
  const auto used = is_rounded ? DType::kFloat32 : product_dtype(config, dtype, at::kCPU, rounding);
  int64_t of_rows = 0;
  int64_t of_thread = 0;
  for (const auto& shape : layer_products(config)) {
    // Inputs that are rounded count among the activations.
    if (!is_rounded) {
      of_rows = std::max(of_rows, packed_rows_bytes(num_tokens, shape.in_features, used));
    }
    of_thread = std::max(of_thread, many_rows_bytes(used, shape.in_features, shape.out_features));
  }
  return of_rows + at::get_num_threads() * of_thread + kHeapBytes;
}

}  // namespace

int64_t activation_bytes_per_token(const ModelConfig& config, DType dtype, at::Device device,
                                   int64_t row_len, const Rounding& rounding) {
  const int64_t query_size = config.num_heads * config.head_dim;
  const int64_t key_size = config.num_kv_heads * config.head_dim;
  // Residual stream and normed input; and then of the layer's two halves the larger: queries, keys,
  // values and what attention makes of them, or gate, up and what becomes of these.
  const int64_t num_gated = has_gated_products(config, dtype, device, rounding) ? 1 : 3;
  const int64_t layer =
      2 * config.hidden_size +
      std::max(2 * query_size + 2 * key_size, num_gated * config.intermediate_size) +
      (has_ordered_products(config) ? config.intermediate_size : 0);
  // Attention on a GPU has a result of its own; what its products take was not measured.
  const int64_t on_gpu = device.is_cpu() ? 0 : query_size + 2 * config.intermediate_size;
  const int64_t dense = row_len == 0 ? 0
                                     : dense_bytes_per_token(config, dtype) +
                                           row_len * bytes_per_mask_element(config);
  return (layer + on_gpu) * element_size(dtype) + dense;
}

MemoryEstimate estimate_memory(const ModelConfig& config, DType dtype, at::Device device,
                               const BatchShape& shape, const Rounding& rounding,
                               const KnownBytes& known) {
  const int64_t weight_size = device.is_cpu()
                                  ? std::min(element_size(dtype), element_size(config.dtype))
                                  : element_size(dtype);
  const int64_t product_bytes =
      device.is_cpu() ? kept_bytes(config, dtype, shape.max_forward_tokens, rounding) : 0;
  const int64_t vocabulary_row = config.vocab_size * static_cast<int64_t>(sizeof(float));
  const int64_t scored_row =
      vocabulary_row + (dtype == DType::kFloat32 ? 0 : config.vocab_size * element_size(dtype));
  const int64_t token_bytes =
      activation_bytes_per_token(config, dtype, device, /*row_len=*/0, rounding) +
      (shape.max_row_len > 0 ? dense_bytes_per_token(config, dtype) : 0);
  const int64_t activations =
      shape.max_forward_tokens * token_bytes + mask_bytes(config, shape) +
      input_copy_bytes(config, dtype, device, shape.max_forward_tokens, rounding);
  const int64_t tokenizer_bytes = config.vocab_size * kTokenizerBytesPerEntry;
  const int64_t program = known.program ? *known.program + kFirstForwardBytes + product_bytes +
                                              (known.has_tokenizer ? 0 : tokenizer_bytes)
                                        : kLibraryBytes + tokenizer_bytes;
  return {
      .weights = known.weights.value_or(
                     config.num_parameters() * weight_size +
                     (rounding.quantization
                          ? quantized_difference(config, *rounding.quantization, weight_size)
                          : 0)) -
                 unread_bytes(config, dtype, device, shape),
      .cache = shape.cache_slots * KvCache::bytes_per_slot(config, dtype),
      .activations = activations,
      // Of all prompts, and of the forward that is adding to them. Others take the place of the
      // activations, which are freed before.
      .logits = 2 * shape.num_prompts * vocabulary_row +
                std::max<int64_t>(shape.num_scored * scored_row - activations, 0),
      .libraries = program,
  };
}

int64_t default_token_budget(const ModelConfig& config, DType dtype, at::Device device,
                             PrefillMethod method, int64_t longest_prompt, int64_t free_bytes) {
  const int64_t row_len = method == PrefillMethod::kPacked ? 0 : longest_prompt;
  const int64_t room = std::max<int64_t>(free_bytes, 0) / 2 /
                       activation_bytes_per_token(config, dtype, device, row_len);
  const int64_t most = device.is_cpu() ? kMostUsefulTokens : kMostUsefulGpuTokens;
  return std::max(longest_prompt, std::clamp(room, kFewestTokens, most));
}

}  // namespace prepack
