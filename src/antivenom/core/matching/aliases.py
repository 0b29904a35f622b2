"""The curated table: what conda packages are called in CPE and in other advisory sources, written by hand.

One line a project: `conda names | CPE products | other names`. All conda names of a line carry the project's own
version. A product is listed under every vendor name that NVD or a CNA uses for the same code. A project that is in this
table and not in `PYTHON_NAMES` is not the PyPI project of the same name: conda's redis is the server, and conda's minio,
which is the client from PyPI, is not here. `~` before a product: these packages are but a part of it (libpq of
PostgreSQL), and what affects the whole may not affect them. `+`: they are its C or C++ implementation of several.

Source: the projects' own names; NVD product names; conda-forge feedstocks. Equal names alone were not enough
(ruby-lang:openssl is the Ruby binding, knplabs:snappy a PHP tool, jenkins:git a plugin). `julia-builds` are Julia's
binary builds with their bounds as upstream's versions (core/feeds/julia.py).

Long because it is a table.
"""

# ruff: noqa: E501 (a line of the table is a project)

from __future__ import annotations

from typing import NamedTuple


class Alias(NamedTuple):
    """CPE products ("vendor:product") and (ecosystem, name) pairs of one project; `wholes`: products it is a part of.

    `is_native`: the packages are the C or C++ one of the project's implementations in several languages.
    """

    products: tuple[str, ...]
    packages: tuple[tuple[str, str], ...]
    wholes: tuple[str, ...] = ()
    is_native: bool = False


