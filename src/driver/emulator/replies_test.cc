#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "driver/core/error.h"
#include "driver/emulator/dialect.h"

// Replies as QEMU 7.2.22 gave them, shortened where marked, and in StratoVirt's shapes.
namespace emulator {
namespace {

Json json(const char* text) {
  return Json::parse(text);
}

TEST(Replies, Status) {
  const auto qemu = read_status(json(R"({"status": "prelaunch", "singlestep": false, "running": false})"));
  EXPECT_EQ(qemu.state, "prelaunch");
  EXPECT_FALSE(qemu.running);
  EXPECT_TRUE(read_status(json(R"({"status":"running","running":true,"singlestep":false})")).running);
}

TEST(Replies, Vcpus) {
  const auto qemu = read_vcpus(json(
      R"([{"thread-id": 13434, "props": {"core-id": 1}, "qom-path": "/machine/unattached/device[2]", "cpu-index": 1, "target": "x86_64"},
          {"thread-id": 13433, "props": {"core-id": 0}, "qom-path": "/machine/unattached/device[0]", "cpu-index": 0, "target": "x86_64"}])"));
  ASSERT_EQ(qemu.size(), 2U);
  EXPECT_EQ(qemu[0].index, 0U);
  EXPECT_EQ(qemu[0].thread_id, 13433);
  EXPECT_EQ(qemu[0].halted, std::nullopt);
  const auto stratovirt = read_vcpus(json(
      R"([{"arch":"x86","CPU":0,"thread_id":77,"qom_path":"/machine/unattached/device[0]","halted":false,"current":true}])"));
  ASSERT_EQ(stratovirt.size(), 1U);
  EXPECT_EQ(stratovirt[0].thread_id, 77);
  EXPECT_EQ(stratovirt[0].halted, false);
}

TEST(Replies, BlockErrors) {
  const auto errors = read_block_errors(json(R"([
    {"io-status": "ok", "qdev": "/machine/peripheral/virtio-disk0/virtio-backend"},
    {"io-status": "nospace", "qdev": "/machine/peripheral/virtio-disk1/virtio-backend"},
    {"io-status": "failed", "qdev": "/machine/peripheral/virtio-disk2/virtio-backend"},
    {"device": "pflash0"}])"));
  ASSERT_EQ(errors.size(), 2u);
  EXPECT_EQ(errors[0].device, "virtio-disk1");
  EXPECT_TRUE(errors[0].no_space);
  EXPECT_EQ(errors[1].device, "virtio-disk2");
  EXPECT_FALSE(errors[1].no_space);
  EXPECT_THROW(read_block_errors(json(R"([{"io-status": 1, "qdev": "/machine/peripheral/virtio-disk0"}])")),
               core::Error);
}

TEST(Replies, Iothreads) {
  const auto threads = read_iothreads(json(
      R"([{"poll-shrink": 0, "thread-id": 13430, "aio-max-batch": 0, "poll-grow": 0, "poll-max-ns": 32768, "id": "iothread1"}])"));
  ASSERT_EQ(threads.size(), 1U);
  EXPECT_EQ(threads[0].id, "iothread1");
  EXPECT_EQ(threads[0].poll_max_ns, 32768u);
  EXPECT_EQ(threads[0].poll_grow, 0u);
  EXPECT_FALSE(read_iothreads(json(R"([{"thread-id": 1, "id": "iothread1"}])"))[0].poll_shrink);  // StratoVirt's
  EXPECT_EQ(threads[0].thread_id, 13430);
}

TEST(Replies, Chardevs) {
  const auto devices = read_chardevs(json(
      R"([{"frontend-open": true, "filename": "unix:/run/monitor.sock,server=on", "label": "charmonitor"},
          {"frontend-open": true, "filename": "pty:/dev/pts/0", "label": "charconsole0"}])"));
  ASSERT_EQ(devices.size(), 2U);
  EXPECT_EQ(devices[0].pty_path, "");
  EXPECT_EQ(devices[1].label, "charconsole0");
  EXPECT_EQ(devices[1].pty_path, "/dev/pts/0");
}

TEST(Replies, BlockStats) {
  const auto stats = read_block_stats(json(
      R"([{"device": "", "parent": {"stats": {}, "node-name": "#block079"}, "stats": {"flush_total_time_ns": 8, "wr_highest_offset": 9,
           "wr_total_time_ns": 6, "wr_bytes": 4, "timed_stats": [], "rd_total_time_ns": 3, "flush_operations": 7, "wr_operations": 5,
           "rd_bytes": 1, "rd_operations": 2, "account_invalid": true}, "node-name": "drive-vda",
           "qdev": "/machine/peripheral/virtio-disk0/virtio-backend"},
          {"device": "", "stats": {}, "node-name": "pflash0-storage", "qdev": "/machine/system.flash0"}])"));
  ASSERT_EQ(stats.size(), 1U);
  const auto& disk = stats[0];
  EXPECT_EQ(disk.device, "virtio-disk0");
  EXPECT_EQ(disk.read_bytes, 1U);
  EXPECT_EQ(disk.read_operations, 2U);
  EXPECT_EQ(disk.read_ns, 3U);
  EXPECT_EQ(disk.write_bytes, 4U);
  EXPECT_EQ(disk.write_operations, 5U);
  EXPECT_EQ(disk.write_ns, 6U);
  EXPECT_EQ(disk.flush_operations, 7U);
  EXPECT_EQ(disk.flush_ns, 8U);
  EXPECT_EQ(disk.highest_offset, 9U);
}

