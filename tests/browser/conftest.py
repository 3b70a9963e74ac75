import os

# These need Chromium, so they run only where `scripts/browser` says which one.
collect_ignore_glob = [] if "CHROMIUM" in os.environ else ["test_*.py"]
