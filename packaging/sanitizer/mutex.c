// Shows ThreadSanitizer the waits of Synchronization.Mutex.
//
// A Mutex that is free is taken and given back by atomic operations in our own code, which the sanitizer sees. One that
// is held is waited for in Swift's library, which is not built with the sanitizer, by a futex whose owner the kernel
// changes (FUTEX_LOCK_PI); so each such hand-over looks like a race. This library stands before those two functions
// (LD_PRELOAD) and tells the sanitizer what they do. Everything else is left to it.
//
// The names are those of the functions in Swift 6: `_MutexHandle._lockSlow(UInt32)` and `_MutexHandle._unlockSlow()`.

#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#define LOCK_SLOW "$s15Synchronization12_MutexHandleV9_lockSlowyys6UInt32VF"
#define UNLOCK_SLOW "$s15Synchronization12_MutexHandleV11_unlockSlowyyF"
#define SWIFT __attribute__((swiftcall))
#define SELF __attribute__((swift_context))

// The sanitizer's, in the program; not there in others that inherit the environment.
__attribute__((weak)) void __tsan_acquire(void *address);
__attribute__((weak)) void __tsan_release(void *address);

static void *next(const char *name) {
  void *found = dlsym(RTLD_NEXT, name);
  if (found == NULL) {
    fprintf(stderr, "sanitizer/mutex.c: no %s in this version of Swift; look how its Mutex waits now\n", name);
    abort();
  }
  return found;
}

SWIFT void lockSlow(uint32_t thread, SELF void *handle) __asm__(LOCK_SLOW);
SWIFT void unlockSlow(SELF void *handle) __asm__(UNLOCK_SLOW);

SWIFT void lockSlow(uint32_t thread, SELF void *handle) {
  SWIFT void (*wait)(uint32_t, SELF void *) = next(LOCK_SLOW);
  wait(thread, handle);
  if (__tsan_acquire != NULL) __tsan_acquire(handle);
}

SWIFT void unlockSlow(SELF void *handle) {
  SWIFT void (*hand_over)(SELF void *) = next(UNLOCK_SLOW);
  if (__tsan_release != NULL) __tsan_release(handle);
  hand_over(handle);
}
