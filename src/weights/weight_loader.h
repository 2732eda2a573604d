#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "weights/checkpoint.h"

namespace prepack {

/// Fills a model's tensors from a checkpoint, in two steps: the model first says what it wants and
/// where it goes, then `load` compares all of that with the checkpoint before it reads any data.
///
///     WeightLoader loader(checkpoint, at::kFloat);
///     loader.bind(decoder.embed_tokens, "model.embed_tokens.weight", {vocab_size, hidden_size});
///     ...
///     loader.load();
class WeightLoader {
 public:
  /// @param checkpoint  must outlive the loader; the loaded tensors need neither
  /// @param dtype       of the loaded tensors
  WeightLoader(const Checkpoint& checkpoint, at::ScalarType dtype, at::Device device = at::kCPU);

  /// `load` will fill `target`, which must not move until then.
  void bind(at::Tensor& target, std::string name, std::vector<int64_t> shape);

  /// The checkpoint may hold this tensor too, if it has this shape; it is not loaded. An example is
  /// lm_head.weight beside a tied embedding.
  void tolerate(std::string name, std::vector<int64_t> shape);

  /// Fills every bound tensor. One whose stored dtype is the wanted one is a view of the mapped
  /// file that must not be written to. Others are converted one after the other, and the pages they
  /// were converted from are released, so that memory never holds the model twice.
  /// @throws LoadError listing every missing, unexpected and misshapen tensor, and every dtype that
  ///         is not supported
  void load();

 private:
  struct Request {
    at::Tensor* target;  // nullptr if the tensor is only tolerated
    std::string name;
    std::vector<int64_t> shape;
    const StoredTensor* stored;  // nullptr if the checkpoint has none of that name
  };

  void add_request(at::Tensor* target, std::string name, std::vector<int64_t> shape);
  void check() const;
  at::Tensor load_tensor(const StoredTensor& stored) const;

  const Checkpoint* checkpoint_;
  at::ScalarType dtype_;
  at::Device device_;
  std::vector<Request> requests_;
  std::set<std::string_view> known_names_;  // as the checkpoint spells them
};

}  // namespace prepack
