#include "weights/checkpoint.h"

#include <string>

#include "prepack/error.h"
#include "support/catch.h"
#include "support/safetensors_writer.h"
#include "support/temp_dir.h"
#include "weights/safetensors_index.h"

namespace prepack {
namespace {

using testing::bytes_of;
using testing::safetensors_bytes;
using testing::TempDir;
using testing::TensorToWrite;

const TensorToWrite kFirst = {"F32", {2}, bytes_of<float>({1, 2})};
const TensorToWrite kSecond = {"F32", {3}, bytes_of<float>({3, 4, 5})};

std::string text(const StoredTensor& tensor) {
  const auto bytes = tensor.bytes();
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

void write_index(const TempDir& folder, const std::string& weight_map) {
  folder.write("model.safetensors.index.json",
               R"({"metadata":{"total_size":20},"weight_map":)" + weight_map + "}");
}

TEST_CASE("a folder's single file is opened", "[checkpoint]") {
  const TempDir folder;
  folder.write("model.safetensors", safetensors_bytes({{"a", kFirst}, {"b", kSecond}}));
  const auto checkpoint = Checkpoint::open_folder(folder.path());
  REQUIRE(checkpoint.tensors().size() == 2);
  REQUIRE(checkpoint.find("b") != nullptr);
  CHECK(text(*checkpoint.find("b")) == kSecond.data);
  CHECK(checkpoint.find("c") == nullptr);
  CHECK(checkpoint.source().filename() == "model.safetensors");
}

TEST_CASE("the one file of an older GPTQ folder is opened", "[checkpoint]") {
  const TempDir folder;
  folder.write("gptq_model-4bit-128g.safetensors", safetensors_bytes({{"a", kFirst}}));
  folder.write("adapter.safetensors", safetensors_bytes({{"b", kFirst}}));
  CHECK(Checkpoint::open_folder(folder.path()).find("a") != nullptr);
  folder.write("gptq_model-4bit-32g.safetensors", safetensors_bytes({{"a", kFirst}}));
  CHECK_THROWS_AS(Checkpoint::open_folder(folder.path()), LoadError);  // which of them?
  folder.write("model.safetensors", safetensors_bytes({{"c", kFirst}}));
  CHECK(Checkpoint::open_folder(folder.path()).find("c") != nullptr);
}

TEST_CASE("shards hold the same tensors as a single file", "[checkpoint]") {
  const TempDir single;
  single.write("model.safetensors", safetensors_bytes({{"a", kFirst}, {"b", kSecond}}));
  const TempDir sharded;
  sharded.write("model-1.safetensors", safetensors_bytes({{"a", kFirst}}));
  sharded.write("model-2.safetensors", safetensors_bytes({{"b", kSecond}}));
  write_index(sharded, R"({"a":"model-1.safetensors","b":"model-2.safetensors"})");

  const auto expected = Checkpoint::open_folder(single.path());
  const auto got = Checkpoint::open_folder(sharded.path());
  REQUIRE(got.tensors().size() == expected.tensors().size());
  for (const auto& [name, tensor] : expected.tensors()) {
    REQUIRE(got.find(name) != nullptr);
    CHECK(got.find(name)->info.shape == tensor.info.shape);
    CHECK(text(*got.find(name)) == text(tensor));
  }
}

TEST_CASE("a shard may be a link to a file elsewhere", "[checkpoint]") {
  const TempDir blobs;
  const TempDir folder;
  const auto blob = blobs.write("0a1b", safetensors_bytes({{"a", kFirst}}));
  std::filesystem::create_symlink(blob, folder.path() / "model-1.safetensors");
  write_index(folder, R"({"a":"model-1.safetensors"})");
  CHECK(text(*Checkpoint::open_folder(folder.path()).find("a")) == kFirst.data);
}

TEST_CASE("where two shards hold a tensor, the index decides", "[checkpoint]") {
  const TempDir folder;
  folder.write("model-1.safetensors", safetensors_bytes({{"a", kFirst}, {"b", kFirst}}));
  folder.write("model-2.safetensors", safetensors_bytes({{"a", kSecond}}));
  write_index(folder, R"({"a":"model-2.safetensors","b":"model-1.safetensors"})");
  CHECK(text(*Checkpoint::open_folder(folder.path()).find("a")) == kSecond.data);
}

TEST_CASE("missing shards are named, all of them", "[checkpoint]") {
  const TempDir folder;
  folder.write("model-1.safetensors", safetensors_bytes({{"a", kFirst}}));
  write_index(folder, R"({"a":"model-1.safetensors","b":"model-2.safetensors",)"
                      R"("c":"model-3.safetensors"})");
  CHECK_THROWS_WITH(
      Checkpoint::open_folder(folder.path()),
      ContainsSubstring("model.safetensors.index.json: 2 of its 3 shards are missing: "
                        "model-2.safetensors, model-3.safetensors"));
}

TEST_CASE("a tensor that its shard lacks is named", "[checkpoint]") {
  const TempDir folder;
  folder.write("model-1.safetensors", safetensors_bytes({{"a", kFirst}}));
  write_index(folder, R"({"a":"model-1.safetensors","b":"model-1.safetensors"})");
  CHECK_THROWS_WITH(
      Checkpoint::open_folder(folder.path()),
      ContainsSubstring("b: expected in model-1.safetensors, which does not hold it"));
}

TEST_CASE("a corrupt shard is named", "[checkpoint]") {
  const TempDir folder;
  auto shard = safetensors_bytes({{"a", kFirst}});
  shard.pop_back();
  folder.write("model-1.safetensors", shard);
  write_index(folder, R"({"a":"model-1.safetensors"})");
  CHECK_THROWS_WITH(Checkpoint::open_folder(folder.path()),
                    ContainsSubstring("model-1.safetensors: a: data_offsets [0, 8] reach beyond"));
}

TEST_CASE("a shard outside the folder is refused", "[checkpoint]") {
  for (const auto* shard : {"../w.safetensors", "/etc/passwd", "a/../../w", "", "w\\u0000"}) {
    INFO(shard);
    CHECK_THROWS_WITH(
        parse_safetensors_index(std::string(R"({"weight_map":{"a":")") + shard + "\"}}", "index"),
        ContainsSubstring("index: a: the shard \"") &&
            ContainsSubstring("\" is not a file in this folder"));
  }
  CHECK_NOTHROW(parse_safetensors_index(R"({"weight_map":{"a":"shards/w..1"}})", "index"));
}

TEST_CASE("an index that is not what it should be is refused", "[checkpoint]") {
  CHECK_THROWS_WITH(parse_safetensors_index("{", "index"), ContainsSubstring("index: not valid"));
  CHECK_THROWS_WITH(parse_safetensors_index("[]", "index"),
                    "index: expected an object, got a list");
  CHECK_THROWS_WITH(parse_safetensors_index("{}", "index"), "index: weight_map is missing");
  CHECK_THROWS_WITH(parse_safetensors_index(R"({"weight_map":1})", "index"),
                    "index: weight_map: expected an object, got 1");
  CHECK_THROWS_WITH(parse_safetensors_index(R"({"weight_map":{"a":1}})", "index"),
                    "index: a: expected a file name, got 1");
  CHECK_THROWS_WITH(parse_safetensors_index(R"({"weight_map":{}})", "index"),
                    ContainsSubstring("at least one tensor"));
}

TEST_CASE("a folder in PyTorch's older format is refused with the command that converts it",
          "[checkpoint]") {
  for (const auto* name : {"pytorch_model.bin", "pytorch_model.bin.index.json"}) {
    const TempDir folder;
    folder.write(name, "x");
    CHECK_THROWS_WITH(
        Checkpoint::open_folder(folder.path()),
        ContainsSubstring(name) &&
            ContainsSubstring("scripts/convert_checkpoint.py " + folder.path().string()));
  }
}

TEST_CASE("a folder without weights, and no folder at all, are refused", "[checkpoint]") {
  const TempDir folder;
  CHECK_THROWS_WITH(Checkpoint::open_folder(folder.path()), ContainsSubstring("got neither"));
  CHECK_THROWS_WITH(Checkpoint::open_folder(folder.path() / "none"),
                    ContainsSubstring("expected a model folder"));
}

TEST_CASE("only regular files are mapped", "[checkpoint]") {
  const TempDir folder;
  CHECK_THROWS_AS(MappedFile(folder.path() / "none"), LoadError);
  CHECK_THROWS_WITH(MappedFile(folder.path()), ContainsSubstring("expected a regular file"));
  CHECK_THROWS_WITH(MappedFile("/dev/null"), ContainsSubstring("expected a regular file"));
  CHECK(MappedFile(folder.write("empty", "")).bytes().empty());
}

TEST_CASE("released bytes can be read again", "[checkpoint]") {
  const TempDir folder;
  const std::string content(100'000, 'x');
  const MappedFile file(folder.write("file", content));
  file.prefetch(0, content.size());
  file.release(10, 90'000);
  CHECK(std::string(reinterpret_cast<const char*>(file.bytes().data()), file.bytes().size()) ==
        content);
}

}  // namespace
}  // namespace prepack
