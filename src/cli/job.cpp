#include "cli/job.h"

#include <ATen/Parallel.h>
#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cstdlib>
#include <iterator>
#include <numeric>

#include "base/scalar_type.h"
#include "cli/byte_size.h"
#include "prepack/attention.h"
#include "prepack/device.h"
#include "prepack/error.h"
#include "prepack/shared_prefix.h"

namespace prepack::cli {
namespace {

/// Fills in the request: what the prompt's own line says, else the command line.
void complete_request(PreparedPrompt& prompt, const SamplingOptions& options) {
  const auto& own = prompt.overrides;
  auto& request = prompt.request;
  auto& sampling = request.sampling = options.sampling;
  sampling.temperature = own.temperature.value_or(sampling.temperature);
  sampling.top_k = own.top_k.value_or(sampling.top_k);
  sampling.top_p = own.top_p.value_or(sampling.top_p);
  sampling.min_p = own.min_p.value_or(sampling.min_p);
  sampling.repetition_penalty = own.repetition_penalty.value_or(sampling.repetition_penalty);
  sampling.seed = own.seed.value_or(sampling.seed);
  sampling.validate();
  request.max_new_tokens = own.max_new_tokens.value_or(options.max_new_tokens);
  if (request.max_new_tokens < 1) {
    throw InvalidArgument(
        fmt::format("max_new_tokens: expected at least 1, got {}", request.max_new_tokens));
  }
  request.stop = own.stop.value_or(options.stop);
  request.ignore_eos = options.ignore_eos;
}

constexpr std::string_view kMeasuredCapacity = "auto";

/// Tokens; 0 for the default, and for what is measured later.
int64_t parse_capacity(const std::string& text) {
  if (text == "default" || text == kMeasuredCapacity) return 0;
  int64_t capacity = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), capacity);
  if (error != std::errc() || end != text.data() + text.size() || capacity < 1) {
    throw UsageError(
        fmt::format("--capacity: expected default, auto or a number of tokens, got {}", text));
  }
  return capacity;
}

/// @param budget  0: it is chosen later, and large enough
void require_budget(const PreparedPrompt& prompt, int64_t budget) {
  const auto length = static_cast<int64_t>(prompt.request.prompt_ids.size());
  if (budget > 0 && length > budget) {
    throw InvalidArgument(
        fmt::format("the prompt has {} tokens, more than --token-budget {}", length, budget));
  }
}

/// Slots of prompts' beginnings that the cache of a batch holds in the rows of others.
int64_t num_shared_slots(const Job& job, const Batch& batch) {
  if (!job.prefill.shares_prefixes || !caches_prefixes_once(job.device, job.prefill)) return 0;
  int64_t num_slots = 0;
  for (const auto& prefix : find_prefixes(job.config, batch_prompts(job, batch), job.prefill)) {
    num_slots += prefix.length;
  }
  return num_slots;
}

/// The most tokens that so many prompts in a row have, wherever they begin.
int64_t most_prompt_tokens(const Job& job, int64_t num_prompts) {
  int64_t most = 0;
  int64_t sum = 0;
  for (int64_t i = 0; i < std::ssize(job.prompts); ++i) {
    const auto length = [&](int64_t prompt) {
      return std::ssize(job.prompts[prompt].request.prompt_ids);
    };
    sum += length(i) - (i >= num_prompts ? length(i - num_prompts) : 0);
    most = std::max(most, sum);
  }
  return most;
}

/// The largest of each over all batches, so that the estimate holds for every one of them; without
/// what depends on how they are packed.
BatchShape largest_caches(const Job& job) {
  BatchShape shape;
  int64_t num_tokens = 0;
  for (const auto& batch : make_batches(job)) {
    const auto requests = batch_requests(job, batch);
    const int64_t of_batch = num_cache_slots(job.config, requests);
    num_tokens += of_batch;
    const auto num_prompts = static_cast<int64_t>(requests.size());
    const bool has_own_rows =
        has_varlen_kernel(job.device, to_scalar_type(job.dtype), job.config.head_dim);
    const int64_t num_slots = has_own_rows ? of_batch - num_shared_slots(job, batch)
                                           : num_prompts * cache_capacity(job.config, requests);
    shape.num_prompts = std::max(shape.num_prompts, num_prompts);
    shape.cache_slots = std::max(shape.cache_slots, num_slots);
  }
  if (job.refills) {  // what is left of one batch and what joins it
    Batch all(job.prompts.size());
    std::iota(all.begin(), all.end(), 0);
    shape.cache_slots = std::max(
        shape.cache_slots, num_cache_slots(job.config, batch_requests(job, all), job.batch_size));
  }
  // To measure a capacity, random tokens are read besides.
  if (!job.measures_capacity) shape.num_tokens = num_tokens;
  return shape;
}

