/* The interface's full statement, api/openapi.yaml as JSON, made by openapi.py
 * when building. */
#ifndef REST_OPENAPI_H
#define REST_OPENAPI_H

#include "base/mem.h"

extern const unsigned char rest_openapi_bytes[];
extern const unsigned long rest_openapi_n;

static inline struct str rest_openapi(void)
{
    return (struct str){(const char *)rest_openapi_bytes, rest_openapi_n};
}

#endif
