#pragma once

#include <cstdint>
#include <string>

#include "prepack/model.h"

namespace prepack::bench {

/// What a measurement depends on.
struct Environment {
  std::string prepack;  // version
  std::string commit;   // of the source, "-dirty" where files differed from it; or "unknown"
  std::string torch;    // LibTorch's version
  std::string compiler;
  std::string hardware;  // the CPU and its instructions; on CUDA also the device
  std::string date;      // of the measurement, UTC
  std::string model;     // the folder's name
  int64_t num_parameters = 0;
  std::string dtype;  // "float32", or "float32, weights int8"
  std::string device;
  int64_t threads = 0;
};

/// @param model_name  what to call the model
Environment describe_environment(const Model& model, std::string model_name, int64_t threads);

}  // namespace prepack::bench
