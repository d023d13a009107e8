#include "vmm/firmware/linux_boot.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <stdexcept>

namespace firmware {
namespace {

using memory::GuestMemory;

[[noreturn]] void fail(const std::string& why) {
  throw std::runtime_error(why);
}

void put(const GuestMemory& memory, std::uint64_t address, std::span<const std::uint8_t> bytes) {
  if (!memory.write(address, bytes)) fail("the guest has too little memory to boot a kernel");
}
template <class T>
void put_value(const GuestMemory& memory, std::uint64_t address, const T& value) {
  put(memory, address, {reinterpret_cast<const std::uint8_t*>(&value), sizeof value});
}

void put_command_line(const GuestMemory& memory, const std::string& line, std::uint64_t most) {
  if (line.size() + 1 > std::min(most, layout::command_line_size)) {
    fail("the kernel's command line of " + std::to_string(line.size()) + " bytes is longer than the kernel takes (" +
         std::to_string(std::min(most, layout::command_line_size) - 1) + ")");
  }
  put(memory, layout::command_line, {reinterpret_cast<const std::uint8_t*>(line.c_str()), line.size() + 1});
}

/// The first 4 GiB mapped as they are, by pages of 2 MiB.
void put_page_tables(const GuestMemory& memory) {
  constexpr std::uint64_t present_writable = 3, large = 0x80, size = 4096, entries = 512, directories = 4;
  std::vector<std::uint64_t> tables((2 + directories) * entries);
  tables[0] = (layout::page_tables + size) | present_writable;
  for (std::uint64_t i = 0; i < directories; ++i) {
    tables[entries + i] = (layout::page_tables + (2 + i) * size) | present_writable;
  }
  for (std::uint64_t i = 0; i < directories * entries; ++i)
    tables[2 * entries + i] = i << 21 | present_writable | large;
  put(memory, layout::page_tables, {reinterpret_cast<const std::uint8_t*>(tables.data()), tables.size() * 8});
}

// --- bzImage

constexpr std::uint64_t setup_header_at = 0x1f1;
constexpr std::uint32_t header_magic = 0x53726448;  // "HdrS"

// --- an ELF kernel

/// hvm_start_info and its tables (Xen public/arch-x86/hvm/start_info.h).
struct StartInfo {
  std::uint32_t magic = 0x336ec578, version = 1, flags = 0, modules = 0;
  std::uint64_t module_list = 0, command_line = 0, rsdp = 0, memory_map = 0;
  std::uint32_t memory_map_entries = 0, reserved = 0;
};
static_assert(sizeof(StartInfo) == 56);
struct Module {
  std::uint64_t address, size, command_line, reserved;
};
struct MapEntry {
  std::uint64_t address, size;
  std::uint32_t kind, reserved;
};

constexpr std::uint32_t xen_phys32_entry = 18;

/// The entry that the kernel's note names.
std::optional<std::uint64_t> find_pvh_entry(const Image& image, const Elf64_Phdr& segment) {
  constexpr std::uint64_t most = 65536;
  if (segment.p_filesz > most) return {};
  std::vector<std::uint8_t> notes(segment.p_filesz);
  image.read(segment.p_offset, notes);
  const std::size_t align = segment.p_align == 8 ? 8 : 4;
  const auto padded = [align](std::size_t size) { return (size + align - 1) / align * align; };
  for (std::size_t at = 0; at + sizeof(Elf64_Nhdr) <= notes.size();) {
    Elf64_Nhdr note;
    std::memcpy(&note, &notes[at], sizeof note);
    const std::size_t name = at + sizeof note, value = at + padded(sizeof note + note.n_namesz);
    if (note.n_namesz > notes.size() || note.n_descsz > notes.size() || value + note.n_descsz > notes.size()) return {};
    if (note.n_type == xen_phys32_entry && note.n_namesz == 4 && std::memcmp(&notes[name], "Xen", 4) == 0 &&
        note.n_descsz >= sizeof(std::uint32_t)) {
      std::uint64_t entry = 0;
      std::memcpy(&entry, &notes[value], std::min<std::size_t>(note.n_descsz, sizeof entry));
      return entry;
    }
    at += padded(value - at + note.n_descsz);
  }
  return {};
}

}  // namespace

/// As high as the kernel can reach it, out of its own way.
Linux::Place Linux::load_initrd(const GuestMemory& memory, std::uint64_t highest, std::uint64_t kernel_end) const {
  if (!initrd_) return {};
  constexpr std::uint64_t page = 4096;
  const auto& low = memory.regions().front();
  const std::uint64_t end = std::min(highest + 1, low.address + low.bytes.size());
  const std::uint64_t size = initrd_->size();
  const std::uint64_t address = size < end ? (end - size) / page * page : 0;
  if (address < kernel_end) fail("the guest has too little memory for '" + initrd_->path() + "' beside the kernel");
  initrd_->load(0, size, address, memory);
  return {address, size};
}

void Linux::load_bzimage(const setup_header& header, const GuestMemory& memory) {
  constexpr std::uint16_t oldest = 0x20c;  // the first with a 64-bit entry
  constexpr std::uint64_t entry_64 = 0x200;
  if (header.version < oldest || !(header.xloadflags & XLF_KERNEL_64)) {
    fail("'" + kernel_.path() + "' is a kernel without a 64-bit entry");
  }
  if (!(header.loadflags & LOADED_HIGH)) fail("'" + kernel_.path() + "' is no bzImage");
  const std::uint64_t setup = (header.setup_sects ? header.setup_sects : 4U) * std::uint64_t{512} + 512;
  const std::uint64_t whole = kernel_.size();
  if (whole <= setup) fail("'" + kernel_.path() + "' ends before its kernel");
  const std::uint64_t size = whole - setup;
  constexpr std::uint64_t paragraph = 16;
  if (size < header.syssize * paragraph) {
    fail("'" + kernel_.path() + "' ends after " + std::to_string(size) + " of the " +
         std::to_string(header.syssize * paragraph) + " bytes of kernel that it announces");
  }
  std::uint64_t address = header.pref_address;
  const std::uint64_t align = header.kernel_alignment ? header.kernel_alignment : 1;
  if (header.relocatable_kernel && !memory.slice(address, std::max<std::uint64_t>(size, header.init_size))) {
    address = (layout::high_memory + align - 1) / align * align;
  }
  const std::uint64_t end = address + std::max<std::uint64_t>(size, header.init_size);
  if (!memory.slice(address, end - address)) {
    fail("the guest has too little memory for '" + kernel_.path() + "', which needs " +
         std::to_string((end + 0xfffff) >> 20) + " MiB");
  }
  kernel_.load(setup, size, address, memory);
  header_ = header;
  entry_ = address + entry_64;
  initrd_place_ = load_initrd(memory, header.initrd_addr_max, end);
}

/// Each is in memory, none over another, and the entry is in one of them. Sorts them by address.
void Linux::check_segments(std::vector<Elf64_Phdr>& segments, std::uint64_t entry, const GuestMemory& memory) const {
  std::ranges::sort(segments, {}, &Elf64_Phdr::p_paddr);
  std::uint64_t end = 0;
  bool entered = false;
  for (const Elf64_Phdr& one : segments) {
    if (one.p_filesz > one.p_memsz) fail("'" + kernel_.path() + "' has a segment that is longer than itself");
    if (!memory.slice(one.p_paddr, one.p_memsz)) fail("the guest has too little memory for '" + kernel_.path() + "'");
    if (one.p_paddr < end) fail("'" + kernel_.path() + "' has segments that overlap");
    end = one.p_paddr + one.p_memsz;
    entered = entered || (one.p_paddr <= entry && entry < end);
  }
  if (!entered) fail("'" + kernel_.path() + "' has a PVH entry that is in none of its segments");
}

void Linux::load_elf(const GuestMemory& memory, bool blank) {
  const auto header = kernel_.read_as<Elf64_Ehdr>(0);
  if (header.e_ident[EI_CLASS] != ELFCLASS64 || header.e_machine != EM_X86_64 ||
      header.e_phentsize != sizeof(Elf64_Phdr)) {
    fail("'" + kernel_.path() + "' is an ELF file of another machine");
  }
  std::optional<std::uint64_t> entry;
  std::vector<Elf64_Phdr> loaded;
  for (unsigned i = 0; i < header.e_phnum; ++i) {
    const auto segment = kernel_.read_as<Elf64_Phdr>(header.e_phoff + i * sizeof(Elf64_Phdr));
    if (segment.p_type == PT_NOTE && !entry) entry = find_pvh_entry(kernel_, segment);
    if (segment.p_type == PT_LOAD && segment.p_memsz > 0) loaded.push_back(segment);
  }
  if (!entry) fail("'" + kernel_.path() + "' has no PVH entry: the kernel was built without CONFIG_PVH");
  check_segments(loaded, *entry, memory);
  std::uint64_t end = layout::high_memory;
  for (const Elf64_Phdr& segment : loaded) {
    kernel_.load(segment.p_offset, segment.p_filesz, segment.p_paddr, memory);
    const auto whole = memory.slice(segment.p_paddr, segment.p_memsz);
    if (!blank) std::ranges::fill(whole->subspan(segment.p_filesz), std::uint8_t{0});
    end = std::max(end, segment.p_paddr + segment.p_memsz);
  }
  header_.reset();
  entry_ = *entry;
  initrd_place_ = load_initrd(memory, 0xffff'ffff, end);
}

void Linux::load(const GuestMemory& memory, bool blank) {
  if (kernel_.size() >= sizeof(Elf64_Ehdr) &&
      kernel_.read_as<std::array<char, SELFMAG>>(0) == std::array{'\x7f', 'E', 'L', 'F'}) {
    return load_elf(memory, blank);
  }
  if (kernel_.size() > setup_header_at + sizeof(setup_header)) {
    const auto header = kernel_.read_as<setup_header>(setup_header_at);
    if (header.header == header_magic) return load_bzimage(header, memory);
  }
  fail("'" + kernel_.path() + "' is neither a bzImage nor an ELF kernel");
}

void Linux::describe_bzimage(const LinuxConfig& config, const GuestMemory& memory) const {
  boot_params params{};
  params.hdr = *header_;
  params.hdr.type_of_loader = 0xff;  // none that has a number
  params.hdr.loadflags = static_cast<std::uint8_t>(params.hdr.loadflags & ~(CAN_USE_HEAP));
  params.hdr.cmd_line_ptr = layout::command_line;
  params.hdr.ramdisk_image = static_cast<std::uint32_t>(initrd_place_.address);
  params.hdr.ramdisk_size = static_cast<std::uint32_t>(initrd_place_.size);
  params.acpi_rsdp_addr = config.acpi_rsdp;
  if (config.map.size() > std::size(params.e820_table)) fail("too many ranges of memory");
  params.e820_entries = static_cast<std::uint8_t>(config.map.size());
  for (std::size_t i = 0; i < config.map.size(); ++i) {
    params.e820_table[i] = {config.map[i].address, config.map[i].size, static_cast<std::uint32_t>(config.map[i].kind)};
  }
  put_command_line(memory, config.command_line, std::uint64_t{header_->cmdline_size} + 1);
  put_value(memory, layout::zero_page, params);
  put_page_tables(memory);
}

void Linux::describe_elf(const LinuxConfig& config, const GuestMemory& memory) const {
  StartInfo info;
  std::uint64_t at = layout::start_info + sizeof info;
  info.command_line = layout::command_line;
  info.rsdp = config.acpi_rsdp;
  if (initrd_place_.size > 0) {
    info.modules = 1;
    info.module_list = at;
    put_value(memory, at, Module{initrd_place_.address, initrd_place_.size, 0, 0});
    at += sizeof(Module);
  }
  info.memory_map = at;
  info.memory_map_entries = static_cast<std::uint32_t>(config.map.size());
  for (const MemoryRange& range : config.map) {
    put_value(memory, at, MapEntry{range.address, range.size, static_cast<std::uint32_t>(range.kind), 0});
    at += sizeof(MapEntry);
  }
  put_command_line(memory, config.command_line, layout::command_line_size);
  put_value(memory, layout::start_info, info);
}

LinuxEntry Linux::describe(const LinuxConfig& config, const GuestMemory& memory) const {
  if (header_) {
    describe_bzimage(config, memory);
    return {LinuxEntry::Kind::linux_64, entry_, layout::zero_page, layout::page_tables, layout::gdt};
  }
  describe_elf(config, memory);
  return {LinuxEntry::Kind::pvh, entry_, layout::start_info, 0, layout::gdt};
}

}  // namespace firmware
