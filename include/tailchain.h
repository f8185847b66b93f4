/* tailchain: what a program that runs with libtailchain.so preloaded can ask it.
 * Find these functions with dlsym(RTLD_DEFAULT, "tailchain_..."): they are absent when it is not preloaded.
 * Made by cbindgen from src/api.rs; do not edit. */

#ifndef TAILCHAIN_H
#define TAILCHAIN_H

#include <stddef.h>
#include <stdint.h>

// How a connection would be routed.
typedef enum tailchain_route {
  // Not proxied.
  TAILCHAIN_DIRECT = 0,
  // Through the proxies.
  TAILCHAIN_CHAIN = 1,
  // It would fail.
  TAILCHAIN_REFUSE = 2,
} tailchain_route;

// How many connections of this process went which way. A forked child goes on with its parent's numbers.
typedef struct tailchain_counters {
  // Tunnels that stood.
  uint64_t proxied;
  // TCP connections that a rule left to libc.
  uint64_t direct;
  // Refused by a rule, such as a stand-in address that nobody was given.
  uint64_t refused;
  // Tunnels that could not be made.
  uint64_t failed;
  // Descriptor numbers whose non-blocking connect is being made at this moment.
  uint64_t pending;
} tailchain_counters;

#ifdef __cplusplus
extern "C" {
#endif // __cplusplus

// The library's version, such as "0.1.0".
const char *tailchain_version(void);

// The configuration that is in force: a file's path, or the environment variable (with a `$`) that held a
// proxy URL. Never NULL: a process in which the library is not active does not run.
const char *tailchain_config(void);

// How a connection to `host` (a name or a numeric address) and `port` would be routed.
//
// The reason, a line of text, is written to `reason` as far as its `size` bytes reach, always with a NUL;
// `reason` may be NULL when `size` is 0. Returns a `tailchain_route`, or -1 with errno EINVAL when `host` is
// NULL or no host.
//
// A name that libc resolves is TAILCHAIN_DIRECT, for only its address decides: ask again with that.
//
// # Safety
// `host` is NULL or a C string; `reason` is writable for `size` bytes.
int tailchain_explain(const char *host,
                      uint16_t port,
                      char *reason,
                      size_t size);

// Fill `counters`.
//
// # Safety
// `counters` is NULL (nothing happens) or writable.
void tailchain_count(struct tailchain_counters *counters);

// The names of the libc functions that are interposed, separated by blanks.
const char *tailchain_hooks(void);

#ifdef __cplusplus
}  // extern "C"
#endif  // __cplusplus

#endif  /* TAILCHAIN_H */
