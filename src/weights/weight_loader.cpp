#include "weights/weight_loader.h"

#include <ATen/ops/empty.h>
#include <fmt/format.h>
#include <fmt/ranges.h>  // fmt::join

#include <algorithm>
#include <functional>
#include <numeric>
#include <tuple>
#include <utility>

#include "base/mapped_tensor.h"
#include "prepack/error.h"
#include "weights/json.h"
#include "weights/quantized_blocks.h"
#include "weights/tensor_view.h"
#include "weights/word_packed_weight.h"

namespace prepack {
namespace {

/// Bytes; smaller tensors would fill none.
constexpr int64_t kLargePage = int64_t{2} << 20;

/// Defects of a checkpoint that an error lists.
constexpr size_t kMaxListed = 20;

bool loads_as_weight(StoredDType dtype) {
  return dtype == StoredDType::kF32 || dtype == StoredDType::kBF16 || dtype == StoredDType::kF16 ||
         is_quantized(dtype);
}

bool is_one_of(StoredDType dtype, const std::vector<StoredDType>& dtypes) {
  return std::ranges::find(dtypes, dtype) != dtypes.end();
}

std::string names_of(const std::vector<StoredDType>& dtypes) {
  std::vector<std::string_view> names;
  for (auto dtype : dtypes) names.push_back(to_string(dtype));
  return fmt::format("{}", fmt::join(names, " or "));
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
  add_target({&target}, {{std::move(name), shape.at(0)}}, {shape.begin() + 1, shape.end()});
}

void WeightLoader::bind_rows(Weight& target, const std::vector<StackedRows>& parts,
                             int64_t num_columns, WantsBlocked wants_blocked) {
  add_target({nullptr, &target, {}, std::move(wants_blocked)}, parts, {num_columns});
}

void WeightLoader::bind_table(Weight& target, std::string name, int64_t num_rows,
                              int64_t num_columns) {
  add_target({.tensor = nullptr, .weight = &target, .is_table = true},
             {{std::move(name), num_rows}}, {num_columns});
}

void WeightLoader::bind_quantized_rows(Weight& target, const std::vector<StackedRows>& parts,
                                       int64_t num_columns, const Quantization& quantization) {
  add_target({nullptr, &target, quantization}, parts, {num_columns});
}

void WeightLoader::bind_rows(at::Tensor& target, const std::vector<StackedRows>& parts) {
  add_target({&target}, parts, {});
}

void WeightLoader::bind_word_packed_rows(Weight& target, std::optional<at::Tensor>& input_order,
                                         const std::vector<StackedRows>& parts, int64_t num_columns,
                                         const CheckpointQuantization& quantization) {
  const auto is_plain = [&](const StackedRows& part) {
    return checkpoint_->find_model_tensor(part.name + ".weight") != nullptr;
  };
  if (std::ranges::all_of(parts, is_plain)) {
    auto plain = parts;
    for (auto& part : plain) part.name += ".weight";
    return bind_rows(target, plain, num_columns);
  }
  std::vector<WordPackedPart> requested;
  for (const auto& part : parts) {
    if (is_plain(part)) {
      auto& request =
          add_request(std::nullopt, 0, part.name + ".weight", {part.num_rows, num_columns});
      request.dtypes = {StoredDType::kF32, StoredDType::kBF16, StoredDType::kF16};
      requested.push_back({part.name, part.num_rows, request.stored});
    } else {
      requested.push_back(request_part(part, num_columns, quantization));
    }
  }
  word_packed_targets_.push_back(
      {&target, &input_order, std::move(requested), num_columns, quantization});
}

WordPackedPart WeightLoader::request_part(const StackedRows& part, int64_t num_columns,
                                          const CheckpointQuantization& quantization) {
  if (!fits_words(quantization, part.num_rows, num_columns)) {
    throw LoadError(fmt::format("{}: a weight of {} is not whole words of {}", part.name,
                                shape_to_string(std::vector{part.num_rows, num_columns}),
                                to_string(quantization)));
  }
  const auto tensors = word_packed_tensors(quantization, part.num_rows, num_columns);
  std::vector<const StoredTensor*> stored;
  for (const auto& tensor : tensors) {
    auto& request = add_request(std::nullopt, 0, part.name + tensor.suffix, tensor.shape);
    request.is_required = tensor.is_required;
    request.dtypes = tensor.dtypes;
    stored.push_back(request.stored);
  }
  return {.name = part.name,
          .num_rows = part.num_rows,
          .qweight = stored[0],
          .qzeros = stored[1],
          .scales = stored[2],
          .g_idx = stored.size() > 3 ? stored[3] : nullptr};
}

void WeightLoader::tolerate(std::string name, std::vector<int64_t> shape) {
  add_request(std::nullopt, 0, std::move(name), std::move(shape));
}

void WeightLoader::tolerate_zeros(std::string name, std::vector<int64_t> shape) {
  auto& request = add_request(std::nullopt, 0, std::move(name), std::move(shape));
  request.dtypes = {StoredDType::kF32, StoredDType::kBF16, StoredDType::kF16};
  request.must_be_zero = true;
}

void WeightLoader::add_target(Target target, const std::vector<StackedRows>& parts,
                              const std::vector<int64_t>& row_shape) {
  const auto with_rows = [&](int64_t num_rows) {
    std::vector<int64_t> shape = {num_rows};
    shape.insert(shape.end(), row_shape.begin(), row_shape.end());
    return shape;
  };
  int64_t num_rows = 0;
  for (const auto& part : parts) {
    add_request(targets_.size(), num_rows, part.name, with_rows(part.num_rows));
    num_rows += part.num_rows;
  }
  target.shape = with_rows(num_rows);
  target.num_missing_parts = std::ssize(parts);
  targets_.push_back(std::move(target));
}

WeightLoader::Request& WeightLoader::add_request(std::optional<size_t> target, int64_t first_row,
                                                 std::string name, std::vector<int64_t> shape) {
  const auto* stored = checkpoint_->find_model_tensor(name);
  if (stored != nullptr) known_names_.insert(stored->info.name);
  requests_.push_back(
      {target, first_row, std::move(name), std::move(shape), stored, target.has_value(), {}});
  return requests_.back();
}

void WeightLoader::check() const {
  std::vector<std::string> problems;
  const auto report = [&](std::string_view name, std::string_view problem,
                          const std::filesystem::path& file) {
    problems.push_back(fmt::format("{}: {} ({})", printable(name), problem, file_name(file)));
  };
  for (const auto& request : requests_) {
    if (request.stored == nullptr) {
      if (!request.is_required) continue;
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
    if (!request.dtypes.empty() && !is_one_of(info.dtype, request.dtypes)) {
      report(info.name,
             fmt::format("expected {}, got {}", names_of(request.dtypes), to_string(info.dtype)),
             request.stored->file->path());
    }
    if (request.target && !loads_as_weight(info.dtype)) {
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
  const auto num_problems = problems.size();
  if (num_problems > kMaxListed) {
    problems.resize(kMaxListed);
    problems.push_back(fmt::format("and {} more", num_problems - kMaxListed));
  }
  throw LoadError(fmt::format("{}: {} tensors do not fit the model:\n  {}",
                              checkpoint_->model().string(), num_problems,
                              fmt::join(problems, "\n  ")));
}

void WeightLoader::check_zeros() const {
  for (const auto& request : requests_) {
    if (!request.must_be_zero || request.stored == nullptr) continue;
    if (view_tensor(*request.stored).count_nonzero().item<int64_t>() == 0) continue;
    const auto& info = request.stored->info;
    throw LoadError(fmt::format("{}: expected none, or zeros, got {} of other numbers ({})",
                                printable(info.name), shape_to_string(info.shape),
                                file_name(request.stored->file->path())));
  }
}

void WeightLoader::load() {
  check();
  check_zeros();
  // In the order of the files, so that disks read forward.
  std::stable_sort(requests_.begin(), requests_.end(), [](const Request& a, const Request& b) {
    if (a.stored == nullptr || b.stored == nullptr)
      return a.stored != nullptr && b.stored == nullptr;
    return std::forward_as_tuple(a.stored->file->path(), a.stored->info.begin) <
           std::forward_as_tuple(b.stored->file->path(), b.stored->info.begin);
  });
  std::vector<Form> forms;
  for (size_t target = 0; target < targets_.size(); ++target) forms.push_back(form_of(target));
  for (const auto& request : requests_) {
    if (!request.target) continue;
    const auto& form = forms[*request.target];
    load_part(request, form);
    auto& target = targets_[*request.target];
    if (--target.num_missing_parts > 0) continue;
    if (may_be_blocked(target, form)) block(*request.target);
    if (std::holds_alternative<PackedFormat>(form)) {
      *target.weight = std::get<QuantizedWeight>(*target.weight).to(device_);
    }
  }
  spares_.clear();
  for (const auto& target : word_packed_targets_) {
    auto product =
        load_word_packed(target.quantization, target.parts, target.num_columns, dtype_, device_);
    *target.weight = std::move(product.weight);
    *target.input_order = std::move(product.input_order);
  }
}

int64_t WeightLoader::nbytes() const {
  check();
  int64_t bytes = 0;
  for (size_t target = 0; target < targets_.size(); ++target) {
    const auto& shape = targets_[target].shape;
    const auto form = form_of(target);
    if (const auto* format = std::get_if<PackedFormat>(&form)) {
      bytes += format->bytes(shape[0], shape[1]);
    } else {
      const auto size = static_cast<int64_t>(c10::elementSize(std::get<at::ScalarType>(form)));
      bytes += std::accumulate(shape.begin(), shape.end(), size, std::multiplies<>());
    }
  }
  for (const auto& target : word_packed_targets_) {
    bytes +=
        word_packed_bytes(target.quantization, target.parts, target.num_columns, dtype_, device_);
  }
  return bytes;
}

std::vector<PackedFormat> WeightLoader::product_formats() const {
  check();
  std::vector<PackedFormat> formats;
  for (size_t target = 0; target < targets_.size(); ++target) {
    if (targets_[target].is_table) continue;
    const auto form = form_of(target);
    if (const auto* format = std::get_if<PackedFormat>(&form)) {
      formats.push_back(format->for_kernels());
    }
  }
  for (const auto& target : word_packed_targets_) {
    const auto format = word_packed_format(target.quantization, target.parts, target.num_columns);
    if (format) formats.push_back(*format);
  }
  return formats;
}

bool WeightLoader::has_weights_to_block() const {
  check();
  for (size_t target = 0; target < targets_.size(); ++target) {
    if (may_be_blocked(targets_[target], form_of(target))) return true;
  }
  return false;
}

bool WeightLoader::may_be_blocked(const Target& target, const Form& form) const {
  const auto* dtype = std::get_if<at::ScalarType>(&form);
  return target.wants_blocked && dtype != nullptr && *dtype == dtype_ && device_.is_cpu();
}

/// What the parts of a weight of products are stored as, where they all are quantized, or are of
/// one dtype that is narrower.
WeightLoader::Form WeightLoader::form_of(size_t target) const {
  const auto& wanted = targets_[target];
  if (wanted.quantization) return PackedFormat::of(*wanted.quantization, wanted.shape[1]);
  if (wanted.weight == nullptr) return dtype_;
  std::vector<const TensorInfo*> parts;
  for (const auto& request : requests_) {
    if (request.target == target) parts.push_back(&request.stored->info);
  }
  if (std::ranges::all_of(parts, is_quantized, &TensorInfo::dtype)) {
    std::vector<StoredDType> dtypes;
    for (const auto* part : parts) dtypes.push_back(part->dtype);
    return common_format(dtypes);
  }
  if (!device_.is_cpu()) return dtype_;
  const auto stored = scalar_type(*parts.front());
  const bool is_common = std::ranges::all_of(
      parts, [&](const TensorInfo* part) { return scalar_type(*part) == stored; });
  return is_common && c10::elementSize(stored) < c10::elementSize(dtype_) ? stored : dtype_;
}

/// Whether the file's own pages become the tensor, unless they are misaligned.
bool WeightLoader::is_view_of_file(const Request& request, const Form& form) const {
  const auto* dtype = std::get_if<at::ScalarType>(&form);
  const auto& info = request.stored->info;
  return dtype != nullptr && device_.is_cpu() && request.shape == targets_[*request.target].shape &&
         !is_quantized(info.dtype) && scalar_type(info) == *dtype;
}

void WeightLoader::load_part(const Request& request, const Form& form) {
  const auto& target = targets_[*request.target];
  if (target.is_table && is_view_of_file(request, form)) {
    request.stored->expect_parts();
  } else {
    request.stored->prefetch();
  }
  if (const auto* format = std::get_if<PackedFormat>(&form)) {
    if (!std::holds_alternative<QuantizedWeight>(*target.weight)) {
      *target.weight = QuantizedWeight::make_empty(target.shape[0], target.shape[1], *format);
    }
    load_quantized(request, std::get<QuantizedWeight>(*target.weight));
  } else {
    auto& tensor = target.tensor != nullptr ? *target.tensor : std::get<at::Tensor>(*target.weight);
    load_tensor(request, tensor, std::get<at::ScalarType>(form));
  }
}

void WeightLoader::load_tensor(const Request& request, at::Tensor& tensor, at::ScalarType dtype) {
  const auto& shape = targets_[*request.target].shape;
  const auto& info = request.stored->info;
  const auto view = is_quantized(info.dtype) ? read_quantized(*request.stored, dtype)
                                             : view_tensor(*request.stored);
  // A norm or bias would keep pages of its neighbours in memory, whose weights were copied.
  const bool is_of_product = targets_[*request.target].weight != nullptr;
  if (is_of_product && request.shape == shape && device_.is_cpu() && view.scalar_type() == dtype) {
    tensor = view;
    return;
  }
  if (!tensor.defined()) tensor = empty_tensor(shape, dtype);
  // To the device first: it converts faster, and the narrower type crosses the bus.
  tensor.narrow(0, request.first_row, request.shape[0]).copy_(view.to(device_));
  request.stored->release();
}

at::Tensor WeightLoader::empty_tensor(const std::vector<int64_t>& shape, at::ScalarType dtype) {
  const auto spare = spares_.extract({shape, dtype});
  if (spare) return spare.mapped();
  // With large pages there are fewer addresses to look up in products, which read all of a weight.
  const auto options = at::TensorOptions().dtype(dtype).device(device_);
  return empty_in_large_pages(shape, options, kLargePage);
}

void WeightLoader::load_quantized(const Request& request, QuantizedWeight& weight) {
  const auto& info = request.stored->info;
  const auto require = [&](bool is_done, std::string_view problem) {
    if (is_done) return;
    throw LoadError(fmt::format("{}: has weights that {} ({})", printable(info.name), problem,
                                file_name(request.stored->file->path())));
  };
  if (targets_[*request.target].quantization) {
    require(weight.quantize_rows(request.first_row, view_tensor(*request.stored)),
            "cannot be quantized: not finite, or too large");
  } else {
    require(read_packed(*request.stored, request.first_row, weight),
            "cannot be kept: not finite, or too large");
  }
  request.stored->release();
}

void WeightLoader::block(size_t target) {
  auto& weight = *targets_[target].weight;
  auto plain = std::get<at::Tensor>(weight);
  if (!targets_[target].wants_blocked(plain)) return;
  weight = BlockedWeight(plain);
  bool is_view = false;  // of the file
  for (const auto& request : requests_) {
    if (request.target != target) continue;
    is_view = is_view || view_tensor(*request.stored).const_data_ptr() == plain.const_data_ptr();
    request.stored->release();
  }
  if (is_view) return;
  spares_[{plain.sizes().vec(), plain.scalar_type()}] = plain;
}

}  // namespace prepack
