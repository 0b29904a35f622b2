"""Labels written by hand from the projects' own security pages: who is affected, who is not, and whose name only looks so.

One line a component: `name version: +CVE is affected, -CVE is not`. `-*` says: no finding may come from PyPI.
"""

from __future__ import annotations

from tests.quality.labels import Component, Labels

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
openssl 1.1.1l: -CVE-2021-3711 -CVE-2021-3712 +CVE-2022-0778
openssl 1.1.1o: -CVE-2022-1292 +CVE-2022-2068
openssl 1.1.1t: -CVE-2023-0286 +CVE-2023-0464
openssl 1.1.1u: -CVE-2023-0464 +CVE-2023-3446
openssl 1.1.1v: -CVE-2023-3446 -CVE-2021-3711 +CVE-2023-4807
openssl 3.0.1: +CVE-2022-0778
openssl 3.0.2: -CVE-2022-0778 +CVE-2022-1292
openssl 3.0.4: +CVE-2022-2274
openssl 3.0.7: -CVE-2022-3602 +CVE-2023-0286 +CVE-2022-4304
openssl 3.1.0: +CVE-2023-0464 +CVE-2023-5363
openssl 3.1.1: -CVE-2023-0464 +CVE-2023-2975
openssl 3.1.3: +CVE-2023-5363
openssl 3.1.4: -CVE-2023-5363 +CVE-2023-5678 +CVE-2024-0727
openssl 3.2.0: +CVE-2023-6129 +CVE-2024-0727
openssl 3.2.1: -CVE-2023-6129 -CVE-2024-0727 +CVE-2024-2511
openssl 3.3.0: +CVE-2024-4603 +CVE-2024-4741
openssl 3.3.1: -CVE-2024-4603 +CVE-2024-6119 +CVE-2024-5535
openssl 1.0.2u: +CVE-2020-1971 +CVE-2021-23840 -CVE-2022-2097 -CVE-2021-3449 -CVE-2021-3711
libcurl 7.71.1: +CVE-2020-8231 -CVE-2020-8169
libcurl 7.75.0: +CVE-2021-22876 +CVE-2021-22890 -CVE-2020-8286 -CVE-2020-8231
libcurl 7.76.0: -CVE-2021-22876 +CVE-2021-22898
libcurl 7.77.0: -CVE-2021-22898 +CVE-2021-22924
libcurl 7.78.0: -CVE-2021-22924 +CVE-2021-22946
libcurl 7.79.1: -CVE-2021-22946 -CVE-2021-22924
libcurl 7.82.0: +CVE-2022-22576 +CVE-2022-27776
libcurl 7.83.1: -CVE-2022-22576 +CVE-2022-32207
libcurl 7.85.0: +CVE-2022-32221 +CVE-2022-42915 -CVE-2022-35252
libcurl 7.86.0: -CVE-2022-32221 +CVE-2022-43551
libcurl 7.88.1: +CVE-2023-27533 -CVE-2023-23914
libcurl 8.0.1: -CVE-2023-27533 +CVE-2023-28319 +CVE-2023-38545
libcurl 7.68.0: -CVE-2023-38545 +CVE-2023-38546
libcurl 8.5.0: -CVE-2023-46218 +CVE-2024-2004
libcurl 8.6.0: +CVE-2024-2398 -CVE-2024-0853
libcurl 8.7.1: -CVE-2024-2398 -CVE-2024-2004
libcurl 8.13.0: +CVE-2025-5025 -CVE-2025-0725
libcurl 8.14.0: -CVE-2025-5025 +CVE-2025-5399
zlib 1.3: -CVE-2022-37434
sqlite 3.31.1: +CVE-2020-13630 +CVE-2020-11655
sqlite 3.32.0: -CVE-2020-13630 +CVE-2020-13434
sqlite 3.39.1: +CVE-2022-35737
sqlite 3.39.2: -CVE-2022-35737
sqlite 3.43.0: +CVE-2023-7104
sqlite 3.44.0: -CVE-2023-7104 -CVE-2024-0232 +CVE-2025-29087
sqlite 3.49.1: -CVE-2025-29087
libxml2 2.9.10: +CVE-2021-3517 +CVE-2021-3541 +CVE-2020-24977 +CVE-2022-23308
libxml2 2.9.12: -CVE-2021-3517 +CVE-2022-23308 +CVE-2022-29824
libxml2 2.9.13: -CVE-2022-23308 +CVE-2022-29824
libxml2 2.11.5: -CVE-2023-28484 -CVE-2022-40303
libxml2 2.14.3: +CVE-2025-6021 -CVE-2025-49794
libxml2 2.14.4: -CVE-2025-6021
expat 2.4.2: +CVE-2022-22822
expat 2.4.3: -CVE-2022-22822 +CVE-2022-23852
expat 2.4.4: -CVE-2022-23852 +CVE-2022-25235
expat 2.4.6: -CVE-2022-25235 +CVE-2022-40674
expat 2.4.8: +CVE-2022-40674
expat 2.4.9: -CVE-2022-40674 +CVE-2022-43680
expat 2.5.0: -CVE-2022-43680 +CVE-2023-52425
expat 2.6.0: -CVE-2023-52425 +CVE-2024-28757
libtiff 4.3.0: +CVE-2022-0561
libtiff 4.4.0: -CVE-2022-0561 +CVE-2022-2056 +CVE-2022-3970
libtiff 4.5.0: -CVE-2022-3970 +CVE-2023-0795
libtiff 4.5.1: -CVE-2023-0795
libtiff 4.6.0: +CVE-2024-7006
libtiff 4.7.0: -CVE-2024-7006
libwebp-base 1.3.0: +CVE-2023-4863 +CVE-2023-1999
libwebp 1.3.2: -CVE-2023-4863
freetype 2.10.3: +CVE-2020-15999
freetype 2.10.4: -CVE-2020-15999 +CVE-2022-27404
freetype 2.12.1: -CVE-2022-27404 +CVE-2025-27363
freetype 2.13.3: -CVE-2025-27363
libssh2 1.9.0: +CVE-2019-17498
libssh2 1.10.0: -CVE-2019-17498 +CVE-2023-48795
libssh2 1.11.1: -CVE-2023-48795
libnghttp2 1.51.0: +CVE-2023-44487
libnghttp2 1.57.0: -CVE-2023-44487 +CVE-2024-28182
libnghttp2 1.61.0: -CVE-2024-28182
krb5 1.20.0: +CVE-2022-42898
krb5 1.20.1: -CVE-2022-42898 +CVE-2023-36054
krb5 1.21.2: -CVE-2023-36054 +CVE-2024-37371
krb5 1.21.3: -CVE-2024-37371
libarchive 3.5.1: +CVE-2021-36976 +CVE-2021-31566
libarchive 3.5.2: -CVE-2021-31566
libarchive 3.6.1: +CVE-2022-36227
libarchive 3.6.2: -CVE-2022-36227
libarchive 3.7.4: +CVE-2024-48957
libarchive 3.7.5: -CVE-2024-48957
lz4-c 1.9.4: -CVE-2021-3520
zstd 1.5.5: -CVE-2022-4899
liblzma 5.6.1: +CVE-2024-3094
xz 5.2.6: -CVE-2022-1271
liblzma 5.6.4: +CVE-2025-31115
liblzma 5.8.1: -CVE-2025-31115
xz 5.2.6: -CVE-2025-31115
git 2.39.0: +CVE-2022-23521
git 2.39.1: -CVE-2022-23521
git 2.35.1: +CVE-2022-24765
git 2.35.2: -CVE-2022-24765
git 2.49.0: +CVE-2025-48384
git 2.49.1: -CVE-2025-48384
git 2.50.1: -CVE-2025-48384
libgit2 1.7.1: +CVE-2024-24577
libgit2 1.7.2: -CVE-2024-24577
libgit2 1.6.4: +CVE-2024-24577
gnutls 3.7.6: +CVE-2022-2509
gnutls 3.7.7: -CVE-2022-2509
gnutls 3.8.1: +CVE-2024-0553
gnutls 3.8.3: -CVE-2024-0553
python 3.9.12: +CVE-2022-45061
python 3.10.8: +CVE-2022-37454
python 3.10.9: -CVE-2022-37454
python 3.11.3: +CVE-2023-24329
python 3.11.4: -CVE-2023-24329
python 3.12.2: +CVE-2024-0397
python 3.9.18: +CVE-2023-6597
python 3.9.19: -CVE-2023-6597
python 3.13.0: +CVE-2024-9287
python 3.13.1: -CVE-2024-9287
python 3.12.10: +CVE-2025-4517
python 3.12.11: -CVE-2025-4517
nodejs 18.12.0: +CVE-2023-44487
nodejs 18.18.2: -CVE-2023-44487
nodejs 20.11.0: +CVE-2024-21892
nodejs 20.11.1: -CVE-2024-21892
postgresql 15.6: +CVE-2024-7348
postgresql 15.8: -CVE-2024-7348
postgresql 16.3: +CVE-2024-7348 -CVE-2024-4317
postgresql 16.4: -CVE-2024-7348
postgresql 17.2: +CVE-2025-1094
postgresql 17.3: -CVE-2025-1094
libpq 16.6: +CVE-2025-1094
libpq 16.7: -CVE-2025-1094
redis-server 7.2.4: +CVE-2024-31449
redis-server 7.2.6: -CVE-2024-31449
redis-server 8.2.1: +CVE-2025-49844
redis-server 8.2.2: -CVE-2025-49844
nginx 1.25.2: +CVE-2023-44487
pillow 8.1.2: +CVE-2021-34552
pillow 9.0.1: -CVE-2022-22817
pillow 10.1.0: +CVE-2023-50447
pillow 10.2.0: -CVE-2023-50447 +CVE-2024-28219
django 4.2.7: +CVE-2024-24680
django 4.2.10: -CVE-2024-24680
flask 2.2.2: +CVE-2023-30861
flask 2.2.5: -CVE-2023-30861
flask 2.3.2: -CVE-2023-30861
werkzeug 2.2.2: +CVE-2023-25577
werkzeug 2.2.3: -CVE-2023-25577
werkzeug 3.0.0: +CVE-2023-46136
werkzeug 3.0.3: -CVE-2024-34069 -CVE-2023-46136
aiohttp 3.9.1: +CVE-2024-23334
aiohttp 3.9.2: -CVE-2024-23334
tornado 6.4.1: +CVE-2024-52804
tornado 6.4.2: -CVE-2024-52804
certifi 2022.12.6: +CVE-2023-37920
certifi 2023.7.22: -CVE-2023-37920
setuptools 65.5.0: +CVE-2022-40897
setuptools 65.5.1: -CVE-2022-40897
setuptools 69.5.1: +CVE-2024-6345
setuptools 70.0.0: -CVE-2024-6345
wheel 0.38.0: +CVE-2022-40898
wheel 0.38.1: -CVE-2022-40898
pip 23.2: +CVE-2023-5752
pip 23.3: -CVE-2023-5752
idna 3.6: +CVE-2024-3651
idna 3.7: -CVE-2024-3651
jupyter_server 2.11.1: +CVE-2023-49080
jupyter_server 2.11.2: -CVE-2023-49080
jupyterlab 4.2.4: +CVE-2024-43805
jupyterlab 4.2.5: -CVE-2024-43805
ipython 8.9.0: +CVE-2023-24816
ipython 8.10.0: -CVE-2023-24816
pyarrow 14.0.0: +CVE-2023-47248
pyarrow 14.0.1: -CVE-2023-47248
pyarrow-core 14.0.0: +CVE-2023-47248
lxml 4.9.0: +CVE-2022-2309
lxml 4.9.1: -CVE-2022-2309
lxml 4.6.2: +CVE-2021-28957
paramiko 3.3.1: +CVE-2023-48795
paramiko 3.4.0: -CVE-2023-48795
gitpython 3.1.34: +CVE-2023-41040
gitpython 3.1.40: -CVE-2023-41040
pyjwt 2.3.0: +CVE-2022-29217
pyjwt 2.4.0: -CVE-2022-29217
tensorflow-base 2.10.0: +CVE-2023-25668
tensorflow 2.12.0: -CVE-2023-25668
scikit-learn 1.4.2: +CVE-2024-5206
scikit-learn 1.5.0: -CVE-2024-5206
tqdm 4.66.2: +CVE-2024-34062
tqdm 4.66.3: -CVE-2024-34062
dask 2021.9.1: +CVE-2021-42343
dask 2021.10.0: -CVE-2021-42343
distributed 2021.9.1: +CVE-2021-42343
mako 1.2.1: +CVE-2022-40023
mako 1.2.2: -CVE-2022-40023
protobuf 4.25.7: +CVE-2025-4565
protobuf 4.25.8: -CVE-2025-4565
protobuf 4.21.5: +CVE-2022-1941
protobuf 4.21.6: -CVE-2022-1941
grpcio 1.53.0: +CVE-2023-33953
starlette 0.39.0: +CVE-2024-47874
starlette 0.40.0: -CVE-2024-47874
fastapi 0.109.0: +CVE-2024-24762
fastapi 0.109.1: -CVE-2024-24762
mistune 2.0.2: +CVE-2022-34749
mistune 2.0.3: -CVE-2022-34749
notebook 6.4.9: +CVE-2022-24758
notebook 6.4.10: -CVE-2022-24758
nbconvert 6.5.1: -CVE-2021-32862
urllib3 2.2.1: +CVE-2024-37891
urllib3 2.2.2: -CVE-2024-37891
zipp 3.19.0: +CVE-2024-5569
zipp 3.19.1: -CVE-2024-5569
babel 2.9.0: +CVE-2021-42771
babel 2.9.1: -CVE-2021-42771
pygments 2.15.0: +CVE-2022-40896
pygments 2.15.1: -CVE-2022-40896
rsa 4.6: +CVE-2020-25658
rsa 4.7: -CVE-2020-25658
harfbuzz 6.0.0: +CVE-2023-25193
harfbuzz 7.0.0: -CVE-2023-25193
openjpeg 2.5.3: +CVE-2025-54874
openjpeg 2.5.4: -CVE-2025-54874
libpng 1.6.36: +CVE-2019-7317
libpng 1.6.37: -CVE-2019-7317
libpng 1.6.50: +CVE-2025-64720
libpng 1.6.51: -CVE-2025-64720
c-ares 1.19.0: +CVE-2023-32067
c-ares 1.19.1: -CVE-2023-32067
openssh 9.7p1: +CVE-2024-6387
openssh 9.8p1: -CVE-2024-6387
openssh 9.9p1: +CVE-2025-26465
openssh 9.9p2: -CVE-2025-26465
libxslt 1.1.42: +CVE-2024-55549
libxslt 1.1.43: -CVE-2024-55549
r-base 4.3.3: +CVE-2024-27322
r-base 4.4.0: -CVE-2024-27322
vim 9.1.0: +CVE-2024-43374
wget 1.24.5: +CVE-2024-38428
wget 1.25.0: -CVE-2024-38428
ncurses 6.4: +CVE-2023-29491
ncurses 6.5: -CVE-2023-29491
glib 2.80.0: +CVE-2024-34397
glib 2.80.1: -CVE-2024-34397
glib 2.78.5: -CVE-2024-34397
libglib 2.82.0: +CVE-2024-52533
libglib 2.82.1: -CVE-2024-52533
hdf5 1.14.3: +CVE-2024-29157
hdf5 1.14.4: -CVE-2024-29157
cairo 1.16.0: +CVE-2020-35492
go 1.22.1: +CVE-2023-45288
go 1.22.2: -CVE-2023-45288
rust 1.77.1: +CVE-2024-24576
rust 1.77.2: -CVE-2024-24576
jq 1.7.1: +CVE-2024-53427
imagemagick 7.0.10_28: +CVE-2020-27829
ghostscript 10.03.0: +CVE-2024-29510
ghostscript 10.03.1: -CVE-2024-29510
openexr 3.1.3: +CVE-2021-45942
gnupg 2.2.35: +CVE-2022-34903
libtorch 2.5.1: +CVE-2025-32434
mbedtls 3.5.1: +CVE-2024-23170
mbedtls 3.5.2: -CVE-2024-23170
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


def read_authored(text: str = AUTHORED) -> list[tuple[str, str, set[str], set[str]]]:
    """(name, version, affected by, not affected by)."""
    found: list[tuple[str, str, set[str], set[str]]] = []
    for line in text.strip().splitlines():
        component, _, words = line.partition(":")
        name, version = component.split()
        said = words.split()
        found.append((name, version, {w[1:] for w in said if w[0] == "+"}, {w[1:] for w in said if w[0] == "-"}))
    return found


def label_authored(text: str = AUTHORED) -> Labels:
    """The same as labels."""
    labels = Labels()
    for name, version, affected, clean in read_authored(text):
        for vulnerability in (*affected, *(clean - {"*"})):
            labels.add(Component(name, version), vulnerability, vulnerability in affected)
    return labels