TEST(Replies, Balloon) {
  EXPECT_EQ(read_balloon_kib(json(R"({"actual": 134217728})")), 131072U);
}

TEST(Replies, GuestMemory) {
  const auto silent = read_guest_memory(json(
      R"({"stats": {"stat-swap-out": 18446744073709551615, "stat-swap-in": -1, "stat-free-memory": 18446744073709551615}, "last-update": 0})"));
  EXPECT_EQ(silent.last_update, 0U);
  EXPECT_EQ(silent.swap_out, std::nullopt);
  EXPECT_EQ(silent.swap_in, std::nullopt);
  EXPECT_EQ(silent.disk_caches, std::nullopt);
  const auto memory = read_guest_memory(json(
      R"({"stats": {"stat-free-memory": 2048, "stat-total-memory": 4096, "stat-available-memory": 3072, "stat-major-faults": 5,
           "stat-swap-in": 0}, "last-update": 1700000000})"));
  EXPECT_EQ(memory.unused, 2U);
  EXPECT_EQ(memory.available, 4U);
  EXPECT_EQ(memory.usable, 3U);
  EXPECT_EQ(memory.major_fault, 5U);
  EXPECT_EQ(memory.swap_in, 0U);
  EXPECT_EQ(memory.last_update, 1700000000U);
}

TEST(Replies, OfAWrongShapeAreErrors) {
  const auto throws = [](auto read, std::initializer_list<const char*> texts) {
    for (const char* text : texts) EXPECT_THROW(read(json(text)), core::Error) << text;
  };
  throws(read_status, {"{}", "[]", "null", R"({"status": 1})", R"({"status": "running", "running": "yes"})"});
  throws(read_vcpus, {"{}", "[1]", "[{}]", R"([{"cpu-index": 0}])", R"([{"cpu-index": -1, "thread-id": 1}])",
                      R"([{"cpu-index": 0, "thread-id": 2147483648}])", R"([{"cpu-index": 65536, "thread-id": 1}])"});
  throws(read_iothreads, {"3", R"([{"id": "iothread1"}])"});
  throws(read_chardevs, {"{}", R"([{"label": "x"}])", R"([{"label": "x", "filename": null}])"});
  throws(read_block_stats, {"{}", "[3]", R"([{"qdev": "/machine/peripheral/a"}])",
                            R"([{"qdev": "/machine/peripheral/a", "stats": {"rd_bytes": -1}}])"});
  throws(read_devices, {"{}", R"([{"type": "string"}])", R"([{"name": 1}])"});
  throws(read_balloon_kib, {"{}", R"({"actual": 1.5})", R"({"actual": "1"})"});
  throws(read_guest_memory, {"{}", R"({"last-update": 1})", R"({"stats": {"stat-swap-in": "1"}, "last-update": 1})"});
}

TEST(Events, ShutDown) {
  const auto event = read_event("SHUTDOWN", json(R"({"guest": true, "reason": "guest-shutdown"})"));
  EXPECT_EQ(event.kind, EventKind::shutdown);
  EXPECT_TRUE(event.guest);
  EXPECT_EQ(event.reason, "guest-shutdown");
}

TEST(Events, AreReadInBothDialects) {
  const Json none = Json::object();
  EXPECT_EQ(read_event("STOP", none).kind, EventKind::stop);
  EXPECT_EQ(read_event("RESUME", none).kind, EventKind::resume);
  EXPECT_EQ(read_event("RESET", json(R"({"guest": false, "reason": "host-qmp-system-reset"})")).reason,
            "host-qmp-system-reset");
  EXPECT_EQ(read_event("BALLOON_CHANGE", json(R"({"actual": 4096})")).actual_kib, 4U);
  EXPECT_EQ(read_event("BALLOON_CHANGED", json(R"({"actual": 8192})")).actual_kib, 8U);
  EXPECT_EQ(
      read_event("DEVICE_DELETED", json(R"({"device": "virtio-disk1", "path": "/machine/peripheral/virtio-disk1"})"))
          .device,
      "virtio-disk1");
  EXPECT_EQ(read_event("DEVICE_DELETED", json(R"({"path": "/machine/peripheral/a/virtio-backend"})")).device, "");
  const auto error =
      read_event("BLOCK_IO_ERROR", json(R"({"device": "", "node-name": "drive-vda", "reason": "No space left"})"));
  EXPECT_EQ(error.device, "drive-vda");
  EXPECT_EQ(error.reason, "No space left");
  const auto other = read_event("VM_NOTIFY_EVENT", none);
  EXPECT_EQ(other.kind, EventKind::other);
  EXPECT_EQ(other.name, "VM_NOTIFY_EVENT");
  EXPECT_THROW(read_event("SHUTDOWN", json(R"({"guest": 1})")), core::Error);
  EXPECT_THROW(read_event("BALLOON_CHANGE", none), core::Error);
}

}  // namespace
}  // namespace emulator
