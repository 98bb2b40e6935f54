#include "kit.h"

#define MACHINES STR("machine")
#define SHOP STR("shop.roster")
#define WEB STR("web.shop.roster")

static void a_rule_holds_below_by_whole_labels(void **state)
{
    WHO *who = allowed(ACCESS_READ, MACHINES, STR("b.roster"));

    (void)state;
    assert_true(access_may(who, ACCESS_READ, MACHINES, STR("b.roster")));
    assert_true(access_may(who, ACCESS_READ, MACHINES, STR("x.b.roster")));
    assert_false(access_may(who, ACCESS_READ, MACHINES, STR("ab.roster")));
    assert_false(access_may(who, ACCESS_READ, MACHINES, STR("x.ab.roster")));
    assert_false(access_may(who, ACCESS_READ, MACHINES, STR("roster")));
    assert_false(access_may(who, ACCESS_READ, MACHINES, STR(".b.roster.x")));
    assert_false(access_may(who, ACCESS_READ, MACHINES, STR("")));
}

static void what_no_rule_allows_is_denied(void **state)
{
    WHO *who = allowed(ACCESS_READ | ACCESS_UPDATE, MACHINES, SHOP);
    WHO *none = granted(NULL, NO_NAMES);

    (void)state;
    assert_true(access_may(who, ACCESS_READ | ACCESS_UPDATE, MACHINES, WEB));
    assert_false(access_may(who, ACCESS_READ | ACCESS_DELETE, MACHINES, WEB));
    assert_false(access_may(who, ACCESS_READ, STR("service"), WEB));
    assert_false(access_may(who, ACCESS_READ, STR("machin"), WEB));
    assert_false(access_may(who, ACCESS_READ, STR(ACCESS_NS), WEB));
    assert_false(access_may(none, ACCESS_READ, MACHINES, WEB));
}

static void rules_add_up(void **state)
{
    const struct access_rule rules[] = {
        {ACCESS_READ, STR(""), NAMES(STR("*"))},
        {ACCESS_UPDATE, SHOP, NAMES(MACHINES)},
    };
    const struct access_made made = {
        .kind = ACCESS_TOKEN, .rules = rules, .n_rules = 2};
    WHO *who = NULL;

    (void)state;
    assert_int_equal(access_make(NULL, &made, &who), 0);
    assert_true(access_may(who, ACCESS_READ | ACCESS_UPDATE, MACHINES, WEB));
    assert_false(access_may(who, ACCESS_UPDATE, MACHINES, STR("roster")));
    assert_false(access_may(who, ACCESS_UPDATE, STR("service"), WEB));
}

static void a_star_is_each_type_and_nothing_of_the_registrys_own(void **state)
{
    WHO *types = allowed(ACCESS_ALL, STR("*"), STR(""));
    WHO *own = allowed(ACCESS_ALL, STR("@*"), STR(""));

    (void)state;
    assert_true(access_may(types, ACCESS_ALL, MACHINES, WEB));
    assert_false(access_may(types, ACCESS_READ, STR(ACCESS_ADMIN), STR("")));
    assert_false(access_may(types, ACCESS_READ, STR(ACCESS_NS), WEB));
    assert_true(access_may(own, ACCESS_ALL, STR(ACCESS_ADMIN), STR("")));
    assert_true(access_may(own, ACCESS_ALL, STR(ACCESS_NS), WEB));
    assert_false(access_may(own, ACCESS_READ, MACHINES, WEB));
}

