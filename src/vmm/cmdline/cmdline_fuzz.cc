#include <cstddef>
#include <cstdint>
#include <stdexcept>
#include <string_view>
#include <utility>

#include "vmm/cmdline/machine_config.h"

// A command line, a word a line: read and checked, or refused with one line.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  std::vector<std::string> words;
  std::string word;
  for (std::size_t i = 0; i < size; ++i) {
    if (data[i] == '\n') {
      words.push_back(std::exchange(word, {}));
    } else {
      word += static_cast<char>(data[i]);
    }
  }
  if (!word.empty()) words.push_back(word);
  try {
    const auto result = cmdline::parse(words);
    if (const auto* const config = std::get_if<cmdline::Config>(&result)) cmdline::validate(*config);
  } catch (const std::invalid_argument& error) {
    if (std::string_view(error.what()).contains('\n') || std::string_view(error.what()).size() > 4096) __builtin_trap();
  }
  return 0;
}
