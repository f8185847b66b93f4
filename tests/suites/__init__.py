"""The test suites of other projects, each run bare and through the launcher: README.md beside this file."""
