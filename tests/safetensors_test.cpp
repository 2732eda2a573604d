#include "weights/safetensors.h"

#include <map>
#include <random>
#include <string>

#include "prepack/error.h"
#include "support/catch.h"
#include "support/safetensors_writer.h"

namespace prepack {
namespace {

using testing::safetensors_bytes;
using testing::TensorToWrite;

std::vector<TensorInfo> parse(const std::string& file) {
  return parse_safetensors(std::as_bytes(std::span(file)), "w.safetensors");
}

/// The message that a file with this header and this many bytes of data is refused with.
std::string refusal(const std::string& header, size_t data_size = 0) {
  try {
    parse(safetensors_bytes(header, std::string(data_size, 'x')));
  } catch (const LoadError& error) {
    return error.what();
  }
  return "accepted";
}

TEST_CASE("tensors are found where the header places them", "[safetensors]") {
  const std::string header = R"({"__metadata__":{"format":"pt"},)"
                             R"("b":{"dtype":"F32","shape":[2,1],"data_offsets":[6,14]},)"
                             R"("a":{"dtype":"BF16","shape":[3],"data_offsets":[0,6]}}  )";
  const auto tensors = parse(safetensors_bytes(header, std::string(14, 'x')));
  REQUIRE(tensors.size() == 2);
  CHECK(tensors[0].name == "a");  // in the order of the data
  CHECK(tensors[0].dtype == StoredDType::kBF16);
  CHECK(tensors[0].shape == std::vector<int64_t>{3});
  CHECK(tensors[0].begin == 8 + header.size());
  CHECK(tensors[0].end == 8 + header.size() + 6);
  CHECK(tensors[1].name == "b");
  CHECK(tensors[1].shape == std::vector<int64_t>{2, 1});
  CHECK(tensors[1].end == 8 + header.size() + 14);
}

TEST_CASE("a file without tensors is valid", "[safetensors]") {
  CHECK(parse(safetensors_bytes("{}", "")).empty());
}

TEST_CASE("scalars and empty tensors have their place", "[safetensors]") {
  const auto tensors =
      parse(safetensors_bytes(R"({"scalar":{"dtype":"I64","shape":[],"data_offsets":[0,8]},)"
                              R"("empty":{"dtype":"F32","shape":[0,4],"data_offsets":[8,8]}})",
                              std::string(8, 'x')));
  REQUIRE(tensors.size() == 2);
  CHECK(tensors[0].shape.empty());
  CHECK(tensors[1].begin == tensors[1].end);
}

TEST_CASE("every dtype of the format is known by its name", "[safetensors]") {
  const std::map<std::string, size_t> bytes_of_8_elements = {
      {"BOOL", 8},        {"F4", 4},         {"F6_E2M3", 6}, {"F6_E3M2", 6}, {"U8", 8},
      {"I8", 8},          {"F8_E5M2", 8},    {"F8_E4M3", 8}, {"F8_E8M0", 8}, {"I16", 16},
      {"U16", 16},        {"F16", 16},       {"BF16", 16},   {"I32", 32},    {"U32", 32},
      {"F32", 32},        {"C64", 64},       {"F64", 64},    {"I64", 64},    {"U64", 64},
      {"F8_E4M3FNUZ", 8}, {"F8_E5M2FNUZ", 8}};
  for (const auto& [dtype, size] : bytes_of_8_elements) {
    INFO(dtype);
    const auto tensors =
        parse(safetensors_bytes({{"t", TensorToWrite{dtype, {2, 4}, std::string(size, 'x')}}}));
    CHECK(to_string(tensors.at(0).dtype) == dtype);
  }
}

TEST_CASE("random valid files are read back as they were written", "[safetensors]") {
  std::mt19937 random(7);
  const auto below = [&](int n) { return std::uniform_int_distribution<int>(0, n - 1)(random); };
  const std::vector<std::pair<std::string, size_t>> dtypes = {
      {"U8", 1}, {"BF16", 2}, {"F32", 4}, {"I64", 8}};
  for (int round = 0; round < 200; ++round) {
    std::map<std::string, TensorToWrite> written;
    for (int i = below(12); i > 0; --i) {
      const auto& [dtype, size] = dtypes[below(4)];
      std::vector<int64_t> shape(below(4));
      size_t bytes = size;
      for (auto& length : shape) bytes *= length = below(5);
      std::string data(bytes, '\0');
      for (auto& byte : data) byte = static_cast<char>(below(256));
      written["layer " + std::to_string(below(1000)) + ".\"wéight\""] = {dtype, shape, data};
    }
    const auto file = safetensors_bytes(written, below(9));
    const auto tensors = parse(file);
    REQUIRE(tensors.size() == written.size());
    for (const auto& tensor : tensors) {
      const auto& expected = written.at(tensor.name);
      CHECK(to_string(tensor.dtype) == expected.dtype);
      CHECK(tensor.shape == expected.shape);
      CHECK(file.substr(tensor.begin, tensor.end - tensor.begin) == expected.data);
    }
  }
}

TEST_CASE("every cut of a valid file is refused", "[safetensors]") {
  const auto file = safetensors_bytes({{"a", TensorToWrite{"F32", {3}, std::string(12, 'x')}},
                                       {"b", TensorToWrite{"U8", {5}, std::string(5, 'y')}}});
  for (size_t size = 0; size < file.size(); ++size) {
    CHECK_THROWS_AS(parse(file.substr(0, size)), LoadError);
  }
}

TEST_CASE("a file shorter than its length field is refused", "[safetensors]") {
  CHECK_THROWS_WITH(parse("1234567"),
                    "w.safetensors: expected a safetensors file, got only 7 bytes");
}

TEST_CASE("a header length beyond the file is refused", "[safetensors]") {
  auto file = safetensors_bytes("{}", "");
  file[0] = 3;
  CHECK_THROWS_WITH(parse(file), ContainsSubstring("w.safetensors: the header is 3 bytes long") &&
                                     ContainsSubstring("only 2 bytes follow"));
  file[7] = '\xff';  // close to 2^64: adding to it would wrap around
  CHECK_THROWS_WITH(parse(file), ContainsSubstring("only 2 bytes follow"));
}

TEST_CASE("a header over the limit is refused", "[safetensors]") {
  CHECK_THROWS_WITH(parse(safetensors_bytes(std::string(100'000'001, ' '), "")),
                    ContainsSubstring("over the limit of 100000000"));
}

TEST_CASE("a header that is not a JSON object is refused", "[safetensors]") {
  CHECK_THAT(refusal(""), ContainsSubstring("w.safetensors: header: not valid JSON: parse error"));
  CHECK_THAT(refusal("{\"a\""), ContainsSubstring("not valid JSON"));
  CHECK_THAT(refusal("{} x"), ContainsSubstring("not valid JSON"));
  CHECK_THAT(refusal("{\"\xff\":1}"), ContainsSubstring("not valid JSON"));
  CHECK_THAT(refusal(std::string("{}\0", 3)), ContainsSubstring("NUL"));
  CHECK(refusal("[1]") == "w.safetensors: header: expected an object, got a list");
  CHECK(refusal("7") == "w.safetensors: header: expected an object, got 7");
}

TEST_CASE("deep nesting is refused before it can exhaust the stack", "[safetensors]") {
  CHECK_THAT(refusal(std::string(1'000'000, '[')), ContainsSubstring("nested"));
  CHECK_THAT(refusal("{\"a\":" + std::string(1'000'000, '[')), ContainsSubstring("nested"));
}

TEST_CASE("a tensor listed twice is refused", "[safetensors]") {
  const std::string entry = R"("a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]})";
  CHECK(refusal("{" + entry + "," + entry + "}", 1) ==
        "w.safetensors: header: the key a appears twice");
}

