#include "base/date.h"

enum { DAYS_OF_400_YEARS = 146097 };

struct day {
    unsigned year, month, day;
};

/* Years begin in March here, so that the day that comes and goes is the last
 * one of a year; and periods of 400 years are all as long. */
static struct day day_of(uint64_t days)
{
    uint64_t shifted = days + 719468; /* since 0000-03-01 */
    unsigned in_era = (unsigned)(shifted % DAYS_OF_400_YEARS);
    unsigned year =
        (in_era - in_era / 1460 + in_era / 36524 - in_era / 146096) / 365;
    unsigned in_year = in_era - (365 * year + year / 4 - year / 100);
    unsigned month = (5 * in_year + 2) / 153; /* 0: March */

    return (struct day){
        .year = (unsigned)(shifted / DAYS_OF_400_YEARS) * 400 + year +
                (month >= 10 ? 1 : 0),
        .month = month < 10 ? month + 3 : month - 9,
        .day = in_year - (153 * month + 2) / 5 + 1,
    };
}

void date_add(struct buf *out, uint64_t unix_ms)
{
    uint64_t seconds = (unix_ms < DATE_MOST_MS ? unix_ms : DATE_MOST_MS) / 1000;
    struct day day = day_of(seconds / 86400);
    unsigned at = (unsigned)(seconds % 86400);

    buf_printf(out, "%04u-%02u-%02uT%02u:%02u:%02uZ", day.year, day.month,
               day.day, at / 3600, at / 60 % 60, at % 60);
}
