"""Labels of packages that are only a part of their project, written by hand from the projects' own security pages.

Whoever wrote them had not read the rows of src/antivenom/knowledge/parts.tsv, and no row was written from them: keep it so.
What a project's page does not say of its part, or says of several, is not here. The form is that of authored.py.
"""

from __future__ import annotations

AUTHORED_PARTS = """
libpq 18.0: +CVE-2025-12818 -CVE-2025-12817
libpq 17.6: +CVE-2025-12818 -CVE-2025-12817
libpq 17.5: -CVE-2025-8713 -CVE-2025-8714 -CVE-2025-8715
libpq 17.4: +CVE-2025-4207
libpq 17.2: +CVE-2025-1094
libpq 17.3: -CVE-2025-1094
libpq 17.0: +CVE-2024-10977 -CVE-2024-10976 -CVE-2024-10978 -CVE-2024-10979
libpq 16.3: -CVE-2024-7348
libpq 16.2: -CVE-2024-4317
libpq 16.1: -CVE-2024-0985
libpq 16.0: -CVE-2023-5868 -CVE-2023-5869 -CVE-2023-5870
libpq 15.3: -CVE-2023-39417
libpq 15.2: -CVE-2023-2454 -CVE-2023-2455
libpq 15.1: +CVE-2022-41862
libpq 14.2: -CVE-2022-1552
libpq 14.4: -CVE-2022-2625
libpq 14.0: +CVE-2021-23222 -CVE-2021-23214
libpq 13.2: -CVE-2021-32027 -CVE-2021-32028 -CVE-2021-32029
libpq 13.0: -CVE-2020-25695 -CVE-2020-25696
libpq 11.3: +CVE-2019-10164
libpq 10.4: +CVE-2018-10915
libcurl 7.83.0: -CVE-2022-27778 +CVE-2022-27779 +CVE-2022-30115
curl 7.83.0: +CVE-2022-27778
libxml2-16 2.14.4: -CVE-2025-6170 +CVE-2025-49794 +CVE-2025-49796
libxml2 2.14.4: +CVE-2025-6170
liblzma 5.2.5: -CVE-2022-1271
xz 5.2.5: +CVE-2022-1271
liblzma 5.6.3: +CVE-2025-31115
liblzma 5.6.2: -CVE-2024-47611
libzlib 1.3: -CVE-2023-45853
libsqlite 3.40.0: -CVE-2022-46908
sqlite 3.40.0: +CVE-2022-46908
libsqlite 3.36.0: -CVE-2021-36690
libcups 2.3.3: +CVE-2023-4504 -CVE-2023-34241 -CVE-2022-26691 -CVE-2025-61915 -CVE-2025-58436
libkrb5 1.21.1: -CVE-2023-39975
libkrb5 1.21.2: -CVE-2024-26462 +CVE-2024-37370 +CVE-2024-37371
libkrb5 1.19.1: -CVE-2021-36222 -CVE-2021-37750
libldap 2.6.3: +CVE-2023-2953
libldap 2.6.1: -CVE-2022-29155
libldap 2.4.57: -CVE-2021-27212
libldap 2.4.56: -CVE-2020-36221 -CVE-2020-36222 -CVE-2020-36223 -CVE-2020-36226
libsystemd0 257.4: -CVE-2025-4598
libsystemd0 252: -CVE-2022-4415
libsystemd0 254: -CVE-2023-7008
libsystemd0 248: -CVE-2021-33910
libuuid 2.39.3: -CVE-2024-28085
libuuid 2.37.3: -CVE-2022-0563
libuuid 2.37.2: -CVE-2021-3995 -CVE-2021-3996
libmount 2.37.2: +CVE-2021-3995 +CVE-2021-3996
libuuid 2.37.1: -CVE-2021-37600
libopenjp2 2.4.0: -CVE-2021-29338 -CVE-2022-1122
openjpeg 2.4.0: +CVE-2022-1122
libopenjp2 2.5.3: +CVE-2025-54874
libgnutls 3.8.9: -CVE-2025-32990 +CVE-2025-32988 +CVE-2025-32989
libgnutls 3.8.3: +CVE-2024-28834
libnghttp2 1.60.0: +CVE-2024-28182
libnghttp2 1.56.0: +CVE-2023-44487
libprotobuf 3.20.1: +CVE-2022-1941
libprotobuf 3.19.1: -CVE-2021-22569
libprotobuf 3.21.6: -CVE-2022-3171
libprotobuf 5.27.1: -CVE-2024-7254
libprotobuf 5.29.3: -CVE-2025-4565
libarrow 14.0.0: -CVE-2023-47248
pyarrow 14.0.0: +CVE-2023-47248
libarrow 16.1.0: -CVE-2024-52338
kubernetes-client 1.28.3: -CVE-2023-5528
kubernetes-client 1.28.11: -CVE-2024-10220
libelf 0.192: -CVE-2025-1365 -CVE-2025-1372 -CVE-2025-1377
"""
