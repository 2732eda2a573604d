#pragma once

#include "model/config_reader.h"
#include "prepack/checkpoint_quantization.h"

namespace prepack {

/// Reads the object quantization_config of config.json, or the quantize_config.json of older GPTQ
/// folders, which leaves out quant_method. Which weights are packed the tensors themselves say, so
/// that modules_to_not_convert, and what `dynamic` leaves out, need not be read; nor need `sym` and
/// zero_point, as zeros are stored in either case.
/// @throws LoadError naming the key and the value that is not supported
/// Ref: transformers GPTQConfig and AwqConfig; GPTQModel's QuantizeConfig
CheckpointQuantization read_checkpoint_quantization(const ConfigReader& config,
                                                    const char* absent_method = "none");

}  // namespace prepack
