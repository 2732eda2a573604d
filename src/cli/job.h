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

/// Reads --method, --packing, --capacity, --final-token and --token-budget. With --capacity auto
/// the
/// capacity is still 0. @throws UsageError naming the option
PrefillOptions parse_prefill_options(const BatchOptions& options);

/// Reads --dtype. @throws UsageError
DType parse_compute_dtype(const std::string& name, const ModelConfig& config, at::Device device);

/// Everything that is decided before weights are loaded.
struct Job {
  std::filesystem::path model_folder;  // or a GGUF file
  ModelConfig config;
  at::Device device = at::kCPU;
  DType dtype = DType::kFloat32;
  int threads = 1;
  std::unique_ptr<Tokenizer> tokenizer;
  std::vector<PreparedPrompt> prompts;
  int64_t batch_size = 1;
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

/// With --capacity auto, measures the capacity.
void choose_capacity(Job& job, const Model& model);

/// The half-open range of prompts of each batch, in the caller's order.
struct BatchRange {
  size_t begin;
  size_t end;
};
std::vector<BatchRange> batch_ranges(size_t num_prompts, int64_t batch_size);

/// The tokens of each of a batch's prompts.
std::vector<int64_t> batch_lengths(const Job& job, BatchRange range);

/// The requests of a batch's prompts.
std::vector<GenerationRequest> batch_requests(const Job& job, BatchRange range);

/// The token ids of a batch's prompts.
std::vector<TokenIds> batch_prompts(const Job& job, BatchRange range);

}  // namespace prepack::cli
