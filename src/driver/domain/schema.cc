#include "driver/domain/schema.h"

#include <fcntl.h>
#include <libxml/parser.h>
#include <libxml/relaxng.h>
#include <poll.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdarg>
#include <cstdio>

#include "base/unique_fd.h"
#include "driver/core/error.h"
#include "driver/core/xml.h"

namespace domain {
namespace {

using core::Error;
using core::ErrorCode;

constexpr rlim_t cpu_seconds = 10;
constexpr std::size_t longest_report = 4096;

enum Verdict : int { valid = 0, invalid = 1, no_schema = 2 };

/// libxml2 prints its complaints piecemeal, as printf would.
__attribute__((format(printf, 2, 3))) void collect(void* into, const char* format, ...) {
  std::array<char, 512> text;
  va_list arguments;
  va_start(arguments, format);
  const int length = std::vsnprintf(text.data(), text.size(), format, arguments);
  va_end(arguments);
  auto& report = *static_cast<std::string*>(into);
  if (length > 0 && report.size() < longest_report)
    report.append(text.data(), std::min<std::size_t>(static_cast<std::size_t>(length), text.size() - 1));
}

/// The child's part.
Verdict check(std::string_view xml, const std::string& file, std::string& report) {
  xmlSetGenericErrorFunc(&report, collect);
  xmlRelaxNGParserCtxt* const parser = xmlRelaxNGNewParserCtxt(file.c_str());
  if (!parser) return no_schema;
  xmlRelaxNGSetParserErrors(parser, collect, collect, &report);
  xmlRelaxNG* const schema = xmlRelaxNGParse(parser);
  if (!schema) return no_schema;
  report.clear();
  const std::string text(xml);  // a string is UTF-8 whatever its declaration says
  xmlDoc* const document = xmlReadDoc(reinterpret_cast<const xmlChar*>(text.c_str()), nullptr, nullptr,
                                      XML_PARSE_NONET | XML_PARSE_NOERROR | XML_PARSE_NOWARNING);
  xmlRelaxNGValidCtxt* const validator = xmlRelaxNGNewValidCtxt(schema);
  if (!document || !validator) return invalid;
  xmlRelaxNGSetValidErrors(validator, collect, collect, &report);
  return xmlRelaxNGValidateDoc(validator, document) == 0 ? valid : invalid;
}

void bound_self() {
  const rlimit cpu{cpu_seconds, cpu_seconds}, core{0, 0};
  setrlimit(RLIMIT_CPU, &cpu);
  setrlimit(RLIMIT_CORE, &core);
#if !__has_feature(address_sanitizer) && !__has_feature(thread_sanitizer)  // whose shadow is larger than any limit
  constexpr rlim_t bytes = rlim_t{1} << 30;
  const rlimit memory{bytes, bytes};
  setrlimit(RLIMIT_DATA, &memory);
#endif
}

/// Reads what the child says until it closes its end; false when the time is over.
bool read_all(int fd, std::string& report, std::chrono::milliseconds limit) {
  const auto end = std::chrono::steady_clock::now() + limit;
  std::array<char, 1024> bytes;
  while (true) {
    const auto left =
        std::chrono::duration_cast<std::chrono::milliseconds>(end - std::chrono::steady_clock::now()).count();
    pollfd waiting{fd, POLLIN, 0};
    const int ready = left > 0 ? poll(&waiting, 1, static_cast<int>(left)) : 0;
    if (ready < 0 && errno == EINTR) continue;
    if (ready <= 0) return false;
    const ssize_t count = read(fd, bytes.data(), bytes.size());
    if (count == 0) return true;
    if (count > 0) report.append(bytes.data(), static_cast<std::size_t>(count));
    if (count < 0 && errno != EINTR) return false;
  }
}

}  // namespace

void validate_schema(std::string_view xml, const std::string& schema_dir, std::chrono::milliseconds limit) {
  const core::XmlDocument well_formed(xml, "(domain_definition)");  // and without a document type
  const std::string file = schema_dir + "/domain.rng";
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0) throw Error::system(errno, "cannot check against the schema");
  const base::UniqueFd from(ends[0]);
  base::UniqueFd to(ends[1]);
  const pid_t child = fork();
  if (child < 0) throw Error::system(errno, "cannot check against the schema");
  if (child == 0) {
    bound_self();
    std::string report;
    const Verdict verdict = check(xml, file, report);
    // A report is smaller than the pipe.
    const ssize_t written = write(to.get(), report.data(), std::min(report.size(), longest_report));
    _exit(written < 0 ? no_schema : verdict);
  }
  to.reset();
  std::string report;
  const bool in_time = read_all(from.get(), report, limit);
  if (!in_time) kill(child, SIGKILL);
  int status = 0;
  while (waitpid(child, &status, 0) < 0 && errno == EINTR) continue;
  if (!in_time) throw Error(ErrorCode::operation_timeout, "checking the description against " + file);
  if (WIFEXITED(status) && WEXITSTATUS(status) == valid) return;
  if (WIFEXITED(status) && WEXITSTATUS(status) == invalid)
    throw Error(ErrorCode::xml_invalid_schema, "Unable to validate doc against " + file + "\n" + report,
                core::ErrorDomain::xml);
  if (WIFEXITED(status))
    throw Error(ErrorCode::internal_error, "Unable to parse RNG " + file + ": " + report, core::ErrorDomain::xml);
  throw Error(ErrorCode::xml_invalid_schema, "checking against " + file + " took more time or memory than it may",
              core::ErrorDomain::xml);
}

}  // namespace domain
