#include "driver/domain/schema.h"

#include <sys/stat.h>
#include <sys/wait.h>

#include <cerrno>
#include <filesystem>
#include <fstream>

#include "driver/domain/example_for_test.h"

namespace domain {
namespace {

using core::ErrorCode;
using test::refusal;

const std::string schemas = "/usr/share/libvirt/schemas";

/// A folder with a schema of the test's own.
class Schemas {
 public:
  explicit Schemas(const std::string& text) {
    std::string name = testing::TempDir() + "schemas-XXXXXX";
    folder_ = mkdtemp(name.data());
    std::ofstream(folder_ + "/domain.rng") << text;
  }
  ~Schemas() { std::filesystem::remove_all(folder_); }
  const std::string& folder() const { return folder_; }

 private:
  std::string folder_;
};

std::size_t open_descriptors() {
  const auto entries = std::filesystem::directory_iterator("/proc/self/fd");
  return static_cast<std::size_t>(std::distance(begin(entries), end(entries)));
}

TEST(Schema, TakesWhatDumpxmlShowsAndRefusesTheRest) {
  const std::string good = format(test::with(test::disk("vda")));
  validate_schema(good, schemas);
  const std::size_t before = open_descriptors();
  const std::string bad = test::description("", "<frob/>");
  const std::string message = refusal(ErrorCode::xml_invalid_schema, [&] { validate_schema(bad, schemas); });
  EXPECT_NE(message.find("domain.rng"), std::string::npos) << message;
  EXPECT_NE(message.find("frob"), std::string::npos) << message;
  EXPECT_EQ(open_descriptors(), before);
}

TEST(Schema, RefusesTheGuidesOwnText) {
  std::ifstream file(std::string(TEST_DATA_DIR) + "/domain/memballoon-autodeflate-on-alias.xml");
  const std::string guide{std::istreambuf_iterator<char>(file), {}};
  refusal(ErrorCode::xml_invalid_schema, [&] { validate_schema(guide, schemas); });
  validate_schema(format(parse(guide)), schemas);
}

TEST(Schema, NeedsBothToBeReadable) {
  refusal(ErrorCode::xml_detail, [] { validate_schema("<domain", schemas); });
  refusal(ErrorCode::xml_detail, [] { validate_schema("<!DOCTYPE domain><domain/>", schemas); });
  refusal(ErrorCode::internal_error, [] { validate_schema("<domain/>", "/nonexistent"); });
  const Schemas broken("<grammar");
  refusal(ErrorCode::internal_error, [&] { validate_schema("<domain/>", broken.folder()); });
}

TEST(Schema, ThatNeverEndsIsEnded) {
  const Schemas empty("");
  std::filesystem::remove(empty.folder() + "/domain.rng");
  ASSERT_EQ(mkfifo((empty.folder() + "/domain.rng").c_str(), 0600), 0);  // the child waits for a writer
  refusal(ErrorCode::operation_timeout,
          [&] { validate_schema("<domain/>", empty.folder(), std::chrono::milliseconds(100)); });
  EXPECT_EQ(waitpid(-1, nullptr, WNOHANG), -1);  // it is gone
  EXPECT_EQ(errno, ECHILD);
}

}  // namespace
}  // namespace domain
