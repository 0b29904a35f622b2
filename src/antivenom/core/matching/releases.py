"""The second curated table: which releases are affected, as the projects themselves say.

For widely used C libraries whose older vulnerabilities the public feeds tell badly: without a start, for one maintained
line of several, or by the first rebuilt binary instead of the first fixed release. Facts from the projects' own security
pages and release notes, in our own words, written by hand.

The table invents nothing: a row counts only when a feed knows its vulnerability and some feed speaks of products at all
(core/matching/compile_index.py). Then it goes before every other source for that product.

A block begins with a CPE product; a row is `ranges: ids`. `1.1.1..1.1.1n` is from 1.1.1 up to but not including 1.1.1n;
without a start, all before.

Long because it is a table.
"""

# ruff: noqa: E501 (a line of the table holds the vulnerabilities of one fix)

from __future__ import annotations

from collections.abc import Iterator
from functools import cache

from antivenom.core.matching.advisories import Advisory, AffectedPackage, AffectedRange

SOURCE = "curated"
SCHEME = "cpe"

_TABLE = """
[openssl:openssl]
1.1.1..1.1.1d: CVE-2019-1549
1.0.2..1.0.2t 1.1.0..1.1.0l 1.1.1..1.1.1d: CVE-2019-1547 CVE-2019-1563 CVE-2019-1552
1.0.2..1.0.2u 1.1.1..1.1.1e: CVE-2019-1551
1.1.1d..1.1.1g: CVE-2020-1967
1.0.2..1.0.2x 1.1.1..1.1.1i: CVE-2020-1971
1.0.2s..1.0.2y: CVE-2021-23839
1.0.2..1.0.2y 1.1.1..1.1.1j: CVE-2021-23840 CVE-2021-23841
1.1.1..1.1.1k: CVE-2021-3449
1.1.1h..1.1.1k: CVE-2021-3450
1.1.1..1.1.1l: CVE-2021-3711
1.0.2..1.0.2za 1.1.1..1.1.1l: CVE-2021-3712
1.0.2..1.0.2zd 1.1.1..1.1.1n 3.0.0..3.0.2: CVE-2022-0778
1.0.2..1.0.2ze 1.1.1..1.1.1o 3.0.0..3.0.3: CVE-2022-1292
3.0.0..3.0.3: CVE-2022-1343 CVE-2022-1434 CVE-2022-1473
1.0.2..1.0.2zf 1.1.1..1.1.1p 3.0.0..3.0.4: CVE-2022-2068
1.1.1..1.1.1q 3.0.0..3.0.5: CVE-2022-2097
3.0.4..3.0.5: CVE-2022-2274
3.0.0..3.0.6: CVE-2022-3358
3.0.0..3.0.7: CVE-2022-3602 CVE-2022-3786
3.0.0..3.0.8: CVE-2022-3996 CVE-2022-4203 CVE-2023-0216 CVE-2023-0217 CVE-2023-0401
1.0.2..1.0.2zg 1.1.1..1.1.1t 3.0.0..3.0.8: CVE-2022-4304 CVE-2023-0215 CVE-2023-0286
1.1.1..1.1.1t 3.0.0..3.0.8: CVE-2022-4450
1.0.2..1.0.2zh 1.1.1..1.1.1u 3.0.0..3.0.9 3.1.0..3.1.1: CVE-2023-0464 CVE-2023-0465 CVE-2023-0466 CVE-2023-2650
3.0.0..3.0.9 3.1.0..3.1.1: CVE-2023-1255
3.0.0..3.0.10 3.1.0..3.1.2: CVE-2023-2975
1.0.2..1.0.2zi 1.1.1..1.1.1v 3.0.0..3.0.10 3.1.0..3.1.2: CVE-2023-3446 CVE-2023-3817
1.1.1..1.1.1w 3.0.0..3.0.11 3.1.0..3.1.3: CVE-2023-4807
3.0.0..3.0.12 3.1.0..3.1.4: CVE-2023-5363
1.0.2..1.0.2zj 1.1.1..1.1.1x 3.0.0..3.0.13 3.1.0..3.1.5 3.2.0..3.2.1: CVE-2023-5678 CVE-2024-0727
3.0.0..3.0.13 3.1.0..3.1.5 3.2.0..3.2.1: CVE-2023-6129 CVE-2023-6237

[haxx:curl]
7.54.1..7.61.0: CVE-2018-0500
7.15.4..7.61.1: CVE-2018-14618
7.33.0..7.62.0: CVE-2018-16839
7.59.0..7.62.0: CVE-2018-16840
7.14.1..7.62.0: CVE-2018-16842
7.36.0..7.64.0: CVE-2018-16890 CVE-2019-3822
7.34.0..7.64.0: CVE-2019-3823
7.62.0..7.65.0: CVE-2019-5435
7.19.4..7.65.0: CVE-2019-5436
7.52.0..7.66.0: CVE-2019-5481
7.19.4..7.66.0: CVE-2019-5482
7.62.0..7.71.0: CVE-2020-8169
7.20.0..7.71.0: CVE-2020-8177
7.29.0..7.72.0: CVE-2020-8231
4.0..7.74.0: CVE-2020-8284
7.21.0..7.74.0: CVE-2020-8285
7.41.0..7.74.0: CVE-2020-8286
7.1.1..7.76.0: CVE-2021-22876
7.63.0..7.76.0: CVE-2021-22890
7.61.0..7.77.0: CVE-2021-22897
7.7..7.77.0: CVE-2021-22898
7.75.0..7.77.0: CVE-2021-22901
7.27.0..7.78.0: CVE-2021-22922 CVE-2021-22923
7.10.4..7.78.0: CVE-2021-22924
7.7..7.78.0: CVE-2021-22925
7.33.0..7.78.0: CVE-2021-22926
7.73.0..7.79.0: CVE-2021-22945
7.20.0..7.79.0: CVE-2021-22946 CVE-2021-22947
7.33.0..7.83.0: CVE-2022-22576
4.9..7.83.0: CVE-2022-27774 CVE-2022-27776
7.65.0..7.83.0: CVE-2022-27775
7.83.0..7.83.1: CVE-2022-27778
7.82.0..7.83.1: CVE-2022-27779 CVE-2022-30115
7.80.0..7.83.1: CVE-2022-27780
7.34.0..7.83.1: CVE-2022-27781
7.16.1..7.83.1: CVE-2022-27782
7.71.0..7.84.0: CVE-2022-32205
7.57.0..7.84.0: CVE-2022-32206
7.69.0..7.84.0: CVE-2022-32207
7.16.4..7.84.0: CVE-2022-32208
4.9..7.85.0: CVE-2022-35252
7.7..7.86.0: CVE-2022-32221
7.84.0..7.86.0: CVE-2022-35260
7.77.0..7.86.0: CVE-2022-42915 CVE-2022-42916
7.77.0..7.87.0: CVE-2022-43551
7.16.0..7.87.0: CVE-2022-43552
7.77.0..7.88.0: CVE-2023-23914 CVE-2023-23915
7.57.0..7.88.0: CVE-2023-23916
7.7..8.0.0: CVE-2023-27533
7.18.0..8.0.0: CVE-2023-27534
7.13.0..8.0.0: CVE-2023-27535
7.22.0..8.0.0: CVE-2023-27536
7.88.0..8.0.0: CVE-2023-27537
7.16.1..8.0.0: CVE-2023-27538
7.81.0..8.1.0: CVE-2023-28319
7.9.8..8.1.0: CVE-2023-28320
7.12.0..8.1.0: CVE-2023-28321
7.7..8.1.0: CVE-2023-28322
7.84.0..8.3.0: CVE-2023-38039
7.69.0..8.4.0: CVE-2023-38545
7.9.1..8.4.0: CVE-2023-38546
7.46.0..8.5.0: CVE-2023-46218
7.84.0..8.5.0: CVE-2023-46219

[zlib:zlib]
1.2.2..1.2.12: CVE-2018-25032
..1.2.13: CVE-2022-37434
..1.3.1: CVE-2023-45853

[sqlite:sqlite]
..3.39.2: CVE-2022-35737
3.37.0..3.40.1: CVE-2022-46908
..3.43.1: CVE-2023-7104
3.43.0..3.43.2: CVE-2024-0232

[xmlsoft:libxml2]
..2.9.10: CVE-2019-19956
..2.9.11: CVE-2016-3709 CVE-2019-20388 CVE-2020-7595 CVE-2021-3516 CVE-2021-3517 CVE-2021-3518 CVE-2021-3537 CVE-2021-3541
2.9.10..2.9.11: CVE-2020-24977
..2.9.13: CVE-2022-23308
..2.9.14: CVE-2022-29824
..2.10.3: CVE-2022-40303 CVE-2022-40304
..2.10.4: CVE-2023-28484 CVE-2023-29469

[xmlsoft:libxslt]
..1.1.34: CVE-2019-11068 CVE-2019-13117 CVE-2019-13118 CVE-2019-18197
..1.1.35: CVE-2021-30560

[libexpat_project:libexpat]
..2.2.7: CVE-2018-20843
..2.2.8: CVE-2019-15903
..2.4.3: CVE-2021-45960 CVE-2021-46143 CVE-2022-22822 CVE-2022-22823 CVE-2022-22824 CVE-2022-22825 CVE-2022-22826 CVE-2022-22827
..2.4.4: CVE-2022-23852 CVE-2022-23990
..2.4.5: CVE-2022-25235 CVE-2022-25236 CVE-2022-25313 CVE-2022-25314 CVE-2022-25315
..2.4.9: CVE-2022-40674
..2.5.0: CVE-2022-43680
..2.6.0: CVE-2023-52425 CVE-2023-52426

[tukaani:xz]
..5.2.6: CVE-2022-1271
5.6.0..5.6.2: CVE-2024-3094

[bzip:bzip2]
..1.0.7: CVE-2016-3189 CVE-2019-12900

[lz4_project:lz4]
..1.9.2: CVE-2019-17543
1.8.3..1.9.4: CVE-2021-3520

[facebook:zstandard]
..1.3.8: CVE-2019-11922
..1.4.1: CVE-2021-24031
1.4.1..1.4.9: CVE-2021-24032
1.4.10..1.5.4: CVE-2022-4899

[libpng:libpng]
1.6.0..1.6.37: CVE-2019-7317
1.6.34..1.6.35: CVE-2018-13785

[libtiff:libtiff]
..4.4.0: CVE-2022-0561 CVE-2022-0562 CVE-2022-0865 CVE-2022-0891 CVE-2022-0907 CVE-2022-0908 CVE-2022-0909 CVE-2022-0924 CVE-2022-1354 CVE-2022-1355
..4.5.0: CVE-2022-2056 CVE-2022-2057 CVE-2022-2058 CVE-2022-2519 CVE-2022-2520 CVE-2022-2521 CVE-2022-2867 CVE-2022-2868 CVE-2022-2869 CVE-2022-2953 CVE-2022-34526 CVE-2022-3570 CVE-2022-3597 CVE-2022-3598 CVE-2022-3599 CVE-2022-3626 CVE-2022-3627 CVE-2022-3970
..4.5.1: CVE-2022-48281 CVE-2023-0795 CVE-2023-0796 CVE-2023-0797 CVE-2023-0798 CVE-2023-0799 CVE-2023-0800 CVE-2023-0801 CVE-2023-0802 CVE-2023-0803 CVE-2023-0804
..4.7.0: CVE-2024-7006

[webmproject:libwebp]
..1.0.1: CVE-2018-25009 CVE-2018-25010 CVE-2018-25011 CVE-2018-25012 CVE-2018-25013 CVE-2018-25014 CVE-2020-36328 CVE-2020-36329 CVE-2020-36330 CVE-2020-36331 CVE-2020-36332
..1.3.1: CVE-2023-1999
0.5.0..1.3.2: CVE-2023-4863

[freetype:freetype]
2.6.0..2.10.4: CVE-2020-15999
..2.12.0: CVE-2022-27404 CVE-2022-27405 CVE-2022-27406

[harfbuzz_project:harfbuzz]
..7.0.0: CVE-2023-25193

[pcre:pcre]
..8.44: CVE-2020-14155

[pcre:pcre2]
..10.40: CVE-2022-1586 CVE-2022-1587
..10.41: CVE-2022-41409

[gnome:glib]
..2.65.3: CVE-2020-35457
..2.66.7 2.67.0..2.67.4: CVE-2021-27218
..2.66.6 2.67.0..2.67.3: CVE-2021-27219
..2.66.8: CVE-2021-28153
..2.74.2: CVE-2023-32611
..2.74.4: CVE-2023-29499 CVE-2023-32665
..2.78.5 2.79.0..2.80.1: CVE-2024-34397
..2.82.1: CVE-2024-52533

[libssh2:libssh2]
..1.8.1: CVE-2019-3855 CVE-2019-3856 CVE-2019-3857 CVE-2019-3858 CVE-2019-3859 CVE-2019-3860 CVE-2019-3861 CVE-2019-3862 CVE-2019-3863
..1.9.0: CVE-2019-13115
..1.10.0: CVE-2019-17498
..1.11.0: CVE-2020-22218
..1.11.1: CVE-2023-48795

[libssh:libssh]
..0.9.8 0.10.0..0.10.6: CVE-2023-48795

[openbsd:openssh]
..9.3p2: CVE-2023-38408
..9.6p1: CVE-2023-48795 CVE-2023-51385
8.9p1..9.6p1: CVE-2023-51384
8.5p1..9.8p1: CVE-2024-6387
6.8p1..9.9p2: CVE-2025-26465
9.5p1..9.9p2: CVE-2025-26466

[nghttp2:nghttp2]
..1.41.0: CVE-2020-11080
..1.55.1: CVE-2023-35945
..1.57.0: CVE-2023-44487
..1.61.0: CVE-2024-28182

[libgit2:libgit2]
..1.4.5 1.5.0..1.5.1: CVE-2023-22742
1.4.0..1.6.5 1.7.0..1.7.2: CVE-2024-24575
..1.6.5 1.7.0..1.7.2: CVE-2024-24577

[mit:kerberos_5]
..1.17.2 1.18..1.18.3: CVE-2020-28196
..1.18.4 1.19..1.19.2: CVE-2021-36222
..1.18.5 1.19..1.19.3: CVE-2021-37750
..1.19.4 1.20..1.20.1: CVE-2022-42898
..1.20.2 1.21..1.21.1: CVE-2023-36054
1.21..1.21.2: CVE-2023-39975
..1.21.3: CVE-2024-37370 CVE-2024-37371

[libarchive:libarchive]
..3.5.2: CVE-2021-23177 CVE-2021-31566
..3.6.2: CVE-2022-36227

[gnu:gnutls]
3.6.3..3.6.13: CVE-2020-11501
3.6.4..3.6.14: CVE-2020-13777
..3.6.15: CVE-2020-24659
..3.7.1: CVE-2021-20231 CVE-2021-20232
..3.7.3: CVE-2021-4209
..3.7.7: CVE-2022-2509
..3.7.9: CVE-2023-0361
..3.8.2: CVE-2023-5981
..3.8.3: CVE-2024-0553 CVE-2024-0567

[nettle_project:nettle]
..3.7.2: CVE-2021-20305
..3.7.3: CVE-2021-3580

[gnupg:libgcrypt]
..1.8.5: CVE-2019-13627
1.9.0..1.9.1: CVE-2021-3345
..1.8.8 1.9.0..1.9.3: CVE-2021-33560
..1.9.4: CVE-2021-40528

[gnu:ncurses]
..6.4.20230408: CVE-2023-29491

[freedesktop:dbus]
..1.12.24 1.13.0..1.14.4 1.15.0..1.15.2: CVE-2022-42010 CVE-2022-42011 CVE-2022-42012
..1.12.28 1.13.0..1.14.8 1.15.0..1.15.6: CVE-2023-34969

[x.org:libx11]
..1.6.10: CVE-2020-14344
..1.6.12: CVE-2020-14363
..1.7.1: CVE-2021-31535
..1.8.6: CVE-2023-3138
..1.8.7: CVE-2023-43785 CVE-2023-43786 CVE-2023-43787

[libxpm_project:libxpm]
..3.5.15: CVE-2022-4883 CVE-2022-44617 CVE-2022-46285
..3.5.17: CVE-2023-43788 CVE-2023-43789

[kernel:util-linux]
..2.37.3: CVE-2021-3995 CVE-2021-3996
..2.37.4: CVE-2022-0563

[gnu:fribidi]
..1.0.12: CVE-2022-25308 CVE-2022-25309 CVE-2022-25310

[samba:rsync]
..3.2.5: CVE-2022-29154
3.2.7..3.4.0: CVE-2024-12084
..3.4.0: CVE-2024-12085 CVE-2024-12086 CVE-2024-12087 CVE-2024-12088 CVE-2024-12747

[gnu:tar]
..1.35: CVE-2022-48303

[pixman:pixman]
..0.42.2: CVE-2022-44638

[google:protobuf-cpp]
..3.18.3 3.19.0..3.19.5 3.20.0..3.20.2 3.21.0..3.21.6: CVE-2022-1941
"""


@cache
def curated_releases() -> tuple[Advisory, ...]:
    """The table as advisories of source "curated", one a CVE, by id."""
    found: dict[str, list[AffectedPackage]] = {}
    for cve, affected in _rows():
        found.setdefault(cve, []).append(affected)
    return tuple(Advisory(cve, SOURCE, affected=tuple(found[cve])) for cve in sorted(found))


def _rows() -> Iterator[tuple[str, AffectedPackage]]:
    product = ""
    for line in _TABLE.splitlines():
        if line.startswith("["):
            product = line.strip("[]")
        elif line:
            spans, _, ids = line.partition(": ")
            ranges = tuple(_range(span) for span in spans.split())
            fixed = tuple(r.fixed for r in ranges if r.fixed)
            yield from ((cve, AffectedPackage("cpe", product, ranges, fixed_versions=fixed)) for cve in ids.split())


def _range(span: str) -> AffectedRange:
    start, _, end = span.partition("..")
    return AffectedRange(SCHEME, start or None, fixed=end)
