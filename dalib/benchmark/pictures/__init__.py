"""Pictures of records, one idea a file: each takes the records of one table and gives a matplotlib figure, or nothing."""
