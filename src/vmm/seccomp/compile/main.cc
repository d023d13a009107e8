// Turns a file of rules into a filter, when the program is built: a system call a line, with conditions on its
// arguments where only some uses are meant ("ioctl 1=0xae80", "openat 2&0x40=0" of some bits, "tgkill 0=pid" of the
// process itself, whose number takes the place of own_pid when the filter is loaded), and after '#' which code needs
// it. What no line allows ends the process.
//   usage: compile RULES ARCHITECTURE >FILTER
#include <linux/filter.h>
#include <seccomp.h>
#include <unistd.h>

#include <cstdint>
#include <cstdio>
#include <fstream>
#include <iostream>
#include <iterator>
#include <sstream>
#include <stdexcept>
#include <string>
#include <vector>

namespace {

void check(int result, const std::string& what) {
  if (result < 0) throw std::runtime_error(what);
}

constexpr std::uint32_t own_pid = 0x7fff'fff1;  // beyond every process's number

scmp_arg_cmp read_condition(const std::string& text) {
  const std::size_t equals = text.find('='), masked = text.find('&');
  if (equals == std::string::npos) throw std::runtime_error("no condition: '" + text + "'");
  const auto number = [](const std::string& digits) -> std::uint64_t {
    return digits == "pid" ? own_pid : std::stoull(digits, nullptr, 0);
  };
  const auto argument = static_cast<unsigned>(std::stoul(text));
  const std::uint64_t value = number(text.substr(equals + 1));
  if (masked > equals) return {argument, SCMP_CMP_EQ, value, 0};
  return {argument, SCMP_CMP_MASKED_EQ, number(text.substr(masked + 1, equals - masked - 1)), value};
}

void add_rule(scmp_filter_ctx filter, const std::string& line) {
  std::istringstream words(line.substr(0, line.find('#')));
  std::string name, condition;
  if (!(words >> name)) return;
  const int call = seccomp_syscall_resolve_name(name.c_str());
  if (call == __NR_SCMP_ERROR) throw std::runtime_error("no system call '" + name + "'");
  std::vector<scmp_arg_cmp> conditions;
  while (words >> condition) conditions.push_back(read_condition(condition));
  check(
      seccomp_rule_add_array(filter, SCMP_ACT_ALLOW, call, static_cast<unsigned>(conditions.size()), conditions.data()),
      "no rule: '" + line + "'");
}

void compile(const std::string& rules, const std::string& architecture) {
  std::ifstream file(rules);
  if (!file) throw std::runtime_error("cannot be read");
  const scmp_filter_ctx filter = seccomp_init(SCMP_ACT_KILL_PROCESS);
  const std::uint32_t token = seccomp_arch_resolve_name(architecture.c_str());
  if (token != seccomp_arch_native()) {
    check(seccomp_arch_add(filter, token), "no architecture '" + architecture + "'");
    check(seccomp_arch_remove(filter, seccomp_arch_native()), "the architecture cannot be changed");
  }
  for (std::string line; std::getline(file, line);) add_rule(filter, line);
  std::FILE* const out = std::tmpfile();
  if (!out) throw std::runtime_error("no temporary file");
  check(seccomp_export_bpf(filter, fileno(out)), "the filter cannot be made");
  std::vector<sock_filter> program(static_cast<std::size_t>(::lseek(fileno(out), 0, SEEK_END)) / sizeof(sock_filter));
  const auto size = static_cast<ssize_t>(program.size() * sizeof(sock_filter));
  if (::pread(fileno(out), program.data(), program.size() * sizeof(sock_filter), 0) != size)
    throw std::runtime_error("the filter cannot be read back");
  for (const sock_filter& one : program) {
    const std::string k = one.k == own_pid ? "own_pid" : std::to_string(one.k) + "U";
    std::printf("{%u, %u, %u, %s},\n", unsigned{one.code}, unsigned{one.jt}, unsigned{one.jf}, k.c_str());
  }
  std::fclose(out);
  seccomp_release(filter);
}

}  // namespace

int main(int argc, char** argv) {
  const std::vector<std::string> words(argv, argv + argc);
  if (words.size() != 3) {
    std::cerr << "usage: compile RULES ARCHITECTURE\n";
    return 2;
  }
  try {
    compile(words[1], words[2]);
  } catch (const std::exception& error) {
    std::cerr << words[1] << ": " << error.what() << "\n";
    return 1;
  }
}
