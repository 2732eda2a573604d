#include "weights/gguf.h"

#include <random>
#include <string>

#include "prepack/error.h"
#include "support/catch.h"
#include "support/gguf_writer.h"
#include "support/temp_dir.h"

namespace prepack {
namespace {

using testing::GgufWriter;
using testing::TempDir;

constexpr uint32_t kF32 = 0;
constexpr uint32_t kQ8_0 = 8;

GgufHeader parse(const std::string& file) {
  return parse_gguf(std::as_bytes(std::span(file)), "w.gguf");
}

/// The message that a file is refused with.
std::string refusal(const std::string& file) {
  try {
    parse(file);
  } catch (const LoadError& error) {
    return error.what();
  }
  return "accepted";
}

std::string refusal(const GgufWriter& file) { return refusal(file.bytes()); }

TEST_CASE("tensors are found where a GGUF file places them, outer dimension first", "[gguf]") {
  const auto file = GgufWriter()
                        .tensor("a", {2, 3}, kF32, std::string(24, 'a'))
                        .tensor("b", {32, 1}, kQ8_0, std::string(34, 'b'))
                        .tensor("scalar", {}, kF32, std::string(4, 's'))
                        .bytes();
  for (const uint32_t version : {2, 3}) {
    auto other = file;
    other[4] = static_cast<char>(version);
    const auto header = parse(other);
    CHECK(header.version == version);
    REQUIRE(header.tensors.size() == 3);
    CHECK(header.tensors[0].name == "a");
    CHECK(header.tensors[0].dtype == StoredDType::kF32);
    CHECK(header.tensors[0].shape == std::vector<int64_t>{3, 2});
    CHECK(header.tensors[1].dtype == StoredDType::kQ8_0);
    CHECK(header.tensors[1].shape == std::vector<int64_t>{1, 32});
    CHECK(header.tensors[2].shape.empty());
    for (const auto& tensor : header.tensors) {
      CHECK(file.substr(tensor.begin, tensor.end - tensor.begin) ==
            std::string(tensor.end - tensor.begin, tensor.name[0]));
    }
  }
}

TEST_CASE("metadata of every type are read", "[gguf]") {
  const auto file =
      GgufWriter()
          .pair("u8", GgufType::kUint8, "\xff")
          .pair("i8", GgufType::kInt8, "\xff")
          .pair("u16", GgufType::kUint16, "\xfe\xff")
          .pair("i16", GgufType::kInt16, "\xfe\xff")
          .integer("u32", 0xFFFFFFFF)
          .pair("i32", GgufType::kInt32, GgufWriter::number(0xFFFFFFFF))
          .pair("u64", GgufType::kUint64, GgufWriter::number(uint64_t{1} << 40))
          .pair("i64", GgufType::kInt64, GgufWriter::number(~uint64_t{6}))
          .real("f32", 1e-5F)
          .pair("f64", GgufType::kFloat64, GgufWriter::number(std::bit_cast<uint64_t>(0.1)))
          .boolean("true", true)
          .boolean("false", false)
          .text("text", std::string("a\0b", 3))
          .texts("texts", {"", "two words", "ü"})
          .integers("integers", {1, 0xFFFFFFFF})
          .array("numbers", GgufType::kFloat32, 1, GgufWriter::number(-2.5F))
          .array("nested", GgufType::kArray, 1,
                 GgufWriter::number(static_cast<uint32_t>(GgufType::kUint8)) +
                     GgufWriter::number(uint64_t{2}) + "xy")
          .text("last", "behind the nested array")
          .bytes();
  const auto header = parse(file);
  const auto& metadata = header.metadata;
  CHECK(metadata.integer("u8") == 255);
  CHECK(metadata.integer("i8") == -1);
  CHECK(metadata.integer("u16") == 65534);
  CHECK(metadata.integer("i16") == -2);
  CHECK(metadata.integer("u32") == 0xFFFFFFFF);
  CHECK(metadata.integer("i32") == -1);
  CHECK(metadata.integer("u64") == int64_t{1} << 40);
  CHECK(metadata.integer("i64") == -7);
  CHECK(metadata.number("f32") == 1e-5);  // not the float32's own 9.999999747378752e-06
  CHECK(metadata.number("f64") == 0.1);
  CHECK(metadata.number("u8") == 255.0);
  CHECK(metadata.boolean("true", false));
  CHECK_FALSE(metadata.boolean("false", true));
  CHECK(metadata.text("text") == std::string_view("a\0b", 3));
  CHECK(metadata.texts("texts") == std::vector<std::string_view>{"", "two words", "ü"});
  CHECK(metadata.integers("integers") == std::vector<int64_t>{1, -1});
  CHECK(metadata.numbers("numbers") == std::vector<float>{-2.5F});
  CHECK(metadata.text("last") == "behind the nested array");

  CHECK(metadata.integer("none", 7) == 7);
  CHECK(metadata.boolean("none", true));
  CHECK(metadata.text("none", "absent") == "absent");
  CHECK_FALSE(metadata.has("none"));
}

TEST_CASE("a value that is missing or of another kind is named", "[gguf]") {
  const auto file = GgufWriter()
                        .text("text", "a")
                        .integer("number", 3)
                        .texts("texts", {"a"})
                        .pair("large", GgufType::kUint64, GgufWriter::number(~uint64_t{0}))
                        .bytes();
  const auto header = parse(file);
  const auto& metadata = header.metadata;
  CHECK_THROWS_WITH(metadata.integer("none"), "w.gguf: none: is missing");
  CHECK_THROWS_WITH(metadata.integer("text"), "w.gguf: text: expected an integer, got a string");
  CHECK_THROWS_WITH(metadata.integer("texts"),
                    "w.gguf: texts: expected an integer, got a list of 1 values");
  CHECK_THROWS_WITH(metadata.integer("large"), "w.gguf: large: 18446744073709551615 is too large");
  CHECK_THROWS_WITH(metadata.number("text"), "w.gguf: text: expected a number, got a string");
  CHECK_THROWS_WITH(metadata.boolean("number", true),
                    "w.gguf: number: expected true or false, got an integer");
  CHECK_THROWS_WITH(metadata.text("number"), "w.gguf: number: expected a string, got an integer");
  CHECK_THROWS_WITH(metadata.texts("text"),
                    "w.gguf: text: expected a list of strings, got a string");
  CHECK_THROWS_AS(metadata.integers("texts"), LoadError);
  CHECK_THROWS_AS(metadata.numbers("texts"), LoadError);
}

TEST_CASE("every cut of a valid GGUF file is refused", "[gguf]") {
  const auto file = GgufWriter()
                        .text("text", "some text")
                        .integer("number", 3)
                        .texts("texts", {"a", "bc"})
                        .tensor("a", {3}, kF32, std::string(12, 'x'))
                        .tensor("b", {32}, kQ8_0, std::string(34, 'y'))
                        .bytes();
  REQUIRE(refusal(file) == "accepted");
  for (size_t size = 0; size < file.size(); ++size) {
    INFO(size << " of " << file.size() << " bytes");
    CHECK_THROWS_AS(parse(file.substr(0, size)), LoadError);
  }
}

TEST_CASE("random valid GGUF files are read back as they were written", "[gguf]") {
  std::mt19937 random(7);
  const auto below = [&](int n) { return std::uniform_int_distribution<int>(0, n - 1)(random); };
  for (int round = 0; round < 100; ++round) {
    GgufWriter writer;
    std::vector<std::pair<std::string, std::string>> written;
    for (int i = below(9); i > 0; --i) {
      const auto count = static_cast<uint64_t>(1 + below(40));
      std::string data(count * 4, '\0');
      for (auto& byte : data) byte = static_cast<char>(below(256));
      writer.text("key " + std::to_string(i), data);
      writer.tensor("tensor " + std::to_string(i), {count}, kF32, data);
      written.emplace_back(std::to_string(i), data);
    }
    const auto file = writer.bytes();
    const auto header = parse(file);
    REQUIRE(header.tensors.size() == written.size());
    for (size_t i = 0; i < written.size(); ++i) {
      const auto& tensor = header.tensors[i];
      CHECK(tensor.name == "tensor " + written[i].first);
      CHECK(file.substr(tensor.begin, tensor.end - tensor.begin) == written[i].second);
      CHECK(header.metadata.text("key " + written[i].first) == written[i].second);
    }
  }
}

TEST_CASE("a file that is no GGUF of a version that is read is refused by name", "[gguf]") {
  const GgufWriter empty;
  CHECK(refusal("GGUF") == "w.gguf: expected a GGUF file, got only 4 bytes");
  CHECK(refusal("PK\3\4" + std::string(30, 'x')) ==
        "w.gguf: expected a model's folder or a GGUF file: this file does not begin with GGUF");
  CHECK(refusal(empty.bytes(1)) == "w.gguf: expected GGUF of version 2 or 3, got version 1");
  CHECK(refusal(empty.bytes(4)) == "w.gguf: expected GGUF of version 2 or 3, got version 4");
  CHECK(refusal(empty.bytes(0)) == "w.gguf: expected GGUF of version 2 or 3, got version 0");
  CHECK(refusal(empty.bytes(3U << 24)) ==
        "w.gguf: is a big-endian GGUF file, which is not supported");
}

TEST_CASE("counts and lengths beyond the file are refused before memory is taken", "[gguf]") {
  for (const uint64_t huge : {uint64_t{1} << 32, uint64_t{1} << 62, ~uint64_t{0}}) {
    INFO(huge);
    auto tensors = GgufWriter().bytes();
    tensors.replace(8, 8, GgufWriter::number(huge));
    CHECK_THAT(refusal(tensors), ContainsSubstring("w.gguf: the count of tensors"));
    auto pairs = GgufWriter().bytes();
    pairs.replace(16, 8, GgufWriter::number(huge));
    CHECK_THAT(refusal(pairs), ContainsSubstring("w.gguf: the count of metadata"));
    CHECK_THAT(refusal(GgufWriter().array("list", GgufType::kUint64, huge, "")),
               ContainsSubstring("w.gguf: list: "));
    CHECK_THAT(refusal(GgufWriter().array("list", GgufType::kString, huge, "")),
               ContainsSubstring("w.gguf: list: "));
    CHECK_THAT(refusal(GgufWriter().pair("text", GgufType::kString, GgufWriter::number(huge))),
               ContainsSubstring("w.gguf: text: takes"));
  }
}

TEST_CASE("arrays nested too deeply are refused", "[gguf]") {
  std::string elements;
  for (int i = 0; i < 1000; ++i) {
    elements += GgufWriter::number(static_cast<uint32_t>(GgufType::kArray)) +
                GgufWriter::number(uint64_t{1});
  }
  CHECK(refusal(GgufWriter().array("list", GgufType::kArray, 1, elements)) ==
        "w.gguf: list: is nested too deeply");
}

TEST_CASE("metadata of an unknown type, and keys that appear twice, are refused", "[gguf]") {
  CHECK(refusal(GgufWriter().pair("key", static_cast<GgufType>(13), "x")) ==
        "w.gguf: key: unknown type 13");
  CHECK(refusal(GgufWriter().array("key", static_cast<GgufType>(99), 0, "")) ==
        "w.gguf: key: unknown type 99");
  CHECK(refusal(GgufWriter().integer("key", 1).integer("key", 2)) == "w.gguf: key: appears twice");
  CHECK(refusal(GgufWriter().pair("a\n\x1b[2J", static_cast<GgufType>(13), "")) ==
        "w.gguf: a??[2J: unknown type 13");
}

TEST_CASE("a tensor that cannot be is refused by name", "[gguf]") {
  const auto with = [](const std::vector<uint64_t>& dimensions, uint32_t type,
                       uint64_t offset = 0) {
    return refusal(GgufWriter()
                       .tensor("data", {64}, kF32, std::string(256, 'x'))
                       .tensor_at("t", dimensions, type, offset));
  };
  CHECK(with({4}, 5) == "w.gguf: t: unknown type 5");
  CHECK_THAT(with({256}, 10), ContainsSubstring("w.gguf: t: type Q2_K is not supported"));
  CHECK_THAT(with({256}, 39), ContainsSubstring("w.gguf: t: type MXFP4 is not supported"));
  CHECK(with({1, 1, 1, 1, 1}, kF32) == "w.gguf: t: expected at most 4 dimensions, got 5");
  CHECK(with({0}, kF32) == "w.gguf: t: a dimension of 0 cannot be");
  CHECK_THAT(with({~uint64_t{0}}, kF32), ContainsSubstring("cannot be"));
  CHECK(with({48}, kQ8_0) == "w.gguf: t: Q8_0 of shape [48]: rows are no multiple of 32 elements");
  CHECK_THAT(with({uint64_t{1} << 32, uint64_t{1} << 32}, kF32), ContainsSubstring("too large"));
  CHECK_THAT(with({uint64_t{1} << 62}, kF32), ContainsSubstring("is too large"));
  CHECK(with({4}, kF32, 256) ==
        "w.gguf: t: its bytes [256, 272) reach beyond the file, which holds 256 bytes of data "
        "(truncated?)");
  CHECK_THAT(with({4}, kF32, ~uint64_t{31}), ContainsSubstring("reach beyond the file"));
  CHECK_THAT(with({8}, kF32, ~uint64_t{31}), ContainsSubstring("is too large"));
  CHECK(with({4}, kF32, 8) == "w.gguf: t: its place, 8, is no multiple of the alignment, 32");
  CHECK(with({4}, kF32, 32) == "w.gguf: t: overlaps another tensor");
  CHECK(refusal(GgufWriter().tensor("t", {1}, kF32, "1234").tensor("t", {1}, kF32, "1234")) ==
        "w.gguf: t: appears twice");
}

TEST_CASE("the data may be aligned otherwise, to a power of two", "[gguf]") {
  const auto with = [](uint32_t alignment) {
    return GgufWriter()
        .integer("general.alignment", alignment)
        .tensor("a", {1}, kF32, "aaaa")
        .tensor("b", {1}, kF32, "bbbb");
  };
  const auto file = with(8).bytes();
  const auto header = parse(file);
  CHECK(header.tensors[1].begin == header.tensors[0].begin + 32);
  CHECK(header.tensors[0].begin % 8 == 0);
  for (const uint32_t alignment : {0U, 24U, 1U << 30}) {
    CHECK_THAT(refusal(with(alignment)),
               ContainsSubstring("w.gguf: general.alignment: expected a power of two"));
  }
}

TEST_CASE("a model in several GGUF files is refused", "[gguf]") {
  const TempDir folder;
  const auto path = folder.write("w.gguf", GgufWriter().integer("split.count", 3).bytes());
  CHECK_THROWS_WITH(open_gguf(path), ContainsSubstring("w.gguf: split.count: ") &&
                                         ContainsSubstring("llama-gguf-split --merge"));
}

TEST_CASE("a model's path names a GGUF file if it is no folder", "[gguf]") {
  const TempDir folder;
  CHECK(names_gguf(folder.write("w.gguf", "")));
  CHECK_FALSE(names_gguf(folder.path()));
  CHECK_FALSE(names_gguf(folder.path() / "none"));
}

}  // namespace
}  // namespace prepack