/// Whether a batch is decoded, by a token of each prompt at a time; or its final tokens are.
bool takes_steps(const Job& job, const Batch& batch) {
  return job.prefill.final_token == FinalToken::kFirstStep ||
         std::ranges::any_of(batch,
                             [&](size_t i) { return job.prompts[i].request.max_new_tokens > 1; });
}

/// @param shape  of the largest caches
BatchShape largest_batch(const Job& job, BatchShape shape) {
  for (const auto& batch : make_batches(job)) {
    const auto plan = plan_prefill(batch_lengths(job, batch), job.prefill);
    shape.max_forward_tokens = std::max(shape.max_forward_tokens, plan.max_forward_tokens);
    shape.max_mask_elements = std::max(shape.max_mask_elements, plan.max_mask_elements);
    shape.max_row_len = std::max(shape.max_row_len, plan.max_row_len);
    if (takes_steps(job, batch)) {
      shape.max_forward_tokens = std::max(shape.max_forward_tokens, std::ssize(batch));
    }
  }
  if (job.refills) {
    const int64_t bin = job.prefill.capacity > 0 ? job.prefill.capacity : job.prefill.token_budget;
    shape.max_forward_tokens =
        std::max(shape.max_forward_tokens, std::min(bin, most_prompt_tokens(job, job.batch_size)));
  }
  if (job.measures_capacity) {
    // Bins of every size up to the budget are tried.
    const int64_t budget = job.prefill.token_budget;
    shape.cache_slots = std::max(shape.cache_slots, budget);
    shape.max_forward_tokens = std::max(shape.max_forward_tokens, budget);
    if (job.prefill.method == PrefillMethod::kPackedRows) {
      shape.max_mask_elements = std::max(shape.max_mask_elements, budget * budget);
    }
  }
  return shape;
}

}  // namespace

std::filesystem::path resolve_model(const std::string& model) {
  namespace fs = std::filesystem;
  if (!model.empty()) {
    if (!fs::exists(model)) {
      throw InvalidArgument(fmt::format("--model {}: no such folder or GGUF file", model));
    }
    return model;
  }
  if (const char* named = std::getenv("PREPACK_MODEL"); named != nullptr && *named != '\0') {
    if (!fs::exists(named)) {
      throw InvalidArgument(fmt::format("PREPACK_MODEL={}: no such folder or GGUF file", named));
    }
    return named;
  }
  constexpr const char* kDefaultModel = "models/smollm2-135m-instruct";
  std::error_code error;
  const auto program = fs::read_symlink("/proc/self/exe", error).parent_path();
  for (const auto& root : {program / "..", program / "../share/prepack"}) {
    const auto candidate = (root / kDefaultModel).lexically_normal();
    if (fs::exists(candidate / "model.safetensors")) return candidate;
  }
  throw InvalidArgument(
      "no --model given, and the default model is not there: scripts/fetch_model.py fetches it");
}

std::string folder_name(const std::filesystem::path& folder) {
  const auto name = folder.filename();
  return (name.empty() ? folder.parent_path().filename() : name).string();
}

PrefillOptions parse_prefill_options(const BatchOptions& options) {
  const auto method =
      parse_option("--method", [&] { return parse_prefill_method(options.method); });
  if (options.shares_prefixes && method != PrefillMethod::kPacked) {
    throw UsageError("--share-prefixes: only packed prompts can share their beginnings");
  }
  if (options.capacity != "default" && method == PrefillMethod::kPadded) {
    throw UsageError("--capacity: --method padded has no bins");
  }
  return {
      .method = method,
      .packing = {.algorithm = parse_option(
                      "--packing", [&] { return parse_packing_algorithm(options.packing); }),
                  .max_segments = options.max_segments},
      .token_budget = options.token_budget,
      .capacity = parse_capacity(options.capacity),
      .final_token =
          parse_option("--final-token", [&] { return parse_final_token(options.final_token); }),
      .shares_prefixes = options.shares_prefixes,
      .uses_graphs = !options.no_graphs,
  };
}

