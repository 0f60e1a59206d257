"""The stores: `base` is the contract, `urls` opens a store by its URL, `csv` and `sql` are the kinds of store.

They import `csv_codec`, `columns`, `model` and `errors`: nothing here knows HTTP, and nothing makes a table.
"""
