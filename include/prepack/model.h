#pragma once

#include <ATen/core/Tensor.h>

#include <filesystem>
#include <memory>
#include <optional>
#include <vector>

#include "prepack/attention.h"
#include "prepack/dtype.h"
#include "prepack/kv_cache.h"
#include "prepack/model_config.h"
#include "prepack/quantization.h"
#include "prepack/weight_layout.h"

namespace prepack {

/// The tokens of one forward, in one dimension whatever their layout: rows are flattened.
struct ForwardInput {
  at::Tensor input_ids;     // [num_tokens] int64
  at::Tensor position_ids;  // [num_tokens] int64, each token's position in its own sequence
  AttentionSpec attention;
  CacheSlots cache_slots;  // where the keys and values of these tokens go

  /// The tokens whose hidden states are read: each sequence's last, in their order, or none at all.
  /// No others: VarlenAttention takes them for the last without looking.
  /// Of the others the last layer computes what a cache keeps. Absent: all tokens.
  std::optional<at::Tensor> output_tokens = {};  // [num_outputs] int64

  /// Tokens of the sequence that each token belongs to: in a prefill of the whole prompt, in a
  /// decode step up to and with the new token. Read where `RopeConfig::depends_on_length` only.
  std::vector<int64_t> sequence_lens = {};  // [num_tokens]; any number for padding
};

struct LoadOptions {
  std::optional<DType> dtype = {};  // to compute in; default: `default_dtype`
  at::Device device = at::kCPU;
  std::optional<Quantization> quantization = {};       // of products; absent: as they are stored
  Activations activations = Activations::kAsComputed;  // rounded: with quantized weights only
  WeightLayout weight_layout = WeightLayout::kAuto;    // of products, on a CPU
};

/// The dtype to compute in where none is asked for: the stored one, but float32 on a CPU that has
/// no instructions for bfloat16 or float16 products and would emulate them many times slower.
DType default_dtype(const ModelConfig& config, at::Device device);

/// A decoder-only language model. Immutable after loading; every method is const.
class Model {
 public:
  /// The model's layers; the definition stays inside the library.
  struct Decoder;

  Model(ModelConfig config, DType dtype, at::Device device, std::shared_ptr<const Decoder> decoder,
        std::optional<Quantization> quantization = {},
        Activations activations = Activations::kAsComputed);

  const ModelConfig& config() const { return config_; }
  DType dtype() const { return dtype_; }
  at::Device device() const { return device_; }
  const std::optional<Quantization>& quantization() const { return quantization_; }
  Activations activations() const { return activations_; }

  /// Whether the weights of any products are in oneDNN's layout.
  bool has_blocked_weights() const;

  /// Bytes of all weights, as they are kept in memory.
  int64_t weight_bytes() const;

  /// Bytes of those that a decode step reads: all but an embedding table that is not the
  /// projection to the vocabulary as well, of which it reads a few rows.
  int64_t step_weight_bytes() const;

  /// Runs all layers and the final norm. Writes keys and values to `cache`. VarlenAttention and
  /// CacheAttention read them there, with what earlier forwards wrote, so that the tokens'
  /// `cache_slots` must be among those that they name; the dense forms attend to the keys at hand.
  /// @throws InvalidArgument if sequence_lens are needed and there are not as many as tokens
  /// @return hidden states [num_tokens, hidden_size], or of the output tokens alone, in the model's
  ///         dtype
  at::Tensor forward(const ForwardInput& input, KvCache& cache) const;

  /// Projects hidden states to the vocabulary. Apart from `forward`, so that prefill never does
  /// this for tokens whose logits nobody reads.
  /// @param hidden  [num_tokens, hidden_size]
  /// @return [num_tokens, vocab_size] float32
  at::Tensor compute_logits(const at::Tensor& hidden) const;

 private:
  ModelConfig config_;
  DType dtype_;
  at::Device device_;
  std::shared_ptr<const Decoder> decoder_;
  std::optional<Quantization> quantization_;
  Activations activations_;
};

/// Loads config.json and the safetensors weights of a Hugging Face folder, or a GGUF file.
/// Quantized weights of products and embeddings stay quantized, their numbers unchanged; on a GPU
/// others are converted to the dtype.
/// @param path  of the folder, or of the GGUF file
/// @throws InvalidArgument for a quantization that there is not, or of activations where no weight
///         has products with such; and where blocked weights are asked for, but none can be
/// @throws LoadError for a missing or corrupt file, and one listing every missing, unexpected and
///         misshapen tensor; OutOfMemory where the weights do not fit
Model load_model(const std::filesystem::path& path, const LoadOptions& options = {});

/// Bytes of the weights that `load_model` will keep in memory, from the files' headers, and of
/// GPTQ the order of input features.
/// @throws as load_model does before it reads any data
int64_t weight_bytes(const std::filesystem::path& path, const LoadOptions& options = {});

}  // namespace prepack
