// The first process of a guest whose start is measured: says the guest's own clock, and waits.
#include <stdio.h>
#include <time.h>
#include <unistd.h>

int main(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  printf("init at %lld\n", (long long)time.tv_sec * 1000000000 + time.tv_nsec);
  fflush(stdout);
  for (;;) pause();
}
