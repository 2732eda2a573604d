#include "support/reference.h"

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>

#include "support/catch.h"
#include "weights/tensor_view.h"

namespace prepack::testing {
namespace {

const std::filesystem::path kSource = PREPACK_SOURCE_DIR;
const auto kData = kSource / "tests" / "data";
const std::filesystem::path kReferences = PREPACK_REFERENCE_DIR;
constexpr auto kDefaultModel = "smollm2-135m-instruct";

std::string missing_file(const std::filesystem::path& model,
                         const std::filesystem::path& reference) {
  for (const auto& file : {model / "model.safetensors", reference / "reference.json",
                           reference / "reference.safetensors"}) {
    if (!std::filesystem::exists(file)) return file.string();
  }
  return "";
}

}  // namespace

at::Tensor Reference::operator[](std::string_view name) const {
  const auto* stored = values.find(name);
  INFO("the reference of " << model_folder << " has no " << name);
  REQUIRE(stored != nullptr);
  return view_tensor(*stored);
}

const TokenIds& Reference::longest_prompt() const {
  return *std::ranges::max_element(prompts, {}, &TokenIds::size);
}

Reference read_reference(const std::filesystem::path& model_folder,
                         const std::filesystem::path& reference_folder) {
  std::ifstream file(reference_folder / "reference.json");
  const auto json = nlohmann::json::parse(file);
  return {model_folder, json.at("prompts").get<std::vector<TokenIds>>(),
          json.at("greedy").get<std::vector<TokenIds>>(),
          Checkpoint::open_file(reference_folder / "reference.safetensors")};
}

std::vector<Reference> tiny_references() {
  std::vector<Reference> references;
  for (const auto* name : {"llama-grouped", "llama-biased", "llama-scaled", "llama-dynamic",
                           "llama-yarn", "llama-longrope", "mistral-windowed", "qwen2-mixed",
                           "qwen3-mixed", "phi3-fused", "phi3-longrope", "smollm3-nope"}) {
    const auto folder = kData / "models" / name;
    references.push_back(read_reference(folder, folder));
  }
  for (const auto* name : {"llama-biased", "llama-scaled"}) {
    const auto gguf = kData / "gguf" / (std::string(name) + ".gguf");
    references.push_back(read_reference(gguf, kData / "models" / name));
  }
  return references;
}

std::vector<Reference> packed_references() {
  std::vector<Reference> references;
  for (const auto* name :
       {"llama-gptq", "llama-gptq-ordered", "mistral-gptq8", "qwen2-awq", "phi3-awq"}) {
    const auto folder = kData / "models" / name;
    references.push_back(read_reference(folder, folder));
  }
  return references;
}

std::vector<Reference> gguf_references() {
  std::vector<Reference> references;
  for (const auto* name : {"llama-yarn", "mistral-windowed", "qwen2-mixed", "qwen3-mixed",
                           "phi3-fused", "phi3-longrope", "smollm3-nope"}) {
    const auto of_file = kData / "gguf" / name;
    references.push_back(
        read_reference(kData / "gguf" / (std::string(name) + ".gguf"),
                       std::filesystem::exists(of_file) ? of_file : kData / "models" / name));
  }
  return references;
}

std::optional<Reference> default_reference() {
  const auto model = kSource / "models" / kDefaultModel;
  const auto reference = kReferences / kDefaultModel;
  const auto missing = missing_file(model, reference);
  if (missing.empty()) return read_reference(model, reference);
  const auto* skip = std::getenv("PREPACK_SKIP_DEFAULT_MODEL");
  if (skip == nullptr || std::string_view(skip) != "1") {
    FAIL("the default model is not there: no " << missing
                                               << " (scripts/test.sh makes it; to go without, set "
                                                  "PREPACK_SKIP_DEFAULT_MODEL=1)");
  }
  WARN("SKIPPED, as PREPACK_SKIP_DEFAULT_MODEL asks: no " << missing);
  return std::nullopt;
}

std::optional<at::Tensor> find_weight(const Reference& reference, const std::string& name) {
  const auto checkpoint = Checkpoint::open(reference.model_folder);
  const auto* stored = checkpoint.find(name);
  if (stored == nullptr) return std::nullopt;
  return view_tensor(*stored).to(at::kFloat);
}

at::Tensor read_weight(const Reference& reference, const std::string& name) {
  const auto weight = find_weight(reference, name);
  INFO(reference.model_folder << " has no " << name);
  REQUIRE(weight.has_value());
  return *weight;
}

const Model& load_once(const Reference& reference) {
  static std::map<std::filesystem::path, Model> models;
  const auto found = models.find(reference.model_folder);
  if (found != models.end()) return found->second;
  return models
      .emplace(reference.model_folder,
               load_model(reference.model_folder, {.dtype = DType::kFloat32, .device = at::kCPU}))
      .first->second;
}

}  // namespace prepack::testing
