"""One file per feed kind. Adding one: docs/dev/how-to-add-a-feed.md.

`entry` holds what every kind shares (the words, the tolerant accessors, the bounds), `files` opens whatever container a
feed comes in, `registry` lists the kinds, `spool` turns a fetched feed into rows. Nothing here touches the database or
the network, except `updates`, which knows the two feeds that can be asked for what changed.
"""
