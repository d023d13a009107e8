#include "vmm/firmware/linux_boot.h"

#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstring>
#include <stdexcept>

#include "base/file.h"

namespace firmware {
namespace {

constexpr std::uint64_t mebibyte = 1 << 20;

Image file_of(const std::string& bytes) {
  base::UniqueFd fd(::memfd_create("kernel", MFD_CLOEXEC));
  base::write_all(fd.get(), bytes, "kernel");
  return {"kernel", std::move(fd)};
}

template <class T>
void put(std::string& into, std::size_t at, const T& value) {
  if (into.size() < at + sizeof value) into.resize(at + sizeof value);
  into.replace(at, sizeof value, reinterpret_cast<const char*>(&value), sizeof value);
}

class LinuxBoot : public testing::Test {
 protected:
  LinuxBoot() { memory_.add({0, {bytes_.data(), bytes_.size()}, -1, 0}); }

  /// What becomes of a kernel: where it is entered, or why it is not taken.
  std::string boots(const std::string& kernel, bool blank = false) {
    try {
      Linux linux(file_of(kernel), {});
      linux.load(memory_, blank);
      return std::to_string(linux.describe({.command_line = "", .acpi_rsdp = 0, .map = {}}, memory_).instruction);
    } catch (const std::runtime_error& error) {
      return error.what();
    }
  }

