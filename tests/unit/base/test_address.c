/* HOST:PORT as people write it. */
/* cmocka.h needs the four before it. */
/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
/* clang-format on */

#include "base/address.h"
#include "base/err.h"
#include "base/mem.h"

static void assert_split(const char *text, const char *host, const char *port)
{
    char found_host[ADDRESS_HOST], found_port[16];

    assert_int_equal(address_split(text, found_host, found_port), 0);
    assert_string_equal(found_host, host);
    assert_string_equal(found_port, port);
}

static void an_address_is_taken_apart(void **state)
{
    (void)state;
    assert_split("node-1.example:7001", "node-1.example", "7001");
    assert_split("127.0.0.1:0", "127.0.0.1", "0");
    assert_split("[fe80::1%lo]:7001", "fe80::1%lo", "7001");
    assert_split(":7001", "", "7001");
}

static void what_is_no_address_is_refused(void **state)
{
    static const char *const wrong[] = {
        "",       "host",     "host:",    "host:65536", "host:-1", "::1",
        "::1:80", "host:80x", "host: 80", "[::1]",      "[::1",    "a:b:80"};
    char host[ADDRESS_HOST], port[16];

    (void)state;
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        if (address_split(wrong[i], host, port) != ERR_INVALID) {
            fail_msg("taken: %s", wrong[i]);
        }
    }
}

static void listening_needs_no_host_and_dialling_does(void **state)
{
    struct address found[4] = {0};
    const char *why = NULL;
    size_t n = 0;

    (void)state;
    assert_int_equal(address_to_listen(":7001", found, &why), 0);
    assert_int_equal(address_to_dial(":7001", found, 4, &n, &why), ERR_INVALID);
    assert_string_equal(why, "is no HOST:PORT");
    assert_int_equal(address_to_dial("127.0.0.1:0", found, 4, &n, &why),
                     ERR_INVALID);
    assert_int_equal(address_to_dial("127.0.0.1:7001", found, 4, &n, &why), 0);
    assert_int_equal(n, 1);
}

static void an_address_is_written_as_it_is_read(void **state)
{
    static const char *const texts[] = {"127.0.0.1:7001", "[::1]:7001"};
    const char *why = NULL;

    (void)state;
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        struct address address = {0};
        assert_int_equal(address_to_listen(texts[i], &address, &why), 0);
        char *text = address_text(&address);
        assert_string_equal(text, texts[i]);
        mem_free(text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_address_is_taken_apart),
        cmocka_unit_test(what_is_no_address_is_refused),
        cmocka_unit_test(listening_needs_no_host_and_dialling_does),
        cmocka_unit_test(an_address_is_written_as_it_is_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
