"""A large registry in a database: what each call costs, and how far one goes beside what the database itself does."""
