#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <stdexcept>
#include <utility>

#include "vmm/cmdline/machine_config.h"
#include "vmm/cmdline/parts.h"

namespace cmdline {
namespace {

namespace fs = std::filesystem;
using testing::ElementsAre;
using testing::HasSubstr;

/// Words as a shell cuts them.
std::vector<std::string> words(std::string_view line) {
  std::vector<std::string> result;
  std::string word;
  bool inside = false, quoted = false;
  for (std::size_t i = 0; i < line.size(); ++i) {
    const char byte = line[i];
    if (byte == '\'') {
      quoted = !quoted;
      inside = true;
    } else if (!quoted && byte == '\\' && i + 1 < line.size()) {
      word += line[++i];
      inside = true;
    } else if (!quoted && (byte == ' ' || byte == '\n')) {
      if (inside) result.push_back(std::exchange(word, {}));
      inside = false;
    } else {
      word += byte;
      inside = true;
    }
  }
  if (inside) result.push_back(word);
  return result;
}

Config config_of(std::string_view line) {
  return std::get<Config>(parse(words(line)));
}

/// Why a line is refused, by the parser or as a whole.
std::string refusal(std::string_view line) {
  try {
    validate(config_of(line));
  } catch (const std::invalid_argument& error) {
    return error.what();
  }
  return "accepted";
}

constexpr std::string_view ports = "-device pcie-root-port,id=pci.1,port=1,bus=pcie.0,addr=1 ";

TEST(Parse, AnEmptyLineIsTheDefaultMachine) {
  const Config config = config_of("");
  EXPECT_EQ(config.machine, MachineType::q35);
  EXPECT_EQ(config.accel, Accel::kvm);
  EXPECT_EQ(config.smp.cpus, 1U);
  EXPECT_EQ(config.memory.size, std::uint64_t{256} << 20);
  EXPECT_TRUE(config.seccomp);
  EXPECT_FALSE(config.start_paused);
}

// The line that the original was seen to run (version 2.5.0, every device of the guide's x86_64 example).
constexpr std::string_view example =
    "-name StratoVirt -S -machine q35,accel=kvm,usb=off,dump-guest-core=off "
    "-drive file=CODE.fd,if=pflash,format=raw,unit=0,readonly=on -drive file=VARS.fd,if=pflash,format=raw,unit=1 "
    "-m 512 -mem-prealloc -mem-path /huge -realtime mlock=off -smp 2,sockets=2,cores=1,threads=1 "
    "-object iothread,id=iothread1 -uuid 12345678-1234-1234-1234-123456789abc -display none -no-user-config "
    "-nodefaults -chardev socket,id=charmonitor,path=MON,server,nowait "
    "-mon chardev=charmonitor,id=monitor,mode=control -rtc base=utc -no-shutdown -kernel VMLINUZ -initrd INITRD "
    "-append 'console=hvc0 reboot=k panic=1 rw quiet' "
    "-device pcie-root-port,port=0x8,chassis=1,id=pci.1,bus=pcie.0,addr=0x1 "
    "-device pcie-root-port,port=0x9,chassis=2,id=pci.2,bus=pcie.0,addr=0x2 "
    "-device pcie-root-port,port=0xa,chassis=3,id=pci.3,bus=pcie.0,addr=0x3 "
    "-device pcie-root-port,port=0xb,chassis=4,id=pci.4,bus=pcie.0,addr=0x4 "
    "-device pcie-root-port,port=0xc,chassis=5,id=pci.5,bus=pcie.0,addr=0x5 "
    "-device pcie-root-port,port=0xd,chassis=6,id=pci.6,bus=pcie.0,addr=0x6 "
    "-device pcie-root-port,port=0xe,chassis=7,id=pci.7,bus=pcie.0,addr=0x7 "
    "-device virtio-serial-pci,id=virt-serial0,bus=pci.3,addr=0x0 "
    "-drive file=DISK,format=raw,if=none,id=drive-virtio-disk0,throttling.iops-total=1000,direct=false "
    "-device "
    "virtio-blk-pci,iothread=iothread1,bus=pci.1,addr=0x0,drive=drive-virtio-disk0,id=virtio-disk0,bootindex=1 "
    "-netdev tap,ifname=tap0,id=hostnet0,vhost=on "
    "-device virtio-net-pci,netdev=hostnet0,id=net0,mac=de:ad:be:ef:00:01,bus=pci.2,addr=0x0 "
    "-chardev pty,id=charconsole0 -device virtconsole,chardev=charconsole0,id=console0 "
    "-device virtio-balloon-pci,id=balloon0,bus=pci.4,addr=0x0,deflate-on-oom=true "
    "-object rng-random,id=objrng0,filename=/dev/urandom "
    "-device virtio-rng-pci,rng=objrng0,id=rng0,max-bytes=1234,period=1000,bus=pci.5,addr=0x0 "
    "-device vhost-vsock-pci,id=vsock0,guest-cid=3,bus=pci.6,addr=0x0";

TEST(Parse, ReadsTheWholeExample) {
  const Config config = config_of(example);
  EXPECT_NO_THROW(validate(config));
  EXPECT_EQ(config.name, "StratoVirt");
  EXPECT_EQ(config.uuid, "12345678-1234-1234-1234-123456789abc");
  EXPECT_TRUE(config.start_paused);
  EXPECT_TRUE(config.stay_when_off);
  EXPECT_FALSE(config.memory.dump);
  EXPECT_TRUE(config.memory.prealloc);
  EXPECT_EQ(config.memory.path, "/huge");
  EXPECT_EQ(config.memory.size, std::uint64_t{512} << 20);
  EXPECT_EQ(config.smp.sockets, 2U);
  EXPECT_EQ(config.append, "console=hvc0 reboot=k panic=1 rw quiet");
  ASSERT_EQ(config.pflash.size(), 2U);
  EXPECT_TRUE(config.pflash[0].read_only);
  EXPECT_EQ(config.pflash[1].unit, 1U);
  EXPECT_THAT(config.monitors, ElementsAre("charmonitor"));
  ASSERT_EQ(config.chardevs.size(), 2U);
  EXPECT_EQ(config.chardevs[0].kind, Chardev::Kind::unix_socket);
  EXPECT_TRUE(config.chardevs[0].server);
  EXPECT_FALSE(config.chardevs[0].wait);
  EXPECT_EQ(config.chardevs[1].kind, Chardev::Kind::pty);
  ASSERT_EQ(config.drives.size(), 1U);
  EXPECT_EQ(config.drives[0].iops_total, 1000U);
  EXPECT_FALSE(config.drives[0].direct);
  ASSERT_EQ(config.netdevs.size(), 1U);
  EXPECT_TRUE(config.netdevs[0].vhost);
  ASSERT_EQ(config.devices.size(), 14U);
  EXPECT_EQ(std::get<RootPort>(config.devices[6]).port, 0xe);
  const auto& blk = std::get<VirtioBlk>(config.devices[8]);
  EXPECT_EQ(blk.iothread, "iothread1");
  EXPECT_EQ(blk.place.bus, "pci.1");
  EXPECT_EQ(blk.bootindex, 1U);
  EXPECT_EQ(std::get<VirtioNet>(config.devices[9]).mac, "de:ad:be:ef:00:01");
  EXPECT_TRUE(std::get<SerialPort>(config.devices[10]).console);
  EXPECT_TRUE(std::get<VirtioBalloon>(config.devices[11]).deflate_on_oom);
  EXPECT_EQ(std::get<VirtioRng>(config.devices[12]).max_bytes, 1234U);
  EXPECT_EQ(std::get<VirtioRng>(config.devices[12]).period_ms, 1000U);
  EXPECT_EQ(std::get<VhostVsock>(config.devices[13]).guest_cid, 3U);
}

// What libvirt's QEMU driver writes for a monitor that reports its options, and the harness of QEMU's device tests.
TEST(Parse, ReadsWhatOthersWrite) {
  EXPECT_EQ(config_of("-name guest=a,,b,debug-threads=on").name, "a,b");
  EXPECT_EQ(refusal("-name guest=vm,debug-threads=on -overcommit mem-lock=off -boot strict=on -msg timestamp=on "
                    "-sandbox on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny "
                    "-chardev socket,id=charmonitor,fd=30,server=on,wait=off -mon "
                    "chardev=charmonitor,id=monitor,mode=control "
                    "-chardev pty,id=charserial0,logfile=/tmp/l,logappend=on -serial chardev:charserial0 "
                    "-global ICH9-LPC.disable_s3=1 -no-reboot"),
            "accepted");
  EXPECT_EQ(refusal("-qtest unix:/tmp/q -qtest-log /dev/null -chardev socket,path=/tmp/m,id=char0 "
                    "-mon chardev=char0,mode=control -display none -accel qtest"),
            "accepted");
  const Config original = config_of(
      "-accel test -qmp unix:/d/qmp.socket,server,nowait -mod-test /d/test.socket -machine q35 -device "
      "virtio-rng-pci,rng=objrng0,max-bytes=1024,period=1000,bus=pcie.0,addr=4.0x0,id=rng-id "
      "-object rng-random,id=objrng0,filename=/dev/random -mem-path '\"/m\"'");
  EXPECT_NO_THROW(validate(original));
  EXPECT_EQ(original.accel, Accel::mod_test);
  EXPECT_EQ(original.test_socket, "/d/test.socket");
  EXPECT_EQ(original.memory.path, "/m");
  ASSERT_EQ(original.chardevs.size(), 1U);
  EXPECT_EQ(original.chardevs[0].path, "/d/qmp.socket");
  EXPECT_THAT(original.monitors, ElementsAre(original.chardevs[0].id));
  EXPECT_EQ(std::get<VirtioRng>(original.devices[0]).place.slot, 4U);
}

TEST(Parse, TwoDashesAreOne) {
  const Config config = config_of("--freeze --m 1G --machine none");
  EXPECT_TRUE(config.start_paused);
  EXPECT_EQ(config.machine, MachineType::none);
}

TEST(Parse, ShowsVersionAndHelpBeforeAnythingElseIsRead) {
  EXPECT_TRUE(std::holds_alternative<ShowVersion>(parse({"-version"})));
  EXPECT_TRUE(std::holds_alternative<ShowVersion>(parse({"-S", "-V", "-nonsense"})));
  EXPECT_TRUE(std::holds_alternative<ShowHelp>(parse({"--help"})));
  EXPECT_TRUE(std::holds_alternative<ShowHelp>(parse({"-h"})));
}

TEST(Parse, TheLogFileMayBeLeftOut) {
  EXPECT_EQ(config_of("-D -S").log_file, "");
  EXPECT_TRUE(config_of("-D -S").start_paused);
  EXPECT_EQ(config_of("-D /tmp/log -S").log_file, "/tmp/log");
}

TEST(Parse, ReadsSizes) {
  const std::pair<const char*, std::uint64_t> rows[] = {
      {"256", 256},     {"size=256", 256}, {"256M", 256},    {"1G", 1024}, {"1g", 1024},
      {"524288K", 512}, {"512m", 512},     {"512G", 524288}, {"128", 128}, {"512,maxmem=1G", 512}};
  for (const auto& [text, mib] : rows) {
    EXPECT_EQ(config_of(std::string("-m ") + text).memory.size >> 20, mib) << text;
  }
}

TEST(Parse, ReadsBooleans) {
  for (const char* yes : {"on", "true", "yes"}) {
    EXPECT_TRUE(config_of("-machine q35,mem-share=" + std::string(yes)).memory.share);
  }
  for (const char* no : {"off", "false", "no"}) {
    EXPECT_FALSE(config_of("-machine q35,dump-guest-core=" + std::string(no)).memory.dump);
  }
}

TEST(Parse, FillsTheTopology) {
  struct Row {
    const char* text;
    unsigned cpus, max, sockets, cores, threads;
  };
  const Row rows[] = {{"4", 4, 4, 1, 4, 1},
                      {"cpus=2,maxcpus=4", 2, 4, 1, 4, 1},
                      {"1,maxcpus=4,sockets=4,cores=1,threads=1", 1, 4, 4, 1, 1},
                      {"8,sockets=1,cores=4,threads=2", 8, 8, 1, 4, 2},
                      {"8,cores=2", 8, 8, 4, 2, 1},
                      {"8,sockets=2,cores=2", 8, 8, 2, 2, 2},
                      {"254", 254, 254, 1, 254, 1}};
  for (const Row& row : rows) {
    const Smp smp = config_of(std::string("-smp ") + row.text).smp;
    EXPECT_EQ(smp.cpus, row.cpus) << row.text;
    EXPECT_EQ(smp.max_cpus, row.max) << row.text;
    EXPECT_EQ(smp.sockets, row.sockets) << row.text;
    EXPECT_EQ(smp.cores, row.cores) << row.text;
    EXPECT_EQ(smp.threads, row.threads) << row.text;
  }
}

TEST(Parse, ReadsPlaces) {
  struct Row {
    const char* text;
    unsigned slot, function;
  };
  for (const Row& row : {Row{"0x1f", 31, 0}, Row{"1e.7", 30, 7}, Row{"0x4.0x3", 4, 3}, Row{"4.0x0", 4, 0}}) {
    const auto device =
        config_of("-device virtio-balloon-pci,id=b,bus=pcie.0,addr=" + std::string(row.text)).devices[0];
    EXPECT_EQ(place_of(device)->slot, row.slot) << row.text;
    EXPECT_EQ(place_of(device)->function, row.function) << row.text;
  }
}

TEST(Parse, ReadsDescriptors) {
  const Config config = config_of(
      "-netdev tap,fds=27:28,vhostfds=29:30,id=n -drive file=/dev/fd/9,id=d "
      "-chardev socket,id=c,fd=11,server=on -netdev tap,fd=31,id=m");
  EXPECT_THAT(config.netdevs[0].fds, ElementsAre(27, 28));
  EXPECT_THAT(config.netdevs[0].vhost_fds, ElementsAre(29, 30));
  EXPECT_EQ(config.netdevs[0].queues, 2U);
  EXPECT_TRUE(config.netdevs[0].vhost);
  EXPECT_EQ(config.drives[0].fd, 9);
  EXPECT_EQ(config.chardevs[0].fd, 11);
  EXPECT_THAT(config.netdevs[1].fds, ElementsAre(31));
  EXPECT_FALSE(config.netdevs[1].vhost);
}

TEST(Parse, ReadsNuma) {
  const std::string line =
      "-smp 8,sockets=1,cores=4,threads=2 -m 2G -object "
      "memory-backend-ram,size=1G,id=mem0,host-nodes=0-1,policy=bind "
      "-object memory-backend-memfd,size=1G,id=mem1,share=on -numa node,nodeid=0,cpus=0-3,memdev=mem0 "
      "-numa node,nodeid=1,cpus=4-5:6-7,memdev=mem1 -numa dist,src=0,dst=1,val=30";
  EXPECT_EQ(refusal(line), "accepted");
  const Config config = config_of(line);
  EXPECT_THAT(config.memory_backends[0].host_nodes, ElementsAre(0, 1));
  EXPECT_EQ(config.memory_backends[0].policy, "bind");
  EXPECT_TRUE(config.memory_backends[1].share);
  EXPECT_THAT(config.numa_nodes[1].cpus, ElementsAre(4, 5, 6, 7));
  EXPECT_EQ(config.numa_distances[0].distance, 30U);
}

TEST(Parse, ReadsSmbiosAndGlobals) {
  const Config config = config_of(
      "-smbios type=1,manufacturer=ACME,,Inc,serial=7 -global pcie-root-port.fast-unplug=1 -cpu host,pmu=off");
  ASSERT_EQ(config.smbios.size(), 2U);
  EXPECT_EQ(config.smbios[0].type, 1U);
  EXPECT_EQ(config.smbios[0].value, "ACME,Inc");
  EXPECT_TRUE(config.fast_unplug);
  EXPECT_EQ(config.cpu.pmu, false);
}

TEST(Parse, ShortNamesOfCharacterDevices) {
  const Config config = config_of("-qmp tcp:127.0.0.1:4444,server,nowait -serial file:/tmp/out -qmp tcp::5,server=on");
  EXPECT_EQ(config.chardevs[0].kind, Chardev::Kind::tcp_socket);
  EXPECT_EQ(config.chardevs[0].host, "127.0.0.1");
  EXPECT_EQ(config.chardevs[0].port, "4444");
  EXPECT_EQ(config.chardevs[1].kind, Chardev::Kind::file);
  EXPECT_EQ(config.chardevs[1].path, "/tmp/out");
  EXPECT_EQ(config.chardevs[2].host, "");
  EXPECT_EQ(config_of("-serial stdio").chardevs[0].kind, Chardev::Kind::stdio);
}

struct Refused {
  const char* line;
  const char* why;
};

// Each says the option, the key and the value, and what is allowed.
TEST(Parse, RefusesByName) {
  const Refused rows[] = {
      {"kernel", "'kernel': no option"},
      {"-frob", "-frob: no such option"},
      {"-incoming tcp:1", "-incoming: this program has not migration"},
      {"-vnc :1", "-vnc: this program has not a display"},
      {"-no-acpi", "-no-acpi: this program has not a machine without ACPI"},
      {"-kernel", "-kernel: its value is missing"},
      {"-machine microvm", "-machine: type='microvm', allowed: none, q35, virt"},
      {"-machine q35,frob=on", "-machine: frob='on', allowed: the keys type, accel"},
      {"-machine q35,usb=on", "-machine: usb='on', allowed: off"},
      {"-machine q35,mem-share=maybe", "mem-share='maybe', allowed: on, off, true"},
      {"-machine q35,=x", "a key is missing in '=x'"},
      {"-machine q35,usb=off,usb=off", "'usb' stands there twice"},
      {"-accel tcg", "-accel: accel='tcg', allowed: kvm, kvm:tcg, qtest, test"},
      {"-cpu qemu64", "-cpu: model='qemu64', allowed: host"},
      {"-smp 0", "-smp: cpus='0', allowed: 1 to 254"},
      {"-smp 255", "-smp: cpus='255'"},
      {"-smp 2,maxcpus=1", "cpus=2 of maxcpus=1"},
      {"-smp 4,sockets=3,cores=1,threads=1", "cpus=4 of maxcpus=3"},
      {"-smp 6,maxcpus=6,sockets=4,threads=1", "make 4 processors of maxcpus=6"},
      {"-smp 2,sockets=16,cores=16,threads=16", "allowed: no more than maxcpus"},
      {"-m 127", "-m: size='127', allowed: 128M to 512G"},
      {"-m 513G", "allowed: 128M to 512G"},
      {"-m 1X", "size='1X', allowed: a whole number"},
      {"-m 99999999999999999999", "allowed: a whole number"},
      {"-m 18446744073709551615", "allowed: a whole number"},
      {"-m -1", "allowed: a whole number"},
      {"-uuid 12345678", "-uuid: uuid='12345678'"},
      {"-display gtk", "-display: type='gtk', allowed: none"},
      {"-overcommit mem-lock=on", "-overcommit: mem-lock='on', allowed: off"},
      {"-rtc base=localtime", "-rtc: base='localtime', allowed: utc"},
      {"-global frob.x=1", "-global: frob.x='1', allowed: the keys pcie-root-port.fast-unplug"},
      {"-smbios type=9,x=y", "-smbios: type='9', allowed: 0, 1, 2, 3, 4, 17"},
      {"-smbios type=1,colour=red", "-smbios: colour='red', allowed: the keys manufacturer"},
      {"-smbios type=1,uuid=red", "-smbios: uuid='red'"},
      {"-mon chardev=c,mode=readline", "-mon: mode='readline', allowed: control"},
      {"-qmp chardev:c,server", "-qmp: 'chardev:ID' has no keys"},
      {"-qmp tcp:80", "the port is missing in 'tcp:80'"},
      {"-qmp unix:/a,path=/b", "-qmp: 'path' stands there twice"},
      {"-qmp vc", "-qmp: backend='vc', allowed: stdio, pty, file, socket"},
      {"-serial pty -serial pty", "-serial: there is one serial port only"},

      {"-chardev pty", "-chardev pty: 'id=' is missing"},
      {"-chardev id=a", "-chardev: 'backend=' is missing"},
      {"-chardev pty,id=a/b", "-chardev pty: id='a/b', allowed: 1 to 255 letters"},
      {"-chardev pty,id=a,path=/x", "-chardev pty: path='/x', allowed: the keys backend, id, logfile, logappend"},
      {"-chardev socket,id=a", "one of 'path=', 'port=' and 'fd=' must be there"},
      {"-chardev socket,id=a,path=/a,fd=3,server", "one of 'path=', 'port=' and 'fd='"},
      {"-chardev socket,id=a,fd=3", "'server=on' is missing"},
      {"-chardev socket,id=a,host=h,port=70000", "port='70000', allowed: 0 to 65535"},
      {"-chardev file,id=a,path=/x,append=on", "append='on', allowed: off"},

      {"-drive id=a", "-drive: 'file=' is missing"},
      {"-drive id=a,file=f,format=qcow2", "-drive: format='qcow2', allowed: raw"},
      {"-drive id=a,file=f,if=ide", "-drive: if='ide', allowed: none, pflash"},
      {"-drive id=a,file=f,media=cdrom", "media='cdrom', allowed: disk"},
      {"-drive id=a,file=f,throttling.iops-total=1000001", "allowed: 0 to 1000000"},
      {"-drive id=a,file=f,cache=writethrough", "cache='writethrough', allowed: none, writeback, unsafe"},
      {"-drive file=f,if=pflash,unit=2", "unit='2', allowed: 0 to 1"},
      {"-drive file=f,if=pflash,unit=1 -drive file=g,if=pflash,unit=1", "a unit is there twice"},
      {"-netdev user,id=n", "-netdev: type='user', allowed: tap"},
      {"-netdev tap,id=n", "one of 'ifname=', 'fd=' and 'fds='"},
      {"-netdev tap,id=n,ifname=0123456789abcdef", "ifname='0123456789abcdef', allowed: 1 to 15 characters"},
      {"-netdev tap,id=n,ifname=t,queues=17", "queues='17', allowed: 1 to 16"},
      {"-netdev tap,id=n,fds=3:4,queues=3", "'queues=' is not the number"},
      {"-netdev tap,id=n,fds=3:3", "fds='3:3', allowed: descriptors"},
      {"-netdev tap,id=n,fds=3:4,vhostfds=5", "a descriptor of vhost for each queue"},
      {"-netdev tap,id=n,fd=3,vhostfd=4,vhost=off", "vhost=off with a descriptor"},
      {"-netdev tap,id=n,ifname=t,script=/x", "script='/x', allowed: no"},
      {"-object frob,id=a", "-object: qom-type='frob', allowed: iothread, rng-random"},
      {"-object iothread,id=a,x=y", "-object iothread: x='y', allowed: the keys qom-type, id"},
      {"-object memory-backend-file,id=a,size=1G", "'mem-path=' is missing"},

      {"-device vfio-pci,id=a,host=00:01.0,bus=pcie.0,addr=1", "-device: driver='vfio-pci', allowed: pcie-root-port"},
      {"-device virtio-gpu-pci,id=a", "driver='virtio-gpu-pci'"},
      {"-device nec-usb-xhci,id=a", "driver='nec-usb-xhci'"},
      {"-device virtio-scsi-pci,id=a", "driver='virtio-scsi-pci'"},
      {"-device id=a", "-device: 'driver=' is missing"},
      {"-device virtio-rng-pci,id=a,rng=r,bus=pcie.0", "-device virtio-rng-pci: 'addr=' is missing"},
      {"-device virtio-rng-pci,id=a,rng=r,bus=pcie.0,addr=20", "addr='20', allowed: SLOT or SLOT.FUNCTION"},
      {"-device virtio-rng-pci,id=a,rng=r,bus=pcie.0,addr=1.8", "addr='1.8'"},
      {"-device virtio-rng-pci,id=a,rng=r,bus=pcie.0,addr=1.", "addr='1.'"},
      {"-device virtio-blk-pci,id=a,drive=d,bus=pcie.0,addr=1,queue-size=2",
       "queue-size='2', allowed: a power of two, 4 "},
      {"-device virtio-blk-pci,id=a,drive=d,bus=pcie.0,addr=1,queue-size=257", "queue-size='257'"},
      {"-device virtio-blk-pci,id=a,drive=d,bus=pcie.0,addr=1,num-queues=33", "num-queues='33', allowed: 1 to 32"},
      {"-device virtio-blk-pci,id=a,drive=d,bus=pcie.0,addr=1,serial=123456789012345678901", "allowed: 1 to 20 char"},
      {"-device virtio-blk-pci,id=a,drive=d,bus=pcie.0,addr=1,bootindex=256", "bootindex='256', allowed: 0 to 255"},
      {"-device virtio-net-pci,id=a,netdev=n,bus=pcie.0,addr=1,mac=01:00:00:00:00:00", "mac='01:"},
      {"-device virtio-net-pci,id=a,netdev=n,bus=pcie.0,addr=1,mac=52:54:00:12:34", "mac='52:54:00:12:34'"},
      {"-device virtio-net-pci,id=a,netdev=n,bus=pcie.0,addr=1,mac=52:54:00:12:34:-6", "mac="},
      {"-device virtio-net-pci,id=a,netdev=n,bus=pcie.0,addr=1,queue-size=128", "allowed: a power of two, 256 to 4096"},
      {"-device virtio-serial-pci,id=a,bus=pcie.0,addr=1,max_ports=32", "max_ports='32', allowed: 1 to 31"},
      {"-device virtio-balloon-pci,id=a,bus=pcie.0,addr=1,auto-balloon=on", "auto-balloon='on', allowed: off"},
      {"-device vhost-vsock-pci,id=a,guest-cid=2,bus=pcie.0,addr=1", "guest-cid='2', allowed: 3 to 4294967294"},
  };
  for (const Refused& row : rows) {
    const std::string why = refusal(row.line);
    EXPECT_THAT(why, HasSubstr(row.why)) << row.line;
    EXPECT_EQ(why.find('\n'), std::string::npos);
  }
}

TEST(Parse, AMessageIsOneShortLineWhateverTheValue) {
  try {
    parse({"-machine", "a\nb" + std::string(100000, 'x')});
    FAIL();
  } catch (const std::invalid_argument& error) {
    const std::string why = error.what();
    EXPECT_EQ(why.find('\n'), std::string::npos);
    EXPECT_LT(why.size(), 400U);
  }
}

TEST(Validate, RefusesWhatDoesNotFit) {
  const std::string blk = "-device virtio-blk-pci,drive=d,bus=pci.1,addr=0,id=";
  const std::string bare = "-device virtio-balloon-pci,id=b,bus=pcie.0,addr=";
  const std::string drive = "-drive id=d,file=f ";
  const std::string serial =
      "-device virtio-serial-pci,id=s,bus=pcie.0,addr=3,max_ports=2 -chardev pty,id=c -chardev pty,id=e ";
  const std::pair<std::string, const char*> rows[] = {
      {std::string(ports) + drive + blk + "a", "accepted"},
      {std::string(ports) + blk + "a", "device 'a' names drive 'd', which is not there"},
      {drive + blk + "a", "device 'a': there is no bus 'pci.1'"},
      {std::string(ports) + drive + drive, "drive id 'd' is there twice"},
      {std::string(ports) + drive + blk + "a " + blk + "e", "drive 'd' is used by device 'a' and by device 'e'"},
      {std::string(ports) + drive + blk + "a,iothread=t", "device 'a' names iothread 't', which is not there"},
      {std::string(ports) + drive + blk + "pci.1", "device id 'pci.1' is there twice"},
      {std::string(ports) + "-device virtio-balloon-pci,id=b,bus=pci.1,addr=1", "bus=pci.1,addr=1.0, allowed behind"},
      {std::string(ports) + "-device pcie-root-port,id=p,port=0,bus=pci.1,addr=0", "a root port sits on pcie.0"},
      {std::string(ports) + bare + "1", "device 'b': bus=pcie.0,addr=1.0 is taken by device 'pci.1'"},
      {bare + "0", "belongs to the machine itself"},
      {bare + "1f", "device 'b': bus=pcie.0,addr=1f.0 belongs to the machine itself"},
      {"-machine virt " + bare + "1f", "accepted"},
      {std::string(ports) + bare + "1.1", "function 0 of its slot must be there with multifunction=on"},
      {bare + "2.1", "function 0 of its slot must be there"},
      {"-device pcie-root-port,id=p,port=0,bus=pcie.0,addr=1,multifunction=on " + bare + "1.1", "accepted"},
      {"-machine none " + bare + "1", "-machine none has no devices"},
      {bare + "1 -device virtio-balloon-pci,id=e,bus=pcie.0,addr=2", "more than one virtio-balloon-pci"},
      {"-device vhost-vsock-pci,id=a,guest-cid=3,bus=pcie.0,addr=1 -device "
       "vhost-vsock-pci,id=b,guest-cid=4,bus=pcie.0,addr=2",
       "more than one vhost-vsock-pci"},
      {"-object iothread,id=r -object rng-random,id=r,filename=/f", "object id 'r' is there twice"},
      {"-chardev pty,id=c -serial chardev:c -mon chardev=c,mode=control", "is used by -serial and by a monitor"},
      {"-serial chardev:c", "-serial names chardev 'c', which is not there"},
      {"-mon chardev=c,mode=control", "a monitor names chardev 'c'"},
      {"-accel qtest", "-accel qtest goes with -qtest"},
      {"-qtest unix:/a", "neither without the other"},
      {"-accel test -qtest unix:/a", "neither without the other"},
      {"-serial stdio -qmp stdio", "-chardev stdio is there twice"},
      {"-serial stdio -daemonize", "does not go with -daemonize"},
      {"-chardev pty,id=c -device virtconsole,id=p,chardev=c", "device 'p': there is no virtio-serial-pci"},
      {serial + "-device virtconsole,id=p,chardev=c,bus=x.0", "device 'p': there is no bus 'x.0'"},
      {serial + "-device virtconsole,id=p,chardev=c,bus=s.0,nr=0", "accepted"},
      {serial + "-device virtconsole,id=p,chardev=c,nr=2", "nr=2, allowed: below max_ports=2"},
      {serial + "-device virtserialport,id=p,chardev=c,nr=0", "nr=0 is for a virtconsole"},
      {serial + "-device virtconsole,id=p,chardev=c,nr=1 -device virtserialport,id=q,chardev=e,nr=1", "nr=1 is taken"},
      {"-smp 2 -object memory-backend-ram,id=m,size=256M -numa node,nodeid=0,cpus=0,memdev=m",
       "not every processor is in a node"},
      {"-object memory-backend-ram,id=m,size=128M -numa node,nodeid=0,cpus=0,memdev=m", "is not that of -m"},
      {"-object memory-backend-ram,id=m,size=256 -numa node,nodeid=0,cpus=0,memdev=m", "accepted"},
      {"-object memory-backend-ram,id=m,size=256M -numa node,nodeid=0,cpus=1,memdev=m", "there is no processor 1"},
      {"-numa node,nodeid=0,cpus=0,memdev=m", "names memory backend 'm', which is not there"},
      {"-numa dist,src=0,dst=1,val=20", "there is no such node"},
  };
  for (const auto& [line, why] : rows) EXPECT_THAT(refusal(line), HasSubstr(why)) << line;
  std::string threads;
  for (int i = 0; i < 9; ++i) threads += "-object iothread,id=t" + std::to_string(i) + ' ';
  EXPECT_THAT(refusal(threads), HasSubstr("more than 8 iothreads"));
  std::string many = serial;
  for (int i = 0; i < 3; ++i) {
    many += "-chardev pty,id=x" + std::to_string(i) + " -device virtserialport,id=v" + std::to_string(i) +
            ",chardev=x" + std::to_string(i) + ' ';
  }
  EXPECT_THAT(refusal(many), HasSubstr("more than max_ports=2"));
}

// The driver's own command lines, but for what this program does not have.
TEST(Parse, ReadsTheDriversLines) {
  const std::pair<std::string, std::string> not_here[] = {{"hostdev", "driver='vfio-pci'"},
                                                          {"qcow2", "format='qcow2'"}};
  unsigned read = 0;
  for (const char* folder : {"domain", "emulator"}) {
    for (const auto& entry : fs::directory_iterator(fs::path(TEST_DATA_DIR) / folder)) {
      if (!entry.path().string().ends_with(".stratovirt.args")) continue;
      std::ifstream file(entry.path(), std::ios::binary);
      const std::string text{std::istreambuf_iterator<char>(file), {}};
      if (text.starts_with("refused ")) continue;
      const auto begin = text.find('\n') + 1;  // after the environment and the program
      const auto end = text.find("\n{");       // before what is to be sent
      const std::string line = text.substr(begin, end == std::string::npos ? end : end - begin);
      std::string expected = "accepted";
      for (const auto& [part, why] : not_here) {
        if (text.find(part == "qcow2" ? "format=qcow2" : "vfio-pci") != std::string::npos) expected = why;
      }
      EXPECT_THAT(refusal(line), HasSubstr(expected)) << entry.path();
      ++read;
    }
  }
  EXPECT_GT(read, 80U);
}

TEST(Parts, AreListedByName) {
  EXPECT_EQ(device_names().size(), 9U);
  const auto keys = device_keys("virtio-blk-pci");
  for (const char* key : {"drive", "num-queues", "bus", "disable-legacy"}) EXPECT_THAT(keys, testing::Contains(key));
  EXPECT_TRUE(device_keys("frob").empty());
}

}  // namespace
}  // namespace cmdline
