"""Small files of every kind that a scan reads: (kind, file name, content)."""

from __future__ import annotations

URL = "https://conda.example/conda-forge/linux-64/openssl-3.0.7-h0b41bf4_2.conda"
WHEEL = "https://wheels.example/packages/ab/cd/requests-2.25.0-py2.py3-none-any.whl"
MD5, SHA256 = "45758f4ece9c8b7b5f99328bd5caae51", "e1d1d6bc2a4b0f8bf32d4a5e3f8d3c5f8d1b3a6b7c8d9e0f1a2b3c4d5e6f7a8b"

EXPLICIT = f"""# platform: linux-64
@EXPLICIT
{URL}#{MD5}
# pip requests @ {WHEEL} --hash=sha256:{SHA256}
"""
CONDA_LIST = """[{"name": "openssl", "version": "3.0.7", "build_string": "h0b41bf4_2", "build_number": 2,
"base_url": "https://conda.example/conda-forge", "channel": "conda-forge", "platform": "linux-64",
"dist_name": "openssl-3.0.7-h0b41bf4_2"},
{"name": "requests", "version": "2.25.0", "build_string": "pypi_0", "channel": "pypi", "platform": "pypi",
"base_url": "https://wheels.example/simple", "dist_name": "requests-2.25.0-pypi_0"}]"""
EXPORT = """# This file may be used to create an environment
# platform: linux-64
openssl=3.0.7=h0b41bf4_2
requests=2.25.0=pypi_0
"""
CONDA_LOCK = f"""version: 1
metadata:
  content_hash: {{linux-64: abc}}
package:
- name: openssl
  version: 3.0.7
  manager: conda
  platform: linux-64
  dependencies: {{ca-certificates: '', libgcc-ng: '>=12'}}
  url: {URL}
  hash: {{md5: {MD5}, sha256: {SHA256}}}
  category: main
  optional: false
- name: requests
  version: 2.25.0
  manager: pip
  platform: linux-64
  dependencies: {{}}
  url: {WHEEL}
  hash: {{sha256: {SHA256}}}
  category: main
  optional: false
"""
PIXI_6 = f"""version: 6
environments:
  default:
    channels:
    - url: https://conda.example/conda-forge/
    packages:
      linux-64:
      - conda: {URL}
      - pypi: {WHEEL}
packages:
- conda: {URL}
  sha256: {SHA256}
  md5: {MD5}
  depends:
  - ca-certificates
  license: Apache-2.0
- pypi: {WHEEL}
  name: requests
  version: 2.25.0
  sha256: {SHA256}
"""
PIXI_7 = PIXI_6.replace("version: 6\n", "version: 7\nplatforms:\n- name: linux-64\n", 1)
PIXI_5 = f"""version: 5
environments:
  default:
    channels:
    - url: https://conda.example/conda-forge/
    packages:
      linux-64:
      - conda: {URL}
      - pypi: {WHEEL}
packages:
- kind: conda
  name: openssl
  version: 3.0.7
  build: h0b41bf4_2
  subdir: linux-64
  url: {URL}
  sha256: {SHA256}
- kind: pypi
  name: requests
  version: 2.25.0
  url: {WHEEL}
"""
EXPORTED = """name: work
channels:
  - conda-forge
dependencies:
  - openssl=3.0.7=h0b41bf4_2
  - pip:
      - requests==2.25.0
prefix: /home/ana/envs/work
"""
REQUIREMENTS = f"""# pinned
requests[socks]==2.25.0 \\
    --hash=sha256:{SHA256}
"""
PYLOCK = f"""lock-version = "1.0"
[[packages]]
name = "requests"
version = "2.25.0"
wheels = [{{url = "{WHEEL}", hashes = {{sha256 = "{SHA256}"}}}}]
"""
UV = """version = 1
[[package]]
name = "requests"
version = "2.25.0"
source = { registry = "https://wheels.example/simple" }
dependencies = [{ name = "idna" }]
"""
POETRY = """[[package]]
name = "requests"
version = "2.25.0"
description = ""
optional = false
[package.dependencies]
idna = ">=2.5,<3"
[metadata]
lock-version = "2.1"
"""
CYCLONEDX = """{"bomFormat": "CycloneDX", "specVersion": "1.6", "components": [
{"type": "library", "name": "openssl", "version": "3.0.7",
 "purl": "pkg:conda/openssl@3.0.7?build=h0b41bf4_2&channel=conda-forge&subdir=linux-64",
 "components": [{"type": "library", "name": "requests", "version": "2.25.0", "purl": "pkg:pypi/requests@2.25.0"}]}]}"""
