"""Every package names its Rust version, and no published one needs more than is documented.

Reads `cargo metadata --no-deps` from the standard input.
"""

import json
import sys

CORE = (1, 88)


def version(package):
    text = package["rust_version"]
    if text is None:
        sys.exit(f"{package['name']} has no rust-version")
    return tuple(int(part) for part in text.split("."))[:2]


packages = {package["name"]: version(package) for package in json.load(sys.stdin)["packages"]}
for name, needed in sorted(packages.items()):
    print(f"{name:20} {'.'.join(map(str, needed))}")
if packages["localack-core"] != CORE:
    sys.exit("localack-core's rust-version is not the one its README and changelog promise")
with open("localack-core/README.md", encoding="utf-8") as readme:
    if f"Rust {CORE[0]}.{CORE[1]}." not in readme.read():
        sys.exit("localack-core/README.md names another Rust version")
