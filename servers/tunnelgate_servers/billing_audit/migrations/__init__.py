"""The forms that the database has had, each from the one before."""
