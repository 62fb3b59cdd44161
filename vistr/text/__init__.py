"""Text for people: durations, cells of CSV files, fonts for names in every script."""
