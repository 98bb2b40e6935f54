/* Thousands of packages in some dozen fields, as Debian's archive sorts them:
 * by first letter, those of "lib…" by the fourth: "b" = "bash=5.2.15-2+b8 …".
 * Installed are those of dpkg (its status file), with ":i386" behind the name
 * of a foreign architecture, and those of rpm where there is one, with
 * ".x86_64" behind the version. */
#include <ctype.h>

#include "agent/collect.h"
#include "agent/lines.h"
#include "agent/read.h"
#include "base/err.h"

enum { PACKAGES_MAX = SHEET_ITEMS_MAX };

struct package {
    struct str name;
    struct str status;
    struct str version;
    struct str arch;
};

struct dpkg {
    struct arena *arena;
    struct package *items;
    size_t n;
    size_t room;
    struct package now; /* the paragraph that is being read */
};

/* ---- what both share ---- */

static bool is_plain(char c)
{
    return isalnum((unsigned char)c) != 0 && (unsigned char)c < 0x80;
}

static void add_package(struct sheet *sheet, struct str name, struct str text)
{
    bool lib =
        name.n > 3 && memcmp(name.p, "lib", 3) == 0 && is_plain(name.p[3]);
    char group[5] = "lib";

    if (!is_plain(name.p[0])) {
        sheet_add(sheet, 0, STR("other"), text);
        return;
    }
    char *at = lib ? group + 3 : group;
    at[0] = (char)tolower((unsigned char)name.p[lib ? 3 : 0]);
    at[1] = '\0';
    sheet_add(sheet, 0, str_of(group), text);
}

/* ---- dpkg ---- */

struct dpkg *dpkg_new(void)
{
    struct dpkg *dpkg = mem_zero(sizeof *dpkg);

    dpkg->arena = arena_new();
    return dpkg;
}

struct dpkg *dpkg_free(struct dpkg *dpkg)
{
    if (dpkg != NULL) {
        dpkg->arena = arena_free(dpkg->arena);
        (void)mem_free(dpkg->items);
        (void)mem_free(dpkg);
    }
    return NULL;
}

/* "install ok installed": what is wanted, any fault, what is. */
static bool is_installed(struct str status)
{
    line_skip(&status, 2);
    return str_is(line_word(&status), "installed");
}

static void end_paragraph(struct dpkg *dpkg)
{
    struct package *now = &dpkg->now;

    if (now->name.n > 0 && now->version.n > 0 && is_installed(now->status) &&
        dpkg->n < PACKAGES_MAX) {
        if (dpkg->n == dpkg->room) {
            dpkg->room = dpkg->room == 0 ? 1024 : dpkg->room * 2;
            dpkg->items =
                mem_grow(dpkg->items, dpkg->room * sizeof *dpkg->items);
        }
        dpkg->items[dpkg->n++] = *now;
    }
    *now = (struct package){0};
}

void dpkg_line(struct dpkg *dpkg, struct str line)
{
    const struct {
        const char *label;
        struct str *value;
    } wanted[] = {{"Package:", &dpkg->now.name},
                  {"Status:", &dpkg->now.status},
                  {"Version:", &dpkg->now.version},
                  {"Architecture:", &dpkg->now.arch}};

    if (read_trim(line).n == 0) {
        end_paragraph(dpkg);
        return;
    }
    for (size_t i = 0; i < sizeof wanted / sizeof wanted[0]; i++) {
        size_t n = strlen(wanted[i].label);
        if (line.n > n && memcmp(line.p, wanted[i].label, n) == 0) {
            struct str value = {line.p + n, line.n - n};
            *wanted[i].value = arena_str(dpkg->arena, read_trim(value));
        }
    }
}

/* The machine's own architecture is that of dpkg itself. */
static struct str own_arch(const struct dpkg *dpkg)
{
    for (size_t i = 0; i < dpkg->n; i++) {
        if (str_is(dpkg->items[i].name, "dpkg")) {
            return dpkg->items[i].arch;
        }
    }
    return STR_NONE;
}

void dpkg_add(struct dpkg *dpkg, struct sheet *sheet)
{
    struct str own = own_arch(dpkg);
    struct buf text = {0};

    for (size_t i = 0; i < dpkg->n; i++) {
        const struct package *p = &dpkg->items[i];
        bool foreign =
            own.n > 0 && !str_is(p->arch, "all") && !str_equal(p->arch, own);
        buf_clear(&text);
        buf_add_str(&text, p->name);
        if (foreign) {
            buf_add_char(&text, ':');
            buf_add_str(&text, p->arch);
        }
        buf_add_char(&text, '=');
        buf_add_str(&text, p->version);
        add_package(sheet, p->name, buf_str(&text));
    }
    buf_done(&text);
}

static void on_dpkg_line(void *user, struct str line)
{
    dpkg_line(user, line);
}

static int collect_dpkg(const char *root, struct sheet *sheet)
{
    struct dpkg *dpkg = dpkg_new();

    int r = lines_of_file(root, "/var/lib/dpkg/status", on_dpkg_line, dpkg);
    if (r == 0) {
        dpkg_line(dpkg, STR(""));
        dpkg_add(dpkg, sheet);
    }
    (void)dpkg_free(dpkg);
    return r;
}

/* ---- rpm ---- */

void rpm_add(struct sheet *sheet, struct str line)
{
    struct buf text = {0};
    const char *tab = line.n == 0 ? NULL : memchr(line.p, '\t', line.n);

    if (tab == NULL || tab == line.p) {
        return;
    }
    struct str name = {line.p, (size_t)(tab - line.p)};
    buf_add_str(&text, name);
    buf_add_char(&text, '=');
    buf_add(&text, tab + 1, line.n - name.n - 1);
    add_package(sheet, name, buf_str(&text));
    buf_done(&text);
}

static void on_rpm_line(void *user, struct str line)
{
    rpm_add(user, line);
}

static int collect_rpm(struct sheet *sheet)
{
    static const char format[] = "%{NAME}\\t%|EPOCH?{%{EPOCH}:}:{}|%{VERSION}-"
                                 "%{RELEASE}.%{ARCH}\\n";
    const char *const argv[] = {"rpm", "-qa", "--queryformat", format, NULL};

    return lines_of_program(argv, on_rpm_line, sheet);
}

int collect_packages(const char *root, struct sheet *sheet)
{
    int dpkg = collect_dpkg(root, sheet);
    int rpm = collect_rpm(sheet);

    if (dpkg == ERR_NOT_FOUND && rpm == ERR_NOT_FOUND) {
        sheet_note(sheet, "unavailable", "there is neither dpkg nor rpm");
    }
    /* An rpm that fails is no reason to hide what dpkg says: on Debian it is
     * a tool that nobody's packages come from. */
    return dpkg == 0 ? 0 : rpm;
}
