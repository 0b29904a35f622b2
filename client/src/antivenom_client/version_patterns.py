"""The patterns by which versions are read that are not plain numbers.

A module of its own: most versions are plain, and compiling these costs a fast scan as much as all else.
"""

from __future__ import annotations

import re

PEP440 = re.compile(
    r"""v?
    (?:(?P<epoch>[0-9]+)!)?
    (?P<release>[0-9]+(?:\.[0-9]+)*)
    (?:[-_.]?(?P<pre>alpha|a|beta|b|preview|pre|c|rc)[-_.]?(?P<pre_number>[0-9]+)?)?
    (?P<post>-(?P<post_implicit>[0-9]+)|[-_.]?(?:post|rev|r)[-_.]?(?P<post_number>[0-9]+)?)?
    (?P<dev>[-_.]?dev[-_.]?(?P<dev_number>[0-9]+)?)?
    (?:\+(?P<local>[a-z0-9]+(?:[-_.][a-z0-9]+)*))?""",
    re.VERBOSE | re.ASCII,
)
TOKEN = re.compile(r"[0-9]+|[a-z]+", re.ASCII)
DASHED = re.compile(r"v?([0-9]+(?:\.[0-9]+)*)(?:-([0-9a-zA-Z-].*))?\Z", re.ASCII)
ANNOUNCED = re.compile(  # conda cannot write 1.0.0-rc.1 and says 1.0.0rc1 or 1.0.0_rc1
    r"v?([0-9]+(?:\.[0-9]+)*)[._]?"
    r"((?:(?:dev|snapshot|nightly|alpha|beta|milestone|preview|pre|rc|cr)(?![a-z])|[abcm][0-9]).*)\Z",
    re.ASCII,
)
IDLE_SUFFIX = re.compile(r"[-_.]?(?:na|final|ga)\Z")
DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}(?![0-9])")
OF_PACKAGER = re.compile(  # one suffix behind the number of a release
    r"""(?P<release>v?[0-9]+(?:\.[0-9]+)+(?:[a-z]|(?:rc|beta|alpha|p)[0-9]{1,3})?)
    (?: [+~.-]?(?:dfsg|ds|repack|really|debian|deb|ubuntu)[0-9]*\b.*   # 1.2.3+dfsg-4ubuntu1
      | -[1-9][0-9]?(?:[.+~]?(?:dfsg|deb|ubuntu|bpo|build|el|fc|amzn|mga|suse|redhat)[0-9a-z_.+~]*)?  # 1.2.3-1.el9
      | -0(?:\+deb|ubuntu)[0-9a-z.]*
      | [-_]r[1-9][0-9]?     # Alpine, Gentoo
      | _[1-9]               # Homebrew, FreeBSD; _13 is an update of Java
      )""",
    re.VERBOSE | re.ASCII,
)
DIGIT = re.compile(r"[0-9]")
LABEL_SEPARATOR = re.compile(r"[-_.]")
UNDERSCORED_POST = re.compile(r"(?<=[0-9])_(?=[0-9]+\Z)")
