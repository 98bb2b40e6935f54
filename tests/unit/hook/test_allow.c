/* Which addresses are called, by a table. */
/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
/* clang-format on */

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "hook/allow.h"

static const char *refused(const struct allow *allow, const char *text)
{
    struct sockaddr_storage sa = {.ss_family = AF_INET};
    struct sockaddr_in *in = (struct sockaddr_in *)(void *)&sa;
    struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)(void *)&sa;

    if (inet_pton(AF_INET, text, &in->sin_addr) != 1) {
        sa.ss_family = AF_INET6;
        assert_int_equal(inet_pton(AF_INET6, text, &in6->sin6_addr), 1);
    }
    return allow_refuses(allow, (const struct sockaddr *)(const void *)&sa);
}

static const struct {
    const char *address;
    const char *what; /* NULL: it is called */
} cases[] = {
    {"192.0.2.7", NULL},
    {"10.0.0.1", NULL},
    {"192.168.1.1", NULL},
    {"172.16.5.4", NULL},
    {"100.100.100.199", NULL},
    {"169.253.255.255", NULL},
    {"128.0.0.1", NULL},
    {"2001:db8::1", NULL},
    {"fd00::1", NULL},
    {"fd00:ec2::253", NULL},
    {"0.0.0.0", "unspecified"},
    {"0.1.2.3", "unspecified"},
    {"127.0.0.1", "loopback"},
    {"127.255.255.254", "loopback"},
    {"169.254.0.1", "link-local"},
    {"169.254.169.254", "metadata"},
    {"100.100.100.200", "metadata"},
    {"168.63.129.16", "metadata"},
    {"168.63.129.17", NULL},
    {"192.0.0.192", "metadata"},
    {"fd20:ce::254", "metadata"},
    {"::ffff:168.63.129.16", "metadata"},
    {"224.0.0.1", "multicast"},
    {"239.255.255.255", "multicast"},
    {"240.0.0.1", "reserved"},
    {"255.255.255.255", "broadcast"},
    {"::", "unspecified"},
    {"::1", "loopback"},
    {"fe80::1", "link-local"},
    {"febf::1", "link-local"},
    {"fec0::1", "site-local"},
    {"ff02::1", "multicast"},
    {"fd00:ec2::254", "metadata"},
    /* An IPv4 address inside. */
    {"::ffff:127.0.0.1", "loopback"},
    {"::ffff:169.254.169.254", "metadata"},
    {"::ffff:192.0.2.7", NULL},
    {"::127.0.0.1", "loopback"},
    {"::192.0.2.7", NULL},
    {"::ffff:0:127.0.0.1", "loopback"},
    {"64:ff9b::127.0.0.1", "loopback"},
    {"64:ff9b::169.254.169.254", "metadata"},
    {"64:ff9b::192.0.2.7", NULL},
    {"64:ff9b:1::10.0.0.1", NULL},
    {"64:ff9b:1::127.0.0.1", "loopback"},
    {"2002:7f00:1::", "loopback"},
    {"2002:a9fe:a9fe::1", "metadata"},
    {"2002:c000:207::1", NULL},
    /* Teredo hides it: 127.0.0.1, each bit turned over. */
    {"2001:0:c000:207:0:0:80ff:fffe", "loopback"},
    {"2001:0:c000:207:0:0:3fff:fdf8", NULL},
};

static void each_address_is_what_it_is(void **state)
{
    const struct allow none = {.n = 0};

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const char *what = refused(&none, cases[i].address);
        if ((what == NULL) != (cases[i].what == NULL) ||
            (what != NULL && strstr(what, cases[i].what) == NULL)) {
            fail_msg("%s: %s, not %s", cases[i].address,
                     what == NULL ? "called" : what,
                     cases[i].what == NULL ? "called" : cases[i].what);
        }
    }
}

static struct allow read_all(const char *text)
{
    struct allow allow = {.n = 0};
    const char *why = NULL;

    assert_int_equal(allow_read(text, &allow, &why), 0);
    return allow;
}

static void what_is_allowed_is_called_and_nothing_beside_it(void **state)
{
    (void)state;
    struct allow allow = read_all("127.0.0.1/32, 169.254.0.0/17,::1,fe80::/64");

    assert_null(refused(&allow, "127.0.0.1"));
    assert_null(refused(&allow, "::ffff:127.0.0.1"));
    assert_null(refused(&allow, "169.254.127.255"));
    assert_null(refused(&allow, "::1"));
    assert_null(refused(&allow, "fe80::5"));
    assert_non_null(refused(&allow, "127.0.0.2"));
    assert_non_null(refused(&allow, "169.254.128.0"));
    assert_non_null(refused(&allow, "fe80:0:0:1::5"));
    assert_non_null(refused(&allow, "2002:7f00:1::"));
    allow_done(&allow);
    allow = read_all("0.0.0.0/0");
    assert_null(refused(&allow, "127.9.9.9"));
    assert_non_null(refused(&allow, "::1"));
    allow_done(&allow);
    allow = read_all(NULL);
    assert_int_equal(allow.n, 0);
}

static void what_is_no_network_is_refused(void **state)
{
    static const char *const bad[] = {
        "x",       "127.0.0.1/33", "127.0.0.1/", "127.0.0.1/x",
        "::1/129", "1.2.3",        ",",          "1.2.3.4,,::1",
        "/8",      "1.2.3.4 /8",   "fe80::%1",   "1.2.3.4/-1"};
    struct allow allow;
    const char *why = NULL;

    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        if (allow_read(bad[i], &allow, &why) != ERR_INVALID) {
            fail_msg("%s was taken", bad[i]);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_address_is_what_it_is),
        cmocka_unit_test(what_is_allowed_is_called_and_nothing_beside_it),
        cmocka_unit_test(what_is_no_network_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
