#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "weights/checkpoint.h"
#include "weights/load_word_packed.h"
#include "weights/quantized_weight.h"

namespace prepack {

/// Rows of a stacked weight: one tensor of the checkpoint.
struct StackedRows {
  std::string name;
  int64_t num_rows;
};

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

  /// Whether a weight, loaded as it is stored, is to become a BlockedWeight.
  using WantsBlocked = std::function<bool(const at::Tensor&)>;

  /// The same for a weight of products: tensors that all have `num_columns`, one below the other.
  /// On a CPU it keeps the dtype that it is stored in, if that takes fewer bytes: products widen it
  /// as they read it. Quantized ones stay quantized, in a format that has all of them exactly.
  /// @param wants_blocked  asked on a CPU for a weight of the loader's dtype, as soon as it is
  ///                       loaded, so that memory holds one weight twice, not all; empty: no
  void bind_rows(Weight& target, const std::vector<StackedRows>& parts, int64_t num_columns,
                 WantsBlocked wants_blocked = {});

  /// The same for a table of which single rows are read: what stays a view of the mapped file takes
  /// memory only for those.
  void bind_table(Weight& target, std::string name, int64_t num_rows, int64_t num_columns);

  /// The same for a weight of products that is rounded as it is loaded, tensor by tensor: memory
  /// never holds more than one of them as it is stored.
  void bind_quantized_rows(Weight& target, const std::vector<StackedRows>& parts,
                           int64_t num_columns, const Quantization& quantization);

  /// The same for a weight of products in a GPTQ or AWQ folder: each of the parts either is packed
  /// as `quantization` says, or plain and of the name with ".weight", which is what the folder was
  /// told to leave out. Plain ones alone are loaded as by `bind_rows`, others by
  /// `load_word_packed`.
  /// @param input_order  the input feature of each column, where they are not in order
  /// @param parts        whose names are without suffix
  /// @throws LoadError naming one whose rows or columns are not whole words
  void bind_word_packed_rows(Weight& target, std::optional<at::Tensor>& input_order,
                             const std::vector<StackedRows>& parts, int64_t num_columns,
                             const CheckpointQuantization& quantization);

  /// The same for a bias, which has no columns and is converted.
  void bind_rows(at::Tensor& target, const std::vector<StackedRows>& parts);

  /// The checkpoint may hold this tensor too, if it has this shape; it is not loaded. An example is
  /// lm_head.weight beside a tied embedding.
  void tolerate(std::string name, std::vector<int64_t> shape);

  /// The same for a tensor whose numbers must all be zero.
  void tolerate_zeros(std::string name, std::vector<int64_t> shape);

  /// Bytes that the bound tensors will take, but for those that are only tolerated.
  /// @throws LoadError as `load` does before it reads any data
  int64_t nbytes() const;

  /// The formats of the weights of products that will be quantized, or are and stay so.
  /// @throws LoadError likewise, or naming a g_idx that is wrong
  std::vector<PackedFormat> product_formats() const;

  /// Whether any weight can be put into oneDNN's layout.
  /// @throws LoadError likewise
  bool has_weights_to_block() const;

  /// Fills every bound tensor. A weight that is neither converted, widened nor stacked is a view of
  /// the mapped file that must not be written to. Others are copied one after the other, and the
  /// pages they came from are released, so that memory never holds the model twice.
  /// @throws LoadError listing missing, unexpected and misshapen tensors, and dtypes that are not
  ///         supported, at most 20 of them; and naming a tensor that cannot be quantized, or cannot
  ///         stay so
  void load();

 private:
  /// A tensor to fill, from one tensor of the checkpoint or several.
  struct Target {
    at::Tensor* tensor;  // null for a weight of products
    Weight* weight = nullptr;
    std::optional<Quantization> quantization = {};  // to round a weight to
    WantsBlocked wants_blocked = {};                // empty: no
    bool is_table = false;                          // of which single rows are read
    std::vector<int64_t> shape = {};
    int64_t num_missing_parts = 0;
  };

  /// What a target is loaded as.
  using Form = std::variant<at::ScalarType, PackedFormat>;

  struct Request {
    std::optional<size_t> target;  // index into targets_; nullopt if this alone fills none
    int64_t first_row;             // where it begins in the target
    std::string name;
    std::vector<int64_t> shape;
    const StoredTensor* stored;  // nullptr if the checkpoint has none of that name
    bool is_required;
    std::vector<StoredDType> dtypes;  // any of these; empty: of a target weights', else all
    bool must_be_zero = false;
  };

  struct WordPackedTarget {
    Weight* weight;
    std::optional<at::Tensor>* input_order;
    std::vector<WordPackedPart> parts;
    int64_t num_columns;
    CheckpointQuantization quantization;
  };

  /// @param target  without its shape
  void add_target(Target target, const std::vector<StackedRows>& parts,
                  const std::vector<int64_t>& row_shape);
  Request& add_request(std::optional<size_t> target, int64_t first_row, std::string name,
                       std::vector<int64_t> shape);
  WordPackedPart request_part(const StackedRows& part, int64_t num_columns,
                              const CheckpointQuantization& quantization);
  void check() const;
  void check_zeros() const;
  Form form_of(size_t target) const;
  bool is_view_of_file(const Request& request, const Form& form) const;
  void load_part(const Request& request, const Form& form);
  void load_tensor(const Request& request, at::Tensor& tensor, at::ScalarType dtype);
  void load_quantized(const Request& request, QuantizedWeight& weight);
  bool may_be_blocked(const Target& target, const Form& form) const;
  void block(size_t target);
  at::Tensor empty_tensor(const std::vector<int64_t>& shape, at::ScalarType dtype);

  const Checkpoint* checkpoint_;
  at::ScalarType dtype_;
  at::Device device_;
  std::vector<Target> targets_;
  std::vector<WordPackedTarget> word_packed_targets_;
  std::vector<Request> requests_;
  std::set<std::string_view> known_names_;  // as the checkpoint spells them

  /// Memory that weights had before they were blocked, for the next ones of their shapes: freed one
  /// by one they would leave holes, together a tenth of the model.
  std::map<std::pair<std::vector<int64_t>, at::ScalarType>, at::Tensor> spares_;
};

}  // namespace prepack
