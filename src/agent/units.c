/* A field per state: "active" = "cron.service ssh.service …"; and `enabled`,
 * what starts by itself. Services, sockets and timers: other kinds mirror
 * mounts and devices, or come and go with sessions. */
#include "agent/collect.h"
#include "agent/lines.h"
#include "agent/read.h"
#include "base/err.h"

#define KINDS "--type=service,socket,timer"

/* A change on its way is told as what it leads from or to, so that a moment
 * does not look like news. */
static struct str settled(struct str state)
{
    return str_is(state, "reloading") || str_is(state, "deactivating")
               ? STR("active")
               : state;
}

void unit_add(struct sheet *sheet, struct str line)
{
    struct str unit = line_word(&line);
    struct str load = line_word(&line);
    struct str active = line_word(&line);

    /* Others name it, but it does not exist. */
    if (active.p == NULL || str_is(load, "not-found")) {
        return;
    }
    /* masked, error, bad-setting: that is the news about it. */
    sheet_add(sheet, 0, str_is(load, "loaded") ? settled(active) : load, unit);
}

void unit_file_add(struct sheet *sheet, struct str line)
{
    struct str unit = line_word(&line);
    struct str state = line_word(&line);

    if (str_is(state, "enabled")) {
        sheet_add(sheet, 0, state, unit);
    }
}

static void on_unit(void *user, struct str line)
{
    unit_add(user, line);
}

static void on_file(void *user, struct str line)
{
    unit_file_add(user, line);
}

int collect_units(const char *root, struct sheet *sheet)
{
    const char *const units[] = {"systemctl",  "list-units", "--all",
                                 "--full",     "--plain",    "--no-legend",
                                 "--no-pager", KINDS,        NULL};
    const char *const files[] = {
        "systemctl",  "list-unit-files", "--full", "--no-legend",
        "--no-pager", "--state=enabled", KINDS,    NULL};

    if (!read_exists(root, "/run/systemd/system")) {
        sheet_note(sheet, "unavailable", "systemd does not run here");
        return ERR_NOT_FOUND;
    }
    int r = lines_of_program(units, on_unit, sheet);
    if (r == 0) {
        r = lines_of_program(files, on_file, sheet);
    }
    if (r == ERR_NOT_FOUND) {
        sheet_note(sheet, "unavailable", "there is no systemctl");
    }
    return r;
}
