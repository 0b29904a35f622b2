"""Labels written by hand from the projects' own security pages: who is affected, who is not, and whose name only looks so.

One line a component: `name version: +CVE is affected, -CVE is not`. `-*` says: no finding may come from PyPI.
"""

from __future__ import annotations

AUTHORED = """
openssl 3.0.5: +CVE-2024-6119 +CVE-2024-5535
openssl 3.0.8: -CVE-2022-3602 -CVE-2022-3786 -CVE-2023-0286 +CVE-2023-5363
openssl 1.1.1k: +CVE-2021-3711 +CVE-2022-0778 +CVE-2023-0286 -CVE-2022-3602 -CVE-2024-6119
openssl 1.1.1w: -CVE-2022-0778 -CVE-2021-3711 -CVE-2023-0286 -CVE-2023-3817
openssl 1.1.1n: -CVE-2022-0778 +CVE-2023-0286
openssl 3.0.15: -CVE-2024-6119 -CVE-2024-5535
openssl 3.1.6: +CVE-2024-6119
openssl 3.3.2: -CVE-2024-6119 -CVE-2024-5535
openssl 3.4.0: -CVE-2024-6119 +CVE-2024-12797
openssl 3.4.1: -CVE-2024-12797
libcurl 7.83.0: +CVE-2023-38545 +CVE-2022-32221
libcurl 8.3.0: +CVE-2023-38545 +CVE-2023-38546
libcurl 8.4.0: -CVE-2023-38545 -CVE-2023-38546
curl 8.3.0: +CVE-2023-38545
curl 8.9.0: +CVE-2024-7264
libcurl 8.9.1: -CVE-2024-7264
libcurl 8.10.1: +CVE-2024-9681
libcurl 8.11.0: -CVE-2024-9681 +CVE-2024-11053
zlib 1.2.11: +CVE-2018-25032 +CVE-2022-37434
zlib 1.2.12: -CVE-2018-25032 +CVE-2022-37434
zlib 1.2.13: -CVE-2022-37434 -CVE-2018-25032
libzlib 1.2.12: +CVE-2022-37434
libzlib 1.3.1: -CVE-2022-37434 -CVE-2023-45853
sqlite 3.50.1: +CVE-2025-6965
libsqlite 3.49.1: +CVE-2025-6965
sqlite 3.50.2: -CVE-2025-6965
sqlite 3.42.0: +CVE-2023-7104
libxml2 2.9.14: +CVE-2022-40303 +CVE-2022-40304 +CVE-2023-28484
libxml2 2.10.3: -CVE-2022-40303 +CVE-2023-28484
libxml2 2.10.4: -CVE-2023-28484 -CVE-2023-29469
libxml2 2.12.6: +CVE-2024-34459 +CVE-2024-56171
libxml2 2.12.10: -CVE-2024-34459 -CVE-2024-56171
libxml2 2.13.6: -CVE-2024-56171 -CVE-2025-24928
libxml2 2.13.5: +CVE-2024-56171 +CVE-2025-24928
xz 5.6.0: +CVE-2024-3094
xz 5.6.1: +CVE-2024-3094
xz 5.4.6: -CVE-2024-3094
liblzma 5.6.0: +CVE-2024-3094
xz 5.6.2: -CVE-2024-3094
expat 2.6.1: +CVE-2024-28757 +CVE-2024-45492
expat 2.6.3: -CVE-2024-45490 -CVE-2024-45491 -CVE-2024-45492
libexpat 2.6.2: +CVE-2024-45490 -CVE-2024-28757
git 2.45.0: +CVE-2024-32002
git 2.45.1: -CVE-2024-32002
git 2.43.4: -CVE-2024-32002
libwebp-base 1.3.1: +CVE-2023-4863
libwebp-base 1.3.2: -CVE-2023-4863
bzip2 1.0.8: -CVE-2016-3189 -CVE-2019-12900
python 3.12.3: +CVE-2024-4032 -CVE-2024-6345
python 3.12.4: -CVE-2024-4032
pillow 10.0.0: -CVE-2023-44271 -CVE-2022-45198 +CVE-2023-50447
pillow 10.3.0: -CVE-2024-28219 -CVE-2023-50447
pillow 9.5.0: +CVE-2023-44271 +CVE-2023-50447
pyyaml 5.3: +CVE-2020-1747 +CVE-2020-14343
pyyaml 5.3.1: -CVE-2020-1747 +CVE-2020-14343
pyyaml 5.4: -CVE-2020-14343
pyyaml 6.0.1: -CVE-2020-14343 -CVE-2020-1747 -CVE-2017-18342
jinja2 3.1.2: +CVE-2024-22195 +CVE-2024-34064
jinja2 3.1.4: -CVE-2024-34064 +CVE-2024-56326
requests 2.30.0: +CVE-2023-32681
requests 2.31.0: -CVE-2023-32681 +CVE-2024-35195
urllib3 2.0.6: +CVE-2023-45803 -CVE-2023-43804
urllib3 1.26.17: -CVE-2023-43804 +CVE-2023-45803
cryptography 41.0.5: +CVE-2023-49083
cryptography 41.0.6: -CVE-2023-49083
django 4.2.15: -CVE-2024-42005 +CVE-2024-45230
pytorch 2.5.1: +CVE-2025-32434
pytorch 2.6.0: -CVE-2025-32434
redis 7.0.0: -*
cmake 3.25.0: -*
git 2.40.0: -*
attr 2.5.1: -*
snappy 1.1.9: -*
zstd 1.5.2: -*
lz4-c 1.9.3: -*
brotli 1.0.9: -*
graphviz 2.50.0: -*
protobuf-c 1.4.0: -*
tk 8.6.12: -*
xz 5.2.5: -*
make 4.3: -*
libpng 1.6.39: -*
nodejs 18.0.0: -*
"""


def read_authored() -> list[tuple[str, str, set[str], set[str]]]:
    """(name, version, affected by, not affected by)."""
    found: list[tuple[str, str, set[str], set[str]]] = []
    for line in AUTHORED.strip().splitlines():
        component, _, words = line.partition(":")
        name, version = component.split()
        said = words.split()
        found.append((name, version, {w[1:] for w in said if w[0] == "+"}, {w[1:] for w in said if w[0] == "-"}))
    return found
