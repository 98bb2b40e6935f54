#include "agent/facts.h"

#include <stdlib.h>
#include <sys/utsname.h>

static void put(json_t *facts, const char *name, struct str value)
{
    /* Firmware and /proc may hold anything; a value that is not UTF-8 could
     * not be sent and is left out. */
    json_t *text = value.n == 0 ? NULL : json_stringn(value.p, value.n);
    if (text != NULL && json_object_set_new(facts, name, text) != 0) {
        abort(); /* out of memory */
    }
}

static void put_addresses(json_t *facts)
{
    struct ifaddrs *list = NULL;
    struct buf text = {0};

    if (getifaddrs(&list) == 0) {
        fact_addresses(list, &text);
        put(facts, "addresses", buf_str(&text));
        freeifaddrs(list);
    }
    buf_done(&text);
}

json_t *facts_collect(const char *root, const char *hostname, json_t *fields)
{
    static const struct {
        const char *name;
        void (*find)(const char *root, struct buf *ret_text);
    } sources[] = {{"cpu", fact_cpu},
                   {"cpus", fact_cpus},
                   {"memory", fact_memory},
                   {"os", fact_os},
                   {"kernel", fact_kernel},
                   {"virtualization", fact_virtualization},
                   {"boot_time", fact_boot_time}};
    json_t *facts = json_object();
    struct utsname system;

    if (facts == NULL) {
        abort(); /* out of memory */
    }
    put_addresses(facts);
    for (size_t i = 0; i < sizeof sources / sizeof sources[0]; i++) {
        struct buf text = {0};
        sources[i].find(root, &text);
        put(facts, sources[i].name, buf_str(&text));
        buf_done(&text);
    }
    if (uname(&system) == 0) {
        put(facts, "arch", str_of(system.machine));
    }
    put(facts, "agent_version", STR(ROSTER_VERSION));
    if (json_object_update(facts, fields) != 0) {
        abort(); /* out of memory */
    }
    put(facts, "hostname", str_of(hostname));
    return facts;
}