_TABLE = """
openssl openssl-static libopenssl-static libopenssl | openssl:openssl | julia-builds/OpenSSL_jll oss-fuzz/openssl
libressl | openbsd:libressl | oss-fuzz/libressl
libcurl curl libcurl-static libcurl-gnutls | haxx:curl haxx:libcurl curl:curl curl:libcurl libcurl:libcurl | julia-builds/LibCURL_jll oss-fuzz/curl
zlib libzlib libzlib-wapi zlib-static | zlib:zlib madler:zlib gnu:zlib | julia-builds/Zlib_jll
minizip | zlib:minizip madler:minizip |
zlib-ng | zlib-ng:zlib-ng | oss-fuzz/zlib-ng
sqlite libsqlite sqlite3 | sqlite:sqlite | bitnami/sqlite
libxml2 libxml2-16 libxml2-devel | xmlsoft:libxml2 gnome:libxml2 libxml2:libxml2 | julia-builds/XML2_jll oss-fuzz/libxml2
libxslt | xmlsoft:libxslt gnome:libxslt | julia-builds/XSLT_jll oss-fuzz/libxslt
expat libexpat | libexpat_project:libexpat libexpat:expat libexpat:libexpat | julia-builds/Expat_jll
python cpython python-freethreading python-gil libpython libpython-static python-debug | python:python python:cpython python_software_foundation:cpython | bitnami/python bitnami/libpython oss-fuzz/cpython3
xz liblzma liblzma-devel xz-tools xz-gpl-tools | tukaani:xz xz:xz tukaani_project:xz | julia-builds/XZ_jll
bzip2 libbz2 | bzip:bzip2 bzip2_project:bzip2 bzip2:bzip2 | julia-builds/Bzip2_jll
lz4-c liblz4 | lz4_project:lz4 | julia-builds/Lz4_jll oss-fuzz/lz4
zstd libzstd zstd-static zstd-jni | facebook:zstandard facebook:zstd | julia-builds/Zstd_jll oss-fuzz/zstd
brotli libbrotlicommon libbrotlidec libbrotlienc brotli-bin | google:brotli | bitnami/brotli
snappy libsnappy | google:snappy |
lzo | oberhumer:lzo lzo_project:lzo oberhumer:lzo2 |
libarchive | libarchive:libarchive freebsd:libarchive | julia-builds/LibArchive_jll oss-fuzz/libarchive
libzip | libzip:libzip nih:libzip | oss-fuzz/libzip
p7zip 7zip | 7-zip:p7zip 7-zip:7-zip | julia-builds/p7zip_jll
unzip | info-zip:unzip unzip_project:unzip |
zip | info-zip:zip |
zziplib | zziplib_project:zziplib gdraheim:zziplib |
libpng libpng-static | libpng:libpng pnggroup:libpng | julia-builds/libpng_jll oss-fuzz/libpng
libtiff libtiff-devel | libtiff:libtiff simplesystems:libtiff remotesensing:libtiff | julia-builds/Libtiff_jll oss-fuzz/libtiff
libwebp libwebp-base | webmproject:libwebp | julia-builds/libwebp_jll oss-fuzz/libwebp
libjpeg-turbo | libjpeg-turbo:libjpeg-turbo d.r.commander:libjpeg-turbo | julia-builds/JpegTurbo_jll oss-fuzz/libjpeg-turbo
jpeg libjpeg | ijg:libjpeg |
libjxl | libjxl_project:libjxl | oss-fuzz/libjxl
libavif libavif16 | aomedia:libavif | julia-builds/libavif_jll oss-fuzz/libavif
libaom aom | aomedia:aomedia aomedia:libaom | julia-builds/libaom_jll oss-fuzz/libaom
dav1d | videolan:dav1d | oss-fuzz/dav1d
libde265 | struktur:libde265 libde265:libde265 | julia-builds/libde265_jll
libheif | struktur:libheif libheif:libheif | julia-builds/libheif_jll oss-fuzz/libheif
giflib | giflib_project:giflib | julia-builds/Giflib_jll
openjpeg libopenjp2 | uclouvain:openjpeg | julia-builds/OpenJpeg_jll oss-fuzz/openjpeg
openjph | aous72:openjph | oss-fuzz/openjph
jasper | jasper_project:jasper |
libraw libraw-lite | libraw:libraw | julia-builds/LibRaw_jll oss-fuzz/libraw
openexr | openexr:openexr aswf:openexr ilm:openexr academysoftwarefoundation:openexr | julia-builds/OpenEXR_jll oss-fuzz/openexr
openimageio | openimageio:openimageio |
imagemagick | imagemagick:imagemagick | julia-builds/ImageMagick_jll
graphicsmagick | graphicsmagick:graphicsmagick | julia-builds/GraphicsMagick_jll
freeimage | freeimage_project:freeimage |
exiv2 | exiv2:exiv2 | julia-builds/Exiv2_jll oss-fuzz/exiv2
libexif | libexif_project:libexif libexif:libexif | julia-builds/libexif_jll oss-fuzz/libexif
exiftool | exiftool_project:exiftool |
lcms2 lcms | littlecms:little_cms littlecms:little_cms_color_engine | julia-builds/LittleCMS_jll oss-fuzz/lcms
leptonica | leptonica:leptonica danbloomberg:leptonica | julia-builds/Leptonica_jll oss-fuzz/leptonica
tesseract libtesseract | tesseract_project:tesseract | oss-fuzz/tesseract-ocr
libgd | libgd:libgd | julia-builds/LibGD_jll
librsvg | gnome:librsvg | julia-builds/Librsvg_jll oss-fuzz/librsvg
libvips | libvips:libvips libvips_project:libvips | oss-fuzz/libvips
cimg | cimg:cimg |
libspng | libspng:libspng | oss-fuzz/libspng
libsixel | libsixel_project:libsixel saitoha:libsixel |
freetype libfreetype libfreetype6 | freetype:freetype freetype:freetype2 | julia-builds/FreeType2_jll oss-fuzz/freetype2
fontconfig libfontconfig | fontconfig_project:fontconfig | julia-builds/Fontconfig_jll
fribidi | gnu:fribidi | julia-builds/FriBidi_jll
harfbuzz libharfbuzz libharfbuzz-devel | harfbuzz_project:harfbuzz | julia-builds/HarfBuzz_jll oss-fuzz/harfbuzz
graphite2 | sil:graphite2 |
cairo libcairo | cairographics:cairo | julia-builds/Cairo_jll oss-fuzz/cairo
pixman | pixman:pixman x.org:pixman | julia-builds/Pixman_jll
pango libpango | gnome:pango pango:pango | julia-builds/Pango_jll
gdk-pixbuf | gnome:gdk-pixbuf gnome:gdkpixbuf |
glib libglib glib-tools | gnome:glib | julia-builds/Glib_jll oss-fuzz/glib
gtk3 gtk4 gtk2 | gnome:gtk gtk:gtk+ gnome:gtk+ |
libsoup | gnome:libsoup | julia-builds/Soup3_jll
glib-networking | gnome:glib-networking |
poppler poppler-qt poppler-cpp | freedesktop:poppler poppler:poppler | julia-builds/Poppler_jll oss-fuzz/poppler
ghostscript | artifex:ghostscript | oss-fuzz/ghostscript
mupdf libmupdf | artifex:mupdf | oss-fuzz/mupdf
qpdf | qpdf_project:qpdf | oss-fuzz/qpdf
podofo | podofo_project:podofo |
xpdf | xpdfreader:xpdf glyphandcog:xpdf glyphandcog:xpdfreader | oss-fuzz/xpdf
jbig2dec | artifex:jbig2dec | oss-fuzz/jbig2dec
djvulibre | djvulibre_project:djvulibre |
hdf5 hdf5-static libhdf5 | hdfgroup:hdf5 | julia-builds/HDF5_jll oss-fuzz/hdf5
hdf4 | hdfgroup:hdf4 |
libnetcdf | unidata:netcdf |
libmatio matio | matio_project:matio | oss-fuzz/matio
cfitsio | nasa:cfitsio |
libgdal libgdal-core | osgeo:gdal | julia-builds/GDAL_jll oss-fuzz/gdal bitnami/gdal
proj libproj | proj_project:proj osgeo:proj |
geos | osgeo:geos | oss-fuzz/geos
mapserver | osgeo:mapserver umn:mapserver |
postgis | postgis:postgis | oss-fuzz/postgis
libspatialite | spatialite:spatialite |
krb5 libkrb5 | mit:kerberos_5 mit:krb5 mit:kerberos | julia-builds/Kerberos_krb5_jll oss-fuzz/krb5
libssh2 | libssh2:libssh2 | julia-builds/LibSSH2_jll oss-fuzz/libssh2
libssh | libssh:libssh | julia-builds/libssh_jll oss-fuzz/libssh
openssh | openbsd:openssh | julia-builds/OpenSSH_jll
libnghttp2 nghttp2 libnghttp2-static | nghttp2:nghttp2 | julia-builds/nghttp2_jll
nghttp3 libnghttp3 | nghttp2:nghttp3 |
ngtcp2 libngtcp2 | nghttp2:ngtcp2 ngtcp2:ngtcp2 |
c-ares libcares | c-ares:c-ares c-ares_project:c-ares c-ares:c-ares_project | oss-fuzz/c-ares
libevent | libevent:libevent libevent_project:libevent |
libev | libev:libev |
libuv | libuv:libuv libuv_project:libuv |
libmicrohttpd | gnu:libmicrohttpd |
libidn2 | gnu:libidn2 | oss-fuzz/libidn2
libidn | gnu:libidn | julia-builds/libidn_jll
libpsl | libpsl_project:libpsl | oss-fuzz/libpsl
gnutls libgnutls | gnu:gnutls | julia-builds/GnuTLS_jll oss-fuzz/gnutls
nettle | nettle_project:nettle | julia-builds/Nettle_jll
libgcrypt libgcrypt-lib libgcrypt-tools libgcrypt-devel | gnupg:libgcrypt | julia-builds/Libgcrypt_jll
libgpg-error | gnupg:libgpg-error |
libksba | gnupg:libksba libksba_project:libksba | julia-builds/Libksba_jll
gnupg | gnupg:gnupg | julia-builds/GnuPG_jll oss-fuzz/gnupg
gpgme | gnupg:gpgme |
libtasn1 | gnu:libtasn1 |
p11-kit | p11-kit_project:p11-kit | oss-fuzz/p11-kit
nss libnss | mozilla:nss mozilla:network_security_services |
mbedtls | arm:mbed_tls mbed-tls:mbedtls trustedfirmware:mbed_tls mbed:mbedtls | julia-builds/MbedTLS_jll oss-fuzz/mbedtls
wolfssl | wolfssl:wolfssl | julia-builds/wolfSSL_jll oss-fuzz/wolfssl
botan libbotan | botan_project:botan randombit:botan | oss-fuzz/botan
cryptopp | cryptopp:crypto++ | julia-builds/cryptopp_jll
libsodium | libsodium:libsodium |
cyrus-sasl | cyrusimap:cyrus-sasl cmu:cyrus-sasl |
openldap libldap | openldap:openldap | julia-builds/OpenLDAPClient_jll bitnami/openldap
libtirpc | libtirpc_project:libtirpc | julia-builds/libtirpc_jll
libpcap | tcpdump:libpcap | julia-builds/libpcap_jll oss-fuzz/libpcap
tcpdump | tcpdump:tcpdump |
net-snmp | net-snmp:net-snmp | oss-fuzz/net-snmp
nmap | nmap:nmap |
wget | gnu:wget | julia-builds/wget_jll oss-fuzz/wget
rsync | samba:rsync rsync:rsync | julia-builds/rsync_jll
rclone | rclone:rclone | julia-builds/Rclone_jll bitnami/rclone
aria2 | aria2_project:aria2 | julia-builds/Aria2_jll
git git-core | git-scm:git git:git git_project:git | bitnami/git
git-lfs | git-lfs_project:git-lfs git_large_file_storage_project:git_large_file_storage | bitnami/git-lfs
libgit2 | libgit2:libgit2 libgit2_project:libgit2 | julia-builds/LibGit2_jll oss-fuzz/libgit2
mercurial | mercurial:mercurial mercurial-scm:mercurial |
subversion | apache:subversion |
gh | github:cli cli:cli |
nodejs | nodejs:node.js nodejs:nodejs nodejs:node | bitnami/node julia-builds/libnode_jll
deno | deno:deno denoland:deno | julia-builds/Deno_jll
bun | bun:bun oven-sh:bun |
yarn | yarnpkg:yarn |
npm | npmjs:npm |
pnpm | pnpm:pnpm |
openjdk openjdk-headless | oracle:openjdk | bitnami/java
maven | apache:maven | bitnami/maven
gradle | gradle:gradle | bitnami/gradle
ant | apache:ant |
scala | scala-lang:scala |
kotlin | jetbrains:kotlin |
groovy | apache:groovy |
clojure | clojure:clojure |
go go-cgo go-nocgo | golang:go | bitnami/golang
rust rust-src cargo | rust-lang:rust rust-lang:cargo |
rust-std rust-std-x86_64-unknown-linux-gnu rust-std-aarch64-unknown-linux-gnu rust-std-x86_64-apple-darwin rust-std-aarch64-apple-darwin rust-std-x86_64-pc-windows-msvc rust-std-wasm32-unknown-unknown | rust-lang:rust |
julia | julialang:julia | julia-builds/libjulia_jll
ruby | ruby-lang:ruby | julia-builds/ruby_jll bitnami/ruby oss-fuzz/ruby
perl perl-base | perl:perl |
php | php:php php_group:php | bitnami/php oss-fuzz/php
lua | lua:lua | julia-builds/Lua_jll bitnami/lua oss-fuzz/lua
luajit | luajit:luajit |
tcl | tcl:tcl |
tk | tcl:tk |
r-base r | r-project:r r_project:r |
ocaml | ocaml:ocaml |
erlang | erlang:erlang/otp erlang:otp erlang:erlang |
elixir | elixir-lang:elixir |
nim | nim-lang:nim |
ghc | haskell:ghc |
dotnet dotnet-runtime | microsoft:.net | bitnami/dotnet
dotnet-sdk | microsoft:.net | bitnami/dotnet-sdk
dotnet-aspnetcore | microsoft:asp.net_core | bitnami/aspnet-core
powershell | microsoft:powershell microsoft:powershell_core | bitnami/powershell
mono | mono-project:mono |
micropython | micropython:micropython |
duktape | duktape:duktape |
quickjs | quickjs_project:quickjs bellard:quickjs | oss-fuzz/quickjs
postgresql postgresql-server postgresql-plpython | postgresql:postgresql | bitnami/postgresql
libpq | ~postgresql:postgresql | julia-builds/LibPQ_jll
pgbouncer | pgbouncer:pgbouncer | bitnami/pgbouncer
pgvector | pgvector_project:pgvector |
psqlodbc | postgresql:psqlodbc |
mysql mysql-server | oracle:mysql oracle:mysql_server mysql:mysql oracle_corporation:mysql_server | oss-fuzz/mysql-server
mysql-libs mysql-common mysql-client mysql-devel libmysqlclient | oracle:mysql_client ~oracle:mysql ~mysql:mysql |
mysql-connector-c | oracle:mysql_connector/c oracle:mysql_connector_c |
mariadb-server | mariadb:mariadb | bitnami/mariadb
mariadb-connector-c libmariadb | mariadb:connector/c mariadb:mariadb_connector/c | julia-builds/MariaDB_Connector_C_jll
redis redis-server | redis:redis redislabs:redis | bitnami/redis
valkey valkey-server | lfprojects:valkey valkey-io:valkey | bitnami/valkey
libhiredis | redis:hiredis redislabs:hiredis |
memcached | memcached:memcached | bitnami/memcached
mongodb | mongodb:mongodb | bitnami/mongodb
mongo-c-driver libmongoc | mongodb:c_driver mongodb:libmongoc | julia-builds/MongoC_jll
libbson | mongodb:libbson |
couchdb | apache:couchdb | bitnami/couchdb
cassandra | apache:cassandra | bitnami/cassandra
elasticsearch-server | elastic:elasticsearch |
duckdb duckdb-cli libduckdb libduckdb-devel | duckdb:duckdb | julia-builds/DuckDB_jll oss-fuzz/duckdb
rocksdb | facebook:rocksdb |
lmdb | openldap:lmdb symas:lightning_memory-mapped_database |
unixodbc | unixodbc:unixodbc |
freetds | freetds:freetds |
nginx | f5:nginx nginx:nginx f5:nginx_open_source | bitnami/nginx
apache2 httpd apache-httpd | apache:http_server | bitnami/apache
apr libapr | apache:portable_runtime apache:apr | bitnami/apr
apr-util libaprutil | apache:apr-util apache:portable_runtime_utility |
haproxy | haproxy:haproxy | bitnami/haproxy oss-fuzz/haproxy
lighttpd | lighttpd:lighttpd |
caddy | caddyserver:caddy |
traefik | traefik:traefik |
tomcat | apache:tomcat | bitnami/tomcat
zookeeper | apache:zookeeper | bitnami/zookeeper
kafka | apache:kafka | bitnami/kafka
rabbitmq-server | vmware:rabbitmq broadcom:rabbitmq_server pivotal_software:rabbitmq rabbitmq:rabbitmq-server | bitnami/rabbitmq
mosquitto | eclipse:mosquitto | oss-fuzz/mosquitto
zeromq | zeromq:libzmq zeromq:zeromq | julia-builds/ZeroMQ_jll oss-fuzz/libzmq
nats-server | linuxfoundation:nats-server nats:nats_server nats-io:nats-server | julia-builds/nats_server_jll bitnami/nats
etcd | etcd:etcd redhat:etcd | bitnami/etcd
consul | hashicorp:consul | bitnami/consul
vault | hashicorp:vault | bitnami/vault
nomad | hashicorp:nomad |
packer | hashicorp:packer |
terraform | hashicorp:terraform |
opentofu | opentofu:opentofu |
kubernetes kubernetes-server kubernetes-client kubernetes-node | kubernetes:kubernetes |
kubernetes-helm helm | helm:helm | bitnami/helm
minikube | kubernetes:minikube |
kustomize | | bitnami/kustomize
podman | podman_project:podman |
buildah | buildah_project:buildah |
skopeo | skopeo_project:skopeo |
runc | linuxfoundation:runc opencontainers:runc |
crun | crun_project:crun |
apptainer | lfprojects:apptainer |
singularity | sylabs:singularity |
trivy | aquasec:trivy aquasecurity:trivy |
syft | anchore:syft |
grype | anchore:grype |
cosign | sigstore:cosign linuxfoundation:cosign | bitnami/cosign
prometheus | prometheus:prometheus | bitnami/prometheus
grafana | grafana:grafana | bitnami/grafana
minio-server | minio:minio | bitnami/minio
seaweedfs | seaweedfs:seaweedfs | bitnami/seaweedfs
jenkins | jenkins:jenkins | bitnami/jenkins
gitea | gitea:gitea | bitnami/gitea
hugo | gohugo:hugo | julia-builds/Hugo_jll
pandoc | pandoc:pandoc | julia-builds/pandoc_jll
ffmpeg libffmpeg | ffmpeg:ffmpeg | julia-builds/FFMPEG_jll
gstreamer gst-plugins-base gst-plugins-good gst-plugins-bad gst-plugins-ugly | gstreamer_project:gstreamer gstreamer:gstreamer freedesktop:gstreamer | oss-fuzz/gstreamer
libvpx | webmproject:libvpx | julia-builds/LibVPX_jll oss-fuzz/libvpx
openh264 | cisco:openh264 | oss-fuzz/openh264
x264 | videolan:x264 |
x265 | multicorewareinc:x265_high_efficiency_video_coding multicoreware:x265_high_efficiency_video_coding |
lame | lame_project:lame |
libflac flac | flac_project:flac xiph:flac | julia-builds/FLAC_jll oss-fuzz/flac
libvorbis | xiph.org:libvorbis xiph:libvorbis |
libogg | xiph:libogg |
libopus | opus-codec:opus |
libtheora | xiph:libtheora |
opusfile | xiph:opusfile opus-codec:opusfile | julia-builds/opusfile_jll
libsndfile | libsndfile_project:libsndfile mega-nerd:libsndfile |
mpg123 | mpg123:mpg123 |
sox | sox_project:sox sox:sox |
libass | libass_project:libass | julia-builds/libass_jll oss-fuzz/libass
mpv | mpv:mpv | julia-builds/mpv_jll oss-fuzz/mpv
vlc | videolan:vlc_media_player | oss-fuzz/vlc
fluidsynth | fluidsynth:fluidsynth |
sdl2 | libsdl:sdl2 libsdl:simple_directmedia_layer | julia-builds/SDL2_jll
sdl2_image | libsdl:sdl2_image |
sdl2_ttf | libsdl:sdl2_ttf | julia-builds/SDL2_ttf_jll
opencv libopencv | opencv:opencv | julia-builds/OpenCV_jll oss-fuzz/opencv
protobuf-c | protobuf-c_project:protobuf-c |
libprotobuf libprotobuf-static | google:protobuf-cpp |
libgrpc grpc-cpp | grpc:grpc google:grpc | oss-fuzz/grpc
flatbuffers | google:flatbuffers | oss-fuzz/flatbuffers
capnproto | capnproto:capnproto capnproto:capnp | julia-builds/capnproto_jll
thrift-cpp thrift-compiler libthrift | +apache:thrift | bitnami/thrift
libarrow arrow-cpp libparquet libarrow-flight libarrow-dataset libarrow-acero libarrow-substrait libarrow-gandiva libarrow-flight-sql libarrow-compute | apache:arrow | julia-builds/Arrow_jll oss-fuzz/arrow
orc liborc | apache:orc |
boost boost-cpp libboost libboost-devel libboost-headers | boost:boost | oss-fuzz/boost
icu | icu-project:international_components_for_unicode unicode:international_components_for_unicode | julia-builds/ICU_jll oss-fuzz/icu
pcre | pcre:pcre | julia-builds/PCRE_jll
pcre2 | pcre:pcre2 | julia-builds/PCRE2_jll oss-fuzz/pcre2
oniguruma | oniguruma_project:oniguruma | oss-fuzz/oniguruma
re2 libre2 libre2-11 | google:re2 | oss-fuzz/re2
yaml libyaml | pyyaml:libyaml yaml:libyaml | oss-fuzz/libyaml
yaml-cpp | yaml-cpp_project:yaml-cpp | julia-builds/yaml_cpp_jll
yajl | yajl_project:yajl | julia-builds/YAJL_jll
json-c | json-c_project:json-c json-c:json-c | oss-fuzz/json-c
jsoncpp | jsoncpp_project:jsoncpp | oss-fuzz/jsoncpp
rapidjson | tencent:rapidjson |
nlohmann_json | json-for-modern-cpp_project:json-for-modern-cpp |
simdjson | simdjson_project:simdjson | oss-fuzz/simdjson
jansson | jansson_project:jansson |
jq | jqlang:jq jq_project:jq | oss-fuzz/jq
go-yq | mikefarah:yq |
fmt | fmt:fmt fmtlib:fmt | oss-fuzz/fmt
xerces-c | apache:xerces-c++ apache:xerces-c |
pugixml | pugixml_project:pugixml |
tinyxml | tinyxml_project:tinyxml grinninglizard:tinyxml |
tinyxml2 | tinyxml2_project:tinyxml2 |
uriparser | uriparser_project:uriparser |
libxmlsec1 | aleksey:xml_security_library | oss-fuzz/xmlsec
ncurses | gnu:ncurses invisible-island:ncurses | julia-builds/Ncurses_jll
readline | gnu:readline |
libedit | libedit_project:libedit |
gettext libgettextpo libgettextpo-devel | gnu:gettext | julia-builds/Gettext_jll
libiconv | gnu:libiconv |
libunistring | gnu:libunistring |
gmp | gmplib:gmp | julia-builds/GMP_jll
mpfr | gnu:mpfr mpfr:gnu_mpfr |
libffi | libffi_project:libffi |
bash | gnu:bash |
zsh | zsh:zsh |
fish | fishshell:fish fish-shell:fish-shell |
coreutils | gnu:coreutils | julia-builds/coreutils_jll
diffutils | gnu:diffutils |
findutils | gnu:findutils |
sed | gnu:sed | julia-builds/sed_jll
grep | gnu:grep |
gawk | gnu:gawk | julia-builds/gawk_jll
tar | gnu:tar | julia-builds/Tar_jll
gzip | gnu:gzip | julia-builds/Gzip_jll
cpio | gnu:cpio |
patch | gnu:patch | julia-builds/patch_jll
make | gnu:make |
m4 | gnu:m4 |
bison | gnu:bison | julia-builds/Bison_jll
flex | westes:flex flex_project:flex | julia-builds/flex_jll
autoconf | gnu:autoconf |
automake | gnu:automake |
libtool | gnu:libtool |
less | greenwoodsoftware:less gnu:less |
screen | gnu:screen |
tmux | tmux_project:tmux nicholas_marriott:tmux | julia-builds/tmux_jll oss-fuzz/tmux
nano | gnu:nano |
vim | vim:vim |
nvim | neovim:neovim |
emacs | gnu:emacs |
texinfo | gnu:texinfo |
groff | gnu:groff |
gcc gcc_impl_linux-64 gxx_impl_linux-64 | gnu:gcc |
binutils binutils_impl_linux-64 ld_impl_linux-64 | gnu:binutils |
gdb | gnu:gdb |
glibc | gnu:glibc |
musl | musl-libc:musl |
elfutils libelf | elfutils_project:elfutils |
libdwarf | libdwarf_project:libdwarf | oss-fuzz/libdwarf
libunwind | libunwind_project:libunwind |
patchelf | patchelf_project:patchelf |
nasm | nasm:netwide_assembler nasm:nasm | julia-builds/NASM_jll
yasm | yasm_project:yasm tortall:yasm | julia-builds/YASM_jll
clang llvm llvmdev libllvm clangdev | llvm:llvm llvm:clang |
cmake | cmake_project:cmake kitware:cmake |
ninja | ninja-build:ninja | oss-fuzz/ninja
bazel | google:bazel |
doxygen | doxygen:doxygen |
graphviz | graphviz:graphviz | julia-builds/Graphviz_jll
gnuplot | gnuplot:gnuplot gnuplot_project:gnuplot | julia-builds/Gnuplot_jll
swig | swig:swig |
util-linux libuuid libmount libblkid | kernel:util-linux linux:util-linux | julia-builds/util_linux_jll julia-builds/Libmount_jll julia-builds/Libuuid_jll oss-fuzz/util-linux
e2fsprogs | e2fsprogs_project:e2fsprogs |
libcap | libcap_project:libcap libcap:libcap |
libseccomp | libseccomp_project:libseccomp |
libselinux | selinux_project:selinux |
attr libattr | attr_project:attr |
acl libacl | acl_project:acl |
dbus | freedesktop:dbus d-bus_project:d-bus | julia-builds/Dbus_jll
avahi | avahi:avahi |
libsystemd0 libudev1 libudev systemd | systemd_project:systemd freedesktop:systemd | oss-fuzz/systemd
polkit | polkit_project:polkit freedesktop:polkit |
pulseaudio pulseaudio-client | pulseaudio:pulseaudio |
alsa-lib | alsa-project:alsa-lib |
libcups cups | openprinting:cups apple:cups | oss-fuzz/cups
libusb | libusb:libusb | julia-builds/libusb_jll
xorg-libx11 libx11 | x.org:libx11 | julia-builds/Xorg_libX11_jll
xorg-libxpm libxpm | libxpm_project:libxpm x.org:libxpm | julia-builds/Xorg_libXpm_jll
xorg-libxfont xorg-libxfont2 | x.org:libxfont |
xorg-libxcb libxcb | x.org:libxcb x:libxcb |
xorg-libxi | x.org:libxi |
xorg-libxrandr | x.org:libxrandr |
xorg-libxrender | x.org:libxrender |
xorg-libxcursor | x.org:libxcursor |
xorg-xorg-server xorg-xserver | x.org:x_server x.org:xorg-server |
libxkbcommon | xkbcommon:libxkbcommon |
wayland | wayland:wayland freedesktop:wayland | julia-builds/Wayland_jll
mesalib | mesa3d:mesa |
qt qt-main qt6-main qt-webengine qt5-main | qt:qt | oss-fuzz/qt
gettext-tools | gnu:gettext |
inkscape | inkscape:inkscape |
gimp | gimp:gimp |
blender | blender:blender |
freecad | freecad:freecad freecad_project:freecad |
libreoffice | libreoffice:libreoffice |
firefox | mozilla:firefox |
thunderbird | mozilla:thunderbird |
chromium google-chrome | google:chrome |
electron | electronjs:electron atom:electron |
code-server | coder:code-server | julia-builds/code_server_jll
assimp | assimp:assimp open_asset_import_library_assimp:assimp | julia-builds/assimp_jll oss-fuzz/assimp
vtk vtk-base | vtk:vtk | julia-builds/VTK_jll
pcl | pointclouds:pcl point_cloud_library:pcl | oss-fuzz/pcl
sassc | sass-lang:sassc | julia-builds/SassC_jll
libxls | libxls_project:libxls | julia-builds/libxls_jll oss-fuzz/libxls
readstat | readstat_project:readstat wizardmac:readstat | oss-fuzz/readstat
libxlsxwriter | libxlsxwriter:libxlsxwriter |
libmodbus | libmodbus:libmodbus | julia-builds/LibModbus_jll
openblas libopenblas openblas-ilp64 libopenblas-ilp64 | openblas_project:openblas | julia-builds/OpenBLAS_jll bitnami/openblas
lapack liblapack | lapack_project:lapack netlib:lapack | julia-builds/LAPACK_jll
libhwloc | open-mpi:hwloc | julia-builds/Hwloc_jll
openmpi | open-mpi:open_mpi |
c-blosc2 | c-blosc2_project:c-blosc2 blosc:c-blosc2 | oss-fuzz/c-blosc2
blosc c-blosc | c-blosc_project:c-blosc | oss-fuzz/c-blosc
htslib | htslib:htslib samtools:htslib | oss-fuzz/htslib
samtools | samtools:samtools |
igraph libigraph | igraph:igraph | oss-fuzz/igraph
openbabel | openbabel:open_babel | oss-fuzz/openbabel
libsbml | libsbml_project:libsbml |
root root_base | cern:root |
gdcm | malaterre:grassroots_dicom grassroots_dicom_project:grassroots_dicom |
dcmtk | offis:dcmtk |
llama.cpp | ggml:llama.cpp ggerganov:llama.cpp | oss-fuzz/llamacpp
ollama | ollama:ollama |
libtorch | linuxfoundation:pytorch pytorch:pytorch |
libmagic file | file_project:file file:file | oss-fuzz/file
libconfuse | libconfuse_project:libconfuse | julia-builds/libconfuse_jll
libmaxminddb | maxmind:libmaxminddb | bitnami/libmaxminddb
librdkafka | confluent:librdkafka |
libphonenumber | google:libphonenumber | oss-fuzz/libphonenumber
hunspell | hunspell_project:hunspell | oss-fuzz/hunspell
aspell | gnu:aspell | oss-fuzz/aspell
espeak-ng | espeak-ng:espeak-ng | oss-fuzz/espeak-ng
tidy-html5 | htacg:tidy html-tidy:tidy | oss-fuzz/tidy-html5
wxwidgets | wxwidgets:wxwidgets | julia-builds/wxWidgets_jll
pocl poco | pocoproject:poco macchina:poco | oss-fuzz/poco
mongoose | cesanta:mongoose | julia-builds/Mongoose_jll
cpp-httplib | cpp-httplib_project:cpp-httplib yhirose:cpp-httplib |
binaryen | webassembly:binaryen | julia-builds/Binaryen_jll
wabt | webassembly:webassembly_binary_toolkit webassembly:wabt | oss-fuzz/wabt
wasmtime | bytecodealliance:wasmtime | julia-builds/Wasmtime_jll
wasmer | wasmer:wasmer |
tidb | pingcap:tidb |
slurm | schedmd:slurm |
munge | opensuse:munge dun:munge |
htcondor | wisc:htcondor htcondor_project:htcondor |
suricata | oisf:suricata | oss-fuzz/suricata
clamav | clamav:clamav cisco:clamav | oss-fuzz/clamav
yara | virustotal:yara | oss-fuzz/yara
radare2 | radare:radare2 | oss-fuzz/radare2
wireshark tshark | wireshark:wireshark | oss-fuzz/wireshark
openvpn | openvpn:openvpn | oss-fuzz/openvpn
iperf3 iperf | iperf3_project:iperf3 es:iperf3 iperf_project:iperf | julia-builds/iperf_jll
socat | dest-unreach:socat |
chafa | chafa_project:chafa | julia-builds/Chafa_jll
tree-sitter | tree-sitter:tree-sitter |
uv | astral:uv astral-sh:uv | pypi/uv
log4cxx | apache:log4cxx |
syncthing | syncthing:syncthing | bitnami/syncthing
libfuse | libfuse_project:libfuse |
bind | isc:bind |
"""