static void built_in_roles_are_what_they_say(void **state)
{
    static const struct {
        const char *role;
        unsigned verbs;
        const char *target;
        bool may;
    } cases[] = {
        {"reader", ACCESS_READ, "machine", true},
        {"reader", ACCESS_READ, "@ns", true},
        {"reader", ACCESS_READ, "@agents", true},
        {"reader", ACCESS_READ, "@cluster", true},
        {"reader", ACCESS_READ, "@access", false},
        {"reader", ACCESS_READ, "@admin", false},
        {"reader", ACCESS_UPDATE, "machine", false},
        {"agent", ACCESS_ALL, "@agents", true},
        {"agent", ACCESS_READ, "machine", false},
        {"operator", ACCESS_ALL, "machine", true},
        {"operator", ACCESS_ALL, "@ns", true},
        {"operator", ACCESS_ALL, "@types", true},
        {"operator", ACCESS_ALL, "@agents", true},
        {"operator", ACCESS_UPDATE, "@cluster", true},
        {"operator", ACCESS_CREATE, "@cluster", false},
        {"operator", ACCESS_READ, "@access", false},
        {"operator", ACCESS_READ, "@admin", false},
        {"admin", ACCESS_ALL, "machine", true},
        {"admin", ACCESS_ALL, "@access", true},
        {"admin", ACCESS_ALL, "@admin", true},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        WHO *who = granted(NULL, NAMES(str_of(cases[i].role)));
        assert_int_equal(access_may(who, cases[i].verbs,
                                    str_of(cases[i].target), STR("roster")),
                         cases[i].may);
    }
}

static void a_grant_of_a_subtree_gives_nothing_outside(void **state)
{
    WHO *who = granted(NULL, NAMES(STR("operator@shop.roster")));

    (void)state;
    assert_true(access_may(who, ACCESS_WRITE, MACHINES, WEB));
    assert_false(access_may(who, ACCESS_READ, MACHINES, STR("roster")));
    /* What is in no namespace is in the root. */
    assert_false(access_may(who, ACCESS_READ, STR(ACCESS_CLUSTER), STR("")));
    assert_false(access_may(who, ACCESS_UPDATE, STR(ACCESS_TYPES), STR("")));
}

static void who_is_known_reads_the_types(void **state)
{
    WHO *none = granted(NULL, NO_NAMES);

    (void)state;
    assert_true(access_may(none, ACCESS_READ, STR(ACCESS_TYPES), STR("")));
    assert_false(access_may(none, ACCESS_ALL, STR(ACCESS_TYPES), STR("")));
    assert_false(access_may(access_anonymous(), ACCESS_READ, STR(ACCESS_TYPES),
                            STR("")));
    assert_true(
        access_may(access_anyone(), ACCESS_ALL, STR(ACCESS_ADMIN), STR("")));
}

static void what_is_below_is_seen_from_above(void **state)
{
    WHO *who = allowed(ACCESS_READ, MACHINES, WEB);
    WHO *cluster = allowed(ACCESS_READ, STR(ACCESS_CLUSTER), STR(""));

    (void)state;
    assert_true(access_may_below(who, ACCESS_READ, STR("roster")));
    assert_true(access_may_below(who, ACCESS_READ, SHOP));
    assert_true(access_may_below(who, ACCESS_READ, STR("x.web.shop.roster")));
    assert_false(access_may_below(who, ACCESS_READ, STR("db.shop.roster")));
    assert_false(access_may_below(who, ACCESS_UPDATE, SHOP));
    assert_false(access_may_below(cluster, ACCESS_READ, STR("roster")));
    assert_false(access_may_below(access_anonymous(), ACCESS_READ, SHOP));
}

static void nothing_is_filtered_only_for_who_may_all(void **state)
{
    WHO *reader = granted(NULL, NAMES(STR("reader@shop.roster")));
    WHO *machines = allowed(ACCESS_READ, MACHINES, STR(""));
    WHO *types = allowed(ACCESS_READ, STR("*"), STR(""));

    (void)state;
    assert_true(access_may_all(reader, ACCESS_READ, WEB));
    assert_false(access_may_all(reader, ACCESS_READ, STR("roster")));
    assert_false(access_may_all(reader, ACCESS_ALL, WEB));
    assert_false(access_may_all(machines, ACCESS_READ, WEB));
    assert_false(access_may_all(types, ACCESS_READ, WEB));
    assert_true(access_may_all(access_anyone(), ACCESS_ALL, WEB));
}