bool measures_capacity(const BatchOptions& options) {
  return options.capacity == kMeasuredCapacity;
}

DType parse_compute_dtype(const std::string& name, const ModelConfig& config, at::Device device) {
  if (name == "auto") return default_dtype(config, device);
  return parse_option("--dtype", [&] { return parse_dtype(name); });
}

std::optional<Quantization> parse_quantize_options(const ModelOptions& options,
                                                   const ModelConfig& config) {
  if (options.quantize.empty()) return std::nullopt;
  const auto quantization = parse_option(
      "--quantize", [&] { return parse_quantization(options.quantize, options.quantize_group); });
  if (quantization.bits == 8 && options.quantize_group != ModelOptions{}.quantize_group) {
    throw UsageError("--quantize-group: int8 has a scale for each row, not for groups");
  }
  if (config.checkpoint_quantization) {
    throw UsageError(fmt::format("--quantize: the model's weights are quantized already: {}",
                                 to_string(*config.checkpoint_quantization)));
  }
  return quantization;
}

Activations parse_activations_option(const ModelOptions& options) {
  if (options.quantize_activations.empty()) return Activations::kAsComputed;
  return parse_option("--quantize-activations",
                      [&] { return parse_activations(options.quantize_activations); });
}

WeightLayout parse_weight_layout_option(const ModelOptions& options) {
  return parse_option("--weight-layout",
                      [&] { return parse_weight_layout(options.weight_layout); });
}

LoadOptions load_options(const Job& job) {
  return {job.dtype, job.device, job.quantization, job.activations, job.weight_layout};
}

KnownBytes find_known_bytes(const std::filesystem::path& model, const LoadOptions& options) {
  KnownBytes known;
  try {
    known.weights = weight_bytes(model, options);
  } catch (const LoadError&) {
  }
  if (options.device.is_cpu()) known.program = resident_memory();
  return known;
}

Job prepare_model_job(const ModelOptions& model, const BatchOptions& batch) {
  Job job;
  job.prefill = parse_prefill_options(batch);
  job.measures_capacity = measures_capacity(batch);
  job.batch_size = batch.batch_size;
  job.threads = model.threads > 0 ? model.threads : default_threads();
  at::set_num_threads(job.threads);

  job.model_folder = resolve_model(model.folder);
  job.config = load_model_config(job.model_folder);
  job.device = parse_option("--device", [&] { return select_device(model.device); });
  if (batch.balance) job.prefill.packing.balance = prefill_cost(job.config);
  job.dtype = parse_compute_dtype(model.dtype, job.config, job.device);
  job.quantization = parse_quantize_options(model, job.config);
  job.activations = parse_activations_option(model);
  job.weight_layout = parse_weight_layout_option(model);
  job.memory_limit =
      model.memory_limit == "auto"
          ? available_memory(job.device)
          : parse_option("--memory-limit", [&] { return parse_bytes(model.memory_limit); });
  job.tokenizer = load_tokenizer(job.model_folder);
  job.known_bytes = find_known_bytes(job.model_folder, load_options(job));
  return job;
}

Job prepare_job(const ModelOptions& model, const PromptOptions& prompts, const BatchOptions& batch,
                const std::optional<SamplingOptions>& sampling) {
  if (sampling) parse_option("sampling", [&] { sampling->sampling.validate(); });
  auto job = prepare_model_job(model, batch);
  SamplingOptions prefill_only;
  prefill_only.max_new_tokens = 1;
  const auto generation = sampling.value_or(prefill_only);
  job.prompts = prepare_prompts(
      prompts, job.model_folder, *job.tokenizer, job.threads, [&](PreparedPrompt& prompt) {
        if (const auto defect = find_prompt_defect(job.config, prompt.request.prompt_ids)) {
          throw InvalidArgument("the prompt " + *defect);
        }
        require_budget(prompt, batch.token_budget);
        complete_request(prompt, generation);
      });
  if (job.known_bytes.program) job.known_bytes.program = resident_memory();  // with the prompts
  job.refills = sampling && job.prefill.method == PrefillMethod::kPacked &&
                job.prefill.final_token == FinalToken::kPrefill && !job.prefill.shares_prefixes &&
                has_varlen_kernel(job.device, to_scalar_type(job.dtype), job.config.head_dim);
  const auto caches = largest_caches(job);
  if (batch.token_budget == 0) {
    // Activations may be chosen from what weights and caches leave.
    const int64_t free =
        job.memory_limit - estimate_memory(job.config, job.dtype, job.device, caches,
                                           {job.quantization, job.activations}, job.known_bytes)
                               .total();
    job.prefill.token_budget =
        default_token_budget(job.config, job.dtype, job.device, job.prefill.method,
                             std::max(longest_prompt(job), job.prefill.capacity), free);
  }
  job.memory = predict_memory(job);
  return job;
}

