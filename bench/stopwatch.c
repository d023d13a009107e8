// stopwatch SECONDS MARK COMMAND…: nanoseconds from the exec of COMMAND until it prints MARK, and what follows MARK in its line.
// stopwatch SECONDS entry COMMAND…: until KVM enters a guest for the first time, by the kernel's own trace.
// COMMAND is killed then. Built static, it runs in the box.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static void fail(const char* what) {
  fprintf(stderr, "stopwatch: %s: %s\n", what, strerror(errno));
  exit(1);
}

static uint64_t now(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return (uint64_t)time.tv_sec * 1000000000 + (uint64_t)time.tv_nsec;
}

static void set(const char* name, const char* value) {
  char path[256];
  snprintf(path, sizeof path, "/sys/kernel/tracing/%s", name);
  const int fd = open(path, O_WRONLY | O_TRUNC);
  if (fd < 0 || write(fd, value, strlen(value)) < 0) fail(path);
  close(fd);
}

// A line of the trace is "COMM-PID [CPU] FLAGS SECONDS.MICROSECONDS: kvm_entry: …".
static uint64_t when(const char* event) {
  const char* at = event;
  while (at[-1] != ' ') --at;
  unsigned long seconds = 0, microseconds = 0;
  sscanf(at, "%lu.%lu", &seconds, &microseconds);
  return (uint64_t)seconds * 1000000000 + (uint64_t)microseconds * 1000;
}

int main(int argc, char** argv) {
  if (argc < 4) return 2;
  const int limit = atoi(argv[1]) * 1000;
  const char* const mark = argv[2];
  const int entry = strcmp(mark, "entry") == 0;
  uint64_t* const begun = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  int ends[2];
  if (begun == MAP_FAILED || pipe2(ends, O_CLOEXEC) < 0) fail("pipe");
  int from = ends[0];
  if (entry) {
    set("trace_clock", "mono");
    set("buffer_percent", "0");  // who waits is woken by the first line
    set("trace", "");
    set("events/kvm/kvm_entry/enable", "1");
    from = open("/sys/kernel/tracing/trace_pipe", O_RDONLY | O_CLOEXEC);
    if (from < 0) fail("trace_pipe");
  }
  const pid_t child = fork();
  if (child < 0) fail("fork");
  if (child == 0) {
    dup2(open("/dev/null", O_RDWR), 0);
    dup2(ends[1], 1);
    *begun = now();
    execvp(argv[3], argv + 3);
    fail(argv[3]);
  }
  close(ends[1]);
  char said[65536];
  size_t size = 0;
  char* found = NULL;
  while (!found && size < sizeof said - 1) {
    struct pollfd waits = {from, POLLIN, 0};
    if (poll(&waits, 1, limit) <= 0) break;
    const ssize_t got = read(from, said + size, sizeof said - 1 - size);
    if (got <= 0) break;
    const uint64_t came = now();
    said[size += (size_t)got] = 0;
    found = strstr(said, entry ? ": kvm_entry:" : mark);
    if (found && !strchr(found, '\n')) found = NULL;
    if (found && entry) printf("%llu\n", (unsigned long long)(when(found) - *begun));
    if (found && !entry) {
      found[strcspn(found, "\r\n")] = 0;
      printf("%llu %s\n", (unsigned long long)(came - *begun), found + strlen(mark));
    }
  }
  if (entry) set("events/kvm/kvm_entry/enable", "0");
  kill(child, SIGKILL);
  waitpid(child, NULL, 0);
  if (!found) fprintf(stderr, "stopwatch: no %s within %d s:\n%s\n", mark, limit / 1000, said);
  return found ? 0 : 1;
}
