// Shows ThreadSanitizer two waits of Swift's libraries, which are not built with the sanitizer. This library stands before
// their functions (LD_PRELOAD) and tells the sanitizer what they do. Everything else is left to it.
//
// A Synchronization.Mutex that is free is taken and given back by atomic operations in our own code, which the sanitizer
// sees. One that is held is waited for by a futex whose owner the kernel changes (FUTEX_LOCK_PI); so each such hand-over
// looks like a race. The names are those of the functions in Swift 6: `_MutexHandle._lockSlow(UInt32)` and
// `_MutexHandle._unlockSlow()`.
//
// A continuation that is resumed releases its task, and the job that runs next acquires it. But where it was resumed before
// its task came to wait, the task goes on without a job, and Swift 6.3 acquires nothing: what was made for it on another
// thread looks like a race. This happens once in many thousand waits, more often on a busy machine.

#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#define LOCK_SLOW "$s15Synchronization12_MutexHandleV9_lockSlowyys6UInt32VF"
#define UNLOCK_SLOW "$s15Synchronization12_MutexHandleV11_unlockSlowyyF"
#define SWIFT __attribute__((swiftcall))
#define ASYNC __attribute__((swiftasynccall))
#define SELF __attribute__((swift_context))

// The sanitizer's, in the program; not there in others that inherit the environment.
__attribute__((weak)) void __tsan_acquire(void *address);
__attribute__((weak)) void __tsan_release(void *address);

static void *next(const char *name) {
  void *found = dlsym(RTLD_NEXT, name);
  if (found == NULL) {
    fprintf(stderr, "sanitizer/runtime.c: no %s in this version of Swift; look how it waits now\n", name);
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

static void acquire_current_task(void) {
  static SWIFT void *(*_Atomic current)(void);
  if (current == NULL) current = next("swift_task_getCurrent");
  void *task = current();
  if (task != NULL && __tsan_acquire != NULL) __tsan_acquire(task);
}

// A task comes to wait; it may have been resumed already.
ASYNC void swift_continuation_await(void *continuation) {
  static ASYNC void (*_Atomic wait)(void *);
  if (wait == NULL) wait = next("swift_continuation_await");
  acquire_current_task();
  __attribute__((musttail)) return wait(continuation);
}

// A task goes on: when a job begins, and where it was resumed while it prepared to wait. What resumes it between the look
// above and the library's own is missed: a window of nanoseconds.
SWIFT void swift_task_enterThreadLocalContext(char *place) {
  static SWIFT void (*_Atomic enter)(char *);
  if (enter == NULL) enter = next("swift_task_enterThreadLocalContext");
  enter(place);
  acquire_current_task();
}
