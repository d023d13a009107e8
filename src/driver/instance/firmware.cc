#include "driver/instance/firmware.h"

#include <fcntl.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <map>

#include "base/file.h"
#include "driver/host/nvram.h"

namespace instance {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t most_bytes = 65536;  ///< of one descriptor
constexpr std::size_t most_files = 256;    ///< that are read

}  // namespace

std::vector<std::string> firmware_folders(const core::Layout& layout) {
  std::vector<std::string> folders = {"/usr/share/qemu/firmware", "/etc/qemu/firmware"};
  if (!layout.session) return folders;
  const char* config = std::getenv("XDG_CONFIG_HOME");
  const char* home = std::getenv("HOME");
  if (config != nullptr && *config == '/') {
    folders.push_back(std::string(config) + "/qemu/firmware");
  } else if (home != nullptr && *home == '/') {
    folders.push_back(std::string(home) + "/.config/qemu/firmware");
  }
  return folders;
}

std::vector<emulator::Firmware> read_firmwares(const std::vector<std::string>& folders,
                                               const std::function<void(const std::string&)>& problem) {
  std::map<std::string, std::string> files;  // by the file's own name
  for (const std::string& folder : folders) {
    std::error_code missing;
    for (const auto& entry : fs::directory_iterator(folder, missing)) {
      const std::string name = entry.path().filename();
      if (name.starts_with('.') || !name.ends_with(".json")) continue;
      if (files.size() < most_files || files.contains(name)) files[name] = entry.path();
    }
  }
  std::vector<emulator::Firmware> result;
  for (const auto& [name, path] : files) {
    try {
      // Opened without waiting, since it may be anything.
      const base::UniqueFd fd = base::open_file(path, O_RDONLY | O_NONBLOCK);
      const std::string text = base::read_all(fd.get(), most_bytes, path);
      if (text.empty()) continue;
      if (auto firmware = emulator::read_firmware(text)) result.push_back(std::move(*firmware));
    } catch (const std::exception& error) {
      problem("firmware descriptor '" + path + "' is passed over: " + error.what());
    }
  }
  return result;
}

std::vector<emulator::Firmware> read_firmwares(const core::Layout& layout) {
  return read_firmwares(firmware_folders(layout), [](const std::string&) {});
}

std::string nvram_template(const std::string& loader, const core::Layout& layout, const Settings& settings) {
  for (const auto& [code, variables] : settings.nvram) {
    if (code == loader) return variables;
  }
  const auto all = read_firmwares(layout);
  if (const auto found = std::ranges::find(all, loader, &emulator::Firmware::code); found != all.end())
    return found->variables;
  return host::nvram_template(loader).value_or("");
}

std::string nvram_path(const domain::Domain& domain, const core::Layout& layout) {
  if (domain.os.nvram && !domain.os.nvram->path.empty()) return domain.os.nvram->path;
  if (!domain.os.nvram && !domain.os.firmware) return {};
  constexpr std::string_view suffix = "_VARS.fd";
  constexpr std::size_t longest_file_name = 255;
  const bool fits = domain.name.size() + suffix.size() <= longest_file_name;
  return layout.nvram + "/" + (fits ? domain.name : core::to_string(domain.uuid)) + std::string(suffix);
}

}  // namespace instance
