"""Keeps (kind, DataTree, provenance); knows no medicine.

What is shown here reads and writes single files. The database behind a store is opened by `bayestwin.store.opening`,
which is imported by whoever needs it: the numerical rooms run on workers that have no database.
"""

from bayestwin.store.tree_file import (
    checksum_of,
    of_this_version,
    read_tree,
    refuse_other_model,
    tree_bytes,
    write_tree,
)

__all__ = ["checksum_of", "of_this_version", "read_tree", "refuse_other_model", "tree_bytes", "write_tree"]
