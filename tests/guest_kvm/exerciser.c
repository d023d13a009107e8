// What a guest does with its disks, and the same again to check it. Built static, it runs in the guest and outside.
//   exerciser write FILE BYTES OPERATIONS SEED   writes at random places, now and then reads back what it wrote, syncs
//   exerciser check FILE BYTES OPERATIONS SEED   compares the file with what `write` has written
//   exerciser promise FOLDER                     makes records for ever; says each one's number once fsync has promised
//   it exerciser kept FOLDER LAST                   whether the records up to that one are there exerciser rate DEVICE
//   SECONDS DEPTH          reads and writes 4 KiB past the cache; says "OPERATIONS NANOSECONDS"
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static void fail(const char* what) {
  fprintf(stderr, "exerciser: %s: %s\n", what, strerror(errno));
  exit(1);
}

// splitmix64
static uint64_t next(uint64_t* state) {
  uint64_t z = (*state += 0x9e3779b97f4a7c15);
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
  z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
  return z ^ (z >> 31);
}

static void fill(unsigned char* at, size_t size, uint64_t seed) {
  for (size_t i = 0; i < size; ++i) {
    if (i % 8 == 0) next(&seed);
    at[i] = (unsigned char)(seed >> (i % 8 * 8) ^ i);
  }
}

enum { longest = 1 << 16 };

// A write of `write`: its place, the same for whoever asks.
static size_t step(uint64_t* state, size_t bytes, size_t* offset, uint64_t* seed) {
  const uint64_t kind = next(state);
  size_t length = 1 + next(state) % longest;
  *offset = next(state) % bytes;
  if (kind % 2) {  // whole pages
    length = (length + 4095) / 4096 * 4096;
    *offset = *offset / 4096 * 4096;
  }
  if (length > bytes - *offset) length = bytes - *offset;
  *seed = next(state);
  return length;
}

static void write_all(int fd, const unsigned char* from, size_t size, size_t offset) {
  while (size > 0) {
    const ssize_t wrote = pwrite(fd, from, size, (off_t)offset);
    if (wrote < 0) fail("pwrite");
    from += wrote, size -= (size_t)wrote, offset += (size_t)wrote;
  }
}

static void compare(int fd, const unsigned char* expected, size_t size, size_t offset) {
  static unsigned char found[longest];
  for (size_t done = 0; done < size;) {
    const size_t part = size - done < longest ? size - done : longest;
    const ssize_t got = pread(fd, found, part, (off_t)(offset + done));
    if (got <= 0) fail("pread");
    for (ssize_t i = 0; i < got; ++i) {
      if (found[i] != expected[done + (size_t)i]) {
        fprintf(stderr, "exerciser: byte %zu is %02x, written was %02x\n", offset + done + (size_t)i, found[i],
                expected[done + (size_t)i]);
        exit(1);
      }
    }
    done += (size_t)got;
  }
}

static int random_writes(const char* path, size_t bytes, unsigned operations, uint64_t state, int only_check) {
  unsigned char* const shadow = calloc(1, bytes);
  if (!shadow) fail("memory");
  const int fd = open(path, only_check ? O_RDONLY : O_RDWR | O_CREAT, 0600);
  if (fd < 0) fail(path);
  if (!only_check && ftruncate(fd, (off_t)bytes) < 0) fail("ftruncate");
  uint64_t look = ~state;
  for (unsigned done = 1; done <= operations; ++done) {
    size_t offset;
    uint64_t seed;
    const size_t length = step(&state, bytes, &offset, &seed);
    fill(shadow + offset, length, seed);
    if (only_check) continue;
    write_all(fd, shadow + offset, length, offset);
    if (done % 64 == 0 && fsync(fd) < 0) fail("fsync");
    if (done % 128 == 0) posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);  // what is read next comes from the disk
    if (done % 8 == 0) {
      const size_t at = next(&look) % bytes, size = bytes - at < 4096 ? bytes - at : 4096;
      compare(fd, shadow + at, size, at);
    }
  }
  if (only_check) compare(fd, shadow, bytes, 0);
  if (close(fd) < 0) fail("close");
  return 0;
}

