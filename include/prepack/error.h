#pragma once

#include <stdexcept>
#include <string>

namespace prepack {

/// Base of everything the library throws on purpose. `what()` is one sentence that names the
/// file, line, tensor or option at fault, what was expected and what was got.
class Error : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// The caller asked for something that cannot be: a bad option, prompt or token id.
class InvalidArgument : public Error {
 public:
  using Error::Error;
};

/// A file is missing, corrupt, or not of a kind that is supported.
class LoadError : public Error {
 public:
  using Error::Error;
};

/// The work does not fit the memory of the device.
class OutOfMemory : public Error {
 public:
  using Error::Error;
};

}  // namespace prepack
