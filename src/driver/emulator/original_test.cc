#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <iterator>

#include "driver/core/error.h"
#include "driver/emulator/command.h"
#include "driver/emulator/dialect.h"
#include "driver/emulator/example_for_test.h"
#include "driver/emulator/original_for_test.h"

// Every word that the driver writes to a StratoVirt is one that StratoVirt 2.5.0 takes.
namespace emulator {
namespace {

using test::Original;

const Capabilities original = assumed(Kind::stratovirt, domain::Arch::x86_64);

Json message(const Request& request) {
  Json object = {{"execute", request.command}, {"id", "libvirt-1"}};
  if (!request.arguments.is_null()) object["arguments"] = request.arguments;
  return object;
}

/// What else is sent of a machine: all that the dialect has a StratoVirt say.
std::vector<Request> requests(const domain::Domain& domain, const Resources& resources) {
  std::vector<Request> all = initial_requests(domain, original);
  for (const Request& one : {stop(), cont(), quit(), system_reset(), system_powerdown(original), query_status(),
                             query_vcpus(original), query_iothreads(), query_chardev(), query_block_stats(),
                             query_balloon(), set_balloon(domain.current_memory_kib)})
    all.push_back(one);
  for (const std::string& query : probe_queries(Kind::stratovirt)) all.push_back({query, {}});
  for (const auto& optional : {query_devices(original), query_block_errors(original),
                               query_guest_memory(domain, original), set_balloon_period(domain, 5, original)})
    if (optional) all.push_back(*optional);
  for (const domain::Interface& card : domain.interfaces) {
    all.push_back(set_link(card, false, original));
    all.push_back({"getfd", {{"fdname", "fd-" + card.info.alias}}});
  }
  domain::for_each_device(domain, [&](const auto& device) {
    std::vector<Attachment> steps;
    try {
      steps = attach(domain, device, resources, original);
    } catch (const core::Error&) {  // one that cannot be added, or has what a StratoVirt has not
      return;
    }
    for (const Attachment& step : steps) {
      all.push_back(step.request);
      if (step.undo) all.push_back(*step.undo);
    }
    all.push_back(detach(device));
    for (const Request& request : after_detach(device)) all.push_back(request);
  });
  return all;
}

void expect_taken(const domain::Domain& domain, const Resources& resources) {
  for (const Request& request : requests(domain, resources)) EXPECT_EQ(Original::fault(message(request)), "");
}

TEST(Original, TakesEveryDescriptionsWords) {
  unsigned lines = 0;
  for (const char* folder : {"domain", "emulator"}) {
    for (const auto& entry : std::filesystem::directory_iterator(std::string(TEST_DATA_DIR) + "/" + folder)) {
      const auto& path = entry.path();
      if (path.extension() != ".xml" || path.stem().has_extension()) continue;
      SCOPED_TRACE(path);
      std::ifstream file(path);
      domain::Domain domain;
      Resources resources;
      Command command;
      try {
        domain = domain::parse(std::string(std::istreambuf_iterator<char>(file), {}));
        domain.type = domain::Type::kvm;
        domain::assign_aliases(domain);
        if (domain.vsock && !domain.vsock->cid) domain.vsock->cid = 3;
        resources = placeholders(domain);
        for (const auto& card : domain.interfaces) {
          Tap& tap = resources.taps[card.info.alias];
          tap.fds.assign(card.queues.value_or(1), "27");
          tap.vhost_fds.assign(card.queues.value_or(1), "28");
        }
        Capabilities capabilities = original;
        capabilities.arch = domain::to_string(domain.os.arch);
        command = command_line(domain, resources, capabilities);
      } catch (const core::Error&) {  // a refusal, which golden files hold
        continue;
      }
      EXPECT_EQ(Original::fault(command.arguments), "");
      expect_taken(domain, resources);
      ++lines;
    }
  }
  EXPECT_GT(lines, 100U);
}

TEST(Original, TakesEveryKindOfDiskAndCard) {
  auto domain = test::example(domain::Type::kvm);
  auto& disk = domain.disks[0];
  disk.cache = domain::Disk::Cache::none;
  disk.info.boot_order = 1;
  disk.queues = 4;
  disk.serial = "s1";
  disk.readonly = true;
  disk.discard = domain::Disk::Discard::unmap;
  disk.detect_zeroes = domain::Disk::DetectZeroes::unmap;
  domain.interfaces[0].queues = 2;
  domain.interfaces[0].rx_queue_size = 256;
  domain.interfaces[0].info.address->multifunction = true;
  Resources resources = test::resources();
  for (const auto io :
       {domain::Disk::Io::unset, domain::Disk::Io::native, domain::Disk::Io::threads, domain::Disk::Io::io_uring}) {
    for (const auto format : {domain::Disk::Format::raw, domain::Disk::Format::qcow2}) {
      disk.io = io;
      disk.format = format;
      EXPECT_EQ(attach(domain, disk, resources, original).size(), 2U);
      expect_taken(domain, resources);
    }
  }
  for (const Tap& tap :
       {Tap{{"fd-net1-0", "fd-net1-1"}, {"vhostfd-net1-0", "vhostfd-net1-1"}}, Tap{{"fd-net1-0"}, {}}}) {
    resources.taps["net0"] = tap;
    EXPECT_EQ(attach(domain, domain.interfaces[0], resources, original).size(), 2U);
    expect_taken(domain, resources);
  }
  resources.taps.clear();
  expect_taken(domain, resources);
}

TEST(Original, RefusesAsStrictlyAsItDoes) {
  const auto fault = [](const char* text) { return Original::fault(Json::parse(text)); };
  EXPECT_EQ(fault(R"({"execute":"query-status","id":"libvirt-1"})"), "");
  EXPECT_NE(fault(R"({"execute":"query-status","id":1})"), "");
  EXPECT_NE(fault(R"({"execute":"query-status","arguments":null})"), "");
  EXPECT_NE(fault(R"({"execute":"query-status","arguments":{"a":1}})"), "");
  EXPECT_NE(fault(R"({"execute":"query-status","more":1})"), "");
  EXPECT_NE(fault(R"({"execute":"closefd","arguments":{"fdname":"a"}})"), "");
  EXPECT_NE(fault(R"({"execute":"device_del"})"), "");
  EXPECT_NE(fault(R"({"execute":"device_add","arguments":{"id":"a","driver":"b","mq":true}})"), "");
  EXPECT_NE(fault(R"({"execute":"balloon","arguments":{"value":-1}})"), "");
  EXPECT_NE(fault(R"({"execute":"blockdev-add","arguments":{"node-name":"a","file":{"driver":"file"}}})"), "");
  EXPECT_NE(Original::fault(std::vector<std::string>{"-bios", "x"}), "");
  EXPECT_NE(Original::fault(std::vector<std::string>{"-device", "virtconsole,id=a,chardev=b,bus=c"}), "");
  EXPECT_NE(Original::fault(std::vector<std::string>{"-device", "virtconsole,id=a"}), "");
  EXPECT_NE(Original::fault(std::vector<std::string>{"-drive", "file=/a,direct=on"}), "");
}

}  // namespace
}  // namespace emulator