static bool covers(const char *one, const char *other)
{
    WHO *who = granted(NULL, NAMES(str_of(one)));
    WHO *wants = granted(NULL, NAMES(str_of(other)));

    return access_covers(who, wants);
}

static void nobody_covers_more_than_he_has(void **state)
{
    (void)state;
    assert_true(covers("admin", "operator"));
    assert_true(covers("admin", "admin"));
    assert_true(covers("operator", "reader"));
    assert_true(covers("operator", "reader@shop.roster"));
    assert_true(covers("operator@shop.roster", "operator@web.shop.roster"));
    assert_false(covers("operator@web.shop.roster", "operator@shop.roster"));
    assert_false(covers("operator@shop.roster", "reader"));
    assert_false(covers("operator@b.roster", "reader@ab.roster"));
    assert_false(covers("reader", "operator"));
    assert_false(covers("operator", "admin"));
    assert_true(covers("reader", "nobody-defined-this"));
}

static void each_of_its_own_is_all_of_its_own(void **state)
{
    const struct access_rule rule = {ACCESS_READ, STR(""),
                                     NAMES(STR("@ns"), STR("@agents"),
                                           STR("@types"), STR("@access"),
                                           STR("@cluster"), STR("@admin"))};
    const struct access_made made = {
        .kind = ACCESS_TOKEN, .rules = &rule, .n_rules = 1};
    WHO *all = NULL;
    WHO *star = allowed(ACCESS_READ, STR("@*"), STR(""));
    WHO *one = allowed(ACCESS_READ, STR("@ns"), STR(""));

    (void)state;
    assert_int_equal(access_make(NULL, &made, &all), 0);
    assert_true(access_covers(all, star));
    assert_true(access_covers(star, all));
    assert_false(access_covers(one, star));
}

static void who_is_bound_to_a_host_gives_no_agent_of_another(void **state)
{
    const struct access_made bound = {.kind = ACCESS_AGENT,
                                      .hostname = STR("web-1"),
                                      .grants = NAMES(STR("agent"))};
    const struct access_made elsewhere = {.kind = ACCESS_AGENT,
                                          .hostname = STR("web-2"),
                                          .grants = NAMES(STR("agent"))};
    WHO *one = NULL;
    WHO *other = NULL;
    WHO *free = granted(NULL, NAMES(STR("agent")));

    (void)state;
    assert_int_equal(access_make(NULL, &bound, &one), 0);
    assert_int_equal(access_make(NULL, &elsewhere, &other), 0);
    assert_true(access_covers(one, one));
    assert_false(access_covers(one, other));
    assert_false(access_covers(one, free));
    assert_true(access_covers(free, one));
}

static void a_limit_takes_and_never_gives(void **state)
{
    const struct access_names limits =
        NAMES(STR("reader@web.shop.roster"), STR("admin@db.roster"));
    const struct access_made made = {.kind = ACCESS_USER,
                                     .grants =
                                         NAMES(STR("operator@shop.roster")),
                                     .limits = &limits};
    WHO *who = NULL;
    WHO *reader = granted(NULL, NAMES(STR("reader@web.shop.roster")));
    WHO *operator= granted(NULL, NAMES(STR("operator@shop.roster")));

    (void)state;
    assert_int_equal(access_make(NULL, &made, &who), 0);
    assert_true(access_may(who, ACCESS_READ, MACHINES, WEB));
    assert_false(access_may(who, ACCESS_UPDATE, MACHINES, WEB));
    assert_false(access_may(who, ACCESS_READ, MACHINES, SHOP));
    assert_false(access_may(who, ACCESS_READ, MACHINES, STR("db.roster")));
    assert_false(access_may_below(who, ACCESS_READ, STR("db.roster")));
    assert_true(access_covers(operator, who));
    assert_true(access_covers(who, reader));
    assert_false(access_covers(who, operator));
}