  std::vector<std::uint8_t> bytes_ = std::vector<std::uint8_t>(8 * mebibyte, 0xee);
  memory::GuestMemory memory_;
};

struct Segment {
  std::uint32_t type;
  std::uint64_t address, memory;
  std::string bytes;
  std::uint64_t align = 4;
};

std::string elf_of(const std::vector<Segment>& segments) {
  std::string file;
  Elf64_Ehdr header{};
  std::memcpy(header.e_ident, ELFMAG, SELFMAG);
  header.e_ident[EI_CLASS] = ELFCLASS64;
  header.e_machine = EM_X86_64;
  header.e_phentsize = sizeof(Elf64_Phdr);
  header.e_phoff = sizeof header;
  header.e_phnum = static_cast<Elf64_Half>(segments.size());
  put(file, 0, header);
  std::size_t at = sizeof header, data = at + segments.size() * sizeof(Elf64_Phdr);
  for (const Segment& one : segments) {
    Elf64_Phdr segment{};
    segment.p_type = one.type;
    segment.p_offset = data;
    segment.p_paddr = one.address;
    segment.p_filesz = one.bytes.size();
    segment.p_memsz = one.memory;
    segment.p_align = one.align;
    put(file, at, segment);
    file.resize(std::max(file.size(), data));
    file += one.bytes;
    at += sizeof segment;
    data += one.bytes.size();
  }
  return file;
}

std::string note(std::uint32_t type, const std::string& name, const std::string& value, std::size_t align = 4) {
  std::string all;
  put(all, 0, Elf64_Nhdr{static_cast<Elf64_Word>(name.size()), static_cast<Elf64_Word>(value.size()), type});
  for (const std::string& part : {name, value}) {
    all += part;
    all.resize((all.size() + align - 1) / align * align);
  }
  return all;
}

const std::string xen("Xen\0", 4), at_2_mebibytes("\0\0\x20\0\0\0\0\0", 8);
const Segment pvh{PT_NOTE, 0, 0, note(18, xen, at_2_mebibytes)};
const std::string entered = std::to_string(2 * mebibyte);

TEST_F(LinuxBoot, AnElfKernelIsEnteredWhereItsNoteSays) {
  EXPECT_EQ(boots(elf_of({{PT_LOAD, 2 * mebibyte, 0x2000, "code"}, pvh})), entered);
  EXPECT_EQ(std::string(reinterpret_cast<char*>(&bytes_[2 * mebibyte]), 4), "code");
  EXPECT_EQ(bytes_[2 * mebibyte + 4], 0);
  EXPECT_EQ(bytes_[2 * mebibyte + 0x1fff], 0);
  EXPECT_EQ(bytes_[2 * mebibyte + 0x2000], 0xee);
}

TEST_F(LinuxBoot, ASegmentMayEndWithTheMemory) {
  const std::string bytes(0x1000, 'b');
  for (const auto& [length, size] : {std::pair{bytes.size(), bytes.size()}, {0x800UL, bytes.size()}, {0UL, 0x1000UL}}) {
    const std::string kernel = elf_of(
        {{PT_LOAD, 2 * mebibyte, 0x2000, "code"}, {PT_LOAD, 8 * mebibyte - size, size, bytes.substr(0, length)}, pvh});
    EXPECT_EQ(boots(kernel, true), entered) << length;
    EXPECT_EQ(boots(kernel, false), entered) << length << ", again at a reset";
    EXPECT_EQ(bytes_.back(), length == size ? 'b' : 0) << length;
  }
}

TEST_F(LinuxBoot, NotesOfEveryLengthAndAlignment) {
  const Segment code{PT_LOAD, 2 * mebibyte, 0x2000, "code"};
  const std::string none = "'kernel' has no PVH entry: the kernel was built without CONFIG_PVH";
  EXPECT_EQ(boots(elf_of({code, {PT_NOTE, 0, 0, note(18, xen, "")}})), none) << "an empty one is the last";
  EXPECT_EQ(boots(elf_of({code, {PT_NOTE, 0, 0, note(18, xen, "\1\2")}})), none);
  EXPECT_EQ(boots(elf_of({code, {PT_NOTE, 0, 0, note(18, "", at_2_mebibytes)}})), none);
  EXPECT_EQ(boots(elf_of({code, {PT_NOTE, 0, 0, note(18, xen, "") + note(18, xen, at_2_mebibytes)}})), entered);
  EXPECT_EQ(boots(elf_of({code, {PT_NOTE, 0, 0, note(18, xen, at_2_mebibytes.substr(0, 4))}})), entered)
      << "of 32 bits";
  const std::string eights = note(1, "GNU", "12345", 8) + note(18, xen, at_2_mebibytes, 8);
  EXPECT_EQ(boots(elf_of({code, {PT_NOTE, 0, 0, eights, 8}})), entered);
  EXPECT_EQ(boots(elf_of({code, {PT_NOTE, 0, 0, note(18, xen, at_2_mebibytes).substr(0, 18)}})), none);
}

TEST_F(LinuxBoot, SegmentsThatMakeNoKernelAreRefused) {
  const auto with = [&](const std::vector<Segment>& segments) {
    std::vector<Segment> all = segments;
    all.push_back(pvh);
    return boots(elf_of(all));
  };
  const std::string overlap = "'kernel' has segments that overlap",
                    memory = "the guest has too little memory for 'kernel'";
  EXPECT_EQ(with({{PT_LOAD, 2 * mebibyte, 0x2000, "a"}, {PT_LOAD, 2 * mebibyte + 0x1fff, 0x1000, "b"}}), overlap);
  EXPECT_EQ(with({{PT_LOAD, 2 * mebibyte, 0x2000, "a"}, {PT_LOAD, mebibyte, 2 * mebibyte, "b"}}), overlap);
  EXPECT_EQ(with({{PT_LOAD, 2 * mebibyte, 0x2000, "a"}, {PT_LOAD, 2 * mebibyte, 0x2000, "a"}}), overlap);
  EXPECT_EQ(with({{PT_LOAD, 2 * mebibyte + 0x2000, 0x1000, "b"}, {PT_LOAD, 2 * mebibyte, 0x2000, "a"}}), entered);
  EXPECT_EQ(with({{PT_LOAD, 2 * mebibyte, 7 * mebibyte, "a"}}), memory);
  EXPECT_EQ(with({{PT_LOAD, 2 * mebibyte, ~0UL, "a"}}), memory);
  EXPECT_EQ(with({{PT_LOAD, ~0UL, 2, "a"}}), memory);
  EXPECT_EQ(with({{PT_LOAD, 2 * mebibyte, 1, "two"}}), "'kernel' has a segment that is longer than itself");
  EXPECT_EQ(with({{PT_LOAD, 3 * mebibyte, 0x2000, "a"}}), "'kernel' has a PVH entry that is in none of its segments");
  EXPECT_NE(with({{PT_LOAD, 0x1000, 0x1000, "a"}, {PT_LOAD, 2 * mebibyte, 0x2000, "a"}}), entered);
  EXPECT_NE(boots(elf_of({{PT_LOAD, 2 * mebibyte, 0x2000, "code"}, pvh}).substr(0, 100)), entered) << "cut short";
}

std::string bzimage_of(std::size_t size, std::uint32_t paragraphs) {
  std::string file(1024, '\0');
  setup_header header{};
  header.setup_sects = 1;
  header.syssize = paragraphs;
  header.header = 0x53726448;
  header.version = 0x20f;
  header.loadflags = LOADED_HIGH;
  header.kernel_alignment = 0x200000;
  header.relocatable_kernel = 1;
  header.xloadflags = XLF_KERNEL_64;
  header.cmdline_size = 255;
  header.pref_address = 0x200000;
  header.init_size = 0x4000;
  put(file, 0x1f1, header);
  return file + std::string(size, '\x90');
}

TEST_F(LinuxBoot, ABzimageThatIsCutShortIsRefused) {
  EXPECT_EQ(boots(bzimage_of(4096, 256)), std::to_string(2 * mebibyte + 0x200));
  EXPECT_EQ(boots(bzimage_of(4096 + 100, 256)), std::to_string(2 * mebibyte + 0x200)) << "a signature behind it";
  EXPECT_EQ(boots(bzimage_of(4095, 256)), "'kernel' ends after 4095 of the 4096 bytes of kernel that it announces");
  EXPECT_EQ(boots(bzimage_of(1, ~0U)), "'kernel' ends after 1 of the 68719476720 bytes of kernel that it announces");
  EXPECT_EQ(boots(bzimage_of(0, 0)), "'kernel' ends before its kernel");
}

TEST_F(LinuxBoot, WhatIsNoFileIsNoKernel) {
  EXPECT_THROW(Image("/dev/zero", base::open_file("/dev/zero", 0)), std::system_error);
}

}  // namespace
}  // namespace firmware