MemoryEstimate predict_memory(const Job& job) {
  return estimate_memory(job.config, job.dtype, job.device, largest_batch(job, largest_caches(job)),
                         {job.quantization, job.activations}, job.known_bytes);
}

void require_memory(const Job& job) {
  if (job.memory.total() <= job.memory_limit) return;
  const auto& memory = job.memory;
  throw OutOfMemory(fmt::format(
      "the job needs about {} (weights {}, caches {}, activations {}, logits {}, program {}), and "
      "{} may be used: a smaller --batch-size, --token-budget or --max-new-tokens needs less",
      format_bytes(memory.total()), format_bytes(memory.weights), format_bytes(memory.cache),
      format_bytes(memory.activations), format_bytes(memory.logits), format_bytes(memory.libraries),
      format_bytes(job.memory_limit)));
}

Model load_model(const Job& job) {
  return prepack::load_model(job.model_folder, load_options(job));
}

int64_t longest_prompt(const Job& job) {
  int64_t longest = 0;
  for (const auto& prompt : job.prompts) {
    longest = std::max(longest, static_cast<int64_t>(prompt.request.prompt_ids.size()));
  }
  return longest;
}

namespace {

std::vector<Batch> make_batches_in_order(const Job& job, size_t first_prompt) {
  std::vector<Batch> batches;
  const auto batch_size = static_cast<size_t>(job.batch_size);
  for (size_t i = first_prompt; i < job.prompts.size(); ++i) {
    if (batches.empty() || batches.back().size() == batch_size) batches.emplace_back();
    batches.back().push_back(i);
  }
  return batches;
}

std::vector<Batch> make_sharing_batches(const Job& job, size_t first_prompt) {
  std::vector<TokenIds> prompts;
  for (size_t i = first_prompt; i < job.prompts.size(); ++i) {
    prompts.push_back(job.prompts[i].request.prompt_ids);
  }
  std::vector<Batch> batches;
  for (const auto& indices : make_prefix_batches(prompts, job.batch_size, kShortestSharedPrefix,
                                                 prefix_classes(job.config, prompts))) {
    auto& batch = batches.emplace_back();
    for (int64_t index : indices) batch.push_back(first_prompt + static_cast<size_t>(index));
  }
  return batches;
}

}  // namespace

std::vector<Batch> make_batches(const Job& job, size_t first_prompt) {
  if (!job.prefill.shares_prefixes) return make_batches_in_order(job, first_prompt);
  auto batches = make_sharing_batches(job, first_prompt);
  // Each batch has the first prompt that is in none before, so that each ends the wait of some.
  std::ranges::sort(batches, {}, [](const Batch& batch) { return std::ranges::min(batch); });
  return batches;
}

std::vector<int64_t> batch_lengths(const Job& job, const Batch& batch) {
  std::vector<int64_t> lengths;
  for (size_t i : batch) {
    lengths.push_back(static_cast<int64_t>(job.prompts[i].request.prompt_ids.size()));
  }
  return lengths;
}

std::vector<GenerationRequest> batch_requests(const Job& job, const Batch& batch) {
  std::vector<GenerationRequest> requests;
  for (size_t i : batch) requests.push_back(job.prompts[i].request);
  return requests;
}

std::vector<TokenIds> batch_prompts(const Job& job, const Batch& batch) {
  std::vector<TokenIds> prompts;
  for (size_t i : batch) prompts.push_back(job.prompts[i].request.prompt_ids);
  return prompts;
}

}  // namespace prepack::cli
