#include "runtime/system_file.h"

#include <fstream>
#include <sstream>
#include <string>

namespace prepack {

int64_t read_field(const std::filesystem::path& path, std::string_view wanted) {
  std::ifstream file(path);
  for (std::string line; std::getline(file, line);) {
    std::istringstream fields(line);
    std::string key;
    int64_t number = 0;
    if (fields >> key && key == wanted && fields >> number) return number;
  }
  return 0;
}

}  // namespace prepack
