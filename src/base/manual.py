"""Makes a manual page: manual.py PAGE.in VERSION [NAME=PROGRAM [ARGUMENT]]...

A line @NAME@ of the page becomes what PROGRAM prints; @VERSION@ in a line is
the version. The parts that programs print are made of the tables they read."""
import re
import subprocess
import sys

page, version, *parts = sys.argv[1:]
text = {}
for part in parts:
    name, _, command = part.partition("=")
    text[name] = subprocess.run(command.split("|"), check=True, text=True,
                                stdin=subprocess.DEVNULL,
                                stdout=subprocess.PIPE).stdout
with open(page, encoding="utf-8") as lines:
    for line in lines:
        whole = re.fullmatch(r"@([A-Z]+)@\n", line)
        if whole:
            sys.stdout.write(text[whole[1]])
        else:
            sys.stdout.write(line.replace("@VERSION@", version))
