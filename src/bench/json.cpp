#include "bench/json.h"

namespace prepack::bench {
namespace {

std::string dump(const Json& value) {
  // A file's name need not be UTF-8.
  return value.dump(-1, ' ', false, Json::error_handler_t::replace);
}

std::string format_list(const Json& list) {
  std::string text = "[";
  const char* separator = "\n";
  for (const auto& element : list) {
    text += separator + dump(element);
    separator = ",\n";
  }
  return text + "\n]";
}

}  // namespace

Json as_json(const Environment& environment) {
  return {
      {"prepack", environment.prepack},   {"commit", environment.commit},
      {"torch", environment.torch},       {"compiler", environment.compiler},
      {"model", environment.model},       {"num_parameters", environment.num_parameters},
      {"dtype", environment.dtype},       {"device", environment.device},
      {"hardware", environment.hardware}, {"threads", environment.threads},
      {"date", environment.date},
  };
}

std::string format_lines(const Json& object) {
  std::string text = "{";
  const char* separator = "\n";
  for (const auto& [name, value] : object.items()) {
    text += separator + dump(name) + ": " + (value.is_array() ? format_list(value) : dump(value));
    separator = ",\n";
  }
  return text + "\n}\n";
}

}  // namespace prepack::bench
