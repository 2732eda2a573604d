#include "weights/blocked_weight.h"

#include <ATen/Context.h>
#include <ATen/core/dispatch/Dispatcher.h>

#include <cstring>
#include <string_view>

namespace prepack {
namespace {

// LibTorch has these operators for TorchInductor, and declares none of them in a header: they are
// found by their names.

template <typename Function>
c10::TypedOperatorHandle<Function> find_operator(const char* name, const char* overload = "") {
  return c10::Dispatcher::singleton().findSchemaOrThrow(name, overload).typed<Function>();
}

/// oneDNN chooses the layout for products of so many rows; others read it too.
constexpr int64_t kRowsToChooseFor = 512;

at::Tensor reorder(const at::Tensor& weight) {
  using Function = at::Tensor(const at::Tensor&, std::optional<int64_t>);
  static const auto op = find_operator<Function>("mkldnn::_reorder_linear_weight");
  return op.call(weight, kRowsToChooseFor);
}

at::Tensor linear(const at::Tensor& input, const at::Tensor& weight,
                  const std::optional<at::Tensor>& bias) {
  using Function = at::Tensor(
      const at::Tensor&, const at::Tensor&, const std::optional<at::Tensor>&, std::string_view,
      c10::List<std::optional<at::Scalar>>, std::optional<std::string_view>);
  static const auto op = find_operator<Function>("mkldnn::_linear_pointwise");
  return op.call(input, weight, bias, "none", c10::List<std::optional<at::Scalar>>(), {});
}

/// The product plus `other`, rounded once.
at::Tensor linear_plus(const at::Tensor& input, const at::Tensor& other, const at::Tensor& weight,
                       const std::optional<at::Tensor>& bias) {
  using Function = at::Tensor(const at::Tensor&, const at::Tensor&, const at::Tensor&,
                              const std::optional<at::Tensor>&, std::string_view);
  static const auto op = find_operator<Function>("mkldnn::_linear_pointwise", "binary");
  return op.call(input, other, weight, bias, "add");
}

const void* data_of(const at::Tensor& blocks) {
  static const auto op = find_operator<int64_t(const at::Tensor&)>("mkldnn::data_ptr");
  return reinterpret_cast<const void*>(op.call(blocks));
}

}  // namespace

bool BlockedWeight::is_supported(at::ScalarType type) {
  if (!at::hasMKLDNN()) return false;
  const auto ask = [](const char* name) { return find_operator<bool()>(name).call(); };
  if (type == at::kBFloat16) return ask("mkldnn::_is_mkldnn_bf16_supported");
  if (type == at::kHalf) return ask("mkldnn::_is_mkldnn_fp16_supported");
  return type == at::kFloat;
}

BlockedWeight::BlockedWeight(const at::Tensor& weight)
    : blocks_(reorder(weight)), num_features_(weight.size(0)) {}

int64_t BlockedWeight::nbytes() const {
  static const auto op = find_operator<int64_t(const at::Tensor&)>("mkldnn::_nbytes");
  return op.call(blocks_);
}

bool BlockedWeight::is_plain(const at::Tensor& weight) const {
  return nbytes() == static_cast<int64_t>(weight.nbytes()) &&
         std::memcmp(data_of(blocks_), weight.contiguous().const_data_ptr(), weight.nbytes()) == 0;
}

at::Tensor BlockedWeight::multiply(const at::Tensor& input,
                                   const std::optional<at::Tensor>& bias) const {
  if (is_whole()) return linear(input, blocks_, bias);
  auto part = linear(input, blocks_, {}).narrow(1, first_feature_, num_features_);
  return bias ? part.add(*bias) : part.contiguous();
}

void BlockedWeight::add_product(const at::Tensor& input, const std::optional<at::Tensor>& bias,
                                at::Tensor& sum) const {
  if (is_whole()) {
    sum.copy_(linear_plus(input, sum, blocks_, bias));
  } else {
    sum.add_(multiply(input, bias));
  }
}

BlockedWeight BlockedWeight::narrow(int64_t first, int64_t count) const {
  auto part = *this;
  part.first_feature_ += first;
  part.num_features_ = count;
  return part;
}

}  // namespace prepack
