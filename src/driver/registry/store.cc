#include "driver/registry/store.h"

#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <tuple>

#include "base/file.h"
#include "driver/core/error.h"

namespace registry {
namespace {

constexpr std::size_t longest_file_name = 255;
constexpr std::size_t definition_limit = std::size_t{10} << 20;
constexpr char header[] =
    "<!--\nWARNING: THIS IS AN AUTO-GENERATED FILE. CHANGES TO IT ARE LIKELY TO BE\n"
    "OVERWRITTEN AND LOST. Changes to this xml configuration should be made using:\n  virsh edit\n"
    "or another application using the libvirt API.\n-->\n\n";

/// Where a file that cannot be read is kept, under the most of its name that there is room for.
std::filesystem::path aside(const std::filesystem::path& file) {
  constexpr std::string_view suffix = ".broken";
  return file.parent_path() / (file.filename().string().substr(0, longest_file_name - suffix.size()).append(suffix));
}

}  // namespace

std::string Store::path(const std::string& folder, const domain::Domain& domain) const {
  const std::string name = domain.name + ".xml";
  return folder + "/" +
         (name.size() <= longest_file_name - 7 ? name : core::to_string(domain.uuid) + ".xml");  // room for .broken
}

void Store::write(const domain::Domain& domain) const {
  base::replace_file(path(layout_.config, domain), header + domain::format(domain), 0600);
}

void Store::remove(const domain::Domain& domain) const {
  // A mark without a definition is forgotten by load(); a definition without its mark would be another.
  base::remove_file(path(layout_.config, domain));
  base::remove_file(path(layout_.autostart, domain));
}

void Store::set_autostart(const domain::Domain& domain, bool autostart) const {
  const std::string link = path(layout_.autostart, domain);
  if (!autostart) {
    base::remove_file(link);
    return;
  }
  if (::symlink(path(layout_.config, domain).c_str(), link.c_str()) < 0 && errno != EEXIST) {
    throw core::Error::system(errno, "Failed to create symlink '" + link + "'");
  }
  base::sync_folder(layout_.autostart);
}

std::vector<Store::Loaded> Store::load(
    const std::function<void(const std::string&, const std::string&)>& broken) const {
  for (const std::string* folder : {&layout_.config, &layout_.autostart}) base::remove_temporaries(*folder);
  std::vector<Loaded> all;
  for (const auto& entry : std::filesystem::directory_iterator(layout_.config)) {
    std::error_code none;  // of a link that leads round and round
    if (!entry.is_regular_file(none) || entry.path().extension() != ".xml") continue;
    const std::string file = entry.path();
    try {
      domain::Domain domain = domain::parse(base::read_file(file, definition_limit));
      if (const std::string own = path(layout_.config, domain); own != file) {
        throw core::Error(core::ErrorCode::internal_error, "it defines '" + domain.name + "', which belongs in " + own);
      }
      const bool autostart = std::filesystem::is_symlink(path(layout_.autostart, domain));
      all.push_back({std::move(domain), autostart});
    } catch (const std::exception& error) {
      std::error_code ignored;
      std::filesystem::rename(file, aside(entry.path()), ignored);
      broken(file, error.what());
    }
  }
  finish_renames(all);
  forget_marks();
  return all;
}

/// A daemon that died while it gave a domain another name may have left both. The one that is to start with the host
/// stays where only one is, since the mark is made before the old name goes.
void Store::finish_renames(std::vector<Loaded>& all) const {
  std::ranges::sort(all, {}, [](const Loaded& one) { return std::tuple(one.domain.uuid, !one.autostart); });
  const auto same_but_for_the_name = [](const Loaded& one, const Loaded& next) {
    if (one.domain.uuid != next.domain.uuid) return false;
    domain::Domain renamed = next.domain;
    renamed.name = one.domain.name;
    return domain::format(renamed) == domain::format(one.domain);
  };
  for (std::size_t i = 1; i < all.size(); ++i) {
    if (!same_but_for_the_name(all[i - 1], all[i])) continue;
    remove(all[i].domain);
    all.erase(all.begin() + static_cast<std::ptrdiff_t>(i--));
  }
}

/// Marks whose definitions are gone. Those of definitions kept aside stay with them.
void Store::forget_marks() const {
  std::vector<std::filesystem::path> marks;
  for (const auto& entry : std::filesystem::directory_iterator(layout_.autostart)) marks.push_back(entry.path());
  for (const auto& mark : marks) {
    const std::filesystem::path definition = layout_.config / mark.filename();
    if (mark.extension() == ".xml" && !std::filesystem::exists(definition) &&
        !std::filesystem::exists(aside(definition)))
      base::remove_file(mark);
  }
}

}  // namespace registry
