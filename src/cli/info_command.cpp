#include <ATen/Parallel.h>
#include <fmt/format.h>
#include <fmt/ranges.h>  // fmt::join

#include <CLI/CLI.hpp>
#include <algorithm>
#include <functional>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "cli/byte_size.h"
#include "cli/commands.h"
#include "cli/job.h"
#include "cli/output.h"
#include "model/families/family.h"
#include "prepack/device.h"
#include "prepack/error.h"
#include "prepack/tokenizer.h"
#include "weights/checkpoint.h"

namespace prepack::cli {
namespace {

struct Options {
  ModelOptions model;
  BatchOptions batch;
  int64_t prompt_tokens = 256;
  int64_t max_new_tokens = 128;
  bool json = false;
};

/// Tensors of one stored type.
struct TypeUse {
  std::string_view type;
  int64_t num_tensors = 0;
  int64_t num_bytes = 0;
};

struct WeightsInfo {
  std::string format;          // empty if the weights cannot be opened
  std::vector<TypeUse> types;  // those of the most bytes first
  std::string description;     // or the error
};

/// What a model holds; a part that is missing or unknown is described by its error.
struct ModelInfo {
  ModelConfig config;
  DType dtype = DType::kFloat32;
  std::optional<Quantization> quantization;
  Activations activations = Activations::kAsComputed;
  MemoryEstimate memory;
  WeightsInfo weights;
  std::string tokenizer;
  std::string chat_template;
};

template <typename Describe>
std::string describe_or_error(const Describe& describe) {
  try {
    return describe();
  } catch (const Error& error) {
    return fmt::format("none: {}", error.what());
  }
}

std::vector<TypeUse> count_types(const Checkpoint& checkpoint) {
  std::map<StoredDType, TypeUse> uses;
  for (const auto& [name, stored] : checkpoint.tensors()) {
    auto& use = uses[stored.info.dtype];
    use.type = to_string(stored.info.dtype);
    use.num_tensors += 1;
    use.num_bytes += std::ssize(stored.bytes());
  }
  std::vector<TypeUse> types;
  for (const auto& [dtype, use] : uses) types.push_back(use);
  std::ranges::stable_sort(types, std::greater<>(), &TypeUse::num_bytes);
  return types;
}

WeightsInfo inspect_weights(const std::filesystem::path& model) {
  WeightsInfo info;
  info.description = describe_or_error([&] {
    const auto checkpoint = Checkpoint::open(model);
    info.format = checkpoint.format();
    info.types = count_types(checkpoint);
    std::vector<std::string> uses;
    for (const auto& use : info.types) {
      uses.push_back(
          fmt::format("{} of {}, {}", use.num_tensors, use.type, format_bytes(use.num_bytes)));
    }
    return fmt::format("{} tensors in {}: {}", checkpoint.tensors().size(), info.format,
                       fmt::join(uses, "; "));
  });
  return info;
}

/// Tokens that are cached of the whole batch. Like those of a job: the last new one is not fed
/// back, and none lies beyond the model's positions.
int64_t count_tokens(const Options& options, const ModelConfig& config) {
  const int64_t new_tokens = std::clamp<int64_t>(
      options.max_new_tokens - 1, 0, config.max_position_embeddings - options.prompt_tokens);
  const int64_t num_tokens = options.batch.batch_size * (options.prompt_tokens + new_tokens);
  constexpr int64_t kMost = int64_t{1} << 36;  // their bytes must fit 64 bits
  if (num_tokens > kMost) {
    throw UsageError(fmt::format(
        "--batch-size {}: prompts of up to {} tokens, {} in all, are more than {}",
        options.batch.batch_size, options.prompt_tokens + new_tokens, num_tokens, kMost));
  }
  return num_tokens;
}

ModelInfo inspect(const std::filesystem::path& model, const Options& options) {
  ModelInfo info;
  info.config = load_model_config(model);
  // Whose memory counts.
  at::set_num_threads(options.model.threads > 0 ? options.model.threads : default_threads());
  const auto device = parse_option("--device", [&] { return select_device(options.model.device); });
  info.dtype = parse_compute_dtype(options.model.dtype, info.config, device);
  info.quantization = parse_quantize_options(options.model, info.config);
  info.activations = parse_activations_option(options.model);
  auto prefill = parse_prefill_options(options.batch);
  if (measures_capacity(options.batch)) {
    throw UsageError("--capacity auto: is measured with the weights, which info does not load");
  }
  if (prefill.token_budget == 0) {
    prefill.token_budget = default_token_budget(info.config, info.dtype, device, prefill.method,
                                                options.prompt_tokens, available_memory(device));
  }
  if (prefill.token_budget < options.prompt_tokens) {
    throw UsageError("--token-budget: expected at least --prompt-tokens");
  }
  if (options.prompt_tokens > info.config.max_position_embeddings) {
    throw UsageError(fmt::format("--prompt-tokens: the model takes at most {}",
                                 info.config.max_position_embeddings));
  }
  std::unique_ptr<Tokenizer> tokenizer;  // in memory while that is counted
  info.tokenizer = describe_or_error([&] {
    tokenizer = load_tokenizer(model);
    return fmt::format("{} entries", tokenizer->vocab_size());
  });
  const int64_t num_tokens = count_tokens(options, info.config);
  const std::vector<int64_t> lengths(options.batch.batch_size, options.prompt_tokens);
  const auto plan = plan_prefill(lengths, prefill);
  const bool takes_steps =
      options.max_new_tokens > 1 || prefill.final_token == FinalToken::kFirstStep;
  const int64_t tokens_of_step = takes_steps ? options.batch.batch_size : 0;
  auto known_bytes =
      find_known_bytes(model, {info.dtype, device, info.quantization, info.activations,
                               parse_weight_layout_option(options.model)});
  known_bytes.has_tokenizer = tokenizer != nullptr;
  info.memory =
      estimate_memory(info.config, info.dtype, device,
                      {
                          .num_prompts = options.batch.batch_size,
                          .cache_slots = num_tokens,
                          .max_forward_tokens = std::max(plan.max_forward_tokens, tokens_of_step),
                          .max_mask_elements = plan.max_mask_elements,
                          .max_row_len = plan.max_row_len,
                          .num_tokens = num_tokens,
                      },
                      {info.quantization, info.activations}, known_bytes);
  info.weights = inspect_weights(model);
  info.chat_template = describe_or_error([&] {
    load_chat_template(model);
    return std::string("Jinja");
  });
  return info;
}

/// What this model's attention has that Llama's has not.
std::string describe_attention(const ModelConfig& config) {
  std::vector<std::string> features = {"causal"};
  for (int64_t window : config.distinct_windows()) {
    const auto num_layers =
        std::count(config.sliding_windows.begin(), config.sliding_windows.end(), window);
    features.push_back(fmt::format("the last {} tokens only in {} of {} layers", window, num_layers,
                                   config.num_layers));
  }
  const auto& rope = config.rope_layers;
  if (const auto num_layers = std::count(rope.begin(), rope.end(), false); num_layers > 0) {
    features.push_back(
        fmt::format("without RoPE in {} of {} layers", num_layers, config.num_layers));
  }
  if (config.rotary_dim < config.head_dim) {
    features.push_back(fmt::format("RoPE of {} dimensions", config.rotary_dim));
  }
  if (config.qk_norm) features.emplace_back("norms of queries and keys");
  if (config.qkv_bias) features.emplace_back("biases of queries, keys and values");
  return fmt::format("{}", fmt::join(features, ", "));
}

nlohmann::json layers_json(const ModelConfig& config) {
  auto layers = nlohmann::json::array();
  for (int64_t layer = 0; layer < config.num_layers; ++layer) {
    const auto window = config.sliding_window(layer);
    layers.push_back({{"sliding_window", window ? nlohmann::json(*window) : nlohmann::json()},
                      {"rope", config.has_rope(layer)}});
  }
  return layers;
}

/// Of a GPTQ or AWQ folder how it is packed; of a GGUF file the type that most of the bytes have.
std::string stored_type(const ModelInfo& info) {
  const auto& weights = info.weights;
  const auto& packed = info.config.checkpoint_quantization;
  if (packed) return to_string(*packed);
  const bool says_types = weights.format == "GGUF" && !weights.types.empty();
  return std::string(says_types ? weights.types[0].type : to_string(info.config.dtype));
}

nlohmann::ordered_json types_json(const ModelInfo& info) {
  auto types = nlohmann::ordered_json::object();
  for (const auto& use : info.weights.types) {
    types[std::string(use.type)] = {{"tensors", use.num_tensors}, {"bytes", use.num_bytes}};
  }
  return types;
}

void print_json(const ModelInfo& info) {
  const auto& config = info.config;
  nlohmann::ordered_json json{
      {"architecture", config.architecture},
      {"family", family_of(config.architecture).model_type},
      {"num_parameters", config.num_parameters()},
      {"format", info.weights.format},
      {"stored_dtype", stored_type(info)},
      {"stored_types", types_json(info)},
      {"compute_dtype", to_string(info.dtype)},
      {"vocab_size", config.vocab_size},
      {"hidden_size", config.hidden_size},
      {"intermediate_size", config.intermediate_size},
      {"num_layers", config.num_layers},
      {"num_heads", config.num_heads},
      {"num_kv_heads", config.num_kv_heads},
      {"head_dim", config.head_dim},
      {"rotary_dim", config.rotary_dim},
      {"qk_norm", config.qk_norm},
      {"qkv_bias", config.qkv_bias},
      {"layers", layers_json(config)},
      {"max_position_embeddings", config.max_position_embeddings},
      {"eos_token_ids", config.eos_token_ids},
      {"weights", info.weights.description},
      {"tokenizer", info.tokenizer},
      {"chat_template", info.chat_template},
      {"memory_bytes",
       {{"weights", info.memory.weights},
        {"cache", info.memory.cache},
        {"activations", info.memory.activations},
        {"logits", info.memory.logits},
        {"program", info.memory.libraries},
        {"total", info.memory.total()}}},
  };
  if (info.quantization) json["quantization"] = to_string(*info.quantization);
  if (info.activations != Activations::kAsComputed) {
    json["activations"] = to_string(info.activations);
  }
  // What describes an error may name a path that is not UTF-8.
  write_standard_output(
      json.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace) + "\n");
}

void print_table(const ModelInfo& info, const Options& options) {
  const auto& config = info.config;
  const auto& memory = info.memory;
  const auto rounded = rounding_note(info.quantization, info.activations);
  write_standard_output(fmt::format(
      "architecture      {}, family {}\n"
      "parameters        {:.1f} million, stored in {}\n"
      "layers            {} of hidden size {}, intermediate size {}\n"
      "heads             {} for queries, {} for keys, of {} dimensions\n"
      "attention         {}\n"
      "vocabulary        {}{}\n"
      "longest sequence  {} tokens\n"
      "weights           {}\n"
      "tokenizer         {}\n"
      "chat template     {}\n"
      "memory            {} to run {} prompts of {} tokens, each generating {}, in {}{}:\n"
      "                  weights {}, caches {}, activations {}, logits {}, program {}\n",
      config.architecture, family_of(config.architecture).model_type,
      static_cast<double>(config.num_parameters()) / 1e6, stored_type(info), config.num_layers,
      config.hidden_size, config.intermediate_size, config.num_heads, config.num_kv_heads,
      config.head_dim, describe_attention(config), config.vocab_size,
      config.tie_word_embeddings ? ", embeddings tied" : "", config.max_position_embeddings,
      info.weights.description, info.tokenizer, info.chat_template, format_bytes(memory.total()),
      options.batch.batch_size, options.prompt_tokens, options.max_new_tokens,
      to_string(info.dtype), rounded, format_bytes(memory.weights), format_bytes(memory.cache),
      format_bytes(memory.activations), format_bytes(memory.logits),
      format_bytes(memory.libraries)));
}

void run(const Options& options) {
  const auto info = inspect(resolve_model(options.model.folder), options);
  if (options.json) {
    print_json(info);
  } else {
    print_table(info, options);
  }
}

}  // namespace

void add_info_command(CLI::App& app) {
  auto* command =
      app.add_subcommand("info", "Show what a model holds, and the memory a given load needs");
  const auto options = std::make_shared<Options>();
  options->model.add_to(*command);
  options->batch.add_to(*command);
  command->add_option("--prompt-tokens", options->prompt_tokens, "Tokens of each prompt")
      ->type_name("N")
      ->transform(whole_number(1, int64_t{1} << 24))
      ->capture_default_str();
  command->add_option("-n,--max-new-tokens", options->max_new_tokens, "Tokens generated per prompt")
      ->type_name("N")
      ->transform(whole_number(0, int64_t{1} << 24))
      ->capture_default_str();
  command->add_flag("--json", options->json, "Print one JSON object; sizes are in bytes");
  command->callback([options] { run(*options); });
}

}  // namespace prepack::cli