CYCLONEDX_XML = """<?xml version="1.0"?>
<bom xmlns="http://cyclonedx.org/schema/bom/1.4"><components>
<component type="library"><name>openssl</name><version>3.0.7</version>
<purl>pkg:conda/openssl@3.0.7?build=h0b41bf4_2&amp;subdir=linux-64</purl></component>
<component type="library"><name>requests</name><version>2.25.0</version><purl>pkg:pypi/requests@2.25.0</purl></component>
</components></bom>"""
SPDX_2 = """{"spdxVersion": "SPDX-2.3", "name": "work", "packages": [
{"name": "openssl", "versionInfo": "3.0.7", "externalRefs": [{"referenceCategory": "PACKAGE-MANAGER",
 "referenceType": "purl", "referenceLocator": "pkg:conda/openssl@3.0.7?build=h0b41bf4_2&subdir=linux-64"}]},
{"name": "requests", "versionInfo": "2.25.0", "externalRefs": [{"referenceCategory": "PACKAGE-MANAGER",
 "referenceType": "purl", "referenceLocator": "pkg:pypi/requests@2.25.0"}]}]}"""
SPDX_TAGS = """SPDXVersion: SPDX-2.2
DocumentName: work
PackageName: openssl
PackageVersion: 3.0.7
PackageComment: <text>of
PackageName: nothing</text>
ExternalRef: PACKAGE-MANAGER purl pkg:conda/openssl@3.0.7?build=h0b41bf4_2&subdir=linux-64
PackageName: requests
ExternalRef: PACKAGE-MANAGER purl pkg:pypi/requests@2.25.0
"""
SPDX_3 = """{"@context": "https://spdx.example/rdf/3.0.1/spdx-context.jsonld", "@graph": [
{"type": "SpdxDocument", "name": "work"},
{"type": "software_Package", "name": "openssl", "software_packageVersion": "3.0.7",
 "software_packageUrl": "pkg:conda/openssl@3.0.7?build=h0b41bf4_2&subdir=linux-64"},
{"type": "software_Package", "name": "requests", "externalIdentifier": [
 {"externalIdentifierType": "packageUrl", "identifier": "pkg:pypi/requests@2.25.0"}]}]}"""

BOTH = [  # openssl 3.0.7 of conda and requests 2.25.0 of PyPI
    ("explicit", "conda-linux-64.lock", EXPLICIT),
    ("conda-list", "list.json", CONDA_LIST),
    ("conda-list", "export.out", EXPORT),
    ("conda-lock", "conda-lock.yml", CONDA_LOCK),
    ("pixi-lock", "pixi.lock", PIXI_5),
    ("pixi-lock", "pixi.lock", PIXI_6),
    ("pixi-lock", "pixi.lock", PIXI_7),
    ("environment", "environment.yml", EXPORTED),
    ("cyclonedx", "bom.json", CYCLONEDX),
    ("cyclonedx", "bom.xml", CYCLONEDX_XML),
    ("spdx", "sbom.spdx.json", SPDX_2),
    ("spdx", "sbom.spdx", SPDX_TAGS),
    ("spdx", "sbom.spdx3.json", SPDX_3),
]
PYTHON = [  # requests 2.25.0 alone
    ("requirements", "requirements.txt", REQUIREMENTS),
    ("python-lock", "pylock.toml", PYLOCK),
    ("python-lock", "uv.lock", UV),
    ("python-lock", "poetry.lock", POETRY),
]
