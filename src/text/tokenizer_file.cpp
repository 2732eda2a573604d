#include "text/tokenizer_file.h"

#include <fmt/format.h>

#include <fstream>

#include "prepack/error.h"

namespace prepack::text {
namespace {

using nlohmann::json;

/// Receives the parser's events: what lies in model.vocab and model.merges goes to the tables, all
/// else becomes JSON values.
class Reader : public nlohmann::json_sax<json> {
 public:
  Reader(TokenizerFile& file, const std::string& name) : file_(file), name_(name) {}

  bool null() override { return value(nullptr); }
  bool boolean(bool b) override { return value(b); }
  bool number_integer(int64_t n) override { return number(n); }
  bool number_unsigned(uint64_t n) override {
    return number(n > INT64_MAX ? INT64_MAX : static_cast<int64_t>(n));
  }
  bool number_float(double x, const std::string&) override { return value(x); }
  bool binary(json::binary_t&) override { return value(nullptr); }

  bool string(std::string& text) override {
    switch (place_) {
      case Place::kElsewhere:
        return value(std::move(text));
      case Place::kMerges:
        return merge(text);
      case Place::kMergePair:
        return merge_half(text);
      case Place::kVocabulary:
        break;
    }
    return value(nullptr);  // complains
  }

  bool key(std::string& text) override {
    if (place_ == Place::kVocabulary) {
      entry_ = {static_cast<uint32_t>(file_.bytes.size()), static_cast<uint32_t>(text.size()), 0};
      append(text);
    } else {
      keys_.back() = std::move(text);
    }
    return true;
  }

  bool start_object(size_t) override {
    if (place_ != Place::kElsewhere) return value(nullptr);
    if (in_model("vocab")) place_ = Place::kVocabulary;
    return open(json::object());
  }
  bool end_object() override { return close(); }

  bool start_array(size_t) override {
    if (place_ == Place::kMerges) {
      place_ = Place::kMergePair;
      halves_ = 0;
      return true;
    }
    if (place_ != Place::kElsewhere) return value(nullptr);
    if (in_model("merges")) place_ = Place::kMerges;
    return open(json::array());
  }
  bool end_array() override {
    if (place_ != Place::kMergePair) return close();
    if (halves_ != 2) fail_merge(fmt::format("expected 2 pieces, got {}", halves_));
    place_ = Place::kMerges;
    return true;
  }

  bool parse_error(size_t, const std::string&, const nlohmann::detail::exception& error) override {
    fail(error.what());
  }

 private:
  enum class Place { kElsewhere, kVocabulary, kMerges, kMergePair };
  static constexpr size_t kMaxDepth = 64;  // the file is read recursively later on

  [[noreturn]] void fail(std::string_view what) const {
    throw LoadError(fmt::format("{}: {}", name_, what));
  }
  [[noreturn]] void fail_merge(std::string_view what) const {
    fail(fmt::format("model.merges[{}]: {}", file_.merges.size(), what));
  }

  void append(std::string_view text) {
    if (file_.bytes.size() + text.size() > UINT32_MAX) fail("is larger than 4 GiB");
    file_.bytes.append(text);
  }

  bool in_model(std::string_view member) const {
    return open_.size() == 2 && open_[1].is_object() && keys_[0] == "model" && keys_[1] == member;
  }

  bool open(json container) {
    if (open_.size() == kMaxDepth) fail("is nested too deeply");
    open_.push_back(std::move(container));
    keys_.emplace_back();
    return true;
  }

  bool close() {
    json done = std::move(open_.back());
    open_.pop_back();
    keys_.pop_back();
    place_ = Place::kElsewhere;
    return value(std::move(done));
  }

  bool value(json v) {
    switch (place_) {
      case Place::kVocabulary:
        fail(fmt::format("model.vocab: \"{}\": expected an integer id",
                         file_.text(entry_.offset, entry_.length)));
      case Place::kMerges:
      case Place::kMergePair:
        fail_merge("expected a string or a pair of strings");
      case Place::kElsewhere:
        break;
    }
    if (open_.empty()) {
      file_.rest = std::move(v);
    } else if (open_.back().is_array()) {
      open_.back().push_back(std::move(v));
    } else {
      open_.back()[keys_.back()] = std::move(v);
    }
    return true;
  }

  bool number(int64_t n) {
    if (place_ != Place::kVocabulary) return value(n);
    entry_.id = n;
    file_.vocabulary.push_back(entry_);
    return true;
  }

  bool merge(const std::string& text) {
    if (text.starts_with("#version")) return true;
    const size_t space = text.find(' ');
    if (space == std::string::npos || text.find(' ', space + 1) != std::string::npos) {
      fail_merge(fmt::format("expected two pieces with a space between them, got \"{}\"", text));
    }
    add_merge(std::string_view(text).substr(0, space), std::string_view(text).substr(space + 1));
    return true;
  }

  bool merge_half(std::string& text) {
    if (halves_ == 0) left_ = std::move(text);
    if (halves_ == 1) add_merge(left_, text);
    if (++halves_ > 2) fail_merge("expected 2 pieces, got more");
    return true;
  }

  void add_merge(std::string_view left, std::string_view right) {
    file_.merges.push_back({static_cast<uint32_t>(file_.bytes.size()),
                            static_cast<uint32_t>(left.size()),
                            static_cast<uint32_t>(right.size())});
    append(left);
    append(right);
  }

  TokenizerFile& file_;
  const std::string& name_;
  std::vector<json> open_;         // the containers around the current place, outermost first
  std::vector<std::string> keys_;  // the current key in each of them
  Place place_ = Place::kElsewhere;
  TokenizerFile::VocabularyEntry entry_{};
  std::string left_;
  int halves_ = 0;
};

}  // namespace

TokenizerFile read_tokenizer_file(std::string_view text, const std::string& name) {
  TokenizerFile file;
  file.bytes.reserve(text.size() / 2);
  Reader reader(file, name);
  json::sax_parse(text.data(), text.data() + text.size(), &reader);
  return file;
}

std::string read_file(const std::filesystem::path& path) {
  std::ifstream in(path, std::ios::binary | std::ios::ate);
  std::string bytes;
  const std::streamoff size = in ? static_cast<std::streamoff>(in.tellg()) : -1;
  if (size >= 0) {
    bytes.resize(static_cast<size_t>(size));
    in.seekg(0);
    in.read(bytes.data(), size);
  }
  if (!in || size < 0) throw LoadError(fmt::format("{}: cannot be read", path.string()));
  return bytes;
}

json read_json(const std::filesystem::path& path) {
  try {
    return json::parse(read_file(path));
  } catch (const json::exception& error) {
    throw LoadError(fmt::format("{}: {}", path.string(), error.what()));
  }
}

}  // namespace prepack::text
