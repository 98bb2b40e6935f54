/* Machines that do not exist, played by files below a directory. */
/* cmocka.h needs the four before it. */
/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>
/* clang-format on */

#include <arpa/inet.h>
#include <ftw.h>
#include <net/if.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/facts.h"

static char root[32];

static int setup(void **state)
{
    (void)state;
    (void)strcpy(root, "/tmp/test_facts.XXXXXX");
    return mkdtemp(root) == NULL ? -1 : 0;
}

static int remove_one(const char *path, const struct stat *status, int kind,
                      struct FTW *walk)
{
    (void)status;
    (void)kind;
    (void)walk;
    return remove(path);
}

static int teardown(void **state)
{
    (void)state;
    return nftw(root, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

/* A file of the machine, with the directories above it. */
static void has(const char *path, const char *text)
{
    char full[256];

    (void)snprintf(full, sizeof full, "%s%s", root, path);
    for (char *slash = strchr(full + strlen(root) + 1, '/'); slash != NULL;
         slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        (void)mkdir(full, 0700);
        *slash = '/';
    }
    FILE *file = fopen(full, "w");
    assert_non_null(file);
    (void)fputs(text, file);
    assert_int_equal(fclose(file), 0);
}

static void expect(void (*fact)(const char *, struct buf *), const char *text)
{
    struct buf found = {0};

    fact(root, &found);
    assert_string_equal(buf_text(&found), text);
    buf_done(&found);
}

static void a_machine_without_files_says_little(void **state)
{
    (void)state;
    expect(fact_cpu, "");
    expect(fact_cpus, "");
    expect(fact_memory, "");
    expect(fact_os, "");
    expect(fact_kernel, "");
    expect(fact_boot_time, "");
    expect(fact_virtualization, "none");
}

static void processors_are_named_and_counted(void **state)
{
    (void)state;
    has("/proc/cpuinfo", "processor\t: 0\nmodel\t\t: 85\n"
                         "model name\t: Intel(R) Xeon(R)\n\nprocessor\t: 1\n");
    expect(fact_cpu, "Intel(R) Xeon(R)");
    has("/proc/cpuinfo", "processor : 0\ncpu\t\t: POWER9\n");
    expect(fact_cpu, "POWER9");
    has("/sys/devices/system/cpu/online", "0-3,5,7-8\n");
    expect(fact_cpus, "7");
    has("/sys/devices/system/cpu/online", "0\n");
    expect(fact_cpus, "1");
    has("/sys/devices/system/cpu/online", "3-1\n");
    expect(fact_cpus, "");
    has("/sys/devices/system/cpu/online", "lots\n");
    expect(fact_cpus, "");
}

static void memory_is_in_bytes(void **state)
{
    (void)state;
    has("/proc/meminfo", "MemTotal:       16384256 kB\nMemFree: 1 kB\n");
    expect(fact_memory, "16777478144");
    has("/proc/meminfo", "MemTotal: much\n");
    expect(fact_memory, "");
}

static void the_system_has_its_pretty_name(void **state)
{
    (void)state;
    has("/usr/lib/os-release", "NAME=x\nPRETTY_NAME='Plain Linux 1'\n");
    expect(fact_os, "Plain Linux 1");
    has("/etc/os-release", "PRETTY_NAME=\"Big \\\"B\\\" Linux\"\nID=b\n");
    expect(fact_os, "Big \"B\" Linux");
    has("/proc/sys/kernel/osrelease", "6.1.0-30-amd64\n");
    expect(fact_kernel, "6.1.0-30-amd64");
}

static void boot_time_is_rfc_3339(void **state)
{
    (void)state;
    has("/proc/stat", "cpu 1 2 3\nbtime 1700000000\nprocesses 9\n");
    expect(fact_boot_time, "2023-11-14T22:13:20Z");
}

static void virtual_machines_are_told_by_firmware_and_flag(void **state)
{
    (void)state;
    has("/sys/class/dmi/id/sys_vendor", "Amazon EC2\n");
    has("/proc/cpuinfo", "flags\t\t: fpu vme\n");
    expect(fact_virtualization, "none"); /* a whole machine of a cloud */
    has("/proc/cpuinfo", "flags\t\t: fpu hypervisor vme\n");
    expect(fact_virtualization, "kvm");
    has("/sys/class/dmi/id/sys_vendor", "VMware, Inc.\n");
    expect(fact_virtualization, "vmware");
    has("/sys/class/dmi/id/sys_vendor", "Somebody\n");
    expect(fact_virtualization, "vm");
    has("/proc/cpuinfo", "processor : 0\nFeatures : fp asimd\n"); /* ARM */
    expect(fact_virtualization, "none");
    has("/sys/class/dmi/id/sys_vendor", "QEMU\n");
    expect(fact_virtualization, "kvm");
    has("/sys/hypervisor/type", "xen\n");
    expect(fact_virtualization, "xen");
}

static void a_container_is_named_before_the_machine_below(void **state)
{
    (void)state;
    has("/proc/cpuinfo", "flags\t\t: fpu hypervisor\n");
    has("/sys/class/dmi/id/sys_vendor", "QEMU\n");
    has("/proc/1/cgroup", "0::/init.scope\n");
    expect(fact_virtualization, "kvm");
    has("/.dockerenv", "");
    expect(fact_virtualization, "docker");
    has("/proc/1/cgroup", "1:cpu:/lxc/web-1\n");
    expect(fact_virtualization, "lxc");
    has("/proc/1/cgroup", "1:cpu:/kubepods/besteffort/pod1\n");
    expect(fact_virtualization, "kubernetes");
    has("/run/systemd/container", "systemd-nspawn\n");
    expect(fact_virtualization, "systemd-nspawn");
}

/* One entry of getifaddrs. */
struct entry {
    struct ifaddrs link;
    struct sockaddr_in6 room;
};

static void entry_of(struct entry *entry, struct entry *next, unsigned flags,
                     const char *text)
{
    struct sockaddr_in *in = (void *)&entry->room;

    *entry = (struct entry){.link = {.ifa_flags = flags}};
    entry->link.ifa_next = next == NULL ? NULL : &next->link;
    entry->link.ifa_addr = (void *)&entry->room;
    if (inet_pton(AF_INET, text, &in->sin_addr) == 1) {
        in->sin_family = AF_INET;
    } else {
        assert_int_equal(inet_pton(AF_INET6, text, &entry->room.sin6_addr), 1);
        entry->room.sin6_family = AF_INET6;
    }
}

static void only_addresses_others_can_use_are_told(void **state)
{
    struct entry list[9];
    struct buf text = {0};

    (void)state;
    entry_of(&list[0], &list[1], IFF_UP | IFF_LOOPBACK, "127.0.0.1");
    entry_of(&list[1], &list[2], IFF_UP | IFF_LOOPBACK, "::1");
    entry_of(&list[2], &list[3], IFF_UP, "2001:db8::7");
    entry_of(&list[3], &list[4], IFF_UP, "10.0.0.7");
    entry_of(&list[4], &list[5], IFF_UP, "fe80::1");
    entry_of(&list[5], &list[6], IFF_UP, "169.254.3.4");
    entry_of(&list[6], &list[7], 0, "10.9.9.9"); /* down */
    entry_of(&list[7], &list[8], IFF_UP, "192.168.1.2");
    entry_of(&list[8], NULL, IFF_UP, "10.0.0.8");
    list[8].link.ifa_addr = NULL; /* a tunnel without one */
    fact_addresses(&list[0].link, &text);
    assert_string_equal(buf_text(&text), "10.0.0.7,192.168.1.2,2001:db8::7");
    buf_done(&text);
}

static void configured_fields_win_but_the_hostname_stands(void **state)
{
    (void)state;
    has("/proc/meminfo", "MemTotal: 1 kB\n");
    has("/etc/os-release", "PRETTY_NAME=\"caf\xe9\"\n"); /* not UTF-8 */
    has("/proc/sys/kernel/osrelease", "6.1\n");
    json_t *fields = json_pack("{s:s, s:s}", "rack", "r7", "kernel", "mine");
    json_t *facts = facts_collect(root, "web-1", fields);
    static const char *const expected[][2] = {{"hostname", "web-1"},
                                              {"rack", "r7"},
                                              {"kernel", "mine"},
                                              {"memory", "1024"},
                                              {"agent_version", ROSTER_VERSION},
                                              {"virtualization", "none"}};
    for (size_t i = 0; i < sizeof expected / sizeof expected[0]; i++) {
        assert_string_equal(
            json_string_value(json_object_get(facts, expected[i][0])),
            expected[i][1]);
    }
    assert_null(json_object_get(facts, "os"));
    assert_null(json_object_get(facts, "cpu"));
    assert_non_null(json_object_get(facts, "arch"));
    json_decref(fields);
    json_decref(facts);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_machine_without_files_says_little),
        TEST(processors_are_named_and_counted),
        TEST(memory_is_in_bytes),
        TEST(the_system_has_its_pretty_name),
        TEST(boot_time_is_rfc_3339),
        TEST(virtual_machines_are_told_by_firmware_and_flag),
        TEST(a_container_is_named_before_the_machine_below),
        cmocka_unit_test(only_addresses_others_can_use_are_told),
        TEST(configured_fields_win_but_the_hostname_stands),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
