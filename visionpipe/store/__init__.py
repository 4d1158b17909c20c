"""SQLite files that keep what was paid for: locked, migrated, written safely, checked and repaired."""
