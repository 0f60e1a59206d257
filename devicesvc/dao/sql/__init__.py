"""The store in a database, SQLite or PostgreSQL: `store` connects and commits, `tables` reads and changes, `schema`
says what tables there are.

It imports `columns` and the modules of `dao`, and no other store.
"""
