/* What is on a machine, one file per inventory: each a function of a root
 * directory ("" for the real one) that fills a sheet. They may take long or
 * wait for ever; the agent runs them in a process of its own (child.h).
 *
 * Answers of a collector: NOT_FOUND, the machine has no such thing (a note
 * `unavailable` says so). Faults: it cannot be told now. */
#ifndef AGENT_COLLECT_H
#define AGENT_COLLECT_H

#include <ifaddrs.h>

#include "agent/sheet.h"

struct collector {
    const char *name; /* of the inventory, and the type it is stored as */
    const char *noun;
    int (*run)(const char *root, struct sheet *sheet);
};

/* Ends with name == NULL. */
extern const struct collector collectors[];
/* NULL: there is none. */
const struct collector *collector_find(struct str name) MUST_USE;

/* The program of the process: prints the inventory as one line of JSON and says
 * 0, or prints why not and says 1. */
int collect_main(const char *name) MUST_USE;

/* ---- the parts, for tests ---- */

int collect_interfaces(const char *root, struct sheet *sheet) MUST_USE;
int collect_filesystems(const char *root, struct sheet *sheet) MUST_USE;
int collect_sockets(const char *root, struct sheet *sheet) MUST_USE;
int collect_units(const char *root, struct sheet *sheet) MUST_USE;
int collect_packages(const char *root, struct sheet *sheet) MUST_USE;

/* interfaces.c: `list` is what getifaddrs gives. */
void interfaces_add(const char *root, const struct ifaddrs *list,
                    struct sheet *sheet);

/* filesystems.c: a line of /proc/PID/mountinfo, see proc(5). Answers: INVALID.
 * In `arena`, with \040 and the like decoded. */
struct mount {
    struct str device; /* "254:0" */
    struct str root;   /* of the mount within the file system */
    struct str point;
    struct str type;
    struct str source;
};
int mount_parse(struct arena *arena, struct str line,
                struct mount *ret_mount) MUST_USE;

/* sockets.c: a line of /proc/net/tcp and the others that is a socket others
 * can send to: listens, or is bound and not connected. Answers: INVALID, it is
 * not. */
enum transport { TRANSPORT_TCP, TRANSPORT_UDP, TRANSPORT_TCP6, TRANSPORT_UDP6 };
struct listener {
    enum transport transport;
    uint8_t address[16]; /* in network order; 4 or 16 */
    unsigned port;
    unsigned uid;
    uint64_t inode;
};
int listener_parse(enum transport transport, struct str line,
                   struct listener *ret_listener) MUST_USE;

/* units.c: a line of `systemctl list-units --plain --no-legend`, one of
 * list-unit-files. */
void unit_add(struct sheet *sheet, struct str line);
void unit_file_add(struct sheet *sheet, struct str line);

/* packages.c: dpkg's status file line by line; the end is an empty line. */
struct dpkg; /* opaque */
struct dpkg *dpkg_new(void) MUST_USE;
struct dpkg *dpkg_free(struct dpkg *dpkg);
void dpkg_line(struct dpkg *dpkg, struct str line);
/* Adds what is installed. */
void dpkg_add(struct dpkg *dpkg, struct sheet *sheet);
/* A line "NAME<tab>VERSION.ARCH" of rpm. */
void rpm_add(struct sheet *sheet, struct str line);

#endif
