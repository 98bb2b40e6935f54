#include "settings.h"

#include <err.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct settings set = {
    .wire = wire_http, .measure_ns = 1000000000, .n_connections = 1};

static void protocol(const char *name)
{
    if (strcmp(name, "resp") == 0) {
        set.wire = wire_resp;
    } else if (strcmp(name, "zookeeper") == 0) {
        set.wire = wire_zookeeper;
        set.wire_first = wire_zookeeper_first;
    } else if (strcmp(name, "http") != 0) {
        errx(2, "no protocol '%s'", name);
    }
}

static void ports(const char *list)
{
    char *end;

    do {
        unsigned long port = strtoul(list, &end, 10);
        if (port == 0 || port > UINT16_MAX || set.n_ports == PORTS_MOST) {
            errx(2, "-a: at most %d ports", PORTS_MOST);
        }
        set.ports[set.n_ports++] = (uint16_t)port;
        list = end + 1;
    } while (*end == ',');
}

static void option(char letter, const char *value)
{
    static const struct {
        char letter;
        uint64_t unit, *ret;
    } numbers[] = {
        {'c', 1, &set.n_connections},
        {'t', 1000000, &set.measure_ns},
        {'w', 1000000, &set.warm_ns},
        {'n', 1, &set.most},
        {'r', 1, &set.rate},
        {'s', 1, &set.request.first_item},
        {'m', 1, &set.request.item_modulo},
        {'M', 1, &set.request.request_modulo},
        {'k', 1, &set.pid},
        {'S', 1, &set.signal},
    };

    if (letter == 'P') {
        protocol(value);
    } else if (letter == 'C') {
        set.ca = value;
    } else if (letter == 'W') {
        set.waits = true;
    } else if (letter == 'a') {
        ports(value);
    } else if (letter == 'f' || letter == 'p') {
        template_read(letter == 'f' ? &set.request : &set.hello, value);
    }
    for (size_t i = 0; value != NULL && i < sizeof numbers / sizeof *numbers;
         i++) {
        if (numbers[i].letter == letter) {
            *numbers[i].ret = strtoul(value, NULL, 10) * numbers[i].unit;
        }
    }
}

void settings_read(int argc, char **argv)
{
    int letter;

    while ((letter = getopt(argc, argv, "a:P:f:p:C:Wc:t:w:n:r:s:m:M:k:S:")) !=
           -1) {
        if (letter == '?') {
            errx(2, "see settings.h");
        }
        option((char)letter, optarg);
    }
    if (set.request.n == 0 || set.n_connections == 0 || set.n_ports == 0) {
        errx(2, "-a, -f and -c are needed");
    }
}
