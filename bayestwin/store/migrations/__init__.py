"""Numbered steps from one schema to the next; `bayestwin store-migrate` walks them."""
