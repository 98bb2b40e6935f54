#include <arpa/inet.h>
#include <netinet/in.h>

#include "kit.h"
#include "rest/origin.h"

static void address_of(const char *text, uint8_t ret_address[16])
{
    struct sockaddr_in v4 = {.sin_family = AF_INET};
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6};

    if (inet_pton(AF_INET, text, &v4.sin_addr) == 1) {
        rest_origin_address((const struct sockaddr *)&v4, ret_address);
    } else {
        assert_int_equal(inet_pton(AF_INET6, text, &v6.sin6_addr), 1);
        rest_origin_address((const struct sockaddr *)&v6, ret_address);
    }
}

static bool take(struct rest_origins *origins, const char *text)
{
    uint8_t address[16];

    address_of(text, address);
    return rest_origins_take(origins, address);
}

static void give(struct rest_origins *origins, const char *text)
{
    uint8_t address[16];

    address_of(text, address);
    rest_origins_give(origins, address);
}

static void each_address_has_its_own_count(void **state)
{
    struct rest_origins origins;

    (void)state;
    rest_origins_init(&origins, 2);
    assert_true(take(&origins, "10.0.0.1"));
    assert_true(take(&origins, "10.0.0.1"));
    assert_false(take(&origins, "10.0.0.1"));
    assert_true(take(&origins, "10.0.0.2"));
    give(&origins, "10.0.0.1");
    assert_true(take(&origins, "10.0.0.1"));
    assert_false(take(&origins, "10.0.0.1"));
    give(&origins, "10.0.0.1");
    give(&origins, "10.0.0.1");
    give(&origins, "10.0.0.2");
    assert_null(origins.all);
    rest_origins_done(&origins);
}

static void addresses_of_one_ipv6_network_count_together(void **state)
{
    struct rest_origins origins;

    (void)state;
    rest_origins_init(&origins, 1);
    assert_true(take(&origins, "2001:db8:0:1::1"));
    assert_false(take(&origins, "2001:db8:0:1:ffff::2"));
    assert_true(take(&origins, "2001:db8:0:2::1"));
    give(&origins, "2001:db8:0:1:ffff::2");
    assert_true(take(&origins, "2001:db8:0:1::3"));
    give(&origins, "2001:db8:0:1::1");
    give(&origins, "2001:db8:0:2::1");
    rest_origins_done(&origins);
}

static void ipv4_is_the_same_in_both_spellings(void **state)
{
    struct rest_origins origins;

    (void)state;
    rest_origins_init(&origins, 1);
    assert_true(take(&origins, "192.0.2.7"));
    assert_false(take(&origins, "::ffff:192.0.2.7"));
    assert_true(take(&origins, "::ffff:192.0.2.8"));
    give(&origins, "192.0.2.7");
    give(&origins, "192.0.2.8");
    rest_origins_done(&origins);
}

static void without_a_limit_nobody_is_counted(void **state)
{
    struct rest_origins origins;

    (void)state;
    rest_origins_init(&origins, 0);
    for (int i = 0; i < 100; i++) {
        assert_true(take(&origins, "10.0.0.1"));
    }
    assert_null(origins.all);
    give(&origins, "10.0.0.1");
    rest_origins_done(&origins);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_address_has_its_own_count),
        cmocka_unit_test(addresses_of_one_ipv6_network_count_together),
        cmocka_unit_test(ipv4_is_the_same_in_both_spellings),
        cmocka_unit_test(without_a_limit_nobody_is_counted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
