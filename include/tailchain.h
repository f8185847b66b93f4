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

// How many connections of this process took each route. A forked child starts with its parent's values.
//
// Later versions may add fields at the end: see `tailchain_count`.
typedef struct tailchain_counters {
  // Tunnels that were established.
  uint64_t proxied;
  // TCP connections that a rule left to libc.
  uint64_t direct;
  // Refused by a rule, e.g. a fake IP that stands for no name.
  uint64_t refused;
  // Tunnels that could not be established.
  uint64_t failed;
  // File descriptors with a pending non-blocking connect.
  uint64_t pending;
} tailchain_counters;

#ifdef __cplusplus
extern "C" {
#endif // __cplusplus

// The library's version, e.g. "0.1.0".
const char *tailchain_version(void);

// The configuration in force: the path of a file, or the name of the environment variable (with a `$`) that held a
// proxy URL. Never NULL: a process whose configuration cannot be loaded does not run.
const char *tailchain_config(void);

// How a connection to `host` (a name or a numeric address) and `port` would be routed.
//
// The reason, a line of text, is written to `reason`, truncated to `size` bytes and always NUL-terminated; `reason`
// may be NULL when `size` is 0. Returns a `tailchain_route`, or -1 with errno EINVAL when `host` is NULL or not a
// valid host.
//
// A name that libc resolves is TAILCHAIN_DIRECT, since only its address decides: resolve it and ask again with the
// address.
//
// # Safety
// `host` is NULL or a C string; `reason` is writable for `size` bytes.
int tailchain_explain(const char *host,
                      uint16_t port,
                      char *reason,
                      size_t size);

// Write the counters, and return the library's `sizeof(tailchain_counters)`.
//
// `size` is the caller's `sizeof(tailchain_counters)`; exactly `size` bytes are written. Later versions may add
// counters at the end. A caller that was compiled with an older header gets the counters that it knows. For one that
// was compiled with a newer header, the counters that the library lacks are 0, and the returned size is less than
// `size`.
//
// # Safety
// `counters` is NULL (nothing is written) or writable for `size` bytes.
size_t tailchain_count(struct tailchain_counters *counters,
                       size_t size);

// The names of the interposed libc functions, separated by spaces.
const char *tailchain_hooks(void);

#ifdef __cplusplus
}  // extern "C"
#endif  // __cplusplus

#endif  /* TAILCHAIN_H */
