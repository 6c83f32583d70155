"""Keeps (kind, DataTree, provenance); knows no medicine."""

from bayestwin.store.tree_file import checksum_of, read_tree, refuse_other_model, write_tree

__all__ = ["checksum_of", "read_tree", "refuse_other_model", "write_tree"]
