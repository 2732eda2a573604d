#pragma once

#include <c10/core/Device.h>

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "cli/options.h"
#include "cli/prepared_prompt.h"
#include "prepack/dtype.h"
#include "prepack/generate.h"
#include "prepack/memory.h"
#include "prepack/model.h"
#include "prepack/model_config.h"
#include "prepack/prefill.h"
#include "prepack/tokenizer.h"

namespace prepack::cli {

/// --model, else what PREPACK_MODEL names, else the default model: a folder, or a GGUF file.
/// @throws InvalidArgument if there is none
std::filesystem::path resolve_model(const std::string& model);

/// What a folder is called, whatever its path.
std::string folder_name(const std::filesystem::path& folder);

/// Reads --method, --packing, --capacity, --final-token and --token-budget. With --capacity auto
/// the capacity is still 0.
/// @throws UsageError naming the option
PrefillOptions parse_prefill_options(const BatchOptions& options);

/// Whether the capacity is --capacity auto.
bool measures_capacity(const BatchOptions& options);

/// Reads --dtype. @throws UsageError
DType parse_compute_dtype(const std::string& name, const ModelConfig& config, at::Device device);

/// Reads --quantize and --quantize-group. @throws UsageError, also for a model that is quantized
/// already
std::optional<Quantization> parse_quantize_options(const ModelOptions& options,
                                                   const ModelConfig& config);

/// Reads --quantize-activations. @throws UsageError
Activations parse_activations_option(const ModelOptions& options);

/// Reads --weight-layout. @throws UsageError
WeightLayout parse_weight_layout_option(const ModelOptions& options);

/// What `weight_bytes` says, where weights can be opened and are the model's; that they are not is
/// an error where they are loaded. And what the process has by now, for a job on the CPU.
KnownBytes find_known_bytes(const std::filesystem::path& model, const LoadOptions& options);

/// Everything that is decided before weights are loaded.
struct Job {
  std::filesystem::path model_folder;  // or a GGUF file
  ModelConfig config;
  at::Device device = at::kCPU;
  DType dtype = DType::kFloat32;
  std::optional<Quantization> quantization;
  Activations activations = Activations::kAsComputed;
  WeightLayout weight_layout = WeightLayout::kAuto;
  KnownBytes known_bytes;
  int threads = 1;
  std::unique_ptr<Tokenizer> tokenizer;
  std::vector<PreparedPrompt> prompts;
  int64_t batch_size = 1;
  bool refills = false;  // the next prompts may join those that are left of a batch
  PrefillOptions prefill;
  bool measures_capacity = false;  // --capacity auto: chosen once the model is loaded
  MemoryEstimate memory;           // predicted peak
  int64_t memory_limit = 0;        // bytes the job may take
};

/// The part of a job that needs no prompts: options, configuration, tokenizer, device, dtype and
/// memory limit.
Job prepare_model_job(const ModelOptions& model, const BatchOptions& batch);

/// Reads configuration, tokenizer and prompts, chooses device, dtype and token budget, and predicts
/// the peak of memory.
/// @param sampling  nothing is generated where it is absent
Job prepare_job(const ModelOptions& model, const PromptOptions& prompts, const BatchOptions& batch,
                const std::optional<SamplingOptions>& sampling);

/// The peak of memory with the job's prefill options, over all batches.
MemoryEstimate predict_memory(const Job& job);

/// @throws OutOfMemory with the prediction, if it exceeds the limit
void require_memory(const Job& job);

/// Tokens of the longest prompt; 0 if there is none.
int64_t longest_prompt(const Job& job);

/// Loads the job's model.
Model load_model(const Job& job);

/// The prompts of one batch, as indices into those of the job.
using Batch = std::vector<size_t>;

/// Cuts the prompts from `first_prompt` on into batches of the job's size: in the caller's order,
/// or, where beginnings are shared, as make_prefix_batches does, so that prompts that begin alike
/// are in one batch, which may be smaller then.
std::vector<Batch> make_batches(const Job& job, size_t first_prompt = 0);

/// The tokens of each of a batch's prompts.
std::vector<int64_t> batch_lengths(const Job& job, const Batch& batch);

/// The requests of a batch's prompts.
std::vector<GenerationRequest> batch_requests(const Job& job, const Batch& batch);

/// The token ids of a batch's prompts.
std::vector<TokenIds> batch_prompts(const Job& job, const Batch& batch);

}  // namespace prepack::cli