TEST_CASE("metadata that is not an object is refused", "[safetensors]") {
  CHECK(refusal(R"({"__metadata__":3})") ==
        "w.safetensors: __metadata__: expected an object, got 3");
}

TEST_CASE("an entry that is not an object, or lacks a field, is refused", "[safetensors]") {
  CHECK(refusal(R"({"a":3})") == "w.safetensors: a: expected an object, got 3");
  CHECK(refusal(R"({"a":{"shape":[],"data_offsets":[0,1]}})", 1) ==
        "w.safetensors: a: dtype is missing");
  CHECK(refusal(R"({"a":{"dtype":"U8","data_offsets":[0,1]}})", 1) ==
        "w.safetensors: a: shape is missing");
  CHECK(refusal(R"({"a":{"dtype":"U8","shape":[]}})", 1) ==
        "w.safetensors: a: data_offsets is missing");
}

TEST_CASE("an unknown dtype is named", "[safetensors]") {
  CHECK(refusal(R"({"a":{"dtype":"F31","shape":[1],"data_offsets":[0,4]}})", 4) ==
        "w.safetensors: a: unknown dtype \"F31\"");
  CHECK(refusal(R"({"a":{"dtype":4,"shape":[1],"data_offsets":[0,4]}})", 4) ==
        "w.safetensors: a: dtype: expected a name, got 4");
}

