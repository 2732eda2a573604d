#include "cli/logits_file.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "cli/output.h"

namespace prepack::cli {

void save_logits(const std::filesystem::path& file, const at::Tensor& logits) {
  const auto data = logits.to(at::kCPU, at::kFloat).contiguous();
  const nlohmann::ordered_json header{
      {"logits",
       {{"dtype", "F32"}, {"shape", data.sizes().vec()}, {"data_offsets", {0, data.nbytes()}}}}};
  auto text = header.dump();
  text.resize((text.size() + 7) / 8 * 8, ' ');  // so that the data is aligned
  const uint64_t header_size = text.size();

  const auto temporary = std::filesystem::path(file.string() + ".partial");
  try {
    RecordFile output(temporary, 0);
    output.append({reinterpret_cast<const char*>(&header_size), sizeof(header_size)});
    output.append(text);
    output.append({static_cast<const char*>(data.data_ptr()), data.nbytes()});
    std::filesystem::rename(temporary, file);
  } catch (...) {
    std::error_code ignored;
    std::filesystem::remove(temporary, ignored);
    throw;
  }
}

}  // namespace prepack::cli
