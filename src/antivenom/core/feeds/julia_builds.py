"""The first builds of Julia's binary libraries that its advisories name, as versions of the project that was built.

Where a range begins at the first build, nobody knows whether the project was affected before.

Source: the lowest bound of each library in SecurityAdvisories.jl (23170e9962cf, 2026-08-21), by `built_from`.
"""

from __future__ import annotations

FIRST_BUILDS = {
    "Aria2_jll": "1.37.0", "Arrow_jll": "18.1.0", "assimp_jll": "5.2.5", "Binaryen_jll": "0.130.0",
    "Bison_jll": "3.8.2", "Bzip2_jll": "1.0.7", "Cairo_jll": "1.16.0", "coreutils_jll": "9.5.0", "CURL_jll": "8.5.0",
    "Dbus_jll": "1.14.10", "Deno_jll": "1.10.2", "DuckDB_jll": "1.1.0", "Expat_jll": "2.2.10", "FFMPEG_jll": "4.3.1",
    "FFMPEG_nogpl_jll": "8.1.0", "FFplay_jll": "4.4.4", "FLAC_jll": "1.4.2", "fmusim_jll": "0.0.39-1",
    "Fontconfig_jll": "2.17.1", "FreeType2_jll": "2.10.4", "FriBidi_jll": "1.0.10", "gawk_jll": "5.4.1",
    "GDAL_jll": "3.2.0", "Gettext_jll": "0.20.1", "Giflib_jll": "5.2.1", "Glib_jll": "2.68.1", "GMP_jll": "6.3.0",
    "GnuPG_jll": "2.4.7", "Gnuplot_jll": "6.0.3", "GnuTLS_jll": "3.7.1", "GraphicsMagick_jll": "1.3.47",
    "Graphviz_jll": "15.1.0", "Gzip_jll": "1.12.0", "HarfBuzz_ICU_jll": "8.5.0", "HarfBuzz_jll": "8.3.1",
    "HDF5_jll": "1.14.1", "Hugo_jll": "0.163.3", "Hwloc_jll": "2.9.3", "hyper_jll": "0.14.19", "ICU_jll": "67.1.0",
    "ImageMagick_jll": "6.9.12", "IntelOpenMP_jll": "2023.1.0", "iperf_jll": "3.21.0", "JpegTurbo_jll": "2.1.0",
    "Kerberos_krb5_jll": "1.21.3", "LAPACK32_jll": "3.10.1", "LAPACK_jll": "3.10.1", "Leptonica_jll": "1.81.1",
    "libaom_jll": "3.11.0", "LibArchive_jll": "3.5.2", "libass_jll": "0.15.1", "libavif_jll": "1.3.0",
    "LibCURL_jll": "7.70.0", "libde265_jll": "1.0.18", "libexif_jll": "0.6.26", "Libgcrypt_jll": "1.8.11",
    "LibGD_jll": "2.3.3", "LibGit2_jll": "0.28.5", "libheif_jll": "1.21.2", "libidn_jll": "1.44.0",
    "libjulia_jll": "1.8.0", "Libksba_jll": "1.6.7", "LibModbus_jll": "3.1.10", "Libmount_jll": "2.39.3",
    "libnode_jll": "16.17.0", "libpcap_jll": "1.10.5", "libpng_jll": "1.6.43", "LibPQ_jll": "14.1.0",
    "LibRaw_jll": "0.22.1", "Librsvg_jll": "2.52.4", "libsass_jll": "3.6.4", "LibSSH2_jll": "1.10.1",
    "libssh_jll": "0.11.0", "Libtiff_jll": "4.1.0", "libtirpc_jll": "1.3.7", "libusb_jll": "1.0.30",
    "Libuuid_jll": "2.39.3", "LibVPX_jll": "1.15.2", "libwebp_jll": "1.3.2", "libxls_jll": "1.6.2",
    "LittleCMS_jll": "2.12.0", "Lua_jll": "5.3.6", "Lz4_jll": "1.9.4", "MariaDB_Connector_C_jll": "3.1.12",
    "MbedTLS_jll": "2.16.6", "MongoC_jll": "1.19.1", "Mongoose_jll": "7.21.0", "mpv_jll": "0.41.0",
    "NASM_jll": "2.16.1", "nats_server_jll": "2.10.18", "Ncurses_jll": "6.2.0", "Nettle_jll": "3.7.2",
    "nghttp2_jll": "1.41.0", "OpenBLAS32_jll": "0.3.20", "OpenBLAS_jll": "0.3.20", "OpenCV_jll": "4.10.0",
    "OpenEXR_jll": "3.1.1", "OpenJpeg_jll": "2.4.0", "OpenLDAPClient_jll": "2.5.14", "Openresty_jll": "1.19.9",
    "OpenSSH_jll": "8.9.0", "OpenSSL_jll": "1.1.1", "pandoc_jll": "3.1.9", "Pango_jll": "1.47.0",
    "patch_jll": "2.8.0", "PCRE2_jll": "10.41.0", "PCRE_jll": "8.44.0", "Pixman_jll": "0.42.2",
    "Poppler_jll": "23.12.0", "Python_jll": "3.10.7", "Raylib_jll": "5.5.0", "Rclone_jll": "1.55.1",
    "rsync_jll": "3.3.0", "SDL2_jll": "2.0.12", "SDL2_ttf_jll": "2.24.0", "sed_jll": "4.10.0",
    "Singular_jll": "403.201.0", "Tar_jll": "1.34.0", "tmux_jll": "3.3.0", "util_linux_jll": "2.39.3",
    "VTK_jll": "9.5.2", "Wasmtime_jll": "24.0.2", "Wayland_jll": "1.21.0", "wget_jll": "1.21.4",
    "wolfSSL_jll": "5.7.2", "XML2_jll": "2.9.10", "Xorg_libX11_jll": "1.8.6", "Xorg_libXpm_jll": "3.5.17",
    "XSLT_jll": "1.1.34", "XZ_jll": "5.2.5", "YAJL_jll": "2.1.2", "yaml_cpp_jll": "0.6.3", "ZeroMQ_jll": "4.3.4",
    "Zlib_jll": "1.2.12", "Zstd_jll": "1.5.0",
}  # fmt: skip
