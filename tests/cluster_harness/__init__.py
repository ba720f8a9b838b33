"""What the tests in tests/cluster stand on: a cluster, namespaces of our own, a Git host, a load, a table of facts."""
