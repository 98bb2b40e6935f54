/* What a machine says about itself: one file per source, each a function of a
 * root directory ("" for the real one) and nothing else, so that any machine
 * can be played in a test. A fact that cannot be found out is left out.
 *
 * Every fact_x fills an empty `ret_text` and leaves it empty when it does not
 * know. Any thread. */
#ifndef AGENT_FACTS_H
#define AGENT_FACTS_H

#include <ifaddrs.h>
#include <jansson.h>

#include "base/mem.h"

/* cpu.c: the model's name; how many are online. */
void fact_cpu(const char *root, struct buf *ret_text);
void fact_cpus(const char *root, struct buf *ret_text);
/* memory.c: bytes the kernel manages. */
void fact_memory(const char *root, struct buf *ret_text);
/* os.c: PRETTY_NAME of os-release; the kernel's release. */
void fact_os(const char *root, struct buf *ret_text);
void fact_kernel(const char *root, struct buf *ret_text);
/* boot.c: when the machine was started, RFC 3339 in UTC. */
void fact_boot_time(const char *root, struct buf *ret_text);
/* virtualization.c: docker, podman, lxc, systemd-nspawn, kubernetes; kvm,
 * vmware, virtualbox, hyperv, xen, parallels, bhyve, vm; none. The innermost
 * layer is named: a container in a virtual machine is a container. */
void fact_virtualization(const char *root, struct buf *ret_text);
/* addresses.c: what others may reach this machine at, "," between: of every
 * interface that is up, neither loopback nor link-local (which nobody can use
 * without knowing the interface), IPv4 first, as the kernel orders them. */
void fact_addresses(const struct ifaddrs *list, struct buf *ret_text);

/* All of them as an object of strings, with `hostname`, agent_version and
 * `fields` (an object of strings) laid over: a configured field wins over a
 * found one. Gives (json_decref). */
json_t *facts_collect(const char *root, const char *hostname,
                      json_t *fields) MUST_USE;

#endif