static void what_moves_opens_no_more_than_it_did(void **state)
{
    static const struct str old = {"old.roster", 10};
    const struct access_rule rules[] = {
        {ACCESS_ALL, STR(""), NAMES(STR(ACCESS_NS))},
        {ACCESS_READ, SHOP, NAMES(MACHINES)},
        {ACCESS_READ, STR("a.deep.roster"), NAMES(STR("*"))},
    };
    const struct access_made made = {
        .kind = ACCESS_TOKEN, .rules = rules, .n_rules = 3};
    WHO *who = NULL;
    WHO *operator= granted(NULL, NAMES(STR("operator")));
    WHO *some = granted(
        NULL, NAMES(STR("operator@shop.roster"), STR("operator@old.roster")));
    WHO *places = granted(NULL, NAMES(STR("reader"), STR("agent@shop.roster")));

    (void)state;
    assert_int_equal(access_make(NULL, &made, &who), 0);
    assert_true(access_gains(who, old, WEB));
    assert_true(access_gains(who, old, STR("deep.roster")));
    assert_false(access_gains(who, old, STR("eep.roster")));
    assert_false(access_gains(who, WEB, old));
    assert_false(access_gains(who, WEB, STR("www.shop.roster")));
    assert_false(access_gains(operator, old, WEB));
    assert_false(access_gains(some, old, WEB));
    assert_false(access_gains(some, WEB, STR("x.old.roster")));
    assert_true(access_gains(places, old, WEB));
    assert_false(access_gains(access_anyone(), old, WEB));
    assert_false(access_gains(access_anonymous(), old, WEB));
}

static bool same_view(struct access_names one, struct access_names other)
{
    WHO *a = granted(NULL, one);
    WHO *b = granted(NULL, other);

    return memcmp(a->view, b->view, sizeof a->view) == 0;
}

static void views_are_equal_where_rules_are(void **state)
{
    const struct access_made bound = {.kind = ACCESS_TOKEN,
                                      .hostname = STR("web-1"),
                                      .grants = NAMES(STR("reader"))};
    WHO *one = NULL;
    WHO *free = granted(NULL, NAMES(STR("reader")));

    (void)state;
    assert_true(same_view(NAMES(STR("reader"), STR("agent@shop.roster")),
                          NAMES(STR("agent@shop.roster"), STR("reader"))));
    assert_true(
        same_view(NAMES(STR("reader"), STR("gone")), NAMES(STR("reader"))));
    assert_false(
        same_view(NAMES(STR("reader")), NAMES(STR("reader@shop.roster"))));
    assert_false(same_view(NAMES(STR("reader")), NAMES(STR("operator"))));
    assert_int_equal(access_make(NULL, &bound, &one), 0);
    assert_memory_not_equal(one->view, free->view, ACCESS_VIEW_BYTES);
    assert_memory_not_equal(access_anyone()->view, access_anonymous()->view,
                            ACCESS_VIEW_BYTES);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_rule_holds_below_by_whole_labels),
        cmocka_unit_test(what_no_rule_allows_is_denied),
        cmocka_unit_test(rules_add_up),
        cmocka_unit_test(a_star_is_each_type_and_nothing_of_the_registrys_own),
        cmocka_unit_test(built_in_roles_are_what_they_say),
        cmocka_unit_test(a_grant_of_a_subtree_gives_nothing_outside),
        cmocka_unit_test(who_is_known_reads_the_types),
        cmocka_unit_test(what_is_below_is_seen_from_above),
        cmocka_unit_test(nothing_is_filtered_only_for_who_may_all),
        cmocka_unit_test(nobody_covers_more_than_he_has),
        cmocka_unit_test(each_of_its_own_is_all_of_its_own),
        cmocka_unit_test(who_is_bound_to_a_host_gives_no_agent_of_another),
        cmocka_unit_test(a_limit_takes_and_never_gives),
        cmocka_unit_test(what_moves_opens_no_more_than_it_did),
        cmocka_unit_test(views_are_equal_where_rules_are),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
