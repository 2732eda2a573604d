#include "weights/weight_loader.h"

#include <fmt/format.h>
#include <fmt/ranges.h>  // fmt::join

#include <algorithm>
#include <tuple>
#include <utility>

#include "prepack/error.h"
#include "weights/json.h"
#include "weights/tensor_view.h"

namespace prepack {
namespace {

bool loads_as_weight(StoredDType dtype) {
  return dtype == StoredDType::kF32 || dtype == StoredDType::kBF16 || dtype == StoredDType::kF16;
}

/// Exports of the base model alone leave out the prefix that the full model gives its tensors.
const StoredTensor* find_with_or_without_prefix(const Checkpoint& checkpoint,
                                                std::string_view name) {
  constexpr std::string_view kPrefix = "model.";
  const auto* stored = checkpoint.find(name);
  if (stored != nullptr || !name.starts_with(kPrefix)) return stored;
  return checkpoint.find(name.substr(kPrefix.size()));
}

/// Early checkpoints store the inverse frequencies of RoPE, which are computed from the config.
bool is_harmless_extra(std::string_view name) { return name.ends_with(".rotary_emb.inv_freq"); }

std::string file_name(const std::filesystem::path& path) {
  return printable(path.filename().string());
}

}  // namespace

WeightLoader::WeightLoader(const Checkpoint& checkpoint, at::ScalarType dtype, at::Device device)
    : checkpoint_(&checkpoint), dtype_(dtype), device_(device) {}

void WeightLoader::bind(at::Tensor& target, std::string name, std::vector<int64_t> shape) {
  add_request(&target, std::move(name), std::move(shape));
}

void WeightLoader::tolerate(std::string name, std::vector<int64_t> shape) {
  add_request(nullptr, std::move(name), std::move(shape));
}

void WeightLoader::add_request(at::Tensor* target, std::string name, std::vector<int64_t> shape) {
  const auto* stored = find_with_or_without_prefix(*checkpoint_, name);
  if (stored != nullptr) known_names_.insert(stored->info.name);
  requests_.push_back({target, std::move(name), std::move(shape), stored});
}

void WeightLoader::check() const {
  std::vector<std::string> problems;
  const auto report = [&](std::string_view name, std::string_view problem,
                          const std::filesystem::path& file) {
    problems.push_back(fmt::format("{}: {} ({})", printable(name), problem, file_name(file)));
  };
  for (const auto& request : requests_) {
    if (request.stored == nullptr) {
      if (request.target == nullptr) continue;
      report(request.name, fmt::format("expected {}, got none", shape_to_string(request.shape)),
             checkpoint_->source());
      continue;
    }
    const auto& info = request.stored->info;
    if (info.shape != request.shape) {
      report(info.name,
             fmt::format("expected {}, got {}", shape_to_string(request.shape),
                         shape_to_string(info.shape)),
             request.stored->file->path());
    }
    if (request.target != nullptr && !loads_as_weight(info.dtype)) {
      report(info.name, fmt::format("expected F32, BF16 or F16, got {}", to_string(info.dtype)),
             request.stored->file->path());
    }
  }
  for (const auto& [name, stored] : checkpoint_->tensors()) {
    if (known_names_.contains(name) || is_harmless_extra(name)) continue;
    report(name, fmt::format("expected none, got {}", shape_to_string(stored.info.shape)),
           stored.file->path());
  }
  if (problems.empty()) return;
  throw LoadError(fmt::format("{}: {} tensors do not fit the model:\n  {}",
                              checkpoint_->source().parent_path().string(), problems.size(),
                              fmt::join(problems, "\n  ")));
}

void WeightLoader::load() {
  check();
  // In the order of the files, so that disks read forward.
  std::stable_sort(requests_.begin(), requests_.end(), [](const Request& a, const Request& b) {
    if (a.stored == nullptr || b.stored == nullptr)
      return a.stored != nullptr && b.stored == nullptr;
    return std::forward_as_tuple(a.stored->file->path(), a.stored->info.begin) <
           std::forward_as_tuple(b.stored->file->path(), b.stored->info.begin);
  });
  for (const auto& request : requests_) {
    if (request.target != nullptr) *request.target = load_tensor(*request.stored);
  }
}

at::Tensor WeightLoader::load_tensor(const StoredTensor& stored) const {
  const auto& info = stored.info;
  stored.file->prefetch(info.begin, info.end);
  const auto view = view_tensor(stored);
  if (device_.is_cpu() && view.scalar_type() == dtype_) return view;
  // To the device first: it converts faster, and the narrower type crosses the bus.
  auto loaded = view.to(device_).to(dtype_);
  stored.file->release(info.begin, info.end);
  return loaded;
}

}  // namespace prepack
