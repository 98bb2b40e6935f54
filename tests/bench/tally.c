#include "tally.h"

#include <inttypes.h>
#include <stdio.h>

void tally_answer(struct tally *t, bool good, uint64_t since_ns,
                  uint64_t now_ns)
{
    t->answers++;
    t->last_ns = now_ns;
    if (good) {
        t->good++;
    } else {
        t->refused++;
    }
    if (now_ns >= t->begin_ns && now_ns < t->end_ns && good) {
        t->counted++;
        spread_add(&t->latency, now_ns - since_ns);
    }
}

void tally_refused(struct tally *t, const char *p, size_t n)
{
    size_t i = 0;

    if (t->first_refused[0] != '\0') {
        return;
    }
    for (; i < n && i + 1 < sizeof t->first_refused; i++) {
        bool plain = p[i] >= ' ' && p[i] <= '~' && p[i] != '"' && p[i] != '\\';
        t->first_refused[i] = ' ';
        if (plain) {
            t->first_refused[i] = p[i];
        }
    }
    t->first_refused[i] = '\0';
}

static void print_us(const char *name, uint64_t ns)
{
    printf("\"%s\": %.1f, ", name, (double)ns / 1e3);
}

void tally_print(const struct tally *t, uint64_t measured_ns)
{
    double seconds = (double)measured_ns / 1e9;

    printf("{\"seconds\": %.6f, \"rate\": %.1f, ", seconds,
           seconds > 0 ? (double)t->counted / seconds : 0);
    printf("\"counted\": %" PRIu64 ", \"answers\": %" PRIu64
           ", \"acknowledged\": %" PRIu64 ", \"refused\": %" PRIu64
           ", \"broken\": %" PRIu64 ", \"bytes\": %" PRIu64 ", ",
           t->counted, t->answers, t->good, t->refused, t->broken, t->bytes);
    print_us("p50_us", spread_quantile(&t->latency, 0.5));
    print_us("p90_us", spread_quantile(&t->latency, 0.9));
    print_us("p99_us", spread_quantile(&t->latency, 0.99));
    print_us("p999_us", spread_quantile(&t->latency, 0.999));
    print_us("max_us", t->latency.most);
    printf("\"first_refused\": \"%s\"}\n", t->first_refused);
}
