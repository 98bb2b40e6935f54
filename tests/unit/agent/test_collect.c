/* Inventories of machines that do not exist, and of hostile ones. */
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
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/collect.h"
#include "base/err.h"

static char root[32];
static struct sheet *sheet;

static int setup(void **state)
{
    (void)state;
    (void)strcpy(root, "/tmp/test_collect.XXXXXX");
    sheet = sheet_new("thing");
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
    sheet = sheet_free(sheet);
    return nftw(root, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

static void make_way(char *full)
{
    for (char *slash = strchr(full + strlen(root) + 1, '/'); slash != NULL;
         slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        (void)mkdir(full, 0700);
        *slash = '/';
    }
}

static void has(const char *path, const char *text)
{
    char full[256];

    (void)snprintf(full, sizeof full, "%s%s", root, path);
    make_way(full);
    FILE *file = fopen(full, "w");
    assert_non_null(file);
    (void)fputs(text, file);
    assert_int_equal(fclose(file), 0);
}

static void links(const char *path, const char *target)
{
    char full[256];

    (void)snprintf(full, sizeof full, "%s%s", root, path);
    make_way(full);
    assert_int_equal(symlink(target, full), 0);
}

/* What the sheet came to, as one line of JSON. */
static void expect(const char *json)
{
    json_t *fields = sheet_json(sheet);
    char *text = json_dumps(fields, JSON_COMPACT | JSON_SORT_KEYS);

    assert_string_equal(text, json);
    free(text);
    json_decref(fields);
}

static void add(const char *key, const char *text)
{
    sheet_add(sheet, 0, str_of(key), str_of(text));
}

/* ---- the sheet ---- */

static void items_come_out_sorted_and_once(void **state)
{
    (void)state;
    add("b", "2");
    add("a", "x");
    add("b", "1");
    add("b", "2");
    add("", "nothing");
    expect("{\"a\":\"x\",\"b\":\"1 2\"}");
}

static void names_of_the_sheet_and_the_server_are_kept_apart(void **state)
{
    (void)state;
    add("name", "1");
    add("truncated", "2");
    add("_id", "3");
    add("names", "4");
    sheet_note(sheet, "hidden", "much");
    expect("{\"hidden\":\"much\",\"names\":\"4\",\"thing _id\":\"3\","
           "\"thing name\":\"1\",\"thing truncated\":\"2\"}");
}

static void hostile_bytes_become_text(void **state)
{
    (void)state;
    add("a\x1b[2J\n\x7f", "\xff\xc0\xaf \xed\xa0\x80 gr\xc3\xbcn \xc2\x9b");
    expect("{\"a\\\\x1b[2J\\\\x0a\\\\x7f\":\"\\\\xff\\\\xc0\\\\xaf "
           "\\\\xed\\\\xa0\\\\x80 gr\xc3\xbcn \\\\xc2\\\\x9b\"}");
}

static void fields_beyond_the_limit_are_counted(void **state)
{
    char name[16];

    (void)state;
    for (unsigned i = 0; i < SHEET_FIELDS_MAX + 7; i++) {
        (void)snprintf(name, sizeof name, "f%u", i);
        /* The last ones come first by rank, so that others are cut. */
        sheet_add(sheet, 1000 - i, str_of(name), STR("x"));
    }
    json_t *fields = sheet_json(sheet);
    assert_int_equal(json_object_size(fields), SHEET_FIELDS_MAX + 1);
    assert_string_equal(json_string_value(json_object_get(fields, "truncated")),
                        "7 of 127 things are left out");
    assert_null(json_object_get(fields, "f0"));
    assert_non_null(json_object_get(fields, "f126"));
    json_decref(fields);
}

/* Quotes and backslashes take two bytes on the way. */
static void a_resource_stays_below_its_size(void **state)
{
    static char long_text[2 * SHEET_ITEM_BYTES_MAX];

    (void)state;
    memset(long_text, '"', sizeof long_text - 1);
    for (unsigned i = 0; i < 100; i++) {
        (void)snprintf(long_text, 8, "%07u", i);
        long_text[7] = '\\';
        add("all", long_text);
    }
    json_t *fields = sheet_json(sheet);
    char *text = json_dumps(fields, JSON_COMPACT);
    assert_in_range(strlen(text), SHEET_BYTES_MAX - 16384, 256 << 10);
    assert_non_null(json_object_get(fields, "truncated"));
    free(text);
    json_decref(fields);
}

/* ---- interfaces ---- */

struct entry {
    struct ifaddrs entry;
    struct sockaddr_storage address;
    struct sockaddr_storage mask;
    char name[16];
};

static void set_address(struct sockaddr_storage *storage, int family,
                        const char *text)
{
    struct sockaddr_in *in = (void *)storage;
    struct sockaddr_in6 *in6 = (void *)storage;

    storage->ss_family = (sa_family_t)family;
    assert_int_equal(inet_pton(family, text,
                               family == AF_INET ? (void *)&in->sin_addr
                                                 : (void *)&in6->sin6_addr),
                     1);
}

static struct entry *entry_of(struct entry *next, const char *name,
                              const char *address, const char *mask)
{
    static struct entry entries[8];
    static size_t n;
    struct entry *e = &entries[n++ % 8];

    *e =
        (struct entry){.entry = {.ifa_next = next == NULL ? NULL : &next->entry,
                                 .ifa_flags = IFF_UP}};
    (void)snprintf(e->name, sizeof e->name, "%s", name);
    e->entry.ifa_name = e->name;
    if (address != NULL) {
        int family = strchr(address, ':') != NULL ? AF_INET6 : AF_INET;
        set_address(&e->address, family, address);
        set_address(&e->mask, family, mask);
        e->entry.ifa_addr = (void *)&e->address;
        e->entry.ifa_netmask = (void *)&e->mask;
    }
    return e;
}

static void an_interface_says_state_mac_mtu_and_addresses(void **state)
{
    struct entry *list =
        entry_of(NULL, "eth0", "2001:db8::7", "ffff:ffff:ffff:ffff::");

    (void)state;
    has("/sys/class/net/eth0/operstate", "up\n");
    has("/sys/class/net/eth0/address", "52:54:00:12:34:56\n");
    has("/sys/class/net/eth0/mtu", "1500\n");
    has("/sys/class/net/eth0/speed", "-1\n");
    has("/sys/class/net/eth0/master/uevent", "INTERFACE=bond0\nIFINDEX=9\n");
    list = entry_of(list, "eth0", "fe80::1", "ffff:ffff:ffff:ffff::");
    list = entry_of(list, "eth0", "169.254.1.1", "255.255.0.0");
    list = entry_of(list, "eth0", "192.0.2.7", "255.255.255.0");
    list = entry_of(list, "lo", NULL, NULL);
    interfaces_add(root, &list->entry, sheet);
    expect("{\"eth0\":\"up mac=52:54:00:12:34:56 mtu=1500 master=bond0 "
           "addrs=192.0.2.7/24,2001:db8::7/64\",\"lo\":\"up\"}");
}

static void what_comes_and_goes_by_itself_is_left_out(void **state)
{
    struct entry *list = entry_of(NULL, "veth9", "fe80::1", "ffff::");

    (void)state;
    has("/sys/class/net/veth9/ifindex", "9\n");
    has("/sys/class/net/veth9/iflink", "2\n");
    has("/sys/class/net/veth9/uevent", "INTERFACE=veth9\nIFINDEX=9\n");
    has("/sys/class/net/tap0/tun_flags", "0x1002\n");
    has("/sys/class/net/eth0.5/ifindex", "5\n");
    has("/sys/class/net/eth0.5/iflink", "2\n");
    has("/sys/class/net/eth0.5/uevent", "DEVTYPE=vlan\nINTERFACE=eth0.5\n");
    has("/proc/net/if_inet6",
        "20010db8000000000000000000000001 02 40 00 01     eth0\n"
        "20010db8000000000000000000000002 02 40 00 00     eth0\n");
    list = entry_of(list, "tap0", NULL, NULL);
    list = entry_of(list, "eth0.5", NULL, NULL);
    list = entry_of(list, "eth0", "2001:db8::1", "ffff:ffff:ffff:ffff::");
    list = entry_of(list, "eth0", "2001:db8::2", "ffff:ffff:ffff:ffff::");
    interfaces_add(root, &list->entry, sheet);
    expect("{\"eth0\":\"up addrs=2001:db8::2/64\",\"eth0.5\":\"up\"}");
}

/* ---- file systems ---- */

static void file_systems_are_those_of_devices_and_networks(void **state)
{
    (void)state;
    has("/proc/self/mountinfo",
        "22 27 0:21 / /proc rw,relatime - proc proc rw\n"
        "27 1 254:1 / / rw shared:1 master:2 - ext4 /dev/vda1 rw\n"
        "30 27 254:1 /etc/hosts /run/c1/etc/hosts rw - ext4 /dev/vda1 rw\n"
        "31 27 0:40 / /srv/my\\040data rw shared:7 - nfs4 nas:/x rw,a=b\n"
        "32 27 0:41 / /var/lib/docker/overlay2/9 rw - overlay overlay rw\n"
        "33 27 0:33 /@home /home rw - btrfs /no/dev rw\n"
        "34 27 0:33 /@ /snap rw - btrfs /no/dev rw\n"
        "35 27 0:33 /@ /again rw - btrfs /no/dev rw\n"
        "36 27 0:2 / /tmp rw - tmpfs tmpfs rw\n"
        "37 27\n\n");
    has("/sys/dev/block/254:1/size", "2048\n");
    assert_int_equal(collect_filesystems(root, sheet), 0);
    expect("{\"/\":\"ext4 /dev/vda1 size=1048576\",\"/home\":\"btrfs "
           "/no/dev\",\"/snap\":\"btrfs /no/dev\",\"/srv/my data\":\"nfs4 "
           "nas:/x\"}");
}

static void a_mount_point_can_be_anything(void **state)
{
    (void)state;
    has("/proc/self/mountinfo",
        "1 1 8:1 / /a\\012b\\134\\777\\0 rw - xfs \\040 rw\n"
        "2 1 8:2 / _x rw - xfs /dev/b rw\n");
    assert_int_equal(collect_filesystems(root, sheet), 0);
    expect("{\"/a\\\\x0ab\\\\\\\\xff\\\\0\":\"xfs  \",\"thing _x\":\"xfs "
           "/dev/b\"}");
}

static void without_proc_it_says_so(void **state)
{
    (void)state;
    assert_int_equal(collect_filesystems(root, sheet), ERR_NOT_FOUND);
    assert_int_equal(sheet_count(sheet), 0);
    expect("{\"unavailable\":\"there is no /proc/self/mountinfo\"}");
}

/* ---- sockets ---- */

#define TCP_HEAD                                                               \
    "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when "      \
    "retrnsmt   uid  timeout inode\n"
#define REST " 1 0000000036e28518 100 0 0 10 0\n"

static void sockets_are_named_with_their_processes(void **state)
{
    (void)state;
    has("/proc/net/tcp",
        TCP_HEAD "   0: 00000000:0016 00000000:0000 0A 00000000:00000000 "
                 "00:00000000 00000000     0        0 70" REST
                 "   1: 0100007F:1F90 0100007F:D000 01 00000000:00000000 "
                 "00:00000000 00000000    33        0 71" REST
                 "   2: 0100007F:1F90 00000000:0000 0A 00000000:00000000 "
                 "00:00000000 00000000    33        0 72" REST);
    has("/proc/net/udp6",
        "   0: 00000000000000000000000000000000:0035 "
        "00000000000000000000000000000000:0000 07 00000000:00000000 "
        "00:00000000 00000000   101        0 73 2 0000 0\n"
        "   1: 00000000000000000000000001000000:C350 "
        "00000000000000000000000000000000:0000 07 00000000:00000000 "
        "00:00000000 00000000   101        0 74 2 0000 0\n");
    has("/proc/sys/net/ipv4/ip_local_port_range", "50000\t50000\n");
    has("/proc/10/comm", "sshd\n");
    has("/proc/20/comm", "ng\tinx\n");
    has("/proc/30/comm", "apache\n");
    links("/proc/10/fd/3", "socket:[70]");
    links("/proc/10/fd/4", "/dev/null");
    links("/proc/20/fd/9", "socket:[72]");
    links("/proc/30/fd/9", "socket:[72]");
    links("/proc/30/fd/10", "socket:[x]");
    links("/proc/30/fd/11", "socket:[");
    assert_int_equal(collect_sockets(root, sheet), 0);
    expect("{\"tcp 0.0.0.0:22\":\"uid=0 process=sshd\","
           "\"tcp 127.0.0.1:8080\":\"uid=33 process=apache,ng\\\\x09inx\","
           "\"udp [::]:53\":\"uid=101\"}");
}

static void a_line_that_is_no_socket_is_none(void **state)
{
    static const char *const lines[] = {
        "",
        " ",
        "  sl  local_address rem_address   st",
        "0: 00000000:0016",
        "0: 0000000:0016 00000000:0000 0A 0 0 0 0 0 1",
        "0: 0000000x:0016 00000000:0000 0A 0 0 0 0 0 1",
        "0: 00000000:0000 00000000:0000 0A 0 0 0 0 0 1",
        "0: 00000000:0016 00000000:0001 0A 0 0 0 0 0 1",
        "0: 00000000:0016 00000000:0000 0A 0 0 0 -1 0 1",
        "0: 00000000:0016 00000000:0000 0A 0 0 0 0 0",
        "0: 00000000:0016 00000000:0000 0A 0 0 0 0 0 99999999999999999999"};
    struct listener socket;

    (void)state;
    for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++) {
        assert_int_equal(
            listener_parse(TRANSPORT_TCP, str_of(lines[i]), &socket),
            ERR_INVALID);
    }
    assert_int_equal(
        listener_parse(TRANSPORT_TCP,
                       STR("0: 00000000:0016 00000000:0000 0A 0 0 0 5 0 7"),
                       &socket),
        0);
    assert_int_equal(socket.port, 22);
    assert_int_equal(socket.uid, 5);
    assert_int_equal(socket.inode, 7);
}

/* ---- units ---- */

static void units_stand_under_their_state(void **state)
{
    (void)state;
    unit_add(sheet, STR("ssh.service loaded active running OpenBSD server"));
    unit_add(sheet, STR("a\\x2db.service loaded reloading reload A"));
    unit_add(sheet, STR("x.service not-found inactive dead x.service"));
    unit_add(sheet, STR("  bad.service loaded failed failed Bad"));
    unit_add(sheet, STR("off.service masked inactive dead off"));
    unit_add(sheet, STR("short.service loaded"));
    unit_add(sheet, STR(""));
    unit_file_add(sheet, STR("ssh.service  enabled enabled"));
    unit_file_add(sheet, STR("no.service disabled enabled"));
    unit_file_add(sheet, STR(""));
    expect("{\"active\":\"a\\\\x2db.service ssh.service\",\"enabled\":\"ssh."
           "service\",\"failed\":\"bad.service\",\"masked\":\"off.service\"}");
}

static void without_systemd_there_are_no_units(void **state)
{
    (void)state;
    assert_int_equal(collect_units(root, sheet), ERR_NOT_FOUND);
    expect("{\"unavailable\":\"systemd does not run here\"}");
}

/* ---- packages ---- */

static void feed(struct dpkg *dpkg, const char *text)
{
    while (*text != '\0') {
        size_t n = strcspn(text, "\n");
        dpkg_line(dpkg, (struct str){text, n});
        text += n + (text[n] == '\n' ? 1 : 0);
    }
    dpkg_line(dpkg, STR(""));
    dpkg_add(dpkg, sheet);
    (void)dpkg_free(dpkg);
}

static void packages_are_those_installed_by_letter(void **state)
{
    (void)state;
    feed(dpkg_new(),
         "Package: bash\nStatus: install ok installed\nArchitecture: amd64\n"
         "Version: 5.2\nDescription: GNU\n Package: no\n\n"
         "Package: libc6\nStatus: install ok installed\nArchitecture: i386\n"
         "Version: 2.36\n\n"
         "Package: libc6\nStatus: hold ok installed\nArchitecture: amd64\n"
         "Version: 2.36\n\n\n"
         "Package: old\nStatus: deinstall ok config-files\nVersion: 1\n\n"
         "Package: base-files\nStatus: install ok installed\n"
         "Architecture: all\nVersion: 12\n\n"
         "Package: +x\nStatus: install ok installed\nVersion: 3\n"
         "Architecture: amd64\n\n"
         "Status: install ok installed\nVersion: 3\n\n"
         "Package: dpkg\nStatus: install ok installed\nArchitecture: amd64\n"
         "Version: 1.21");
    rpm_add(sheet, STR("Bash\t5.1-6.el9.x86_64"));
    rpm_add(sheet, STR("no tab"));
    rpm_add(sheet, STR("\tno name"));
    rpm_add(sheet, STR(""));
    expect("{\"b\":\"Bash=5.1-6.el9.x86_64 base-files=12 bash=5.2\",\"d\":"
           "\"dpkg=1.21\",\"libc\":\"libc6:i386=2.36 libc6=2.36\",\"other\":"
           "\"+x=3\"}");
}

static void a_broken_status_file_gives_what_can_be_read(void **state)
{
    (void)state;
    feed(dpkg_new(),
         "Package:\nPackage: \nStatus:\nVersion: 1\n\n"
         "Package: \xff\x01\nStatus: install ok installed\nVersion: \x1b[0m\n\n"
         "Package: a\nPackage: b\nStatus: install ok installed\nVersion: 2\n\n"
         "Package: c\nStatus: installed\nVersion: 2\n\n"
         "Package: d\nStatus: install ok installed");
    expect("{\"b\":\"b=2\",\"other\":\"\\\\xff\\\\x01=\\\\x1b[0m\"}");
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(items_come_out_sorted_and_once),
        T(names_of_the_sheet_and_the_server_are_kept_apart),
        T(hostile_bytes_become_text),
        T(fields_beyond_the_limit_are_counted),
        T(a_resource_stays_below_its_size),
        T(an_interface_says_state_mac_mtu_and_addresses),
        T(what_comes_and_goes_by_itself_is_left_out),
        T(file_systems_are_those_of_devices_and_networks),
        T(a_mount_point_can_be_anything),
        T(without_proc_it_says_so),
        T(sockets_are_named_with_their_processes),
        T(a_line_that_is_no_socket_is_none),
        T(units_stand_under_their_state),
        T(without_systemd_there_are_no_units),
        T(packages_are_those_installed_by_letter),
        T(a_broken_status_file_gives_what_can_be_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
