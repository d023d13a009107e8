#include "driver/instance/probe_cache.h"

#include <cctype>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <vector>

#include "base/file.h"
#include "driver/core/error.h"

namespace instance {
namespace {

using nlohmann::json;

/// Grows with every change of what is asked or of how it is kept.
constexpr int format = 1;
constexpr std::size_t most_bytes = std::size_t{4} << 20;
constexpr std::size_t longest_name = 200;

/// A program's path as the name of a file; nothing for one that is too long to be kept.
std::optional<std::string> path_in(const std::string& folder, const std::string& program) {
  constexpr char digits[] = "0123456789abcdef";
  std::string name;
  for (const char byte : program) {
    const auto value = static_cast<unsigned char>(byte);
    if (std::isalnum(value) != 0 || byte == '-' || byte == '_') {
      name += byte;
    } else {
      name += {'%', digits[value >> 4], digits[value & 15]};
    }
  }
  if (name.size() > longest_name) return std::nullopt;
  return folder + "/" + name + ".json";
}

json head(const std::string& program, const FileStamp& stamp) {
  return {{"format", format},
          {"program", program},
          {"size", stamp.size},
          {"mtime", stamp.touched},
          {"ctime", stamp.changed}};
}

/// Files of programs that are gone would stay for ever: where there are too many, none is kept.
void make_room(const std::string& folder) {
  std::vector<std::filesystem::path> files;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    if (entry.path().extension() == ".json") files.push_back(entry.path());
  }
  if (files.size() < Prober::most_programs) return;
  for (const auto& path : files) std::filesystem::remove(path);
}

}  // namespace

std::optional<emulator::Capabilities> read_cache(const std::string& folder, const std::string& program,
                                                 const FileStamp& stamp) {
  const auto path = path_in(folder, program);
  if (!path) return std::nullopt;
  try {
    const auto text = base::read_file_if_exists(*path, most_bytes);
    if (!text) return std::nullopt;
    const json file = json::parse(*text);
    if (file.at("of") != head(program, stamp)) return std::nullopt;
    return emulator::read_text(file.at("capabilities").get<std::string>());
  } catch (const std::exception&) {  // whatever is wrong with it: it is written anew
    return std::nullopt;
  }
}

void write_cache(const std::string& folder, const std::string& program, const FileStamp& stamp,
                 const emulator::Capabilities& capabilities) {
  const auto path = path_in(folder, program);
  if (!path) return;
  const std::string text = json{{"of", head(program, stamp)}, {"capabilities", emulator::to_text(capabilities)}}.dump();
  if (text.size() > most_bytes) return;
  base::make_folders(folder, 0700);
  make_room(folder);
  base::replace_file(*path, text, 0600);
}

}  // namespace instance
