#include <ATen/ops/cat.h>
#include <ATen/ops/equal.h>
#include <ATen/ops/full.h>
#include <ATen/ops/linear.h>
#include <ATen/ops/rand.h>
#include <ATen/ops/tensor.h>
#include <ATen/ops/zeros.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <map>
#include <string>

#include "prepack/error.h"
#include "support/catch.h"
#include "support/safetensors_writer.h"
#include "support/temp_dir.h"
#include "weights/tensor_view.h"
#include "weights/weight_loader.h"

namespace prepack {
namespace {

using testing::aligned_safetensors_bytes;
using testing::bytes_of;
using testing::TempDir;
using testing::TensorToWrite;

using Tensors = std::map<std::string, TensorToWrite>;

std::string dtype_name(at::ScalarType dtype) {
  return dtype == at::kFloat ? "F32" : dtype == at::kBFloat16 ? "BF16" : "F16";
}

/// Exact in every floating-point dtype, and not symmetric in any way.
at::Tensor values() {
  return at::tensor({0.0, -1.5, 2.25, 3.0, -0.125, 96.0}, at::kFloat).view({2, 3});
}

TensorToWrite to_write(const at::Tensor& tensor) {
  const auto contiguous = tensor.contiguous();
  return {dtype_name(tensor.scalar_type()), contiguous.sizes().vec(),
          std::string(static_cast<const char*>(contiguous.const_data_ptr()), contiguous.nbytes())};
}

Checkpoint write_checkpoint(const TempDir& folder, const Tensors& tensors,
                            size_t misalignment = 0) {
  folder.write("model.safetensors", aligned_safetensors_bytes(tensors, misalignment));
  return Checkpoint::open_folder(folder.path());
}

bool lies_in(const at::Tensor& tensor, const MappedFile& file) {
  const auto* data = static_cast<const std::byte*>(tensor.const_data_ptr());
  return data >= file.bytes().data() &&
         data + tensor.nbytes() <= file.bytes().data() + file.bytes().size();
}

TEST_CASE("each dtype is converted to each", "[weights]") {
  for (const auto stored : {at::kFloat, at::kBFloat16, at::kHalf}) {
    for (const auto wanted : {at::kFloat, at::kBFloat16, at::kHalf}) {
      INFO(c10::toString(stored) << " to " << c10::toString(wanted));
      const TempDir folder;
      const auto checkpoint = write_checkpoint(folder, {{"w", to_write(values().to(stored))}});
      at::Tensor loaded;
      WeightLoader loader(checkpoint, wanted);
      loader.bind(loaded, "w", {2, 3});
      loader.load();
      CHECK(loaded.scalar_type() == wanted);
      CHECK(at::equal(loaded, values().to(wanted)));
    }
  }
}

TEST_CASE("a weight in the wanted dtype is a view of the file", "[weights]") {
  const TempDir folder;
  const auto checkpoint =
      write_checkpoint(folder, {{"w", to_write(values())}, {"norm", to_write(values())}});
  Weight loaded;
  at::Tensor norm;
  WeightLoader loader(checkpoint, at::kFloat);
  loader.bind_rows(loaded, {{"w", 2}}, 3);
  loader.bind(norm, "norm", {2, 3});
  loader.load();
  CHECK(lies_in(std::get<at::Tensor>(loaded), *checkpoint.find("w")->file));
  CHECK_FALSE(lies_in(norm, *checkpoint.find("w")->file));
  CHECK(at::equal(norm, values()));
}

TEST_CASE("a view keeps its file mapped", "[weights]") {
  Weight loaded;
  {
    const TempDir folder;
    const auto checkpoint = write_checkpoint(folder, {{"w", to_write(values())}});
    WeightLoader loader(checkpoint, at::kFloat);
    loader.bind_rows(loaded, {{"w", 2}}, 3);
    loader.load();
  }
  CHECK(at::equal(std::get<at::Tensor>(loaded), values()));
}

TEST_CASE("a converted weight does not keep its file mapped", "[weights]") {
  const TempDir folder;
  std::weak_ptr<const MappedFile> file;
  at::Tensor loaded;
  {
    const auto checkpoint = write_checkpoint(folder, {{"w", to_write(values())}});
    file = checkpoint.find("w")->file;
    WeightLoader loader(checkpoint, at::kBFloat16);
    loader.bind(loaded, "w", {2, 3});
    loader.load();
  }
  CHECK(file.expired());
}

TEST_CASE("misaligned data is copied", "[weights]") {
  for (const auto wanted : {at::kFloat, at::kBFloat16}) {
    const TempDir folder;
    const auto checkpoint = write_checkpoint(folder, {{"w", to_write(values())}}, 3);
    at::Tensor loaded;
    WeightLoader loader(checkpoint, wanted);
    loader.bind(loaded, "w", {2, 3});
    loader.load();
    CHECK_FALSE(lies_in(loaded, *checkpoint.find("w")->file));
    CHECK(at::equal(loaded, values().to(wanted)));
    Weight rows;
    WeightLoader stacking(checkpoint, wanted);
    stacking.bind_rows(rows, {{"w", 2}}, 3);
    stacking.load();
    CHECK(at::equal(std::get<at::Tensor>(rows), values().to(wanted)));
  }
}

TEST_CASE("stacked rows come in the order in which they are named", "[weights]") {
  for (const auto stored : {at::kFloat, at::kBFloat16, at::kHalf}) {
    for (const auto wanted : {at::kFloat, at::kBFloat16, at::kHalf}) {
      INFO(c10::toString(stored) << " to " << c10::toString(wanted));
      const TempDir folder;
      const auto first = at::tensor({7.0, 8.0, -9.0}, at::kFloat);
      const auto checkpoint =
          write_checkpoint(folder, {{"a.weight", to_write(values().to(stored))},
                                    {"b.weight", to_write(first.view({1, 3}).to(stored))},
                                    {"a.bias", to_write(values().flatten().to(stored))},
                                    {"b.bias", to_write(first.to(stored))}});
      Weight weight;
      at::Tensor bias;
      WeightLoader loader(checkpoint, wanted);
      loader.bind_rows(weight, {{"b.weight", 1}, {"a.weight", 2}}, 3);
      loader.bind_rows(bias, {{"b.bias", 3}, {"a.bias", 6}});
      loader.load();
      CHECK(at::equal(std::get<at::Tensor>(weight).to(at::kFloat),
                      at::cat({first.view({1, 3}), values()})));
      CHECK(bias.scalar_type() == wanted);
      CHECK(at::equal(bias.to(at::kFloat), at::cat({first, values().flatten()})));
    }
  }
}

TEST_CASE("a weight of products keeps a stored dtype that is narrower, if all its rows have it",
          "[weights]") {
  const TempDir folder;
  const auto checkpoint =
      write_checkpoint(folder, {{"half", to_write(values().to(at::kBFloat16))},
                                {"half too", to_write(values().to(at::kBFloat16))},
                                {"other half", to_write(values().to(at::kHalf))},
                                {"full", to_write(values())}});
  const auto load = [&](at::ScalarType wanted, const std::vector<StackedRows>& parts) {
    Weight loaded;
    WeightLoader loader(checkpoint, wanted);
    loader.bind_rows(loaded, parts, 3);
    for (const auto* name : {"half", "half too", "other half", "full"}) {
      loader.tolerate(name, {2, 3});
    }
    loader.load();
    return std::get<at::Tensor>(loaded);
  };
  CHECK(load(at::kFloat, {{"half", 2}}).scalar_type() == at::kBFloat16);
  CHECK(lies_in(load(at::kFloat, {{"half", 2}}), *checkpoint.find("half")->file));
  CHECK(load(at::kFloat, {{"half", 2}, {"half too", 2}}).scalar_type() == at::kBFloat16);
  CHECK(
      at::equal(load(at::kFloat, {{"half", 2}, {"other half", 2}}), at::cat({values(), values()})));
  CHECK(load(at::kFloat, {{"half", 2}, {"full", 2}}).scalar_type() == at::kFloat);
  CHECK(load(at::kBFloat16, {{"full", 2}}).scalar_type() == at::kBFloat16);
  CHECK(load(at::kBFloat16, {{"other half", 2}}).scalar_type() == at::kBFloat16);
}

TEST_CASE("a weight of products is blocked once it is whole, if it is of the dtype computed in",
          "[weights][blocked]") {
  Weight stacked, after, viewed, plain, half;
  std::weak_ptr<const MappedFile> file;
  std::vector<at::Tensor> asked;
  {
    const TempDir folder;
    const auto checkpoint =
        write_checkpoint(folder, {{"a", to_write(values())},
                                  {"b", to_write(values().add(1))},
                                  {"c", to_write(values().add(2))},
                                  {"d", to_write(values().add(3).to(at::kBFloat16))}});
    file = checkpoint.find("a")->file;
    const auto wants_blocked = [&](const at::Tensor& weight) {
      asked.push_back(weight.clone());
      return true;
    };
    WeightLoader loader(checkpoint, at::kFloat);
    loader.bind_rows(stacked, {{"b", 2}, {"a", 2}}, 3, wants_blocked);
    loader.bind_rows(after, {{"c", 2}, {"c", 2}}, 3, wants_blocked);  // where `stacked` was
    loader.bind_rows(viewed, {{"c", 2}}, 3, wants_blocked);
    loader.bind_rows(plain, {{"c", 2}}, 3, [](const at::Tensor&) { return false; });
    loader.bind_rows(half, {{"d", 2}}, 3, wants_blocked);
    CHECK(loader.has_weights_to_block());
    CHECK(loader.nbytes() == (12 + 12 + 6 + 6) * 4 + 6 * 2);
    loader.load();
    CHECK(at::equal(std::get<at::Tensor>(plain), values().add(2)));
    CHECK(std::get<at::Tensor>(half).scalar_type() == at::kBFloat16);
    plain = half = at::Tensor();
  }
  CHECK(file.expired());
  REQUIRE(asked.size() == 3);
  CHECK(at::equal(asked[0], at::cat({values().add(1), values()})));
  CHECK(at::equal(asked[1], at::cat({values().add(2), values().add(2)})));
  CHECK(at::equal(asked[2], values().add(2)));
  const auto input = at::tensor({1.0, 0.5, -2.0}, at::kFloat).view({1, 3});
  const auto product = [&](const Weight& weight) {
    return std::get<BlockedWeight>(weight).multiply(input, {});
  };
  CHECK(at::equal(product(stacked), at::linear(input, asked[0])));
  CHECK(at::equal(product(after), at::linear(input, asked[1])));
  CHECK(at::equal(product(viewed), at::linear(input, asked[2])));
}

TEST_CASE("there is nothing to block where nothing is of the dtype computed in, or asked",
          "[weights][blocked]") {
  const TempDir folder;
  const auto checkpoint = write_checkpoint(
      folder, {{"a", to_write(values().to(at::kHalf))}, {"b", to_write(values())}});
  Weight half, full;
  WeightLoader loader(checkpoint, at::kFloat);
  loader.bind_rows(half, {{"a", 2}}, 3, [](const at::Tensor&) { return true; });
  loader.bind_rows(full, {{"b", 2}}, 3);
  CHECK_FALSE(loader.has_weights_to_block());
}

TEST_CASE("each misshapen part of a stacked weight is named", "[weights]") {
  const TempDir folder;
  const auto checkpoint = write_checkpoint(
      folder, {{"q", to_write(values())}, {"k", to_write(values())}, {"v", to_write(values())}});
  Weight loaded;
  WeightLoader loader(checkpoint, at::kFloat);
  loader.bind_rows(loaded, {{"q", 2}, {"k", 1}, {"w", 2}}, 3);
  CHECK_THROWS_WITH(loader.load(), ContainsSubstring("k: expected [1, 3], got [2, 3]") &&
                                       ContainsSubstring("w: expected [2, 3], got none") &&
                                       ContainsSubstring("v: expected none, got [2, 3]"));
}

/// Bytes of mapped files that this process holds in memory.
int64_t resident_file_bytes() {
  std::ifstream statm("/proc/self/statm");
  int64_t size = 0, resident = 0, shared = 0;
  statm >> size >> resident >> shared;
  return shared * ::sysconf(_SC_PAGESIZE);
}

TEST_CASE("the pages that weights were converted or copied from are released", "[weights]") {
  const auto large = at::zeros({16, 1 << 20}, at::kFloat);  // 64 MB
  for (const size_t misalignment : {0, 3}) {
    const auto wanted = misalignment == 0 ? at::kBFloat16 : at::kFloat;
    const TempDir folder;
    const auto checkpoint = write_checkpoint(folder, {{"w", to_write(large)}}, misalignment);
    at::Tensor loaded;
    WeightLoader loader(checkpoint, wanted);
    loader.bind(loaded, "w", {16, 1 << 20});
    const auto before = resident_file_bytes();
    loader.load();
    CHECK(resident_file_bytes() - before < 16 << 20);
  }
}

TEST_CASE("large tensors that are put together hold each of them", "[weights]") {
  const TempDir folder;
  const auto q = at::rand({700, 900});
  const auto k = at::rand({300, 900});
  const auto checkpoint = write_checkpoint(folder, {{"q", to_write(q)}, {"k", to_write(k)}});
  Weight loaded;
  WeightLoader loader(checkpoint, at::kFloat);
  loader.bind_rows(loaded, {{"q", 700}, {"k", 300}}, 900);
  loader.load();
  CHECK(at::equal(std::get<at::Tensor>(loaded), at::cat({q, k})));
}

TEST_CASE("of a table that stays in the file, only rows that are read take memory", "[weights]") {
  constexpr int64_t kNumRows = 1024;
  const auto large = at::full({kNumRows, 1 << 14}, 1, at::kFloat);  // 64 MB
  for (const bool is_converted : {false, true}) {
    const TempDir folder;
    const auto checkpoint = write_checkpoint(folder, {{"w", to_write(large)}});
    Weight loaded;
    WeightLoader loader(checkpoint, is_converted ? at::kBFloat16 : at::kFloat);
    loader.bind_table(loaded, "w", kNumRows, 1 << 14);
    const auto before = resident_file_bytes();
    loader.load();
    CHECK(resident_file_bytes() - before < 8 << 20);
    const auto& table = std::get<at::Tensor>(loaded);
    CHECK(table[kNumRows / 2].sum().item<float>() == 1 << 14);
    CHECK(resident_file_bytes() - before < 8 << 20);
    CHECK(table.sum().item<double>() == 64 << 18);
  }
}

TEST_CASE("every problem is reported at once, before anything is loaded", "[weights]") {
  const TempDir folder;
  const auto checkpoint =
      write_checkpoint(folder, {{"good", to_write(values())},
                                {"misshapen", to_write(values())},
                                {"integer", {"I64", {1}, bytes_of<int64_t>({7})}},
                                {"unexpected", to_write(values())}});
  at::Tensor good, misshapen, integer, missing;
  WeightLoader loader(checkpoint, at::kFloat);
  loader.bind(good, "good", {2, 3});
  loader.bind(misshapen, "misshapen", {3, 2});
  loader.bind(integer, "integer", {1});
  loader.bind(missing, "missing", {4});
  std::string message;
  try {
    loader.load();
  } catch (const LoadError& error) {
    message = error.what();
  }
  CHECK(message == folder.path().string() +
                       ": 4 tensors do not fit the model:\n"
                       "  misshapen: expected [3, 2], got [2, 3] (model.safetensors)\n"
                       "  integer: expected F32, BF16 or F16, got I64 (model.safetensors)\n"
                       "  missing: expected [4], got none (model.safetensors)\n"
                       "  unexpected: expected none, got [2, 3] (model.safetensors)");
  CHECK_FALSE(good.defined());
}

TEST_CASE("of many problems the first are listed", "[weights]") {
  const TempDir folder;
  Tensors tensors;
  for (int i = 0; i < 30; ++i) tensors[fmt::format("unexpected.{}", i)] = to_write(values());
  const auto checkpoint = write_checkpoint(folder, tensors);
  WeightLoader loader(checkpoint, at::kFloat);
  CHECK_THROWS_WITH(loader.load(), ContainsSubstring(": 30 tensors do not fit") &&
                                       ContainsSubstring("\n  and 10 more") &&
                                       !ContainsSubstring("unexpected.9:"));
}

TEST_CASE("a misshapen tensor is reported with its shard", "[weights]") {
  const TempDir folder;
  folder.write("model-1.safetensors", testing::safetensors_bytes({{"w", to_write(values())}}));
  folder.write("model.safetensors.index.json", R"({"weight_map":{"w":"model-1.safetensors"}})");
  const auto checkpoint = Checkpoint::open_folder(folder.path());
  at::Tensor w, missing;
  WeightLoader loader(checkpoint, at::kFloat);
  loader.bind(w, "w", {6});
  loader.bind(missing, "missing", {1});
  CHECK_THROWS_WITH(
      loader.load(),
      ContainsSubstring("w: expected [6], got [2, 3] (model-1.safetensors)") &&
          ContainsSubstring("missing: expected [1], got none (model.safetensors.index.json)"));
}

TEST_CASE("inverse frequencies in old checkpoints are passed over", "[weights]") {
  const TempDir folder;
  const auto checkpoint = write_checkpoint(
      folder, {{"w", to_write(values())},
               {"model.layers.0.self_attn.rotary_emb.inv_freq", to_write(values())}});
  at::Tensor loaded;
  WeightLoader loader(checkpoint, at::kFloat);
  loader.bind(loaded, "w", {2, 3});
  CHECK_NOTHROW(loader.load());
}

TEST_CASE("a tolerated tensor may be there in its shape only", "[weights]") {
  for (const bool is_there : {false, true}) {
    const TempDir folder;
    Tensors tensors = {{"w", to_write(values())}};
    if (is_there) tensors["lm_head.weight"] = to_write(values());
    const auto checkpoint = write_checkpoint(folder, tensors);
    at::Tensor loaded;
    WeightLoader loader(checkpoint, at::kFloat);
    loader.bind(loaded, "w", {2, 3});
    loader.tolerate("lm_head.weight", {2, 3});
    CHECK_NOTHROW(loader.load());

    WeightLoader other(checkpoint, at::kFloat);
    other.bind(loaded, "w", {2, 3});
    other.tolerate("lm_head.weight", {3, 3});
    if (is_there) {
      CHECK_THROWS_WITH(other.load(),
                        ContainsSubstring("lm_head.weight: expected [3, 3], got [2, 3]"));
    }
  }
}

TEST_CASE("exports of the base model are found without their prefix", "[weights]") {
  const TempDir folder;
  const auto checkpoint = write_checkpoint(folder, {{"norm.weight", to_write(values())}});
  at::Tensor loaded;
  WeightLoader loader(checkpoint, at::kFloat);
  loader.bind(loaded, "model.norm.weight", {2, 3});
  loader.load();
  CHECK(at::equal(loaded, values()));
}

TEST_CASE("shards load to the same tensors as a single file", "[weights]") {
  const TempDir single;
  const TempDir sharded;
  const auto other = values().mul(2);
  write_checkpoint(single, {{"a", to_write(values())}, {"b", to_write(other)}});
  sharded.write("2.safetensors", testing::safetensors_bytes({{"a", to_write(values())}}));
  sharded.write("1.safetensors", testing::safetensors_bytes({{"b", to_write(other)}}));
  sharded.write("model.safetensors.index.json",
                R"({"weight_map":{"a":"2.safetensors","b":"1.safetensors"}})");
  for (const auto* folder : {&single, &sharded}) {
    const auto checkpoint = Checkpoint::open_folder(folder->path());
    at::Tensor a, b;
    WeightLoader loader(checkpoint, at::kBFloat16);
    loader.bind(a, "a", {2, 3});
    loader.bind(b, "b", {2, 3});
    loader.load();
    CHECK(at::equal(a, values().to(at::kBFloat16)));
    CHECK(at::equal(b, other.to(at::kBFloat16)));
  }
}

TEST_CASE("quantized weights of a GGUF file load widened, the rows of heads in order",
          "[weights]") {
  const auto checkpoint =
      Checkpoint::open(std::filesystem::path(PREPACK_SOURCE_DIR) / "tests/data/gguf/quants.gguf");
  const auto stored = [&](const std::string& name) {
    REQUIRE(checkpoint.find(name) != nullptr);
    return view_tensor(*checkpoint.find(name));
  };
  for (const auto* type : {"Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0", "Q4_K", "Q5_K", "Q6_K"}) {
    INFO(type);
    CHECK(scalar_type(checkpoint.find(type)->info) == at::kFloat);
    CHECK(at::equal(stored(type), stored(std::string(type) + ".expected")));
  }
  const std::string name = "model.layers.0.self_attn.q_proj.weight";
  CHECK(checkpoint.find(name)->num_interleaved_heads == 2);
  CHECK(at::equal(stored(name), stored("attn_q.expected")));

  // Loaded one below the other, as queries and keys are: as they are, but widened beside a wider
  // one.
  WeightLoader loader(checkpoint, at::kFloat);
  std::map<std::string, at::Tensor> others;
  for (const auto& [other, tensor] : checkpoint.tensors()) {
    if (other != name && other != "attn_q.expected") {
      loader.bind(others[other], other, tensor.info.shape);
    }
  }
  Weight packed, wide;
  loader.bind_rows(packed, {{name, 12}, {name, 12}}, 32);
  loader.bind_rows(wide, {{name, 12}, {"attn_q.expected", 12}}, 32);
  loader.load();
  const auto expected = stored("attn_q.expected");
  CHECK(at::equal(std::get<at::Tensor>(wide), at::cat({expected, expected})));
  REQUIRE(std::holds_alternative<QuantizedWeight>(packed));
  CHECK(at::equal(std::get<QuantizedWeight>(packed).dequantize(), at::cat({expected, expected})));
  for (const auto* type : {"Q4_0", "Q6_K"}) {
    CHECK(at::equal(others.at(type), stored(std::string(type) + ".expected")));
  }
}

/// What the loader makes of these tensors of quants.gguf, one below the other.
Weight load_quants(const std::vector<std::string>& names) {
  const auto checkpoint =
      Checkpoint::open(std::filesystem::path(PREPACK_SOURCE_DIR) / "tests/data/gguf/quants.gguf");
  Weight loaded;
  WeightLoader loader(checkpoint, at::kFloat);
  std::vector<StackedRows> parts;
  const auto num_columns = checkpoint.find(names[0])->info.shape[1];
  for (const auto& name : names) parts.push_back({name, 12});
  loader.bind_rows(loaded, parts, num_columns);
  for (const auto& [name, tensor] : checkpoint.tensors()) {
    if (std::ranges::find(names, name) == names.end()) loader.tolerate(name, tensor.info.shape);
  }
  const auto bytes = loader.nbytes();
  loader.load();
  CHECK(bytes == (std::holds_alternative<QuantizedWeight>(loaded)
                      ? std::get<QuantizedWeight>(loaded).nbytes()
                      : static_cast<int64_t>(std::get<at::Tensor>(loaded).nbytes())));
  return loaded;
}

TEST_CASE("quantized weights stay packed, their numbers unchanged", "[weights]") {
  const auto checkpoint =
      Checkpoint::open(std::filesystem::path(PREPACK_SOURCE_DIR) / "tests/data/gguf/quants.gguf");
  struct Case {
    std::vector<std::string> names;
    PackedFormat format;
  };
  // Of Q4_0 one scale is too large for its minimum, which is tested below.
  const std::vector<Case> cases = {
      {{"Q4_1"}, {4, 32, DType::kFloat16, true}},
      {{"Q5_0"}, {8, 32, DType::kFloat16, false}},
      {{"Q5_1"}, {8, 32, DType::kFloat16, true}},
      {{"Q8_0"}, {8, 32, DType::kFloat16, false}},
      {{"Q4_K"}, {4, 32, DType::kFloat32, true}},
      {{"Q5_K"}, {8, 32, DType::kFloat32, true}},
      {{"Q6_K"}, {8, 16, DType::kFloat32, false}},
      {{"Q4_0", "Q8_0"}, {8, 32, DType::kFloat16, false}},
      {{"Q4_0", "Q4_1", "Q5_0"}, {8, 32, DType::kFloat16, true}},
      {{"Q4_K", "Q4_K", "Q6_K"}, {8, 16, DType::kFloat32, true}},
      {{"Q6_K", "Q5_K"}, {8, 16, DType::kFloat32, true}},
  };
  for (const auto& [names, format] : cases) {
    INFO(names.front() << " and " << names.size() - 1 << " more");
    const auto loaded = std::get<QuantizedWeight>(load_quants(names));
    CHECK(loaded.format == format);
    std::vector<at::Tensor> expected;
    for (const auto& name : names) {
      expected.push_back(view_tensor(*checkpoint.find(name + ".expected")));
    }
    // The products' own kernel rounds once where gguf-py rounds twice.
    const auto wide = at::cat(expected);
    const auto difference = loaded.dequantize().sub(wide).abs();
    const auto largest = wide.abs().view({wide.size(0), -1, 16}).amax(2).repeat_interleave(16, 1);
    CHECK(difference.le(largest.mul(1e-6)).all().item<bool>());
  }
}

TEST_CASE("a weight whose minimums would be too large is named", "[weights]") {
  CHECK_THROWS_WITH(
      load_quants({"Q4_0"}),
      "Q4_0: has weights that cannot be kept: not finite, or too large (quants.gguf)");
}

TEST_CASE("a GGUF file whose tensors do not fit is named", "[weights]") {
  const auto path = std::filesystem::path(PREPACK_SOURCE_DIR) / "tests/data/gguf/llama-scaled.gguf";
  const auto checkpoint = Checkpoint::open(path);
  at::Tensor missing;
  WeightLoader loader(checkpoint, at::kFloat);
  loader.bind(missing, "missing", {4});
  CHECK_THROWS_WITH(loader.load(),
                    ContainsSubstring(path.string() + ": ") &&
                        ContainsSubstring("missing: expected [4], got none (llama-scaled.gguf)"));
}

TEST_CASE("views are made of tensors that are no weights too", "[weights]") {
  const TempDir folder;
  const auto path =
      folder.write("reference.safetensors",
                   aligned_safetensors_bytes({{"ids", {"I64", {2}, bytes_of<int64_t>({5, -6})}},
                                              {"empty", {"F32", {0, 3}, ""}},
                                              {"scalar", {"F32", {}, bytes_of<float>({2.5F})}},
                                              {"flags", {"F8_E4M3", {8}, std::string(8, 'x')}}}));
  const auto checkpoint = Checkpoint::open_file(path);
  CHECK(at::equal(view_tensor(*checkpoint.find("ids")), at::tensor({5, -6}, at::kLong)));
  CHECK(view_tensor(*checkpoint.find("empty")).sizes() == at::IntArrayRef({0, 3}));
  CHECK(view_tensor(*checkpoint.find("scalar")).item<float>() == 2.5F);
  CHECK_THROWS_WITH(view_tensor(*checkpoint.find("flags")),
                    "flags: tensors of dtype F8_E4M3 cannot be loaded");
}

}  // namespace
}  // namespace prepack
