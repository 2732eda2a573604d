#include <ATen/ops/equal.h>

#include <map>
#include <string>
#include <vector>

#include "prepack/model.h"
#include "support/catch.h"
#include "support/family_model.h"
#include "support/safetensors_writer.h"
#include "support/temp_dir.h"
#include "support/tiny_model.h"
#include "weights/checkpoint.h"

namespace prepack {
namespace {

using testing::aligned_safetensors_bytes;
using testing::TempDir;
using testing::TensorToWrite;

const std::string kEmbeddings = "model.embed_tokens.weight";
const std::string kLmHead = "lm_head.weight";

/// The tensors of a model whose config does not tie its embeddings: a table and a projection.
std::map<std::string, TensorToWrite> untied_tensors(const std::filesystem::path& folder) {
  std::map<std::string, TensorToWrite> tensors;
  const auto checkpoint = Checkpoint::open(folder);
  for (const auto& [name, stored] : checkpoint.tensors()) {
    const auto bytes = stored.bytes();
    tensors[name] = {"F32", stored.info.shape,
                     std::string(reinterpret_cast<const char*>(bytes.data()), bytes.size())};
  }
  return tensors;
}

at::Tensor logits(const std::filesystem::path& folder) {
  const std::vector<TokenIds> prompts = {{1, 2, 3}, {4, 5}};
  return prefill(load_model(folder, {.dtype = DType::kFloat32}), prompts, {}, 8).logits;
}

/// A model's logits with these tensors and a config that ties.
at::Tensor tied_logits(const std::filesystem::path& folder, nlohmann::json config,
                       const std::map<std::string, TensorToWrite>& tensors) {
  config["tie_word_embeddings"] = true;
  const TempDir tied;
  testing::write_config(tied.path(), config);
  tied.write("model.safetensors", aligned_safetensors_bytes(tensors));
  CHECK(weight_bytes(tied.path(), {.dtype = DType::kFloat32}) <=
        weight_bytes(folder, {.dtype = DType::kFloat32}));
  return logits(tied.path());
}

TEST_CASE("a projection that differs from the embeddings is used, whatever the config says",
          "[weights]") {
  const TempDir folder;
  auto config =
      testing::config_in_whole_groups(PREPACK_SOURCE_DIR "/tests/data/models/llama-grouped");
  config["tie_word_embeddings"] = false;
  testing::write_random_model(folder.path(), config);
  const auto untied = untied_tensors(folder.path());
  CHECK(at::equal(tied_logits(folder.path(), config, untied), logits(folder.path())));

  auto only_embeddings = untied;
  only_embeddings.erase(kLmHead);
  const auto of_embeddings = tied_logits(folder.path(), config, only_embeddings);
  CHECK_FALSE(at::equal(of_embeddings, logits(folder.path())));

  auto twice = untied;
  twice[kLmHead] = untied.at(kEmbeddings);
  CHECK(at::equal(tied_logits(folder.path(), config, twice), of_embeddings));

  auto only_projection = untied;
  only_projection[kLmHead] = untied.at(kEmbeddings);
  only_projection.erase(kEmbeddings);
  CHECK(at::equal(tied_logits(folder.path(), config, only_projection), of_embeddings));
}

}  // namespace
}  // namespace prepack
