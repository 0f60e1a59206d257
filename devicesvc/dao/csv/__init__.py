"""The store in CSV files: `store` commits, `tables` reads and changes, `snapshot` is the registry in memory, `file` one
of the files on the disk; `recording` writes the history, `history` reads it.

It imports `csv_codec` and the modules of `dao`, and no other store.
"""
