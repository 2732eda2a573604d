// The program that scripts/bench_gpu.py has measure prepack: a model of random weights, which does
// what it is told, line by line, so that it can take turns with others that are loaded too.
//
//   prepack_bench_worker CONFIG DTYPE DEVICE [WEIGHTS [ACTIVATIONS]]
//
// of int8 or int4, and int16 or int8, where weights are to be quantized.
//
// Seconds of each batch, to the first token of each of its prompts:
//   {"do": "prefill", "batches": [[[ids]]], "token_budget": N}
// Seconds after the first tokens:
//   {"do": "decode", "prompts": [[ids]], "new_tokens": N, "token_budget": N}
// and in both "method", if it is not packed, and "graphs": false. Each answer is one line too:
//   {"seconds": [...], "peak_bytes": N, "weight_bytes": N}   or   {"error": "..."}

#include <ATen/core/grad_mode.h>

#include <exception>
#include <iostream>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

#include "bench/resource_monitor.h"
#include "model/random_model.h"
#include "prepack/decode.h"
#include "prepack/device.h"
#include "prepack/error.h"
#include "prepack/prefill.h"

namespace prepack::bench {
namespace {

using Json = nlohmann::json;

PrefillOptions prefill_options(const Json& job) {
  return {.method = parse_prefill_method(job.value("method", "packed")),
          .token_budget = job.at("token_budget").get<int64_t>(),
          .uses_graphs = job.value("graphs", true)};
}

/// Runs a batch greedily, each prompt to `new_tokens`; its cache rows have no slot to spare.
RunStats run_batch(const Model& model, const std::vector<TokenIds>& prompts,
                   const PrefillOptions& options, int64_t new_tokens) {
  std::vector<DecodeRequest> requests;
  std::vector<int64_t> row_capacities;
  for (const auto& prompt : prompts) {
    requests.push_back({.sampler = Sampler({}, 0, {}), .max_new_tokens = new_tokens});
    row_capacities.push_back(std::ssize(prompt) + new_tokens - 1);
  }
  RunStats stats;
  auto state = prefill(model, prompts, options, row_capacities, &stats);
  decode(model, std::move(state), requests, {}, &stats);
  if (!stats.graph_failure.empty()) {
    std::cerr << "prepack_bench_worker: a forward was not recorded: " << stats.graph_failure
              << "\n";
  }
  return stats;
}

Json answer(const Model& model, const Json& job) {
  const auto options = prefill_options(job);
  const PeakMemoryMeter memory(model.device());
  std::vector<double> seconds;
  if (job.at("do") == "prefill") {
    for (const auto& batch : job.at("batches")) {
      const auto stats = run_batch(model, batch.get<std::vector<TokenIds>>(), options, 1);
      seconds.push_back(stats.prefill_s + stats.ttft_s);
    }
  } else if (job.at("do") == "decode") {
    const auto prompts = job.at("prompts").get<std::vector<TokenIds>>();
    seconds.push_back(
        run_batch(model, prompts, options, job.at("new_tokens").get<int64_t>()).decode_s);
  } else {
    throw InvalidArgument("do: expected prefill or decode");
  }
  return {{"seconds", seconds},
          {"peak_bytes", memory.whole_peak_bytes().value_or(0)},
          {"weight_bytes", model.weight_bytes()}};
}

int run(int argc, char** argv) {
  if (argc < 4 || argc > 6) {
    std::cerr << "usage: prepack_bench_worker CONFIG DTYPE DEVICE [WEIGHTS [ACTIVATIONS]]\n";
    return 2;
  }
  const at::NoGradGuard no_grad;
  Rounding rounding;
  if (argc > 4) rounding.quantization = parse_quantization(argv[4], Quantization{}.group_size);
  if (argc > 5) rounding.activations = parse_activations(argv[5]);
  const auto model = make_random_model(load_model_config(argv[1]), parse_dtype(argv[2]),
                                       select_device(argv[3]), rounding);
  synchronize(model.device());
  std::cout << "{}" << std::endl;  // ready
  for (std::string line; std::getline(std::cin, line);) {
    Json reply;
    try {
      reply = answer(model, Json::parse(line));
    } catch (const std::exception& error) {
      reply = {{"error", error.what()}};
    }
    std::cout << reply.dump() << std::endl;
  }
  return 0;
}

}  // namespace
}  // namespace prepack::bench

int main(int argc, char** argv) {
  try {
    return prepack::bench::run(argc, argv);
  } catch (const std::exception& error) {
    std::cerr << "prepack_bench_worker: " << error.what() << "\n";
    return 1;
  }
}