// --- promises

enum { record_size = 3000, records_a_file = 16 };

static void name_of(char* path, const char* folder, unsigned number) {
  snprintf(path, 256, "%s/records-%u", folder, number / records_a_file);
}

static void make_record(unsigned char* record, unsigned number) {
  fill(record, record_size, number);
  snprintf((char*)record, 32, "record %u", number);
}

static int promise(const char* folder) {
  unsigned char record[record_size];
  char path[256];
  const int of_folder = open(folder, O_RDONLY | O_DIRECTORY);
  if (of_folder < 0) fail(folder);
  int fd = -1;
  for (unsigned number = 0;; ++number) {
    const size_t place = number % records_a_file;
    if (place == 0) {
      if (fd >= 0) close(fd);
      name_of(path, folder, number);
      fd = open(path, O_RDWR | O_CREAT | O_EXCL, 0600);
      if (fd < 0) fail(path);
    }
    make_record(record, number);
    write_all(fd, record, sizeof record, place * record_size);
    if ((place == 0 ? fsync(fd) : fdatasync(fd)) < 0) fail("fsync");
    if (place == 0 && fsync(of_folder) < 0) fail("fsync of a folder");
    printf("%s %u\n", folder, number);
    fflush(stdout);
  }
}

static int kept(const char* folder, unsigned last) {
  unsigned char record[record_size];
  char path[256];
  for (unsigned number = 0; number <= last; ++number) {
    name_of(path, folder, number);
    const int fd = open(path, O_RDONLY);
    if (fd < 0) fail(path);
    make_record(record, number);
    compare(fd, record, sizeof record, number % records_a_file * record_size);
    close(fd);
  }
  return 0;
}

// --- rate

static int64_t now(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return time.tv_sec * INT64_C(1000000000) + time.tv_nsec;
}

static int rate(const char* path, int64_t seconds, unsigned depth) {
  // Each process its own counts: before the window, and in it.
  const int64_t second = 1000000000, begin = now() + second, end = begin + seconds * second;
  int64_t* const counts = mmap(NULL, depth * sizeof *counts, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (counts == MAP_FAILED) fail("mmap");
  for (unsigned i = 0; i < depth; ++i) {
    if (fork() != 0) continue;
    const int fd = open(path, O_RDWR | O_DIRECT);
    if (fd < 0) fail(path);
    void* const page = aligned_alloc(4096, 4096);
    uint64_t state = i;
    for (;;) {
      const off_t at = (off_t)(next(&state) % 256 * 4096);
      if ((next(&state) % 4 ? pread(fd, page, 4096, at) : pwrite(fd, page, 4096, at)) != 4096) fail(path);
      const int64_t time = now();
      if (time >= end) _exit(0);
      if (time >= begin) ++counts[i];
    }
  }
  int failed = 0;
  for (int status; wait(&status) > 0;) failed |= status;
  int64_t all = 0;
  for (unsigned i = 0; i < depth; ++i) all += counts[i];
  printf("%lld %lld\n", (long long)all, (long long)(end - begin));
  return failed != 0;
}

int main(int count, char** words) {
  const char* const what = count > 2 ? words[1] : "";
  const unsigned long number = count > 3 ? strtoul(words[3], NULL, 0) : 0;
  if (count == 6 && (strcmp(what, "write") == 0 || strcmp(what, "check") == 0)) {
    return random_writes(words[2], number, (unsigned)strtoul(words[4], NULL, 0), strtoul(words[5], NULL, 0),
                         *what == 'c');
  }
  if (count == 3 && strcmp(what, "promise") == 0) return promise(words[2]);
  if (count == 4 && strcmp(what, "kept") == 0) return kept(words[2], (unsigned)number);
  if (count == 5 && strcmp(what, "rate") == 0)
    return rate(words[2], (int64_t)number, (unsigned)strtoul(words[4], NULL, 0));
  fprintf(stderr,
          "exerciser: write | check FILE BYTES OPERATIONS SEED, promise FOLDER, kept FOLDER LAST, rate DEVICE SECONDS "
          "DEPTH\n");
  return 2;
}
