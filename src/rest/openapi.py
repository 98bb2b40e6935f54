#!/usr/bin/env python3
"""Turns the YAML file named on the command line into a C source that holds it as JSON."""
import json
import sys

import yaml

text = json.dumps(yaml.safe_load(open(sys.argv[1], encoding="utf-8")), separators=(",", ":"), ensure_ascii=False, default=str) + "\n"
data = text.encode()
print('#include "rest/openapi.h"\n')
print("const unsigned long rest_openapi_n = %d;" % len(data))
print("const unsigned char rest_openapi_bytes[] = {")
for at in range(0, len(data), 16):
    print("    " + "".join("%d," % b for b in data[at : at + 16]))
print("};")