def _parse(table: str) -> dict[str, Alias]:
    found: dict[str, Alias] = {}
    for line in table.splitlines():
        if "|" not in line:
            continue
        names, products, packages = (part.split() for part in line.split("|"))
        own = tuple(p.removeprefix("+") for p in products if not p.startswith("~"))
        wholes = tuple(p[1:] for p in products if p.startswith("~"))
        is_native = any(p.startswith("+") for p in products)
        alias = Alias(own, tuple((e, n) for e, _, n in (p.partition("/") for p in packages)), wholes, is_native)
        for name in names:
            if name in found:
                raise ValueError(f"conda name {name} stands twice in the curated table")
            found[name] = alias
    return found


ALIASES = _parse(_TABLE)

_PYTHON = """
pytorch=torch pytorch-cpu=torch pytorch-gpu=torch py-opencv=opencv-python opencv-python-headless=opencv-python-headless
msgpack-python=msgpack pytables=tables tables=tables py-xgboost=xgboost py-xgboost-cpu=xgboost py-xgboost-gpu=xgboost
importlib_metadata=importlib-metadata importlib_resources=importlib-resources ruamel_yaml=ruamel-yaml
redis-py=redis python-snappy=python-snappy python-lmdb=lmdb python-xxhash=xxhash python-zstd=zstd brotli-python=brotli
brotlipy=brotlipy python-graphviz=graphviz python-flatbuffers=flatbuffers python-duckdb=duckdb python-slugify=python-slugify
matplotlib-base=matplotlib dask-core=dask ray-core=ray ray-default=ray ray-all=ray airflow=apache-airflow superset=apache-superset
nbconvert-core=nbconvert pyqt=pyqt5 pyqt6=pyqt6 numpy-base=numpy tensorflow-base=tensorflow tensorflow-cpu=tensorflow
tensorflow-gpu=tensorflow tensorflow-mkl=tensorflow tensorflow-eigen=tensorflow grpcio=grpcio prompt_toolkit=prompt-toolkit
jupyter_server=jupyter-server jupyter_client=jupyter-client jupyter_core=jupyter-core typing_extensions=typing-extensions
websocket-client=websocket-client backports.zoneinfo=backports-zoneinfo py-lz4framed=py-lz4framed pycryptodome=pycryptodome
pycrypto=pycrypto gitpython=gitpython pyyaml=pyyaml pyjwt=pyjwt markdown=markdown mistune=mistune bleach=bleach
ipython=ipython ipython_genutils=ipython-genutils pywin32=pywin32 psycopg2=psycopg2 mysql-connector-python=mysql-connector-python
mysqlclient=mysqlclient pymysql=pymysql protobuf=protobuf pyarrow=pyarrow pyarrow-core=pyarrow langchain=langchain
scikit-learn=scikit-learn sentencepiece-python=sentencepiece mlflow-skinny=mlflow-skinny pillow=pillow gdal=gdal rasterio=rasterio
zeroc-ice=zeroc-ice azure-storage-blob=azure-storage-blob python-tzdata=tzdata python-fastjsonschema=fastjsonschema
libmambapy=libmambapy conda=conda
"""
# What conda calls PyPI projects, for when no name map is loaded; a loaded map is asked first.
PYTHON_NAMES = dict(pair.split("=") for pair in _PYTHON.split())
