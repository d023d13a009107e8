#include "driver/protocol/procedures.h"

#include <gmock/gmock.h>

#include <fstream>
#include <map>
#include <regex>
#include <sstream>

#include "driver/protocol/absent.h"
#include "driver/protocol/test_wires.h"

namespace protocol {
namespace {

const std::string go_libvirt = "/usr/share/gocode/src/github.com/digitalocean/go-libvirt/";
const std::string facts = std::string(TEST_DATA_DIR) + "/protocol/";

std::string contents(const std::string& path) {
  std::ifstream file(path);
  EXPECT_TRUE(file) << path << " is missing: install what packaging/apt-dependencies lists";
  std::stringstream text;
  text << file.rdbuf();
  return text.str();
}

std::string lower(std::string text) {
  for (char& c : text) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return text;
}

using Numbers = std::map<std::int32_t, std::string>;

/// "ProcX is libvirt's PREFIX_NAME", then "ProcX = number".
Numbers go_numbers(const std::string& file, const std::string& prefix) {
  const std::string text = contents(go_libvirt + "internal/constants/" + file);
  const std::regex entry("is libvirt's " + prefix + "_PROC_(\\w+)\\s+\\w+ = (\\d+)");
  Numbers numbers;
  for (std::sregex_iterator at(text.begin(), text.end(), entry), end; at != end; ++at) {
    numbers[std::stoi((*at)[2])] = lower((*at)[1]);
  }
  return numbers;
}

Numbers our_numbers(std::uint32_t program, std::int32_t from, std::int32_t to) {
  Numbers numbers;
  for (const Row& row : rows(program)) {
    if (row.number >= from && row.number <= to) numbers[row.number] = row.name;
  }
  return numbers;
}

TEST(Procedures, NumbersAndNamesAreThoseOfAnIndependentClient) {
  const Numbers theirs = go_numbers("remote_protocol.gen.go", "REMOTE");
  EXPECT_EQ(theirs.size(), 426u);
  EXPECT_EQ(our_numbers(remote_program, 1, 426), theirs);
}

TEST(Procedures, TheQemuProgramsToo) {
  Numbers theirs = go_numbers("qemu_protocol.gen.go", "QEMU");
  EXPECT_EQ(theirs.size(), 6u);
  EXPECT_EQ(our_numbers(qemu_program, 1, 6), theirs);
}

TEST(Procedures, LaterOnesAreThoseOfLibvirtsOwnList) {
  std::istringstream lines(contents(facts + "procedures"));
  Numbers theirs;
  for (std::string line; std::getline(lines, line);) {
    if (line.starts_with('#')) continue;
    std::istringstream words(line);
    std::int32_t number = 0;
    words >> number >> theirs[0];
    theirs[number] = std::move(theirs[0]);
  }
  theirs.erase(0);
  EXPECT_EQ(theirs.size(), 20u);
  EXPECT_EQ(our_numbers(remote_program, 427, 100'000), theirs);
}

TEST(Procedures, CallsHaveAnApiAndEventsHaveNone) {
  for (const std::uint32_t program : {remote_program, qemu_program}) {
    for (const Row& row : rows(program)) {
      const bool named = row.access != Access::event && row.access != Access::authentication;
      EXPECT_EQ(std::string(row.api).starts_with("vir"), named) << row.name;
      EXPECT_EQ(row.access == Access::authentication, std::string(row.name).starts_with("auth_")) << row.name;
    }
  }
}

TEST(Procedures, WhatALibvirtClientMayDoReadOnly) {
  const auto access = [](Procedure procedure) {
    return rows(remote_program)[static_cast<std::size_t>(procedure) - 1].access;
  };
  using enum Procedure;
  for (const Procedure allowed :
       {connect_open, connect_get_all_domain_stats, connect_list_all_domains, domain_get_xml_desc, domain_get_state,
        domain_get_vcpus, domain_block_stats, connect_domain_event_callback_register_any, node_get_info,
        domain_get_block_io_tune, domain_get_scheduler_parameters}) {
    EXPECT_EQ(access(allowed), Access::read) << static_cast<int>(allowed);
  }
  for (const Procedure forbidden : {domain_create,
                                    domain_create_xml,
                                    domain_define_xml_flags,
                                    domain_destroy_flags,
                                    domain_undefine,
                                    domain_suspend,
                                    domain_open_console,
                                    domain_attach_device_flags,
                                    domain_set_memory_flags,
                                    domain_set_autostart,
                                    domain_reset,
                                    domain_set_block_io_tune,
                                    domain_rename,
                                    domain_set_metadata,
                                    connect_domain_xml_to_native,
                                    domain_block_peek,
                                    domain_memory_peek,
                                    domain_screenshot,
                                    domain_core_dump,
                                    domain_get_hostname,
                                    domain_get_time}) {
    EXPECT_EQ(access(forbidden), Access::write) << static_cast<int>(forbidden);
  }
}

// --- layouts: what is on the wire, written in short (tests/data/protocol/layouts)

template <class T>
std::string layout();

template <class T>
struct Layout {
  static std::string text() {
    std::string all;
    T value{};
    boost::pfr::for_each_field(value,
                               [&]<class Field>(const Field&) { all += (all.empty() ? "" : " ") + layout<Field>(); });
    return all;
  }
};
template <class T>
  requires(std::integral<T> || std::is_enum_v<T>)
struct Layout<T> {
  static std::string text() {
    if constexpr (std::is_enum_v<T>) {
      return "i4";
    } else {
      return std::string(std::is_signed_v<T> ? "i" : "u") + (sizeof(T) == 8 ? "8" : "4");
    }
  }
};
template <>
struct Layout<double> {
  static std::string text() { return "f8"; }
};
template <>
struct Layout<TypedParamValue> {
  static std::string text() { return "value"; }
};
template <std::uint32_t Max>
struct Layout<String<Max>> {
  static std::string text() { return "s"; }
};
template <class T, std::uint32_t Max>
struct Layout<Array<T, Max>> {
  static std::string text() { return std::is_same_v<T, std::uint8_t> ? "o" : "[" + layout<T>() + "]"; }
};
template <class T, std::uint32_t Max>
struct Layout<rpc::EncodedArray<T, Max>> : Layout<Array<T, Max>> {};
template <class T, std::size_t Size>
struct Layout<std::array<T, Size>> {
  static std::string text() {
    return std::is_same_v<T, std::uint8_t> ? "o" + std::to_string(Size) : std::to_string(Size) + "*" + layout<T>();
  }
};
template <class T>
struct Layout<std::optional<T>> {
  static std::string text() { return "?" + layout<T>(); }
};
template <class T>
std::string layout() {
  return Layout<T>::text();
}

/// The structs of the Go sources by libvirt's name for them, in the same notation.
class GoStructs {
 public:
  explicit GoStructs(const std::vector<std::string>& files) {
    for (const std::string& file : files) {
      const std::string text = contents(go_libvirt + file);
      const std::regex entry("// (\\w+) is libvirt's (\\w+)\ntype \\w+ struct \\{([^}]*)\\}");
      for (std::sregex_iterator at(text.begin(), text.end(), entry), end; at != end; ++at) {
        names_[(*at)[2]] = (*at)[1];
        fields_[(*at)[1]] = (*at)[3];
      }
    }
  }
  bool has(const std::string& libvirt_name) const { return names_.contains(libvirt_name); }
  std::string layout(const std::string& libvirt_name) const { return type(names_.at(libvirt_name)); }

 private:
  std::string type(const std::string& go) const {
    static const std::map<std::string, std::string> plain = {{"int8", "i4"},      {"int32", "i4"},
                                                             {"AuthType", "i4"},  {"uint8", "u4"},
                                                             {"uint16", "u4"},    {"uint32", "u4"},
                                                             {"int64", "i8"},     {"uint64", "u8"},
                                                             {"float64", "f8"},   {"string", "s"},
                                                             {"[]byte", "o"},     {"UUID", "o16"},
                                                             {"OptString", "?s"}, {"TypedParamValue", "value"}};
    if (const auto found = plain.find(go); found != plain.end()) return found->second;
    static const std::regex flags("\\w+(Flags|Flag|FlagsValues|FlagValues|Impact)");
    if (std::regex_match(go, flags)) return "u4";  // Go knows what they mean, libvirt's protocol that they are unsigned
    if (go.starts_with("Opt")) return "?" + type(go.substr(3));
    if (go.starts_with("[]")) return "[" + type(go.substr(2)) + "]";
    if (go.starts_with("[")) return go.substr(1, go.find(']') - 1) + "*" + type(go.substr(go.find(']') + 1));
    std::string all;
    std::istringstream lines(fields_.at(go));
    for (std::string name, field; lines >> name >> field;) all += (all.empty() ? "" : " ") + type(field);
    return all;
  }

  std::map<std::string, std::string> names_;
  std::map<std::string, std::string> fields_;
};

std::map<std::string, std::string> later_layouts() {
  std::istringstream lines(contents(facts + "layouts"));
  std::map<std::string, std::string> layouts;
  for (std::string line; std::getline(lines, line);) {
    if (!line.starts_with('#')) layouts[line.substr(0, line.find(' '))] = line.substr(line.find(' ') + 1);
  }
  return layouts;
}

TEST(Wires, LayoutsAreThoseOfAnIndependentClient) {
  const GoStructs go({"remote_protocol.gen.go", "qemu_protocol.gen.go"});
  const auto later = later_layouts();
  int compared = 0;
  const auto compare = [&]<class T>(const std::string& name) {
    if (go.has(name)) {
      EXPECT_EQ(layout<T>(), go.layout(name)) << name;
    } else if (later.contains(name)) {
      EXPECT_EQ(layout<T>(), later.at(name)) << name;
    } else {
      EXPECT_TRUE((std::is_same_v<T, Void>)) << name << " is nowhere else";
      return;
    }
    ++compared;
  };
  testing::for_each_wire([&]<auto P>() {
    const Row& row = rows(program_of(P))[static_cast<std::size_t>(P) - 1];
    const std::string name = (program_of(P) == qemu_program ? "qemu_" : "remote_") + std::string(row.name);
    if constexpr (testing::HasEvent<P>) {
      EXPECT_EQ(row.access, Access::event) << name;
      compare.template operator()<typename Wire<P>::Event>(name + "_msg");
    } else {
      EXPECT_NE(row.access, Access::event) << name;
      compare.template operator()<typename Wire<P>::Args>(name + "_args");
      compare.template operator()<typename Wire<P>::Ret>(name + "_ret");
    }
  });
  int absent_compared = 0;
  for (const Row& row : rows(remote_program)) {
    const Absent* call = absent(static_cast<Procedure>(row.number));
    if (!call) continue;
    const auto expect = [&](const std::string& name, const char* words) {
      const std::string ours = written_out(words);
      if (go.has(name)) {
        EXPECT_EQ(ours, go.layout(name)) << name;
      } else if (later.contains(name)) {
        EXPECT_EQ(ours, later.at(name)) << name;
      } else {
        EXPECT_EQ(ours, "") << name << " is nowhere else";
        return;
      }
      ++absent_compared;
    };
    expect(std::string("remote_") + row.name + "_args", call->arguments);
    if (call->code == core::ErrorCode::ok) expect(std::string("remote_") + row.name + "_ret", call->text);
  }
  EXPECT_GT(compared, 230);
  EXPECT_GT(absent_compared, 230);
}

TEST(Wires, ErrorsAreThoseOfAnIndependentClient) {
  const GoStructs go({"remote_protocol.gen.go"});
  EXPECT_EQ(layout<rpc::RemoteError>(), go.layout("remote_error"));
}

}  // namespace
}  // namespace protocol