TEST_CASE("a shape must hold non-negative integers", "[safetensors]") {
  for (const auto* size : {"-1", "1.0", "1e300", "\"1\"", "null", "true", "[1]",
                           "9223372036854775808", "18446744073709551616"}) {
    INFO(size);
    CHECK_THAT(
        refusal(std::string(R"({"a":{"dtype":"U8","data_offsets":[0,1],"shape":[)") + size + "]}}",
                1),
        ContainsSubstring("w.safetensors: a: shape: expected non-negative 64-bit integers"));
  }
  CHECK(refusal(R"({"a":{"dtype":"U8","shape":1,"data_offsets":[0,1]}})", 1) ==
        "w.safetensors: a: shape: expected a list, got 1");
}

TEST_CASE("a shape whose element count overflows is refused", "[safetensors]") {
  for (const auto* shape :
       {"[4294967296,4294967296]", "[0,4294967296,4294967296]", "[4294967296,4294967296,0]",
        "[9223372036854775807]", "[4611686018427387904]"}) {
    INFO(shape);
    CHECK_THAT(
        refusal(std::string(R"({"a":{"dtype":"F32","data_offsets":[0,0],"shape":)") + shape + "}}"),
        ContainsSubstring("is too large"));
  }
}

TEST_CASE("sub-byte elements must fill whole bytes", "[safetensors]") {
  CHECK_THAT(refusal(R"({"a":{"dtype":"F4","shape":[3],"data_offsets":[0,1]}})", 1),
             ContainsSubstring("not a whole number of bytes"));
}

TEST_CASE("data_offsets must be two non-negative integers in order", "[safetensors]") {
  const auto with_offsets = [](const std::string& offsets) {
    return refusal(R"({"a":{"dtype":"U8","shape":[1],"data_offsets":)" + offsets + "}}", 1);
  };
  CHECK_THAT(with_offsets("[-1,0]"), ContainsSubstring("non-negative integers, got -1"));
  CHECK_THAT(with_offsets("[0,1.5]"), ContainsSubstring("non-negative integers, got 1.5"));
  CHECK_THAT(with_offsets("[0]"), ContainsSubstring("two integers, got 1 values"));
  CHECK_THAT(with_offsets("[0,1,2]"), ContainsSubstring("two integers, got 3 values"));
  CHECK_THAT(with_offsets("7"), ContainsSubstring("two integers, got 7"));
  CHECK(with_offsets("[1,0]") == "w.safetensors: a: data_offsets [1, 0] are reversed");
}

TEST_CASE("data_offsets beyond the file are refused", "[safetensors]") {
  CHECK(refusal(R"({"a":{"dtype":"U8","shape":[9],"data_offsets":[0,9]}})", 8) ==
        "w.safetensors: a: data_offsets [0, 9] reach beyond the file, which holds 8 bytes of data "
        "(truncated?)");
  CHECK_THAT(
      refusal(R"({"a":{"dtype":"U8","shape":[1],"data_offsets":[0,18446744073709551615]}})", 8),
      ContainsSubstring("reach beyond the file"));
}

TEST_CASE("a size that does not match shape and dtype is refused", "[safetensors]") {
  CHECK(refusal(R"({"a":{"dtype":"F32","shape":[2,3],"data_offsets":[0,20]}})", 20) ==
        "w.safetensors: a: F32 of shape [2, 3] takes 24 bytes, but data_offsets [0, 20] span 20");
}

TEST_CASE("overlapping tensors are refused", "[safetensors]") {
  CHECK(refusal(R"({"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4]},)"
                R"("b":{"dtype":"U8","shape":[4],"data_offsets":[3,7]}})",
                7) == "w.safetensors: b: overlaps a by 1 bytes");
}

TEST_CASE("holes between tensors are refused", "[safetensors]") {
  CHECK(refusal(R"({"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4]},)"
                R"("b":{"dtype":"U8","shape":[4],"data_offsets":[6,10]}})",
                10) == "w.safetensors: b: a hole of 2 bytes lies before it");
  CHECK(refusal(R"({"a":{"dtype":"U8","shape":[4],"data_offsets":[1,5]}})", 5) ==
        "w.safetensors: a: a hole of 1 bytes lies before it");
}

TEST_CASE("bytes after the last tensor are refused", "[safetensors]") {
  CHECK(refusal(R"({"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4]}})", 6) ==
        "w.safetensors: 2 bytes after the last tensor belong to none");
}

TEST_CASE("control characters of a tensor name do not reach the message", "[safetensors]") {
  CHECK(refusal(R"({"a\n\u001b[2J":3})") == "w.safetensors: a??[2J: expected an object, got 3");
}

}  // namespace
}  // namespace prepack
